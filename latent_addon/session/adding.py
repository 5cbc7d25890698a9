"""Adds a new latent strip, with its first latent and a folder for its frames."""

from bpy.types import Context, ImageStrip

from ..core.frame_request import GeneratorFacts
from ..core.latents import sample_z
from ..scene import strip, versions
from ..scene.context import working_scene
from ..scene.properties import settings_of
from .session import session

LENGTH = 96
"""Frames of a new strip."""


def add_strip(context: Context, path: str, facts: GeneratorFacts, length: int = LENGTH, seed: int = 0) -> ImageStrip:
    """Add a strip of `length` frames at the playhead. facts: how the server described the generator at `path`."""
    scene = working_scene(context)
    session.find_folder()  # the file may have been saved since
    added = strip.add_latent_strip(
        scene,
        facts,
        path,
        sample_z(seed, facts.latent_shape("Z")),
        session.plans.folder.directory,
        session.plans.store.placeholder(facts.width, facts.height),
        start=scene.frame_current,
        length=length,
    )
    settings_of(added).seed = seed
    versions.show_in_sequencer(context, scene)
    return added
