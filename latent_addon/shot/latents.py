"""Operators on the strip's latent: draw it from a seed, make a new one, move it to another space, set its canvas."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from bpy.props import EnumProperty, IntProperty
from bpy.types import Context, Event, ImageStrip

from ..core.animatable import LATENT
from ..core.latents import sample_z
from ..scene import evaluation, keying, latent_keys, strip, timing
from ..scene.context import the_strip, working_scene
from ..scene.fitting import size_kept
from ..scene.generator_properties import LARGEST_CANVAS
from ..scene.properties import settings_of
from ..session.questions import Floats, ask_latent, ask_mapping
from ..session.session import session
from ..ui.asking import AskingStripOperator
from ..ui.context import StripOperator

SPACES = ("Z", "W", "W+")
"""In order: from the space that is sampled from to the space nearest to the pictures."""


class LANTERN_OT_randomise(AskingStripOperator):
    """Give the strip a new random latent. If the latent is animated, key it at the playhead"""

    bl_idname = "lantern.randomise"
    bl_label = "Randomise"
    bl_options = {"REGISTER", "UNDO"}

    seed: IntProperty(
        name="Seed",
        description="Seed to draw from; -1 for a random seed",
        default=-1,
        min=-1,
        max=2**31 - 1,
        options={"SKIP_SAVE"},  # otherwise the next click would draw from the same seed again
    )

    def ask(self, context: Context, answered: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        if self.seed < 0:
            self.seed = random.randrange(2**31)
        image_strip = the_strip(context)
        ask_latent(image_strip, self.seed, settings_of(image_strip).space, answered, failed)

    def act(self, context: Context, answer: list[float]) -> set[str]:
        scene, image_strip = working_scene(context), the_strip(context)
        settings_of(image_strip).seed = self.seed
        strip.set_latent(image_strip, answer)
        if latent_keys.latent_key_frames(scene, image_strip):
            latent_keys.insert_latent_key(image_strip, scene.frame_current)
        return {"FINISHED"}


class LANTERN_OT_fit_latent(AskingStripOperator):
    """Start from a new latent of the length that the generator takes. The old latent's keys are removed"""

    bl_idname = "lantern.fit_latent"
    bl_label = "Fit Latent"
    bl_options = {"REGISTER", "UNDO"}

    def ask(self, context: Context, answered: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        image_strip = the_strip(context)
        settings = settings_of(image_strip)
        self._space = settings.space if settings.has_w else "Z"
        strip.fit_classes(image_strip)
        ask_latent(image_strip, settings.seed, self._space, answered, failed)

    def act(self, context: Context, answer: list[float]) -> set[str]:
        image_strip = the_strip(context)
        latent_keys.remove_latent_curves(working_scene(context), image_strip)
        settings_of(image_strip).space = self._space
        strip.set_latent(image_strip, answer)
        return {"FINISHED"}


class LANTERN_OT_set_space(AskingStripOperator):
    """Move the strip's latent and its keys to another latent space"""

    bl_idname = "lantern.set_space"
    bl_label = "Set Latent Space"
    bl_options = {"REGISTER", "UNDO"}

    space: EnumProperty(
        name="Space",
        description="Latent space to move to",
        items=(
            ("Z", "Z", "The space that pictures are sampled from"),
            ("W", "W", "The space after the mapping network; keys are mapped into it"),
            ("W+", "W+", "One w for each layer of the generator; keys are repeated for every layer"),
        ),
    )

    def ask(self, context: Context, answered: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        scene, image_strip = working_scene(context), the_strip(context)
        settings = settings_of(image_strip)
        if settings.space == self.space:
            answered(np.empty((0, 0)))
        elif self.space != "Z" and not settings.has_w:
            failed(f"{settings.generator_name} has no mapping network, and so only the space Z.")
        elif SPACES.index(self.space) > SPACES.index(settings.space):
            self._keys = latent_keys.whole_latent_keys(scene, image_strip)
            latents = np.vstack([self._keys.values, evaluation.stored_array(image_strip, LATENT)])
            frames = [*self._keys.frames.tolist(), timing.key_time(scene, scene.frame_current)]
            if settings.space == "Z":
                classes = keying.classes_at(scene, image_strip, frames)
                ask_mapping(image_strip, latents, classes, lambda w: answered(self._moved(image_strip, w)), failed)
            else:
                answered(self._moved(image_strip, latents))
        elif latent_keys.latent_key_frames(scene, image_strip):
            failed(f"There is no way back from {settings.space} to {self.space}. "
                   "Delete the latent keys first, or undo.")  # fmt: skip
        else:
            self._keys = None
            ask_latent(image_strip, settings.seed, self.space, lambda latent: answered(np.array([latent])), failed)

    def _moved(self, image_strip: ImageStrip, w: Floats) -> Floats:
        return np.tile(w, (1, settings_of(image_strip).num_ws)) if self.space == "W+" else w

    def act(self, context: Context, answer: Any) -> set[str]:
        if not len(answer):
            return {"CANCELLED"}
        scene, image_strip = working_scene(context), the_strip(context)
        settings_of(image_strip).space = self.space
        latent_keys.remove_latent_curves(scene, image_strip)
        strip.set_latent(image_strip, answer[-1].tolist())
        if self._keys is not None:
            latent_keys.write_whole_keys(scene, image_strip, self._keys, answer[:-1])
        return {"FINISHED"}


class LANTERN_OT_set_canvas(StripOperator):
    """Spread the latent over several columns and rows, so that the generator makes a larger picture. The strip
    starts from a new latent; the keys of the old latent are removed
    """

    bl_idname = "lantern.set_canvas"
    bl_label = "Set Canvas"
    bl_description = " ".join(__doc__.split())
    bl_options = {"REGISTER", "UNDO"}

    columns: IntProperty(name="Columns", description="Latents side by side", default=1, min=1, max=LARGEST_CANVAS)
    rows: IntProperty(name="Rows", description="Latents below each other", default=1, min=1, max=LARGEST_CANVAS)

    @classmethod
    def poll(cls, context: Context) -> bool:
        if not super().poll(context):
            return False
        if not settings_of(the_strip(context)).canvas_step:
            cls.poll_message_set("This generator makes pictures of one size only")
            return False
        return True

    def invoke(self, context: Context, _event: Event) -> set[str]:
        settings = settings_of(the_strip(context))
        self.columns, self.rows = settings.columns, settings.rows
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context: Context) -> set[str]:
        session.arm()
        image_strip = the_strip(context)
        settings = settings_of(image_strip)
        if (self.columns, self.rows) == (settings.columns, settings.rows):
            return {"CANCELLED"}
        latent_keys.remove_latent_curves(working_scene(context), image_strip)
        with size_kept(image_strip):
            settings.columns, settings.rows, settings.space = self.columns, self.rows, "Z"
        strip.set_latent(image_strip, sample_z(settings.seed, settings.latent_shape("Z")))
        return {"FINISHED"}


BLENDER_CLASSES = (LANTERN_OT_randomise, LANTERN_OT_fit_latent, LANTERN_OT_set_space, LANTERN_OT_set_canvas)
