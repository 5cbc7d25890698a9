"""The main panel: the strip's generator and snapshot, how many of its frames are made, what to know, its keys."""

from __future__ import annotations

from bpy.types import Context, ImageStrip, Scene, UILayout

from ..scene import view
from ..scene.context import current_strip, why_not_editable, working_scene
from ..scene.properties import LatentStripSettings, settings_of
from ..server.client import ServerState
from ..session.session import session
from ..setup.panels import draw_inference_in_tab
from ..ui.helping import draw_helps
from ..ui.parts import Content, wrapped
from ..ui.status import Message, draw_status


class StripPanel(Content):
    """The main panel: generator, snapshot, progress, what to know, keys.

    Its height depends on the strip that is chosen, and on nothing that happens by itself.
    """

    bl_label = "Latent Strip"

    def draw(self, context: Context) -> None:
        layout = self.layout
        strip = current_strip(context)
        explained = draw_inference_in_tab(layout, context) and session.without_python
        message = _message(working_scene(context), strip, explained)
        if strip is None:
            self._draw_adding()
            box = layout.box().column(align=True)
            row = box.row(align=True)
            row.label(text="No latent strip is selected")
            draw_helps(row, message.helps)
            draw_status(box, context, message)
            return
        settings = settings_of(strip)
        row = layout.row(align=True)
        width, height = settings.picture_size()
        row.label(text=f"{settings.generator_name}, {width} x {height}", icon="IMAGE_DATA")
        row.operator("lantern.choose_generator", text="", icon="FILEBROWSER")
        row.operator("lantern.reload_generator", text="", icon="FILE_REFRESH")
        if settings.snapshots:
            self._draw_snapshots(context, settings)
        box = layout.box().column(align=True)
        self._draw_progress(box.row(align=True), strip, message)
        draw_status(box, context, message)
        self._draw_keys(context, strip)
        self._draw_adding()

    def _draw_adding(self) -> None:
        row = self.layout.row(align=True)
        row.operator("lantern.add_latent_strip", icon="ADD")
        row.operator("lantern.add_strip_from_file", text="", icon="FILEBROWSER")

    def _draw_snapshots(self, context: Context, settings: LatentStripSettings) -> None:
        column = self.layout.column(align=True)
        row = column.row(align=True)
        row.operator("lantern.step_snapshot", text="", icon="TRIA_LEFT").next = False
        row.prop(settings, "snapshot", text="Snapshot")
        row.operator("lantern.step_snapshot", text="", icon="TRIA_RIGHT").next = True
        row.operator("lantern.choose_snapshot", text="", icon="VIEWZOOM")
        for line in wrapped(context, f"{settings.snapshot_name()} (of {len(settings.snapshots)})"):
            column.label(text=line)

    def _draw_progress(self, row: UILayout, strip: ImageStrip, message: Message) -> None:
        done, total = session.plans.progress(strip)
        if done < total:
            row.progress(factor=done / total, text=f"{done} / {total}" if message.helps else f"{done} / {total} frames")
        elif total:
            row.label(text=f"All {total} frames{'' if message.helps else ' are there'}", icon="CHECKMARK")
        else:
            row.label(text="")
        if message.helps:
            draw_helps(row, message.helps)
        elif done < total and session.feeder.busy_for(session.strips):
            row.operator("lantern.cancel", text="", icon="CANCEL")
        elif done < total:
            # After a file is opened, nothing is made until this is pressed, so the button shows its name.
            row.operator("lantern.make_frames", text="" if session.armed else "Make Frames", icon="PLAY")

    def _draw_keys(self, context: Context, strip: ImageStrip) -> None:
        settings = settings_of(strip)
        state = session.plans.state_of(strip)
        keyed = state is not None and working_scene(context).frame_current in state.key_frames
        row = self.layout.row(align=True)
        row.scale_y = 1.3
        row.operator("lantern.jump_to_latent_key", text="", icon="PREV_KEYFRAME").next = False
        row.operator(
            "lantern.insert_latent_key", text="Key", icon="KEYFRAME_HLT" if keyed else "KEYFRAME", depress=keyed
        )
        row.operator("lantern.delete_latent_key", text="", icon="KEY_DEHLT")
        row.operator("lantern.jump_to_latent_key", text="", icon="NEXT_KEYFRAME").next = True
        self.layout.prop(settings, "length")
        row = self.layout.row(align=True)
        row.operator("lantern.randomise", icon="SHADERFX")
        row.prop(settings, "seed", text="")
        row.operator("lantern.randomise", text="", icon="CHECKMARK").seed = settings.seed


def _message(scene: Scene, strip: ImageStrip | None, explained: bool) -> Message:
    """Return what the person should know first. explained: whether the box above says why nothing is made."""
    hindrance = why_not_editable(scene)
    if hindrance:
        return Message(f"{hindrance}.", "LINKED", problem=True)
    state = session.plans.state_of(strip) if strip is not None else None
    problem = session.problem(strip)
    if problem and not (explained and problem == session.halted):
        return Message(problem, "ERROR", halted=True, problem=True)
    if session.renders.notice:
        return Message(session.renders.notice, "ERROR", problem=True)
    if session.client.state is ServerState.STARTING:
        return Message("The server is starting ...", "SORTTIME")
    if strip is None or state is None or state.plan is None:
        return Message("")
    if not view.is_standard(scene):
        name = scene.view_settings.view_transform
        return Message(
            f"The view transform {name} changes the pictures' colours. Use Standard shows them as they are.", "INFO"
        )
    settings = settings_of(strip)
    if state.partial_keys and settings.interpolation == "GREAT_CIRCLE":
        frames = state.partial_keys
        return Message(f"{frames} frames have keys of some components only; great circles skip them.", "INFO")
    if not settings.normalises_z and settings.space == "Z" and settings.interpolation == "FCURVE":
        return Message("Pictures of this generator turn pale between F-curve keys, but not with Great Circle.", "INFO")
    rate = session.showing.rate() if session.feeder.busy_for(session.strips) else 0.0
    if rate:
        return Message(f"{rate:.1f} frames a second")
    count = len(state.key_frames)
    return Message(f"{count} key{'s' if count != 1 else ''}" if count else "No keys: the picture stands still")
