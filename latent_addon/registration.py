"""One list of what Blender is given, taken back in reverse."""

import bpy

from . import handlers, panels
from .drawing import operators as drawing
from .library import library
from .library import operators as library_operators
from .library import properties as library_properties
from .preferences import LanternPreferences, LibraryFolder
from .scene import generator_properties, properties
from .setup import operators as inference_operators
from .shot import adding as strip
from .shot import classes, dropping, frames, generators, importing, keys, latents
from .training import operators as training_operators
from .training import properties as training_properties
from .training import training

CLASSES = (
    LibraryFolder,
    LanternPreferences,
    library_properties.LibraryRow,
    library_properties.LibraryRows,
    training_properties.TrainingForm,
    training_properties.TrainingRow,
    training_properties.TrainingRows,
    generator_properties.LatentSnapshot,
    properties.LatentStripSettings,
    *strip.CLASSES,
    *generators.CLASSES,
    *latents.CLASSES,
    *importing.CLASSES,
    *classes.CLASSES,
    *dropping.CLASSES,
    *library_operators.CLASSES,
    *training_operators.CLASSES,
    *inference_operators.CLASSES,
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
    training_properties.register()
    library.register()
    training.register()
    handlers.register()


def unregister() -> None:
    """Unregister it, without a trace."""
    handlers.unregister()
    training.unregister()
    library.unregister()
    training_properties.unregister()
    library_properties.unregister()
    properties.unregister()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
