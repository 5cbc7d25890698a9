"""Finds the scene and the strip that an operator or panel works on."""

from __future__ import annotations

import bpy
from bpy.types import Context, ImageStrip, Scene

from . import strip, versions


def working_scene(context: Context) -> Scene:
    """Return the scene that the user works on: in the Sequencer the scene it shows, elsewhere the window's scene."""
    area = context.area
    if area is not None and area.type == "SEQUENCE_EDITOR":
        return versions.sequencer_scene(context)
    return context.scene


def why_not_editable(scene: Scene) -> str:
    """Return why nothing of the scene can be changed, or its keys cannot; "" if all can. Blender loses such changes."""
    data = scene.animation_data
    action = data.action if data is not None else None
    for owner, named in ((scene, f"Scene '{scene.name}' is"), (action, f"The keys of scene '{scene.name}' are")):
        if owner is not None and owner.library is not None:
            return (
                f"{named} linked from {bpy.path.basename(owner.library.filepath)}. Press Make Local, or edit that file"
            )
    return ""


def current_strip(context: Context) -> ImageStrip | None:
    """Return the active latent strip of the working scene, None if there is none."""
    return strip.active_latent_strip(working_scene(context))


def the_strip(context: Context) -> ImageStrip:
    """Return the active latent strip; call this only after `poll` has found that there is one."""
    found = current_strip(context)
    assert found is not None
    return found
