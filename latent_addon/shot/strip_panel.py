"""The main panel: the strip's generator and snapshot, its keys, and how many of its frames are made."""

from __future__ import annotations

from bpy.types import Context, ImageStrip

from ..scene.context import current_strip, why_not_editable, working_scene
from ..scene.properties import LatentStripSettings, settings_of
from ..server.client import ServerState
from ..session.session import session
from ..setup.panels import draw_inference_in_tab
from ..ui.parts import Content, draw_message, draw_problem, wrapped


class StripPanel(Content):
    """The main panel: generator, snapshot, progress, keys."""

    bl_label = "Latent Strip"

    def draw(self, context: Context) -> None:
        layout = self.layout
        strip = current_strip(context)
        explained = draw_inference_in_tab(layout, context) and session.without_python
        hindrance = why_not_editable(working_scene(context))
        if hindrance:
            draw_message(layout, context, hindrance, icon="LINKED")
            layout.operator("lantern.make_local", icon="UNLINKED")
        if strip is None:
            self._draw_adding()
            if session.client.state is ServerState.STARTING:
                layout.label(text="The server is starting ...", icon="SORTTIME")
            if session.halted and not explained:
                draw_problem(layout, context, session.halted)
            return
        settings = settings_of(strip)
        row = layout.row(align=True)
        width, height = settings.picture_size()
        row.label(text=f"{settings.generator_name}, {width} x {height}", icon="IMAGE_DATA")
        row.operator("lantern.choose_generator", text="", icon="FILEBROWSER")
        row.operator("lantern.reload_generator", text="", icon="FILE_REFRESH")
        if settings.snapshots:
            self._draw_snapshots(context, settings)
        self._draw_progress(context, strip, explained)
        self._draw_keys(strip)
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

    def _draw_progress(self, context: Context, strip: ImageStrip, explained: bool) -> None:
        layout = self.layout
        done, total = session.plans.progress(strip)
        state = session.plans.state_of(strip)
        if done < total:
            row = layout.row(align=True)
            text = f"{done} / {total} frames"
            if session.feeder.busy_for(session.strips):
                rate = session.showing.rate()
                row.progress(factor=done / total, text=f"{text}, {rate:.1f}/s" if rate else text)
                row.operator("lantern.cancel", text="", icon="CANCEL")
            else:
                # After a file is opened, nothing is made until this is pressed, so the button shows its name.
                row.progress(factor=done / total, text=text if session.armed else f"{done} / {total}")
                row.operator("lantern.make_frames", text="" if session.armed else "Make Frames", icon="PLAY")
        elif total:
            layout.label(text=f"All {total} frames are there", icon="CHECKMARK")
        problem = session.problem(strip)
        if problem and not (explained and problem == session.halted):
            draw_problem(layout, context, problem)
            row = layout.row(align=True)
            row.operator("lantern.make_frames", text="Try Again", icon="FILE_REFRESH")
            if state is not None and state.problem:
                row.operator("lantern.fit_latent")

    def _draw_keys(self, strip: ImageStrip) -> None:
        settings = settings_of(strip)
        row = self.layout.row(align=True)
        row.scale_y = 1.3
        row.operator("lantern.jump_to_latent_key", text="", icon="PREV_KEYFRAME").next = False
        row.operator("lantern.insert_latent_key", text="Key", icon="KEY_HLT")
        row.operator("lantern.delete_latent_key", text="", icon="KEY_DEHLT")
        row.operator("lantern.jump_to_latent_key", text="", icon="NEXT_KEYFRAME").next = True
        self.layout.prop(settings, "length")
        row = self.layout.row(align=True)
        row.operator("lantern.randomise", icon="SHADERFX")
        row.prop(settings, "seed", text="")
        row.operator("lantern.randomise", text="", icon="CHECKMARK").seed = settings.seed
