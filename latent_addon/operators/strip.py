"""Adding latent strips, choosing their generator, drawing latents from seeds."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from bpy.props import EnumProperty, IntProperty, StringProperty
from bpy.types import Context, Event
from bpy_extras.io_utils import ImportHelper

from ...inference_server import protocol
from ..core.frame_request import GeneratorFacts
from ..scene import curves, strip, versions
from ..scene.properties import settings_of
from ..session import generator_of, session
from .asking import AskingOperator
from .context import StripOperator, current_strip, working_scene


def sample_z(seed: int, z_dim: int) -> list[float]:
    """The z of a seed as everyone's tools draw it: numpy RandomState(seed).randn(1, z_dim)."""
    return np.random.RandomState(seed).randn(1, z_dim)[0].tolist()


class LANTERN_OT_add_latent_strip(AskingOperator):
    """Add a strip of generated frames at the playhead, on the built-in generator or a checkpoint of yours"""

    bl_idname = "lantern.add_latent_strip"
    bl_label = "Add Latent Strip"
    bl_options = {"REGISTER", "UNDO"}

    generator: StringProperty(
        name="Generator",
        description="Checkpoint file; empty for the built-in family at dinner",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )
    length: IntProperty(name="Length", description="Frames", default=96, min=1, soft_max=1000)
    seed: IntProperty(name="Seed", description="Seed of the first picture", default=0, min=0, max=2**31 - 1)

    def ask(self, _context: Context, answered: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        session.describe(self.generator, answered, failed)

    def act(self, context: Context, answer: GeneratorFacts) -> set[str]:
        scene = working_scene(context)
        session.replan()  # the folder is where the file is now
        added = strip.add_latent_strip(
            scene,
            answer,
            self.generator,
            sample_z(self.seed, answer.z_dim),
            session.plans.folder.directory,
            session.plans.store.placeholder(answer.width, answer.height),
            start=scene.frame_current,
            length=self.length,
        )
        settings_of(added).seed = self.seed
        versions.show_in_sequencer(context, scene)
        return {"FINISHED"}


class LANTERN_OT_choose_generator(AskingOperator, ImportHelper):
    """Let the strip's pictures be made by another checkpoint file. Keys stay"""

    bl_idname = "lantern.choose_generator"
    bl_label = "Choose Generator"
    bl_options = {"REGISTER", "UNDO"}
    poll = StripOperator.poll

    filename_ext = ".safetensors"
    filter_glob: StringProperty(default="*.safetensors", options={"HIDDEN"})

    def invoke(self, context: Context, event: Event) -> set[str]:
        return ImportHelper.invoke(self, context, event)

    def ask(self, _context: Context, answered: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        session.describe(self.filepath, answered, failed)

    def act(self, context: Context, answer: GeneratorFacts) -> set[str]:
        settings = settings_of(current_strip(context))
        settings.generator = self.filepath
        settings.set_facts(answer)
        return {"FINISHED"}


class LANTERN_OT_reload_generator(AskingOperator):
    """Read the strip's checkpoint file again, after it was replaced or put back"""

    bl_idname = "lantern.reload_generator"
    bl_label = "Reload Generator"
    bl_options = {"REGISTER", "UNDO"}
    poll = StripOperator.poll

    def ask(self, context: Context, answered: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        session.describe(settings_of(current_strip(context)).generator, answered, failed)

    def act(self, context: Context, answer: GeneratorFacts) -> set[str]:
        settings_of(current_strip(context)).set_facts(answer)
        return {"FINISHED"}


class LANTERN_OT_randomise(AskingOperator):
    """Give the strip a new random latent; where the latent is animated, key it at the playhead"""

    bl_idname = "lantern.randomise"
    bl_label = "Randomise"
    bl_options = {"REGISTER", "UNDO"}
    poll = StripOperator.poll

    seed: IntProperty(
        name="Seed",
        description="Seed to draw from; -1 for another one",
        default=-1,
        min=-1,
        max=2**31 - 1,
        options={"SKIP_SAVE"},  # else the next click would draw this one's seed again
    )

    def ask(self, context: Context, answered: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        if self.seed < 0:
            self.seed = random.randrange(2**31)
        ask_latent(settings_of(current_strip(context)), self.seed, answered, failed)

    def act(self, context: Context, answer: list[float]) -> set[str]:
        scene, image_strip = working_scene(context), current_strip(context)
        settings_of(image_strip).seed = self.seed
        strip.set_latent(image_strip, answer)
        if curves.latent_key_frames(scene, image_strip):
            curves.insert_latent_key(image_strip, scene.frame_current)
        return {"FINISHED"}


class LANTERN_OT_fit_latent(AskingOperator):
    """Start from a new latent of the length that the generator takes; the old latent's keys are removed"""

    bl_idname = "lantern.fit_latent"
    bl_label = "Fit Latent"
    bl_options = {"REGISTER", "UNDO"}
    poll = StripOperator.poll

    def ask(self, context: Context, answered: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        settings = settings_of(current_strip(context))
        ask_latent(settings, settings.seed, answered, failed)

    def act(self, context: Context, answer: list[float]) -> set[str]:
        image_strip = current_strip(context)
        curves.remove_latent_curves(working_scene(context), image_strip)
        strip.set_latent(image_strip, answer)
        strip.fit_classes(image_strip)
        return {"FINISHED"}


class LANTERN_OT_set_space(AskingOperator):
    """Move the strip's latent and its keys to another latent space"""

    bl_idname = "lantern.set_space"
    bl_label = "Set Latent Space"
    bl_options = {"REGISTER", "UNDO"}
    poll = StripOperator.poll

    space: EnumProperty(
        name="Space",
        items=(
            ("Z", "Z", "The space that pictures are sampled from"),
            ("W", "W", "The space behind the mapping network; keys are mapped into it"),
        ),
    )

    def ask(self, context: Context, answered: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        scene, image_strip = working_scene(context), current_strip(context)
        settings = settings_of(image_strip)
        if settings.space == self.space:
            answered(np.empty((0, 0)))
        elif self.space == "W":
            self._keys = curves.whole_latent_keys(scene, image_strip)
            stored = curves.stored_array(image_strip, "latent")
            ask_mapping(settings, [*self._keys.values.tolist(), stored.tolist()], answered, failed)
        elif curves.latent_key_frames(scene, image_strip):
            failed("There is no way back from W to Z. Delete the latent keys first, or undo.")
        else:
            answered(np.array([sample_z(settings.seed, settings.z_dim)]))

    def act(self, context: Context, answer: Any) -> set[str]:
        if not len(answer):
            return {"CANCELLED"}
        scene, image_strip = working_scene(context), current_strip(context)
        settings_of(image_strip).space = self.space
        curves.remove_latent_curves(scene, image_strip)
        strip.set_latent(image_strip, answer[-1].tolist())
        if self.space == "W":
            curves.write_whole_keys(scene, image_strip, self._keys, answer[:-1])
        return {"FINISHED"}


def ask_latent(
    settings: Any, seed: int, answered: Callable[[list[float]], None], failed: Callable[[str], None]
) -> None:
    """Ask for the latent of a seed in the strip's space; in Z nobody has to be asked."""
    z = sample_z(seed, settings.z_dim)
    if settings.space == "Z":
        answered(z)
    else:
        ask_mapping(settings, [z], lambda latents: answered(latents[0].tolist()), failed)


def ask_mapping(
    settings: Any, latents: list[list[float]], answered: Callable[[Any], None], failed: Callable[[str], None]
) -> None:
    """Ask for the w of each z; `answered` takes an array (n, w_dim)."""
    data = np.array(latents, np.float32)
    params = {
        "generator": generator_of(settings),
        "latents": protocol.pack_floats(data.tobytes(), data.shape),
    }

    def unpack(answer: dict[str, Any]) -> None:
        floats, shape = protocol.unpack_floats(answer.get("latents"))
        answered(np.frombuffer(floats, np.float32).reshape(shape).astype(np.float64))

    session.ask("latents/map", params, unpack, failed)


CLASSES = (
    LANTERN_OT_add_latent_strip,
    LANTERN_OT_choose_generator,
    LANTERN_OT_reload_generator,
    LANTERN_OT_randomise,
    LANTERN_OT_fit_latent,
    LANTERN_OT_set_space,
)
