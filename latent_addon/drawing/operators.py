"""Operators for drawing over the strip, and for rendering the composite."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import StringProperty
from bpy.types import Context, Event, Scene
from bpy_extras.io_utils import ExportHelper

from ..scene import drawing, output, strip
from ..scene.context import the_strip, working_scene
from ..scene.properties import settings_of
from ..session.session import session
from ..ui.context import StripOperator
from . import composite
from .composite import Preparation


class LANTERN_OT_set_up_drawing(StripOperator):
    """Make a camera that frames the picture to the pixel, and a Grease Pencil object with inks to draw over it"""

    bl_idname = "lantern.set_up_drawing"
    bl_label = "Set Up Drawing"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        scene = working_scene(context)
        linked = [each for each in (drawing.camera_of(scene), drawing.pencil_of(scene)) if each and each.library]
        if linked:
            cls.poll_message_set(f"'{linked[0].name}' is linked from another file. Make it local: Object > Relations")
        return not linked and super().poll(context)

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
    """Render shadows and drawing into one movie, with the timeline's sound. Frames that are missing in the scene's
    frame range are made first; then the render starts by itself. Esc stops either
    """

    bl_idname = "lantern.render_composite"
    bl_label = "Render Composite"
    bl_description = " ".join(__doc__.split())

    filename_ext = ".mp4"
    filter_glob: StringProperty(default="*.mp4", options={"HIDDEN"})

    _timer: Any = None

    @classmethod
    def poll(cls, context: Context) -> bool:
        if composite.preparing is not None:
            cls.poll_message_set("A composite waits for its frames already. Esc stops it")
            return False
        return super().poll(context)

    def invoke(self, context: Context, event: Event) -> set[str]:
        if not self.filepath and not bpy.data.filepath:
            self.filepath = "composite.mp4"
        return ExportHelper.invoke(self, context, event)

    def execute(self, context: Context) -> set[str]:
        scene = working_scene(context)
        try:
            output.check_movie_size(scene)
        except ValueError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if bpy.app.background:
            session.fill_for_render(scene)
            lacking, _total = session.plans.missing_in_render(scene)
            if lacking:
                why = session.problem(lacking[0][0]) or "They were not made in time. Try again."
                self.report({"ERROR"}, composite.refusal(lacking, why))
                return {"CANCELLED"}
            return self._render(context)
        composite.preparing = Preparation(scene, self.filepath)
        ended = self._look(context)
        if ended is None:
            self._timer = context.window_manager.event_timer_add(0.1, window=context.window)
            context.window_manager.modal_handler_add(self)
            return {"RUNNING_MODAL"}
        return ended

    def modal(self, context: Context, event: Event) -> set[str]:
        if event.type == "ESC" and event.value == "PRESS":
            self.cancel(context)
            session.halt("Stopped. Press Make Frames to continue.")
            return {"CANCELLED"}
        return (self._look(context) if event.type == "TIMER" else None) or {"PASS_THROUGH"}

    def _look(self, context: Context) -> set[str] | None:
        """Go on if the frames are there, give up if they never will be; return None while they are made."""
        waiting = composite.preparing
        assert waiting is not None
        try:
            outcome = waiting.look()
        except LookupError:
            outcome = "Not rendered: its scene was deleted."
        if outcome is None:
            context.workspace.status_text_set(f"{waiting.text}. The render follows by itself; Esc stops")
            session.redraw()
            return None
        scene = waiting.scene
        self.cancel(context)
        if outcome or scene is None:
            self.report({"ERROR"}, outcome)
            return {"CANCELLED"}
        return self._start(scene)

    def cancel(self, context: Context) -> None:
        """Wait for frames no longer. Blender calls this when it ends the operator itself, for a new file."""
        waiting, composite.preparing = composite.preparing, None
        if waiting is not None:
            waiting.end()
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None
        if context.workspace is not None:
            context.workspace.status_text_set(None)
        session.redraw()

    def _start(self, scene: Scene) -> set[str]:
        try:
            output.start_render(scene, self.filepath)
        except (ValueError, OSError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}

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


BLENDER_CLASSES = (LANTERN_OT_set_up_drawing, LANTERN_OT_make_output_scene, LANTERN_OT_render_composite)
