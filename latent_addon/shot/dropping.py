"""Handles files that are dropped onto the Sequencer or the 3D Viewport: generators and latents."""

from collections.abc import Callable
from typing import Any

from bpy.props import StringProperty
from bpy.types import Context, FileHandler

from ..core.frame_request import GeneratorFacts
from ..scene.choosing import choose_generator
from ..scene.context import current_strip, why_not_editable, working_scene
from ..session.adding import add_strip
from ..session.session import session
from ..ui.asking import AskingOperator
from .generators import SUFFIXES


class LANTERN_OT_drop_generator(AskingOperator):
    """Use this file as the current latent strip's generator. If there is no latent strip, add one"""

    bl_idname = "lantern.drop_generator"
    bl_label = "Drop Generator"
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(
        name="File", description="Checkpoint file", subtype="FILE_PATH", options={"SKIP_SAVE", "HIDDEN"}
    )

    def ask(self, _context: Context, answered: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        session.describe(self.filepath, answered, failed)

    def act(self, context: Context, answer: GeneratorFacts) -> set[str]:
        image_strip = current_strip(context)
        if image_strip is None:
            image_strip = add_strip(context, self.filepath, answer)
        else:
            choose_generator(working_scene(context), image_strip, self.filepath, answer)
        self.report({"INFO"}, f"{image_strip.name} shows {answer.name}")
        return {"FINISHED"}


def _in_our_editors(context: Context) -> bool:
    if context.area is None or context.area.type not in {"SEQUENCE_EDITOR", "VIEW_3D"}:
        return False
    return not why_not_editable(working_scene(context))


class LANTERN_FH_generator(FileHandler):
    """Takes checkpoint files."""

    bl_idname = "LANTERN_FH_generator"
    bl_label = "Latent Lantern Generator"
    bl_import_operator = "lantern.drop_generator"
    bl_file_extensions = ";".join(SUFFIXES)

    @classmethod
    def poll_drop(cls, context: Context) -> bool:
        return _in_our_editors(context)


class LANTERN_FH_latents(FileHandler):
    """Takes files of latents, if there is a current latent strip. A dropped .pt file is taken as a generator."""

    bl_idname = "LANTERN_FH_latents"
    bl_label = "Latent Lantern Latents"
    bl_import_operator = "lantern.import_latents"
    bl_file_extensions = ".npy;.npz"

    @classmethod
    def poll_drop(cls, context: Context) -> bool:
        return _in_our_editors(context) and current_strip(context) is not None


BLENDER_CLASSES = (LANTERN_OT_drop_generator, LANTERN_FH_generator, LANTERN_FH_latents)
