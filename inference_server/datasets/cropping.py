"""Choose which part of a picture is used."""

from __future__ import annotations

import numpy as np
from PIL import Image

LOOK_SIDE = 64
"""Detail is measured in a small copy; its shorter side has this many pixels."""
PULL = 0.15
"""How much less the detail counts in a window at the edge of the picture than in one in the middle, 0 to 1."""


def window(size: tuple[int, int], wanted: tuple[int, int], position: float = 0.5) -> tuple[float, float, float, float]:
    """Return the largest box of the wanted shape in a picture: left, top, right, bottom in pixels.

    Args:
        size: width and height of the picture.
        wanted: width and height of the box; only their ratio counts.
        position: 0 is leftmost or topmost, 1 is rightmost or lowest.
    """
    width, height = size
    ratio = wanted[0] / wanted[1]
    inner_width, inner_height = min(width, height * ratio), min(height, width / ratio)
    left, top = (width - inner_width) * position, (height - inner_height) * position
    return left, top, left + inner_width, top + inner_height


def detail(grey: np.ndarray) -> np.ndarray:
    """Return the gradient energy of pictures (..., h, w): the mean of all pictures, float32 (h, w)."""
    levels = grey.astype(np.float32)
    energy = np.zeros_like(levels)
    energy[..., :, 1:] += np.abs(np.diff(levels, axis=-1))
    energy[..., 1:, :] += np.abs(np.diff(levels, axis=-2))
    return energy.reshape(-1, *energy.shape[-2:]).mean(axis=0)


def best_position(energy: np.ndarray, size: tuple[int, int], wanted: tuple[int, int]) -> float:
    """Return the best position of the window, 0 to 1, as `window` takes it.

    The window only moves along one side, so the sums for all its places come from one running sum (the one-dimensional
    integral image). Detail in the middle of the window counts more, with a second running sum. Windows near the middle
    of the picture count more, by up to `PULL`.

    Args:
        energy: float (h, w) of any size, from `detail`.
        size: width and height of the picture.
        wanted: width and height of the window; only their ratio counts.
    """
    left, top, right, bottom = window(size, wanted)
    across = right - left < size[0] - 0.5
    if not across and bottom - top >= size[1] - 0.5:
        return 0.5
    profile = energy.sum(axis=0 if across else 1)
    share = (right - left) / size[0] if across else (bottom - top) / size[1]
    length = max(1, round(share * len(profile)))
    if length >= len(profile):
        return 0.5
    half = max(1, length // 2)
    box = _sums(profile, length) / max(float(profile.sum()), 1e-9)
    inner = _sums(profile, half)[(length - half) // 2 :][: len(box)] / max(float(profile.sum()), 1e-9)
    places = np.linspace(0, 1, len(box))
    score = (box + 0.5 * inner) * (1 - PULL * np.abs(2 * places - 1)) - 1e-6 * np.abs(places - 0.5)
    return float(places[int(np.argmax(score))])


def smart_position(image: Image.Image, wanted: tuple[int, int]) -> float:
    """Return `best_position` for one picture."""
    scale = LOOK_SIDE / min(image.size)
    shape = (min(4096, max(1, round(image.width * scale))), min(4096, max(1, round(image.height * scale))))
    small = image.convert("L").resize(shape, Image.Resampling.BOX)
    return best_position(detail(np.asarray(small)), image.size, wanted)


def _sums(profile: np.ndarray, length: int) -> np.ndarray:
    """Return the sum of every `length` neighbours."""
    running = np.concatenate([[0.0], np.cumsum(profile, dtype=np.float64)])
    return running[length:] - running[:-length]
