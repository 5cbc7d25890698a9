"""Outlines of shadows: level lines of a grey picture as smooth polylines. Lengths are in pixels of the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Line:
    """A polyline (n, 2), x to the right and y down; the figure is on its right. A closed line repeats no point."""

    points: Floats
    closed: bool

    @property
    def length(self) -> float:
        """Length in pixels, with the closing side."""
        around = np.roll(self.points, -1, axis=0) if self.closed else self.points[1:]
        return float(np.hypot(*(around - self.points[: len(around)]).T).sum())

    @property
    def area(self) -> float:
        """Area of a closed line in square pixels; negative around a hole."""
        x, y = self.points.T
        return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


# Marching squares: for each combination of corners inside (upper left 1, upper right 2, lower right 4, lower left 8),
# the sides of the cell (0 upper, 1 right, 2 lower, 3 left) where a line enters and leaves. The inside is on its right.
_SEGMENTS: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((0, 3),), 2: ((1, 0),), 3: ((1, 3),), 4: ((2, 1),), 5: ((0, 3), (2, 1)), 6: ((2, 0),), 7: ((2, 3),),
    8: ((3, 2),), 9: ((0, 2),), 10: ((1, 0), (3, 2)), 11: ((1, 2),), 12: ((3, 1),), 13: ((0, 1),), 14: ((3, 0),),
}  # fmt: skip


def level_lines(field: Floats, level: float) -> list[Line]:
    """Return the lines along which `field` (h, w), known at the pixels' middles, crosses `level`; above is inside."""
    inside = field > level
    corners = inside[:-1, :-1] * 1 + inside[:-1, 1:] * 2 + inside[1:, 1:] * 4 + inside[1:, :-1] * 8
    following: dict[tuple[int, int, int], tuple[int, int, int]] = {}
    for row, column in zip(*np.nonzero((corners > 0) & (corners < 15)), strict=True):
        for enter, leave in _SEGMENTS[int(corners[row, column])]:
            following[_side(row, column, enter)] = _side(row, column, leave)
    lines = []
    for chain, closed in _chains(following):
        points = np.array([_crossing(field, level, *side) for side in chain])
        lines.append(Line(points + 0.5, closed))
    return lines


def _side(row: int, column: int, side: int) -> tuple[int, int, int]:
    """Return a cell's side as (row, column, 0 for horizontal or 1 for vertical); both of its cells give the same."""
    return (int(row) + (side == 2), int(column) + (side == 1), side % 2)


def _crossing(field: Floats, level: float, row: int, column: int, vertical: int) -> tuple[float, float]:
    a, b = field[row, column], field[row + vertical, column + 1 - vertical]
    t = (level - a) / (b - a)
    return (column + (1 - vertical) * t, row + vertical * t)


def _chains(following: dict[tuple[int, int, int], tuple[int, int, int]]) -> list[tuple[list, bool]]:
    """Join pairs of sides end to end; open chains, which end at the picture's edge, first."""
    chains = []
    for start in [*(set(following) - set(following.values())), *following]:
        if start not in following:
            continue
        chain = [start]
        while chain[-1] in following:
            chain.append(following.pop(chain[-1]))
        closed = chain[0] == chain[-1]
        chains.append((chain[:-1] if closed else chain, closed))
    return chains


def blurred(field: Floats, sigma: float) -> Floats:
    """Return the field with a Gaussian blur that repeats the picture's edge."""
    reach = max(1, round(3 * sigma))
    kernel = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    padded = np.pad(field, reach, mode="edge")
    rows = sum(k * padded[i : i + field.shape[0]] for i, k in enumerate(kernel))
    return sum(k * rows[:, i : i + field.shape[1]] for i, k in enumerate(kernel))


def resampled(line: Line, step: float, smoothing: float) -> Line:
    """Return the line with points `step` apart, smoothed along itself by a Gaussian of `smoothing` pixels."""
    points = np.vstack([line.points, line.points[:1]]) if line.closed else line.points
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    count = max(4, round(along[-1] / step))
    at = np.linspace(0.0, along[-1], count, endpoint=not line.closed)
    even = np.stack([np.interp(at, along, points[:, axis]) for axis in (0, 1)], axis=1)
    reach = min(count - 1, max(1, round(3 * smoothing / step)))
    kernel = np.exp(-((np.arange(-reach, reach + 1) * step) ** 2) / (2 * smoothing**2))
    kernel /= kernel.sum()
    if line.closed:
        padded = np.pad(even, ((reach, reach), (0, 0)), mode="wrap")
    else:  # mirrored through the end points, so that these stay where they are
        padded = np.pad(even, ((reach, reach), (0, 0)), mode="reflect", reflect_type="odd")
    smooth = np.stack([np.convolve(padded[:, axis], kernel, mode="valid") for axis in (0, 1)], axis=1)
    return Line(smooth, line.closed)


def normals(line: Line) -> Floats:
    """Return unit vectors (n, 2) to the left of the line, away from the figure."""
    points = np.pad(line.points, ((1, 1), (0, 0)), mode="wrap" if line.closed else "edge")
    tangent = points[2:] - points[:-2]
    tangent /= np.maximum(np.hypot(*tangent.T), 1e-9)[:, None]
    return np.stack([tangent[:, 1], -tangent[:, 0]], axis=1)


def valleys(field: Floats, inside: NDArray[np.bool_], depth: float) -> list[Line]:
    """Return the middle lines of narrow dark gaps, at least `depth` deep, in a grey picture (h, w) where `inside`."""
    dark = (blurred(field, 2.4) - blurred(field, 0.6) > depth) & inside
    return [Line(np.array(chain)[:, ::-1] + 0.5, False) for chain in _skeleton_chains(_thinned(dark))]


def spots(field: Floats, inside: NDArray[np.bool_], depth: float) -> Floats:
    """Return the middles (n, 2) of small dark spots where `inside`, at least `depth` darker than all around them."""
    fine = blurred(field, 0.8)
    angles = np.arange(12) * np.pi / 6
    around = np.stack([np.roll(fine, (round(3.4 * np.sin(a)), round(3.4 * np.cos(a))), axis=(0, 1)) for a in angles])
    found = inside & (around.min(axis=0) - fine > depth)
    found[:4], found[-4:], found[:, :4], found[:, -4:] = False, False, False, False
    near = np.stack([np.roll(fine, (r, c), axis=(0, 1)) for r in range(-2, 3) for c in range(-2, 3)])
    rows, columns = np.nonzero(found & (fine <= near.min(axis=0)))
    return np.stack([columns, rows], axis=1) + 0.5


def _ring(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the eight neighbours (8, h, w) of each pixel, clockwise from the one above."""
    p = np.pad(mask, 1)
    h, w = mask.shape
    places = ((0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0))
    return np.stack([p[r : r + h, c : c + w] for r, c in places])


def _thinned(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the skeleton of a mask, one pixel wide (Zhang and Suen, 1984)."""
    mask = mask.copy()
    changed = True
    while changed:
        changed = False
        for triples in (((0, 2, 4), (2, 4, 6)), ((0, 2, 6), (0, 4, 6))):
            ring = _ring(mask)
            count = ring.sum(axis=0)
            rises = (~ring & np.roll(ring, -1, axis=0)).sum(axis=0)
            outer = ~np.all(ring[list(triples[0])], axis=0) & ~np.all(ring[list(triples[1])], axis=0)
            gone = mask & (count >= 2) & (count <= 6) & (rises == 1) & outer
            if gone.any():
                mask &= ~gone
                changed = True
    return mask


def _skeleton_chains(mask: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    """Return the skeleton's pixels as chains of neighbours (row, column).

    Chains that start at an end come first; each pixel is in one chain.
    """
    left = {(int(row), int(column)) for row, column in zip(*np.nonzero(mask), strict=True)}
    steps = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))

    def near(pixel: tuple[int, int]) -> list[tuple[int, int]]:
        return [(pixel[0] + r, pixel[1] + c) for r, c in steps if (pixel[0] + r, pixel[1] + c) in left]

    chains = []
    for start in sorted(left, key=lambda pixel: (len(near(pixel)) != 1, pixel)):
        if start not in left:
            continue
        chain = [start]
        left.remove(start)
        while following := near(chain[-1]):
            heading = np.subtract(chain[-1], chain[-2]) if len(chain) > 1 else np.zeros(2)
            chain.append(max(following, key=lambda p: float(np.dot(np.subtract(p, chain[-1]), heading))))
            left.remove(chain[-1])
        chains.append(chain)
    return chains
