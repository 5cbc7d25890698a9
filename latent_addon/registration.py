"""One list of what Blender is given, taken back in reverse."""

import bpy

from . import handlers, library, training
from .operators import classes, drawing, dropping, frames, generators, importing, keys, latents, strip
from .operators import library as library_operators
from .operators import training as training_operators
from .preferences import LanternPreferences, LibraryFolder
from .scene import generator_properties, library_properties, properties, training_properties
from .setup import operators as inference_operators
from .ui import panels

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
