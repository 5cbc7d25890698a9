"""Measure how close a generator's pictures are to those of a data set. docs/quality.md explains the numbers.

The same pictures give the same numbers; nothing here depends on a random state from outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from ..terminal.jobs import JobError
from .features import RandomFeatures
from .neighbours import NEAREST, radii, share_inside
from .variety import mean_difference, reduced
from .wasserstein import PATCH, PatchSampler, level_sizes, sliced_distance

BATCH = 32
FEWEST = 2 * NEAREST + 2
"""The fewest pictures of each set; with fewer, the numbers mean nothing."""
TINY = 1e-6
LEAST_DEVIATION = 0.1
"""The smallest deviation that a feature is divided by, as a share of the mean deviation of all features."""


@dataclass(frozen=True)
class Quality:
    """How close some pictures are to those of a data set."""

    pictures: int
    """How many pictures were compared."""
    swd: float
    """Mean of the sliced Wasserstein distances of all levels, times 1000; 0 is best."""
    swd_levels: dict[int, float]
    """The distance of each level, finest first; the keys are the levels' shorter sides in pixels."""
    precision: float
    """0 to 1: the share of the generator's pictures that lie among those of the data set."""
    recall: float
    """0 to 1: the share of the data set's pictures that lie among those of the generator."""
    variety: float
    """The mean difference between two pictures of the generator, as a share of that between two of the data set."""

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain JSON values."""
        return asdict(self) | {"swd_levels": {str(side): value for side, value in self.swd_levels.items()}}


@dataclass(frozen=True)
class Description:
    """What is kept about n pictures.

    That is patches float32 (PATCHES, c, 7, 7) of each level, features float32 (n, d), small pictures float32 (n, e).
    """

    size: tuple[int, int]
    channels: int
    patches: list[np.ndarray]
    features: np.ndarray
    small: np.ndarray


def batches_of(pictures: np.ndarray) -> Iterator[np.ndarray]:
    """Yield pictures (n, h, w, c) in batches."""
    for start in range(0, len(pictures), BATCH):
        yield pictures[start : start + BATCH]


def describe(batches: Iterable[np.ndarray], count: int) -> Description:
    """Return the description of pictures. They come in batches, so that there may be more than fit into memory.

    Args:
        batches: uint8 (n, h, w, c), any n.
        count: how many pictures all batches have together.

    Raises:
        JobError: if the pictures are too few or too small to measure.
    """
    if count < FEWEST:
        raise JobError(f"{count} pictures are too few to compare. Use at least {FEWEST}, better some hundred.")
    sampler: PatchSampler | None = None
    network: RandomFeatures | None = None
    size, channels, found, small = (0, 0), 0, [], []
    for batch in batches:
        if sampler is None or network is None:
            size, channels = batch.shape[1:3], batch.shape[3]
            if min(size) < PATCH:
                raise JobError(f"Pictures of {size[1]} x {size[0]} pixels are too small; {PATCH} per side are needed.")
            sampler, network = PatchSampler(size, channels, count), RandomFeatures(channels)
        images = torch.from_numpy(np.ascontiguousarray(batch)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        sampler.add(images)
        found.append(network(images))
        small.append(reduced(images))
    if sampler is None or sum(map(len, found)) != count:
        raise ValueError(f"there are {sum(map(len, found))} pictures, not {count}")
    return Description(size, channels, sampler.patches(), np.concatenate(found), np.concatenate(small))


class Reference:
    """Everything that is computed once from the real pictures.

    Args:
        pictures: uint8 (n, h, w, c), or the result of ``describe`` for them.

    Raises:
        JobError: if the pictures are too few or too small.
    """

    def __init__(self, pictures: np.ndarray | Description) -> None:
        if isinstance(pictures, np.ndarray):
            pictures = describe(batches_of(pictures), len(pictures))
        self.size, self.channels, self.patches = pictures.size, pictures.channels, pictures.patches
        features = pictures.features.astype(np.float64)
        self._mean, deviation = features.mean(axis=0), features.std(axis=0)
        # A feature may hardly change in the real pictures, for example because the ground is always black. Where it
        # does change, it must not outweigh all others.
        self._deviation = np.maximum(deviation, LEAST_DEVIATION * deviation.mean() + TINY)
        self.points = self.standardised(pictures.features)
        self.radii = radii(self.points)
        self.difference = mean_difference(pictures.small)

    def standardised(self, features: np.ndarray) -> np.ndarray:
        """Subtract the mean of the real pictures from features (n, d), divide by their deviation: float64 (n, d)."""
        return (features.astype(np.float64) - self._mean) / self._deviation


def measure(reference: Reference, fakes: np.ndarray | Description) -> Quality:
    """Compare pictures with the real ones.

    Args:
        reference: the n real pictures.
        fakes: uint8 (m, h, w, c), or the result of ``describe`` for them. Precision and recall of two measurements can
            be compared only if n and m are the same.

    Raises:
        JobError: if the pictures are too few, or if their size or channels are not those of the real ones.
    """
    if isinstance(fakes, np.ndarray):
        check_kind(reference.size, reference.channels, fakes.shape[1:3], fakes.shape[3])
        fakes = describe(batches_of(fakes), len(fakes))
    check_kind(reference.size, reference.channels, fakes.size, fakes.channels)
    sides = [min(size) for size in level_sizes(*reference.size)]
    levels = zip(reference.patches, fakes.patches, strict=True)
    distances = [sliced_distance(real, fake, seed) for seed, (real, fake) in enumerate(levels)]
    points = reference.standardised(fakes.features)
    return Quality(
        pictures=len(points),
        swd=float(np.mean(distances)),
        swd_levels=dict(zip(sides, distances, strict=True)),
        precision=share_inside(points, reference.points, reference.radii),
        recall=share_inside(reference.points, points, radii(points)),
        variety=mean_difference(fakes.small) / max(TINY, reference.difference),
    )


def check_kind(real_size: tuple[int, int], real_channels: int, size: tuple[int, int], channels: int) -> None:
    """Raise JobError if pictures do not have the size (height, width) and the channels of the real ones."""
    if (*size, channels) != (*real_size, real_channels):
        raise JobError(
            f"The generator's pictures are {size[1]} x {size[0]} with {channels} channels, and those of the data set "
            f"{real_size[1]} x {real_size[0]} with {real_channels}. Make a data set of the generator's size with the "
            "command dataset."
        )
