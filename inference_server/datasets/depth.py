"""Grey pictures of more than 8 bits: one rule for all pictures of a source, so that none is brighter than it was."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

WHITES = (255, 1023, 4095, 16383, 65535)
"""The largest numbers of 8, 10, 12, 14 and 16 bits."""
BULK = 99.5
"""Percent of a picture's values that decide what white is in pictures of floats: a highlight may be brighter."""


def is_deep(mode: str) -> bool:
    """Return whether Pillow's mode is one of grey pictures of more than 8 bits: I, I;16, I;16B, F."""
    return mode.startswith("I") or mode == "F"


@dataclass(frozen=True)
class Depth:
    """What is black and white in a source's deep pictures. None: it has no such pictures of that kind.

    whole: white of pictures of whole numbers; black is 0. black, white: of pictures of floats.
    """

    whole: float | None = None
    black: float | None = None
    white: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, which ``Depth(**values)`` takes."""
        return asdict(self)

    def eight_bits(self, levels: np.ndarray) -> np.ndarray:
        """Return uint8 of the same shape. What is brighter than white becomes white."""
        values = _finite(levels)
        if np.issubdtype(levels.dtype, np.floating):
            black, white = self.black or 0.0, 1.0 if self.white is None else self.white
        else:
            black, white = 0.0, self.whole or float(WHITES[-1])
        return np.rint(np.clip((values - black) / (white - black), 0, 1) * 255).astype(np.uint8)


def depth_of(pictures: Iterable[np.ndarray]) -> Depth:
    """Return the rule for pictures: (h, w) of any whole numbers or floats.

    Whole numbers: white is the largest number of 8, 10, 12, 14 or 16 bits, whichever holds all pictures, or else the
    largest value. Floats: 1 is white if nearly all values are at most 1, else nearly the largest value. Black is 0; if
    there are values below 0, as in maps of directions, black is as far below 0 as white is above.
    """
    top, bulk, low = -1.0, -1.0, 0.0
    for levels in pictures:
        values = _finite(levels)
        if np.issubdtype(levels.dtype, np.floating):
            bulk = max(bulk, float(np.percentile(values, BULK)))
            low = min(low, float(np.percentile(values, 100 - BULK)))
        else:
            top = max(top, float(values.max(initial=0)))
    whole = None if top < 0 else float(next((white for white in WHITES if top <= white), top))
    if bulk < 0 and low == 0:
        return Depth(whole)
    far = max(bulk, -low, 1e-12)
    white = 1.0 if far <= 1.0 + 1e-6 else 255.0 if 200 < far <= 255 else far
    return Depth(whole, -white if low < -0.01 * white else 0.0, white)


def _finite(levels: np.ndarray) -> np.ndarray:
    return np.nan_to_num(levels.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
