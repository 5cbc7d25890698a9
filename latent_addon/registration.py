"""Registers the extension with Blender from one list, and unregisters it in reverse order."""

import bpy

from . import handlers, panels
from .drawing import operators as drawing_operators
from .library import operators as library_operators
from .library import properties as library_properties
from .library.library import library
from .preferences import LibraryFolder
from .scene import generator_properties, properties
from .server.log import LogHandler
from .session.session import session
from .setup import operators as setup_operators
from .setup import server_operators
from .setup.preferences_panel import LanternPreferences
from .shot import adding, classes, dropping, frames, generators, importing, keys, latents, scenes
from .training import operators as training_operators
from .training import properties as training_properties
from .training import training
from .ui import pictures, status

BLENDER_CLASSES = (
    LibraryFolder,
    LanternPreferences,
    library_properties.LibraryRow,
    library_properties.LibraryRows,
    training_properties.TrainingForm,
    training_properties.TrainingRow,
    training_properties.TrainingRows,
    generator_properties.LatentSnapshot,
    properties.LatentStripSettings,
    *adding.BLENDER_CLASSES,
    *generators.BLENDER_CLASSES,
    *latents.BLENDER_CLASSES,
    *scenes.BLENDER_CLASSES,
    *importing.BLENDER_CLASSES,
    *classes.BLENDER_CLASSES,
    *dropping.BLENDER_CLASSES,
    *library_operators.BLENDER_CLASSES,
    *training_operators.BLENDER_CLASSES,
    *setup_operators.BLENDER_CLASSES,
    *server_operators.BLENDER_CLASSES,
    *keys.BLENDER_CLASSES,
    *frames.BLENDER_CLASSES,
    *drawing_operators.BLENDER_CLASSES,
    *status.BLENDER_CLASSES,
    *panels.BLENDER_CLASSES,
)

_LOG = LogHandler(session.client.log)


def register() -> None:
    """Register the extension."""
    _LOG.attach()
    for cls in BLENDER_CLASSES:
        bpy.utils.register_class(cls)
    properties.register()
    library_properties.register()
    training_properties.register()
    pictures.register()
    training.register()
    handlers.register()


def unregister() -> None:
    """Unregister the extension, and leave nothing behind."""
    handlers.unregister()
    training.unregister()
    library.forget()
    pictures.unregister()
    training_properties.unregister()
    library_properties.unregister()
    properties.unregister()
    for cls in reversed(BLENDER_CLASSES):
        bpy.utils.unregister_class(cls)
    _LOG.detach()
