"""The list of found generators for Blender's list widget: names and the chosen row. Never read from a file."""

import bpy
from bpy.props import CollectionProperty, IntProperty, PointerProperty
from bpy.types import PropertyGroup, WindowManager


# Blender reads the annotations as objects: no `from __future__ import annotations` in this file.
class LibraryRow(PropertyGroup):
    """One generator. `name` comes from PropertyGroup; its other facts are in the library's card of this index."""


class LibraryRows(PropertyGroup):
    """The rows of the list, and the chosen one."""

    rows: CollectionProperty(type=LibraryRow)
    chosen: IntProperty(name="Generator", description="The generator whose card is shown", min=0)


def library_rows() -> LibraryRows:
    """Return the list of the open window manager."""
    return bpy.context.window_manager.latent_lantern_library


def register() -> None:
    """Attach the list to the window manager."""
    rows = PointerProperty(type=LibraryRows)
    WindowManager.latent_lantern_library = rows  # pyright: ignore[reportAttributeAccessIssue]


def unregister() -> None:
    """Remove the list from the window manager."""
    del WindowManager.latent_lantern_library  # pyright: ignore[reportAttributeAccessIssue]
