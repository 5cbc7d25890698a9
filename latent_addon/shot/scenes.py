"""Operators on the scene that a strip is in: make a linked one local, show pictures in their own colours."""

from __future__ import annotations

from typing import Any

from bpy.types import Context, Operator

from ..scene import changes, drawing, view
from ..scene.context import why_not_editable, working_scene
from ..ui.context import poll_scene


class LANTERN_OT_make_local(Operator):
    """Make a copy of the linked scene in this file, with its strips, keys and drawing, so that it can be edited.
    The file that it comes from stays as it is
    """

    bl_idname = "lantern.make_local"
    bl_label = "Make Local"
    bl_description = " ".join(__doc__.split())
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        if not why_not_editable(working_scene(context)):
            cls.poll_message_set("The scene is not linked")
            return False
        return True

    def execute(self, context: Context) -> set[str]:
        scene = _made_local(working_scene(context))
        if scene.animation_data is not None:
            _made_local(scene.animation_data.action)
        for linked in (drawing.camera_of(scene), drawing.pencil_of(scene)):
            if linked is not None:
                _made_local(_made_local(linked).data)
        if context.window is not None:
            context.window.scene = scene
        changes.mark()
        return {"FINISHED"}


class LANTERN_OT_use_standard_view(Operator):
    """Set the scene's view transform to Standard, without look, exposure and gamma, which shows generated pictures in
    their own colours
    """

    bl_idname = "lantern.use_standard_view"
    bl_label = "Use Standard View"
    bl_description = " ".join(__doc__.split())
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        return poll_scene(cls, context)

    def execute(self, context: Context) -> set[str]:
        view.use_standard(working_scene(context))
        return {"FINISHED"}


def _made_local(data: Any) -> Any:
    return data if data is None or data.library is None else data.make_local()


BLENDER_CLASSES = (LANTERN_OT_make_local, LANTERN_OT_use_standard_view)
