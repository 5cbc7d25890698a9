"""Which scene and strip an operator or panel is about."""

from __future__ import annotations

from bpy.types import Context, ImageStrip, Scene

from . import strip, versions


def working_scene(context: Context) -> Scene:
    """The scene whose strips are meant: in the Sequencer the one it shows, elsewhere the window's."""
    area = context.area
    if area is not None and area.type == "SEQUENCE_EDITOR":
        return versions.sequencer_scene(context)
    return context.scene


def current_strip(context: Context) -> ImageStrip | None:
    """The latent strip that is meant, None if there is none."""
    return strip.active_latent_strip(working_scene(context))


def the_strip(context: Context) -> ImageStrip:
    """The latent strip that is meant, where `poll` has seen that there is one."""
    found = current_strip(context)
    assert found is not None
    return found
