"""What pictures are compared by, where no trained network may be downloaded: a network of fixed random filters.

Layers of 3 x 3 convolutions, rectified, each followed by halving, whose weights are drawn from numpy's ``RandomState``:
its stream is frozen, so they are the same on every machine and in every version. That random filters see a good part of
what trained ones see was found for textures (1606.00021) and as a prior for pictures (1711.10925). They know nothing of
people or chairs: they see where there is how much of which colour, edge and texture.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

LARGEST = 128
"""Larger pictures are averaged to at most this many pixels a side; finer detail is for the patches' distance."""
WIDTHS = (16, 32, 64, 64, 64)
GRID = 4
"""Of each layer the mean is taken in so many fields a side, so that it counts where something is."""


class RandomFeatures:
    """The network for pictures of so many channels."""

    def __init__(self, channels: int) -> None:
        random = np.random.RandomState(1)
        self._weights = []
        before = channels
        for width in WIDTHS:
            weight = random.standard_normal((width, before, 3, 3)) * np.sqrt(2 / (9 * before))
            self._weights.append(torch.from_numpy(weight.astype(np.float32)))
            before = width

    @torch.no_grad()
    def __call__(self, images: torch.Tensor) -> np.ndarray:
        """Features of pictures.

        Args:
            images: float32 (n, c, h, w) in -1..1.

        Returns:
            float32 (n, features).
        """
        shrink = -(-max(images.shape[2:]) // LARGEST)
        x = F.avg_pool2d(images, shrink, ceil_mode=True) if shrink > 1 else images
        found = []
        for weight in self._weights:
            x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), weight).relu_()
            grid = (min(GRID, x.shape[2]), min(GRID, x.shape[3]))
            found.append(F.adaptive_avg_pool2d(x, grid).flatten(1))
            if min(x.shape[2:]) < 4:
                break
            x = F.avg_pool2d(x, 2)
        return torch.cat(found, dim=1).numpy()
