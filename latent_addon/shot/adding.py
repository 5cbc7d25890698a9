"""Operators that add latent strips."""

from collections.abc import Callable
from typing import Any

from bpy.props import IntProperty, StringProperty
from bpy.types import Context

from ..core.frame_request import GeneratorFacts
from ..session.adding import LENGTH, add_strip
from ..session.session import session
from ..ui.asking import AskingOperator
from .generators import GeneratorBrowser


class LANTERN_OT_add_latent_strip(AskingOperator):
    """Add a strip of generated frames at the playhead, made by the built-in generator or by your own checkpoint"""

    bl_idname = "lantern.add_latent_strip"
    bl_label = "Add Latent Strip"
    bl_options = {"REGISTER", "UNDO"}

    generator: StringProperty(
        name="Generator",
        description="Checkpoint file, or folder of a run's snapshots; empty for the built-in family at dinner",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )
    length: IntProperty(name="Length", description="Frames", default=LENGTH, min=1, soft_max=1000)
    seed: IntProperty(name="Seed", description="Seed of the first picture", default=0, min=0, max=2**31 - 1)

    def ask(self, _context: Context, answered: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        session.describe(self.generator, answered, failed)

    def act(self, context: Context, answer: GeneratorFacts) -> set[str]:
        add_strip(context, self.generator, answer, length=self.length, seed=self.seed)
        return {"FINISHED"}


class LANTERN_OT_add_strip_from_file(GeneratorBrowser, AskingOperator):
    """Choose a checkpoint file, or a folder of snapshots, and add a strip at the playhead that shows its pictures"""

    bl_idname = "lantern.add_strip_from_file"
    bl_label = "Add Strip from File"
    bl_options = {"REGISTER", "UNDO"}

    def ask(self, _context: Context, answered: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        session.describe(self.chosen(), answered, failed)

    def act(self, context: Context, answer: GeneratorFacts) -> set[str]:
        add_strip(context, self.chosen(), answer)
        return {"FINISHED"}


BLENDER_CLASSES = (LANTERN_OT_add_latent_strip, LANTERN_OT_add_strip_from_file)
