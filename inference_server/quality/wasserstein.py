"""Sliced Wasserstein distance between the patches of two sets of pictures, size by size (1710.10196, section 5).

Each picture is split into the levels of a Laplacian pyramid: the detail that only the full size shows, the detail that
half the size still shows, and so on down to 16 pixels. On every level, patches of 7 x 7 pixels of the two sets are
compared as two clouds of points.

Two things differ from the paper. Fewer patches and directions are drawn: ``PATCHES`` on each level for any number of
pictures, and half as many directions. And the patches of both sets are normalised by the channels' mean and deviation
in the real pictures. If each set were normalised by its own, a set with wrong colours or contrast would look right.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

PATCH = 7
PATCHES = 1 << 14
"""How many patches are drawn on each level, from all pictures together."""
PROJECTIONS = 256
SMALLEST = 16
SCALE = 1000.0
"""The paper's tables show the distance times 1000."""
TINY = 1e-6

_BINOMIAL = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16


def level_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Return the heights and widths of the pyramid's levels, the finest first. A level is halved as long as both sides
    are even and at least 32 pixels."""
    sizes = [(height, width)]
    while height % 2 == 0 and width % 2 == 0 and min(height, width) >= 2 * SMALLEST:
        height, width = height // 2, width // 2
        sizes.append((height, width))
    return sizes


def laplacian_pyramid(images: torch.Tensor) -> list[torch.Tensor]:
    """Split pictures into levels by the size of their detail.

    Args:
        images: float32 (n, c, h, w).

    Returns:
        float32 (n, c, h, w) for each of ``level_sizes``; the last level is the picture itself, made small.
    """
    levels = []
    for _ in level_sizes(images.shape[2], images.shape[3])[1:]:
        smaller = _halve(images)
        levels.append(images - _double(smaller))
        images = smaller
    return [*levels, images]


def _filtered(images: torch.Tensor, gain: float) -> torch.Tensor:
    """Blur each channel with the five binomial weights in both directions, and multiply by ``gain``."""
    channels = images.shape[1]
    weights = (_BINOMIAL[:, None] * _BINOMIAL[None, :] * gain).expand(channels, 1, 5, 5)
    return F.conv2d(F.pad(images, (2, 2, 2, 2), mode="reflect"), weights, groups=channels)


def _halve(images: torch.Tensor) -> torch.Tensor:
    return _filtered(images, 1.0)[:, :, ::2, ::2]


def _double(images: torch.Tensor) -> torch.Tensor:
    n, channels, height, width = images.shape
    spread = images.new_zeros(n, channels, 2 * height, 2 * width)
    spread[:, :, ::2, ::2] = images
    return _filtered(spread, 4.0)


class PatchSampler:
    """Draws patches from pictures that come in batches.

    For pictures of one size, the places depend only on the number of pictures.

    Args:
        size: height and width of the pictures.
        channels: how many channels the pictures have.
        count: how many pictures will be added in all.
    """

    def __init__(self, size: tuple[int, int], channels: int, count: int) -> None:
        self._count, self._added = count, 0
        self._sizes = level_sizes(*size)
        self._places = np.random.RandomState(0).random_sample((len(self._sizes), 2, PATCHES))
        self._patches = [np.empty((PATCHES, channels, PATCH, PATCH), np.float32) for _ in self._sizes]

    @torch.no_grad()
    def add(self, images: torch.Tensor) -> None:
        """Draw patches from the next pictures, float32 (n, c, h, w)."""
        ends = (np.arange(self._added, self._added + len(images) + 1) * PATCHES) // self._count
        self._added += len(images)
        pictures = np.repeat(np.arange(len(images)), np.diff(ends))
        if not len(pictures):
            return
        for index, level in enumerate(laplacian_pyramid(images)):
            room = np.array(self._sizes[index])[:, None] - PATCH + 1
            top, left = (self._places[index, :, ends[0] : ends[-1]] * room).astype(int)
            windows = np.lib.stride_tricks.sliding_window_view(level.numpy(), (PATCH, PATCH), axis=(2, 3))
            self._patches[index][ends[0] : ends[-1]] = windows[pictures, :, top, left]

    def patches(self) -> list[np.ndarray]:
        """Return the patches that were drawn: float32 (PATCHES, c, 7, 7) for each level."""
        return self._patches


def sliced_distance(reals: np.ndarray, fakes: np.ndarray, seed: int) -> float:
    """Return the mean distance between the sorted projections of two sets of patches onto random directions, times
    1000.

    Args:
        reals: float32 (n, c, 7, 7); the mean and deviation of its channels normalise both sets.
        fakes: the same shape.
        seed: the seed of the directions.
    """
    mean = reals.mean(axis=(0, 2, 3), keepdims=True, dtype=np.float64).astype(np.float32)
    deviation = reals.std(axis=(0, 2, 3), keepdims=True, dtype=np.float64).astype(np.float32)
    clouds = [((one - mean) / np.maximum(deviation, TINY)).reshape(len(one), -1) for one in (reals, fakes)]
    directions = np.random.RandomState(seed).standard_normal((PROJECTIONS, clouds[0].shape[1])).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    total = 0.0
    for some in np.split(directions, PROJECTIONS // 64):
        # Summed in float64 and rounded: in float32 a patch's last digits depend on its place among the others, because
        # of how the processor's kernels cut the product.
        products = (some.astype(np.float64) @ cloud.T.astype(np.float64) for cloud in clouds)
        first, second = (np.sort(product.astype(np.float32), axis=1) for product in products)
        total += float(np.abs(first - second).sum(dtype=np.float64))
    return SCALE * total / (PROJECTIONS * len(reals))
