"""The pictures that a strip of the Sequencer shows, as files: what a data set can be made of."""

from __future__ import annotations

import os

import bpy
from bpy.types import ImageStrip, MovieStrip, Strip

from . import versions
from .properties import is_latent

_PLACEHOLDER = "placeholder_"


def has_pictures(strip: Strip | None) -> bool:
    """Whether a strip is made of pictures in files: an image strip or a movie strip."""
    return strip is not None and strip.type in {"IMAGE", "MOVIE"}


def film_of(strip: Strip) -> str:
    """The film of a movie strip, as an absolute path; "" for an image strip."""
    film = strip.filepath if isinstance(strip, MovieStrip) else ""
    return bpy.path.abspath(film, library=strip.id_data.library) if film else ""


def pictures_of(strip: ImageStrip) -> list[str]:
    """The files that an image strip shows between its handles, absolute, in order; frames not made yet are left out."""
    folder = bpy.path.abspath(strip.directory, library=strip.id_data.library)
    first = max(0, versions.strip_start(strip) - versions.content_start(strip))
    end = max(first + 1, versions.strip_end(strip) - versions.content_start(strip))
    names = [element.filename for element in strip.elements][first:end]
    if is_latent(strip):
        names = [name for name in names if not name.startswith(_PLACEHOLDER)]
    return [os.path.abspath(os.path.join(folder, name)) for name in names]
