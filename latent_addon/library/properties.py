"""The list of found generators as Blender's lists show it: names and a place in the list. Never read from a file."""

import bpy
from bpy.props import CollectionProperty, IntProperty, PointerProperty
from bpy.types import PropertyGroup, WindowManager


# Blender reads the annotations themselves: no postponed ones in this file.
class LibraryRow(PropertyGroup):
    """One generator; `name` is a PropertyGroup's own. What is known of it is in the library's card of this place."""


class LibraryRows(PropertyGroup):
    """The rows of the list, and the chosen one."""

    rows: CollectionProperty(type=LibraryRow)
    chosen: IntProperty(name="Generator", description="The generator whose card is shown", min=0)


def library_rows() -> LibraryRows:
    """The list of the open window manager."""
    return bpy.context.window_manager.latent_lantern_library


def register() -> None:
    """Attach the list to the window manager."""
    rows = PointerProperty(type=LibraryRows)
    WindowManager.latent_lantern_library = rows  # pyright: ignore[reportAttributeAccessIssue]


def unregister() -> None:
    """Take it off again."""
    del WindowManager.latent_lantern_library  # pyright: ignore[reportAttributeAccessIssue]
