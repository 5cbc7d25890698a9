"""How much a set of pictures varies: the mean difference between two of them, seen small.

A generator that has collapsed makes good pictures that are all alike. Precision does not see that, and recall is near 0
for everything that a short training makes. This number falls long before the pictures look the same.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

SIDE = 16
"""Pictures are reduced to this shorter side, so that grain counts for little."""


def reduced(images: torch.Tensor) -> np.ndarray:
    """Average pictures float32 (n, c, h, w) down to a shorter side of 16 pixels: float32 (n, c * h' * w')."""
    height, width = images.shape[2:]
    scale = min(1.0, SIDE / min(height, width))
    small = F.adaptive_avg_pool2d(images, (max(1, round(height * scale)), max(1, round(width * scale))))
    return small.flatten(1).numpy()


def mean_difference(rows: np.ndarray) -> float:
    """Return the mean absolute difference between the numbers of two rows, over all pairs of rows.

    Args:
        rows: float32 (n, d), n at least 2.
    """
    n = len(rows)
    # In sorted order, number i is larger than i others and smaller than the rest, so no pair needs to be visited.
    weights = 2 * np.arange(n, dtype=np.float64) - (n - 1)
    return float((weights @ np.sort(rows, axis=0)).mean() * 2 / (n * (n - 1)))
