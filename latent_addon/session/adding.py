"""Adds a new latent strip, with its first latent and a folder for its frames."""

import bpy
from bpy.types import Context, ImageStrip, SpaceSequenceEditor

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
    if len(strip.latent_strips(scene)) == 1:
        _hide_texts()
    versions.show_in_sequencer(context, scene)
    return added


def _hide_texts() -> None:
    """Let previews show pictures without the texts of their files, which Blender writes over them in small print."""
    for screen in bpy.data.screens:
        for space in (space for area in screen.areas for space in area.spaces):
            if isinstance(space, SpaceSequenceEditor):
                space.preview_overlay.show_metadata = False
