"""One list of what Blender is given, taken back in reverse."""

import bpy

from . import handlers, library
from .operators import classes, drawing, dropping, frames, generators, importing, keys, latents, strip
from .operators import library as library_operators
from .preferences import LanternPreferences, LibraryFolder
from .scene import generator_properties, library_properties, properties
from .ui import panels

CLASSES = (
    LibraryFolder,
    LanternPreferences,
    library_properties.LibraryRow,
    library_properties.LibraryRows,
    generator_properties.LatentSnapshot,
    properties.LatentStripSettings,
    *strip.CLASSES,
    *generators.CLASSES,
    *latents.CLASSES,
    *importing.CLASSES,
    *classes.CLASSES,
    *dropping.CLASSES,
    *library_operators.CLASSES,
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
    library_properties.register()
    library.register()
    handlers.register()


def unregister() -> None:
    """Unregister it, without a trace."""
    handlers.unregister()
    library.unregister()
    library_properties.unregister()
    properties.unregister()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
