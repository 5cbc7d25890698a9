"""List the picture files that a strip of the Sequencer shows. A data set can be made from them."""

from __future__ import annotations

import os

import bpy
from bpy.types import ImageStrip, MovieStrip, Strip

from . import versions
from .properties import is_latent

_PLACEHOLDER = "placeholder_"


def is_placeholder(name: str) -> bool:
    """Return whether the file of this name stands for a frame that is not made yet."""
    return name.startswith(_PLACEHOLDER)


def has_pictures(strip: Strip | None) -> bool:
    """Return whether a strip shows pictures from files: an image strip or a movie strip."""
    return strip is not None and strip.type in {"IMAGE", "MOVIE"}


def film_of(strip: Strip) -> str:
    """Return the absolute path of a movie strip's film; "" for an image strip."""
    film = strip.filepath if isinstance(strip, MovieStrip) else ""
    return bpy.path.abspath(film, library=strip.id_data.library) if film else ""


def pictures_of(strip: ImageStrip) -> list[str]:
    """Return the files that an image strip shows between its handles, in order, as absolute paths.

    Frames that are not made yet are left out.
    """
    folder = bpy.path.abspath(strip.directory, library=strip.id_data.library)
    first = max(0, versions.strip_start(strip) - versions.content_start(strip))
    end = max(first + 1, versions.strip_end(strip) - versions.content_start(strip))
    names = [element.filename for element in strip.elements][first:end]
    if is_latent(strip):
        names = [name for name in names if not is_placeholder(name)]
    return [os.path.abspath(os.path.join(folder, name)) for name in names]
