"""Ranges of whole numbers that are still to be done; those nearest to a given number are taken first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Range = tuple[int, int]
"""The first number, and the number after the last one."""


class Ranges:
    """The numbers that are left of some ranges. The ranges must be ascending and must not overlap."""

    def __init__(self, ranges: Iterable[Range] = ()):
        self._left = [(first, end) for first, end in ranges if first < end]

    def __bool__(self) -> bool:
        return bool(self._left)

    def __iter__(self) -> Iterator[Range]:
        return iter(tuple(self._left))

    def __len__(self) -> int:
        return sum(end - first for first, end in self._left)

    def __contains__(self, number: int) -> bool:
        return any(first <= number < end for first, end in self._left)

    def within(self, first: int, end: int) -> list[Range]:
        """Return the ranges that are left in first .. end - 1."""
        return [(max(a, first), min(b, end)) for a, b in self._left if max(a, first) < min(b, end)]

    def remove(self, first: int, end: int) -> None:
        """Remove the numbers first .. end - 1."""
        parts = (part for a, b in self._left for part in ((a, min(b, first)), (max(a, end), b)))
        self._left = [(a, b) for a, b in parts if a < b]

    def take(self, at: int, size: int) -> Range | None:
        """Remove up to `size` numbers, those nearest to `at`, and return them as a range; None if nothing is left."""
        if not self._left:
            return None
        first, end = min(self._left, key=lambda part: max(part[0] - at, at - part[1] + 1, 0))
        if at >= end:
            first = max(first, end - size)
        else:
            first = max(first, at)
            end = min(end, first + size)
        self.remove(first, end)
        return first, end
