"""Find where in time two sets of keys may differ: which part of a curve an edit has changed.

A segment of a curve depends only on its two keys. So if two keys are equal and all keys before them are equal, the
segment between them is unchanged. The same holds counted from the end. One stretch remains: from the last key before
the first difference to the first key after the last difference.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .fcurves import BEZIER, CurveGroup

Span = tuple[float, float] | None
"""First and last time of a stretch, both included; None if there is no stretch."""

EVERYTHING = (-np.inf, np.inf)


def joined(one: Span, other: Span) -> Span:
    """Return the shortest stretch that contains both; None if both are None."""
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])


def between_keys(
    times: NDArray[np.float64],
    rows: NDArray[np.float64],
    old_rows: NDArray[np.float64],
    reach: int = 1,
) -> Span:
    """Return where the curves of the keys `rows` (K, N) at `times` (K,) may differ from those of the keys `old_rows`.

    reach: how many keys at an end decide the curve beyond that end.
    """
    shorter = min(len(rows), len(old_rows))
    if len(rows) == len(old_rows) and np.array_equal(rows, old_rows):
        return None
    front = _equal_from_the_start(rows[:shorter], old_rows[:shorter])
    back = _equal_from_the_start(rows[::-1][:shorter], old_rows[::-1][:shorter])
    low = times[front - 1] if front >= reach else -np.inf
    high = times[len(times) - back] if back >= reach else np.inf
    return float(low), float(high)


def _equal_from_the_start(one: NDArray[np.float64], other: NDArray[np.float64]) -> int:
    differing = np.flatnonzero((one != other).any(axis=1))
    return int(differing[0]) if len(differing) else len(one)


def between_curves(new: Sequence[CurveGroup], old: Sequence[CurveGroup]) -> Span:
    """Return where the curves of one property may differ from the old ones, in time from the strip's first frame."""
    if len(new) == len(old) and all(np.array_equal(a.members, b.members) for a, b in zip(new, old, strict=True)):
        span: Span = None
        for group, before in zip(new, old, strict=True):
            span = joined(span, _between_groups(group, before, None, None))
        return span
    places = {member: (k, i) for k, group in enumerate(old) for i, member in enumerate(group.members.tolist())}
    if len(places) != sum(len(group.members) for group in new):
        return EVERYTHING
    span = None
    for group in new:
        partners: dict[int, tuple[list[int], list[int]]] = {}
        for column, member in enumerate(group.members.tolist()):
            if member not in places:
                return EVERYTHING
            k, old_column = places[member]
            columns = partners.setdefault(k, ([], []))
            columns[0].append(column)
            columns[1].append(old_column)
        for k, (columns, old_columns) in partners.items():
            span = joined(span, _between_groups(group, old[k], columns, old_columns))
    return span


def _between_groups(new: CurveGroup, old: CurveGroup, columns: list[int] | None, old_columns: list[int] | None) -> Span:
    """Return where these columns of two groups, which are the same curves, may differ; None for all columns."""
    if new.extrapolates != old.extrapolates:
        return EVERYTHING
    return between_keys(new.times, _rows(new, columns), _rows(old, old_columns), 2 if new.extrapolates else 1)


def _rows(group: CurveGroup, columns: list[int] | None) -> NDArray[np.float64]:
    """Return the keys as rows with everything that decides the curve.

    A handle counts only if the segment on its side is a Bezier segment.
    """
    bends = (group.kinds == BEZIER)[:, None]
    bent = np.concatenate([bends[:1], bends[:-1]])
    time = (group.times[:, None], group.kinds[:, None], bent * group.before[:, None], bends * group.after[:, None])
    parts = (group.values, group.left, group.right)
    values, left, right = (part if columns is None else part[:, columns] for part in parts)
    return np.concatenate([*time, values, bent * left, bends * right], axis=1, dtype=np.float64)
