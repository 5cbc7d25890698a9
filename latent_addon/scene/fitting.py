"""Fit a strip's pictures into the frame, and fit them again when they get another size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from bpy.types import ImageStrip, Scene

from .properties import settings_of


def fit_strip(strip: ImageStrip, width: int, height: int) -> None:
    """Scale a strip of width x height pictures to fill its scene's frame, keeping the pictures' proportions."""
    scale = _filling(strip, width, height)
    strip.transform.scale_x = strip.transform.scale_y = scale
    _choose_filter(strip)


@contextmanager
def size_kept(strip: ImageStrip) -> Iterator[None]:
    """Keep a strip's size in the frame if its pictures get another size inside the block.

    A strip that fills the frame is fitted again. Any other keeps the scale that a person gave it, in pixels of the
    frame: its pictures are as high or as wide as before, whichever is less.
    """
    settings, transform = settings_of(strip), strip.transform
    before = settings.picture_size()
    yield
    after = settings.picture_size()
    if after == before or not all((*before, *after)):
        return
    filling = _filling(strip, *before)
    if all(math.isclose(scale, filling, rel_tol=1e-4) for scale in (transform.scale_x, transform.scale_y)):
        transform.scale_x = transform.scale_y = _filling(strip, *after)
    else:
        factor = min(old / new for old, new in zip(before, after, strict=True))
        transform.scale_x *= factor
        transform.scale_y *= factor
    if transform.filter in ("NEAREST", "CUBIC_BSPLINE"):
        _choose_filter(strip)


def _choose_filter(strip: ImageStrip) -> None:
    # A spline through the pixels makes neither steps nor the dark rims that sharper filters draw along a shadow.
    strip.transform.filter = "NEAREST" if strip.transform.scale_x == 1 else "CUBIC_BSPLINE"


def _filling(strip: ImageStrip, width: int, height: int) -> float:
    render = cast(Scene, strip.id_data).render
    return min(render.resolution_x / width, render.resolution_y / height)
