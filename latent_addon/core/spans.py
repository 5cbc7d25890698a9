"""Where in time two sets of keys may differ: what an edit has changed, and what it has left as it was.

A segment of a curve depends on its two keys alone. So what lies between keys that are equal, and that have nothing but
equal keys before them, is the same; and likewise from the end. One stretch remains, from the last key before the first
difference to the first key after the last one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .fcurves import BEZIER, CurveGroup

Span = tuple[float, float] | None
"""First and last time of a stretch, both included; None where there is none."""

EVERYTHING = (-np.inf, np.inf)


def joined(one: Span, other: Span) -> Span:
    """The shortest stretch that holds both."""
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])


def between_keys(
    times: NDArray[np.float64],
    rows: NDArray[np.float64],
    old_rows: NDArray[np.float64],
    reach: int = 1,
) -> Span:
    """Where curves of the keys `rows` (K, N) at `times` (K,) may differ from those of other keys.

    reach: how many keys from an end decide what lies beyond it.
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
    """Where the curves of one property may differ from what they were, in time from where their strip begins."""
    places = {
        member: (k, column) for k, group in enumerate(old) for column, member in enumerate(group.members.tolist())
    }
    if len(places) != sum(len(group.members) for group in new):
        return EVERYTHING
    span: Span = None
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
            if group.extrapolates != old[k].extrapolates:
                return EVERYTHING
            ours, theirs = _rows(group, columns), _rows(old[k], old_columns)
            reach = 2 if group.extrapolates else 1
            span = joined(span, between_keys(group.times, ours, theirs, reach))
    return span


def _rows(group: CurveGroup, columns: list[int]) -> NDArray[np.float64]:
    """The keys with all that decides the curve: handles count only where the segment on their side is a Bezier one."""
    bends = (group.kinds == BEZIER)[:, None]
    bent = np.concatenate([bends[:1], bends[:-1]])
    time = (group.times[:, None], group.kinds[:, None], bent * group.before[:, None], bends * group.after[:, None])
    every = columns == list(range(len(group.members)))
    values, left, right = (part if every else part[:, columns] for part in (group.values, group.left, group.right))
    return np.concatenate([*time, values, bent * left, bends * right], axis=1, dtype=np.float64)
