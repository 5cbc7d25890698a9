"""Find whole-vector keys: frames at which every moving component of a latent has a key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .fcurves import CONSTANT, CurveKeys


@dataclass(frozen=True, slots=True)
class WholeKeys:
    """Frames at which every moving component of a latent has a key.

    frames (K,), values (K, D). holds (K,): whether the key is held until the next one. partial: how many frames have
    keys of only some components; great circles cannot use those.
    """

    frames: NDArray[np.float64]
    values: NDArray[np.float64]
    holds: NDArray[np.bool_]
    partial: int

    def rows(self) -> NDArray[np.float64]:
        """Return the keys as rows (K, 1 + D) to compare: everything that moves a latent, except the time."""
        return np.column_stack([self.holds.astype(np.float64), self.values])


def whole_keys(curves: Mapping[int, CurveKeys], stored: NDArray[np.float64]) -> WholeKeys:
    """Return the whole-vector keys of the curves, given by component.

    stored (D,): the values of the components that have no curve.
    """
    alike: dict[bytes, list[int]] = {}
    for member, curve in curves.items():
        if member < len(stored):
            alike.setdefault(curve.points[:, 0].tobytes(), []).append(member)
    times = {key: np.frombuffer(key, np.float32) for key in alike}
    common = set.intersection(*(set(found.tolist()) for found in times.values())) if times else set()
    every = set().union(*(found.tolist() for found in times.values()))
    ordered = np.array(sorted(common), np.float64)
    values = np.tile(stored, (len(ordered), 1))
    holds = np.ones(len(ordered), bool)
    for key, members in alike.items():
        at = np.searchsorted(times[key], ordered, side="right") - 1  # of several keys at one time the last one counts
        for member in members:
            values[:, member] = curves[member].points[at, 1]
        kinds = np.stack([curves[member].kinds[at] for member in members])
        holds &= (kinds == CONSTANT).all(axis=0)
    return WholeKeys(ordered, values, holds, len(every) - len(ordered))
