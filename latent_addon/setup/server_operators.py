"""Operators of the server: start it, stop it, free its memory, copy its log."""

from bpy.types import Context, Operator

from ...lantern_protocol import methods
from ...lantern_protocol.params import Nothing
from ..server.client import ServerState
from ..session.session import session


class LANTERN_OT_start_server(Operator):
    """Start the inference server"""

    bl_idname = "lantern.start_server"
    bl_label = "Start Server"

    def execute(self, _context: Context) -> set[str]:
        session.arm()
        session.start_server()
        return {"CANCELLED"} if session.halted else {"FINISHED"}


class LANTERN_OT_stop_server(Operator):
    """Stop the inference server. It starts again when a frame is missing"""

    bl_idname = "lantern.stop_server"
    bl_label = "Stop Server"

    @classmethod
    def poll(cls, _context: Context) -> bool:
        if session.client.state not in (ServerState.STARTING, ServerState.READY):
            cls.poll_message_set("The server is not running")
            return False
        return True

    def execute(self, _context: Context) -> set[str]:
        if session.feeder.busy:
            session.halt("Stopped. Press Make Frames to continue.")
        session.client.dismiss()
        return {"FINISHED"}


class LANTERN_OT_release_device(Operator):
    """Free the memory that generators take on the GPU; they are loaded again when frames are missing"""

    bl_idname = "lantern.release_device"
    bl_label = "Release GPU"

    @classmethod
    def poll(cls, _context: Context) -> bool:
        if session.client.state is not ServerState.READY:
            cls.poll_message_set("The server is not running")
            return False
        return True

    def execute(self, _context: Context) -> set[str]:
        session.ask(methods.RELEASE, Nothing(), lambda _: None, session.halt)
        return {"FINISHED"}


class LANTERN_OT_copy_log(Operator):
    """Copy the server's log to the clipboard"""

    bl_idname = "lantern.copy_log"
    bl_label = "Copy Log"

    def execute(self, context: Context) -> set[str]:
        context.window_manager.clipboard = "\n".join(session.client.log)
        self.report({"INFO"}, f"{len(session.client.log)} lines copied")
        return {"FINISHED"}


BLENDER_CLASSES = (
    LANTERN_OT_start_server,
    LANTERN_OT_stop_server,
    LANTERN_OT_release_device,
    LANTERN_OT_copy_log,
)
