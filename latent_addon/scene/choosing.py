"""Chooses the generator that makes a strip's pictures."""

import math

from bpy.types import ImageStrip, Scene

from ..core.animatable import LATENT
from ..core.frame_request import GeneratorFacts
from ..core.latents import sample_z
from . import evaluation, latent_keys, strip
from .fitting import size_kept
from .properties import settings_of


def choose_generator(scene: Scene, image_strip: ImageStrip, path: str, facts: GeneratorFacts) -> None:
    """Let the file or run at `path` make the strip's pictures. facts: how the server has described it.

    A latent without keys that does not fit is drawn again from the strip's seed. A latent with keys stays, even if its
    length is wrong: the panel says what can be done. Pictures of another size take the place of the old ones.
    """
    settings = settings_of(image_strip)
    with size_kept(image_strip):
        settings.choose(path, facts)
    strip.fit_classes(image_strip)
    fits = (settings.space == "Z" or facts.has_w) and (
        len(evaluation.stored_array(image_strip, LATENT)) == math.prod(settings.latent_shape(settings.space))
    )
    if not fits and not latent_keys.latent_key_frames(scene, image_strip):
        settings.space = "Z"
        strip.set_latent(image_strip, sample_z(settings.seed, settings.latent_shape("Z")))
