"""The panel of the inference server, the process next to Blender."""

from __future__ import annotations

from bpy.types import Context

from ..server.client import ServerState
from ..session.session import session
from ..ui.parts import Content, draw_message, wrapped


class ServerPanel(Content):
    """The inference server: its device, its buttons, its log."""

    bl_label = "Server"
    bl_options = {"DEFAULT_CLOSED"}

    _STATES = {
        ServerState.STOPPED: "Not running until frames are missing",
        ServerState.STARTING: "Starting ...",
        ServerState.FAILED: "Stopped",
    }

    def draw(self, context: Context) -> None:
        layout = self.layout
        client = session.client
        ready = client.state is ServerState.READY
        device = client.greeting.device.name if client.greeting is not None else ""
        layout.label(text=f"Ready: {device or 'unknown device'}" if ready else self._STATES[client.state])
        if client.message:
            draw_message(layout, context, client.message)
        row = layout.row(align=True)
        if client.state in (ServerState.STARTING, ServerState.READY):
            row.operator("lantern.stop_server", icon="QUIT")
            row.operator("lantern.release_device")
        else:
            row.operator("lantern.start_server", icon="PLAY")
        if client.log:
            column = layout.box().column(align=True)
            column.scale_y = 0.8
            lines = [part for line in list(client.log)[-4:] for part in wrapped(context, line[:400])]
            for line in lines[-8:]:
                column.label(text=line)
            layout.operator("lantern.copy_log", icon="COPYDOWN")
