"""Features to compare pictures by: a network of fixed random filters, because no trained network may be downloaded.

The network has layers of 3 x 3 convolutions with a ReLU; the size is halved after each. The weights are drawn from
numpy's ``RandomState``: its stream is frozen, so they are the same on every machine and in every version. Random
filters see a good part of what trained filters see; this was found for textures (1606.00021) and as a prior for
pictures (1711.10925). They know nothing about people or chairs: they see how much of which colour, edge and texture
there is, and where.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

LARGEST = 128
"""Larger pictures are averaged to at most this many pixels per side; the distance of patches measures finer detail."""
WIDTHS = (16, 32, 64, 64, 64)
GRID = 4
"""The mean of each layer is taken in GRID x GRID fields, so that the place of something in the picture counts."""


class RandomFeatures:
    """The network for pictures with this number of channels."""

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
        """Return the features of pictures.

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
