"""Finds the scene and the strip that an operator or panel works on."""

from __future__ import annotations

from bpy.types import Context, ImageStrip, Scene

from . import strip, versions


def working_scene(context: Context) -> Scene:
    """Return the scene that the user works on: in the Sequencer the scene it shows, elsewhere the window's scene."""
    area = context.area
    if area is not None and area.type == "SEQUENCE_EDITOR":
        return versions.sequencer_scene(context)
    return context.scene


def current_strip(context: Context) -> ImageStrip | None:
    """Return the active latent strip of the working scene, None if there is none."""
    return strip.active_latent_strip(working_scene(context))


def the_strip(context: Context) -> ImageStrip:
    """Return the active latent strip; call this only after `poll` has found that there is one."""
    found = current_strip(context)
    assert found is not None
    return found
