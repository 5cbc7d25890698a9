"""Improved precision and recall of two sets of points; each set is described by balls around its points.

1904.06991, section 2.
"""

from __future__ import annotations

import numpy as np

NEAREST = 3
CHUNK = 1024
"""How many rows of distances are in memory at once."""


def radii(points: np.ndarray) -> np.ndarray:
    """Return the squared distance of each point to the third nearest of the other points.

    Args:
        points: float64 (n, d), n greater than 3.

    Returns:
        float64 (n,).
    """
    found = np.empty(len(points))
    for start in range(0, len(points), CHUNK):
        distances = _squared(points[start : start + CHUNK], points)
        rows = np.arange(len(distances))
        distances[rows, start + rows] = np.inf  # the point itself
        found[start : start + CHUNK] = np.partition(distances, NEAREST - 1, axis=1)[:, NEAREST - 1]
    return found


def share_inside(points: np.ndarray, centres: np.ndarray, squared_radii: np.ndarray) -> float:
    """Return the share of the points that lie in at least one of the balls, 0 to 1.

    Args:
        points: float64 (m, d).
        centres: float64 (n, d).
        squared_radii: float64 (n,), from ``radii``.
    """
    inside = 0
    for start in range(0, len(points), CHUNK):
        distances = _squared(points[start : start + CHUNK], centres)
        inside += int((distances <= squared_radii).any(axis=1).sum())
    return inside / len(points)


def _squared(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the squared distances (n, m) between the rows of float64 (n, d) and (m, d)."""
    products = first @ second.T
    products *= -2
    products += np.square(first).sum(axis=1)[:, None]
    products += np.square(second).sum(axis=1)
    return np.maximum(products, 0, out=products)
