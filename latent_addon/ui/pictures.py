"""The icons of pictures on disk, which panels show: one collection for all rooms of the add-on."""

from __future__ import annotations

import time
from collections.abc import Collection

import bpy.utils.previews
from bpy.utils.previews import ImagePreviewCollection

SHOWN = 4.0
"""Seconds for which a picture is shown at least. Blender reads it in a thread, and shows nothing meanwhile."""


class Pictures:
    """The icons, each by the room that shows it ("library", "training") and a key that the room chooses.

    Blender reads a picture when it is drawn for the first time. Nothing is loaded while the add-on is not registered.
    """

    def __init__(self) -> None:
        self._icons: ImagePreviewCollection | None = None
        self._loaded: dict[str, tuple[int, float]] = {}
        """The stamp of each icon's picture, and when it was loaded."""

    def load(self, room: str, key: str, path: str, stamp: int) -> bool:
        """Load the picture at `path`, unless it is loaded; return whether it was loaded, so that areas must be redrawn.

        stamp: a number that changes when the picture changes. A changed picture is loaded once the previous one has
        been shown for `SHOWN` seconds, so call this again until then.
        """
        name = _name(room, key)
        loaded, when = self._loaded.get(name, (None, float("-inf")))
        now = time.monotonic()
        if self._icons is None or loaded == stamp or now - when < SHOWN:
            return False
        if name in self._icons:
            del self._icons[name]
        self._icons.load(name, path, "IMAGE", True)
        self._loaded[name] = (stamp, now)
        return True

    def icon(self, room: str, key: str) -> int:
        """Return the number of the icon, 0 if there is none."""
        name = _name(room, key)
        return self._icons[name].icon_id if self._icons is not None and name in self._icons else 0

    def keep(self, room: str, keys: Collection[str]) -> None:
        """Drop all icons of the room except these. Call it when the others are no longer drawn."""
        kept = {_name(room, key) for key in keys}
        for name in [name for name in self._loaded if name.startswith(_name(room, "")) and name not in kept]:
            del self._loaded[name]
            if self._icons is not None:
                del self._icons[name]

    def open(self) -> None:
        """Make the collection."""
        self._icons = bpy.utils.previews.new()

    def close(self) -> None:
        """Drop all icons and the collection."""
        if self._icons is not None:
            bpy.utils.previews.remove(self._icons)
        self._icons = None
        self._loaded.clear()


def _name(room: str, key: str) -> str:
    return f"{room}:{key}"


pictures = Pictures()
"""The pictures of this Blender."""


def register() -> None:
    """Make room for the pictures."""
    pictures.open()


def unregister() -> None:
    """Drop the pictures of all rooms."""
    pictures.close()
