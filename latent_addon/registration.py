"""One list of what Blender is given, taken back in reverse."""

import bpy

from . import handlers
from .operators import classes, drawing, frames, generators, importing, keys, latents, strip
from .preferences import LanternPreferences
from .scene import generator_properties, properties
from .ui import panels

CLASSES = (
    LanternPreferences,
    generator_properties.LatentSnapshot,
    properties.LatentStripSettings,
    *strip.CLASSES,
    *generators.CLASSES,
    *latents.CLASSES,
    *importing.CLASSES,
    *classes.CLASSES,
    *keys.CLASSES,
    *frames.CLASSES,
    *drawing.CLASSES,
    *panels.CLASSES,
)


def register() -> None:
    """Register the extension."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    properties.register()
    handlers.register()


def unregister() -> None:
    """Unregister it, without a trace."""
    handlers.unregister()
    properties.unregister()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
