"""Compute the transform by which a generator (StyleGAN3) moves, turns and zooms a picture in its plane."""

from __future__ import annotations

import math

_DECIMALS = 9
"""Decimals that are kept. A different maths library gives different last digits; rounded, both name the same frame."""


def inverse_transform(move_x: float, move_y: float, turn: float, zoom: float) -> tuple[float, ...]:
    """Return the 3 x 3 matrix with which the input grid is sampled, row by row; empty if nothing is moved.

    move_x, move_y: to the right and up, in picture widths and heights. turn: counter-clockwise about the middle, in
    radians. zoom: greater than 0, about the middle.

    The picture is zoomed, turned, then moved: F = T(move) R(turn) S(zoom). The point q then shows what was at
    inverse(F) q, so the grid takes inverse(F) = S(1 / zoom) R(-turn) T(-move) (arXiv 2106.12423, section 4.2). The
    grid's unit is the picture, its origin is the middle, and y points down.
    """
    if (move_x, move_y, turn, zoom) == (0.0, 0.0, 0.0, 1.0):
        return ()
    cos, sin = math.cos(turn) / zoom, math.sin(turn) / zoom
    x, y = -move_x, move_y
    rows = (cos, -sin, cos * x - sin * y, sin, cos, sin * x + cos * y, 0.0, 0.0, 1.0)
    return tuple(round(value, _DECIMALS) + 0.0 for value in rows)
