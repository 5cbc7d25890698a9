"""Whether a training is on its way: two numbers about the averaged generator, and a rule that sees when it comes apart.

Losses do not show it: they stay finite while the pictures are lost. So a few pictures of always the same latents are
compared with pictures of the data set, both averaged down to 16 pixels, where a short training is good first.

distance: between the values that a pixel takes in both sets, sorted (the Wasserstein distance in one dimension,
averaged over pixels and colours). It is 0 for the same distribution, and 1 if both differ as much as two pictures of
the data set do. variety: the mean difference between two pictures, as a share of the data set's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..quality.variety import mean_difference

PICTURES = 128
"""Pictures of each set that are compared."""
WORSE, MARGIN = 1.5, 0.2
"""A training has lost its way when the distance is this many times its best, and more than the best plus the margin."""
PATIENCE = 3
"""Looks in a row that must say so: one bad look may be chance."""
TINY = 1e-6


class Measure:
    """Compares small pictures with those of the data set.

    Args:
        reals: float32 (n, d), from ``quality.variety.reduced``; n is at least 2.
    """

    def __init__(self, reals: np.ndarray) -> None:
        self._sorted = np.sort(reals, axis=0)
        self._spread = max(TINY, mean_difference(reals))

    def of(self, fakes: np.ndarray) -> tuple[float, float]:
        """Return distance and variety of small pictures float32 (m, d)."""
        count = min(len(fakes), len(self._sorted))
        places = (np.arange(count) + 0.5) / count
        pairs = [np.quantile(rows, places, axis=0) for rows in (self._sorted, fakes)]
        distance = float(np.abs(pairs[0] - pairs[1]).mean()) / self._spread
        return distance, mean_difference(fakes) / self._spread


@dataclass
class Course:
    """What a run remembers of its distances. It is part of the run's state.

    best: the smallest distance so far; None before the first look.
    bad: looks in a row that were much worse than the best.
    returns: how often the run has gone back to an earlier state.
    """

    best: float | None = None
    bad: int = 0
    returns: int = 0

    def look(self, distance: float) -> bool:
        """Note a distance; return whether the training has come apart."""
        if self.best is None or distance < self.best:
            self.best = distance
        self.bad = self.bad + 1 if distance > max(self.best * WORSE, self.best + MARGIN) else 0
        return self.bad >= PATIENCE

    @property
    def good(self) -> bool:
        """Whether the last look was not much worse than the best."""
        return self.best is not None and not self.bad

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, which ``Course(**values)`` takes."""
        return asdict(self)
