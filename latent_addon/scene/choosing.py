"""Which generator makes a strip's pictures."""

import math

from bpy.types import ImageStrip, Scene

from ..core.animatable import LATENT
from ..core.frame_request import GeneratorFacts
from ..core.latents import sample_z
from . import evaluation, latent_keys, strip
from .properties import settings_of


def choose_generator(scene: Scene, image_strip: ImageStrip, path: str, facts: GeneratorFacts) -> None:
    """Let the file or run at `path`, as the server has described it, make the strip's pictures.

    A latent without keys that does not fit is drawn anew from the strip's seed. One with keys stays, whatever its
    length: the panel says what can be done.
    """
    settings = settings_of(image_strip)
    settings.choose(path, facts)
    strip.fit_classes(image_strip)
    fits = (settings.space == "Z" or facts.has_w) and (
        len(evaluation.stored_array(image_strip, LATENT)) == math.prod(settings.latent_shape(settings.space))
    )
    if not fits and not latent_keys.latent_key_frames(scene, image_strip):
        settings.space = "Z"
        strip.set_latent(image_strip, sample_z(settings.seed, settings.latent_shape("Z")))
