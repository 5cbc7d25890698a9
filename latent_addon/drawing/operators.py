"""Operators for drawing over the strip, and for rendering the composite."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import bpy
from bpy.props import StringProperty
from bpy.types import Context, Event
from bpy_extras.io_utils import ExportHelper

from ..scene import drawing, output, strip
from ..scene.context import the_strip, working_scene
from ..scene.properties import settings_of
from ..session.session import session
from ..ui.context import StripOperator


class LANTERN_OT_set_up_drawing(StripOperator):
    """Make a camera that frames the picture to the pixel, and a Grease Pencil object with inks to draw over it"""

    bl_idname = "lantern.set_up_drawing"
    bl_label = "Set Up Drawing"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Context) -> set[str]:
        scene, image_strip = working_scene(context), the_strip(context)
        size = settings_of(image_strip).picture_size()
        same_size = [other for other in strip.latent_strips(scene) if settings_of(other).picture_size() == size]
        made = drawing.set_up_drawing(scene, *size, same_size)
        drawing.show_background(scene, session.plans.shown_file(scene))
        drawing.enter_draw_mode(context, made)
        if context.screen and not any(area.type == "VIEW_3D" for area in context.screen.areas):
            self.report({"INFO"}, "The drawing is ready: open a 3D Viewport to draw, or the Layout workspace")
        return {"FINISHED"}


class LANTERN_OT_make_output_scene(StripOperator):
    """Make the Output scene, whose render is the composite: strips below, drawing above"""

    bl_idname = "lantern.make_output_scene"
    bl_label = "Make Output Scene"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Context) -> set[str]:
        output.make_output_scene(working_scene(context))
        return {"FINISHED"}


class LANTERN_OT_render_composite(StripOperator, ExportHelper):
    """Render shadows and drawing into one movie, with the timeline's sound. Missing frames are made first"""

    bl_idname = "lantern.render_composite"
    bl_label = "Render Composite"

    filename_ext = ".mp4"
    filter_glob: StringProperty(default="*.mp4", options={"HIDDEN"})

    def execute(self, context: Context) -> set[str]:
        scene = working_scene(context)
        if bpy.app.background:
            session.fill(scene)
        else:  # with a window, nothing waits: frames are made, and the next click renders
            session.make_missing()
            session.tick()
        lacking = session.plans.missing(scene)
        if lacking:
            self.report({"ERROR"}, refusal(lacking, session.problem(lacking[0][0])))
            return {"CANCELLED"}
        return self._render(context) if bpy.app.background else self._start(context)

    def _start(self, context: Context) -> set[str]:
        try:
            output.start_render(working_scene(context), self.filepath)
        except (ValueError, OSError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}

    def invoke(self, context: Context, event: Event) -> set[str]:
        if not self.filepath and not bpy.data.filepath:
            self.filepath = "composite.mp4"
        return ExportHelper.invoke(self, context, event)

    def _render(self, context: Context) -> set[str]:
        scene = working_scene(context)
        window = context.window_manager
        window.progress_begin(0, scene.frame_end - scene.frame_start + 1)
        try:
            made = output.render_composite(
                scene, self.filepath, lambda frame: window.progress_update(frame - scene.frame_start)
            )
        except (RuntimeError, ValueError, OSError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        finally:
            window.progress_end()
        self.report({"INFO"}, f"The composite is in {made}")
        return {"FINISHED"}


def refusal(lacking: Iterable[tuple[bpy.types.ImageStrip, list[int]]], why: str) -> str:
    """Return why the composite is not rendered: which frames of which strip are missing."""
    parts = [f"frames {ranges(frames)} of strip '{image_strip.name}'" for image_strip, frames in lacking]
    return f"Not rendered: {' and '.join(parts)} are missing. {why or 'They are being made; render again afterwards.'}"


def ranges(frames: list[int]) -> str:
    """Return ascending frame numbers as ranges in words: 1-3, 7, 9-12."""
    runs = [[frame for _, frame in run] for _, run in groupby(enumerate(frames), lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


BLENDER_CLASSES = (LANTERN_OT_set_up_drawing, LANTERN_OT_make_output_scene, LANTERN_OT_render_composite)
