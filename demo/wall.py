"""The wall that the lantern shines on, painted once: a pool of warm light, darker corners, a little plaster texture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LIT, DIM = (196, 172, 134), (92, 84, 80)
LIGHT = (0.5, 0.40)
"""Where the light is brightest, as fractions of the width and height."""


def painted(size: int) -> NDArray[np.uint8]:
    """Return the picture, uint8 (size, size, 3)."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    away = np.hypot((x - LIGHT[0]) / 0.80, (y - LIGHT[1]) / 0.74)
    light = 1 / (1 + np.exp(5.2 * (away - 0.56)))
    rng = np.random.default_rng(3)
    plaster = sum(weight * _clouds(rng, size, cells) for cells, weight in ((5, 0.05), (23, 0.02), (181, 0.016)))
    light = np.clip(light + plaster, 0, 1)[..., None]
    pixels = np.array(DIM) + light * (np.array(LIT, float) - DIM)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _clouds(rng: np.random.Generator, size: int, cells: int) -> NDArray[np.float64]:
    lattice = rng.uniform(-1, 1, (cells + 1, cells + 1))
    at = np.linspace(0, cells, size, endpoint=False)
    low = at.astype(int)
    part = (at - low) ** 2 * (3 - 2 * (at - low))
    rows = lattice[low] * (1 - part)[:, None] + lattice[low + 1] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, low + 1] * part
