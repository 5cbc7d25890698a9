"""Operators on latent keys. A key holds the whole vector at once."""

from bpy.props import BoolProperty
from bpy.types import Context

from ..scene import latent_keys
from ..scene.context import the_strip, working_scene
from ..session.session import session
from ..ui.context import StripOperator


class LANTERN_OT_insert_latent_key(StripOperator):
    """Key the whole latent at the playhead"""

    bl_idname = "lantern.insert_latent_key"
    bl_label = "Insert Latent Key"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Context) -> set[str]:
        session.arm()
        scene, image_strip = working_scene(context), the_strip(context)
        latent_keys.insert_latent_key(image_strip, scene.frame_current)
        count = len(latent_keys.latent_key_frames(scene, image_strip))
        self.report({"INFO"}, f"Latent keyed at frame {scene.frame_current}: {count} key{'s' if count > 1 else ''}")
        return {"FINISHED"}


class LANTERN_OT_delete_latent_key(StripOperator):
    """Delete the latent's key at the playhead"""

    bl_idname = "lantern.delete_latent_key"
    bl_label = "Delete Latent Key"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Context) -> set[str]:
        session.arm()
        scene = working_scene(context)
        if not latent_keys.delete_latent_key(scene, the_strip(context), scene.frame_current):
            self.report({"WARNING"}, f"There is no latent key at frame {scene.frame_current}")
            return {"CANCELLED"}
        return {"FINISHED"}


class LANTERN_OT_jump_to_latent_key(StripOperator):
    """Move the playhead to the next or previous key of the latent"""

    bl_idname = "lantern.jump_to_latent_key"
    bl_label = "Jump to Latent Key"
    # No undo step, because Blender's own jumps make none either.

    next: BoolProperty(name="Next", description="To the next key, not to the previous one", default=True)

    def execute(self, context: Context) -> set[str]:
        scene = working_scene(context)
        frames = latent_keys.latent_key_frames(scene, the_strip(context))
        here = scene.frame_current
        ahead = [f for f in frames if f > here] if self.next else [f for f in reversed(frames) if f < here]
        if not ahead:
            self.report({"INFO"}, "There is no latent key further on")
            return {"CANCELLED"}
        scene.frame_set(round(ahead[0]))
        return {"FINISHED"}


BLENDER_CLASSES = (LANTERN_OT_insert_latent_key, LANTERN_OT_delete_latent_key, LANTERN_OT_jump_to_latent_key)
