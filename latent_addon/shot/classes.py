"""Operators that choose the class of a conditional generator, and key it to blend from one class to another."""

from bpy.props import IntProperty
from bpy.types import Context, Event

from ..scene import keying
from ..scene.context import the_strip, working_scene
from ..scene.properties import settings_of
from ..session.session import session
from ..ui.context import StripOperator


class ClassOperator(StripOperator):
    """An operator on a strip whose generator has classes."""

    @classmethod
    def poll(cls, context: Context) -> bool:
        if not super().poll(context):
            return False
        if not settings_of(the_strip(context)).num_classes:
            cls.poll_message_set("This generator has no classes")
            return False
        return True


class LANTERN_OT_set_class(ClassOperator):
    """Show one class only. If the class is animated, key it at the playhead"""

    bl_idname = "lantern.set_class"
    bl_label = "Set Class"
    bl_options = {"REGISTER", "UNDO"}

    number: IntProperty(name="Class", description="Number of the class, counted from 0", min=0)

    def invoke(self, context: Context, _event: Event) -> set[str]:
        self.number = keying.main_class(the_strip(context))[0]
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context: Context) -> set[str]:
        session.arm()
        image_strip = the_strip(context)
        last = settings_of(image_strip).num_classes - 1
        if self.number > last:
            self.report({"WARNING"}, f"The last class has the number {last}")
        keying.set_class(working_scene(context), image_strip, min(self.number, last))
        return {"FINISHED"}


class LANTERN_OT_insert_class_key(ClassOperator):
    """Key the class at the playhead. Between keys of two classes, the picture blends from one class to the other"""

    bl_idname = "lantern.insert_class_key"
    bl_label = "Insert Class Key"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Context) -> set[str]:
        session.arm()
        keying.insert_class_key(the_strip(context), working_scene(context).frame_current)
        return {"FINISHED"}


class LANTERN_OT_delete_class_key(ClassOperator):
    """Delete the class's key at the playhead"""

    bl_idname = "lantern.delete_class_key"
    bl_label = "Delete Class Key"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Context) -> set[str]:
        session.arm()
        scene = working_scene(context)
        if not keying.delete_class_key(scene, the_strip(context), scene.frame_current):
            self.report({"WARNING"}, f"There is no class key at frame {scene.frame_current}")
            return {"CANCELLED"}
        return {"FINISHED"}


BLENDER_CLASSES = (LANTERN_OT_set_class, LANTERN_OT_insert_class_key, LANTERN_OT_delete_class_key)
