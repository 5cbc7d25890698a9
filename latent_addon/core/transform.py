"""How a picture is moved, turned and zoomed in its plane by a generator that takes a transform (StyleGAN3)."""

from __future__ import annotations

import math

_DECIMALS = 9
"""Another maths library has other last digits; rounded, both name the same frame."""


def inverse_transform(move_x: float, move_y: float, turn: float, zoom: float) -> tuple[float, ...]:
    """The matrix by which the input grid is sampled, row by row; empty where nothing is moved.

    move_x, move_y: to the right and up, in picture widths and heights. turn: counter-clockwise about the middle, in
    radians. zoom: above 0, about the middle.

    The picture is zoomed, turned, then moved: F = T(move) R(turn) S(zoom). What is seen at q is then what was at
    inverse(F) q, so the grid takes inverse(F) = S(1 / zoom) R(-turn) T(-move) (2106.12423, section 4.2). Its unit is
    the picture, its origin the middle, and y points down.
    """
    if (move_x, move_y, turn, zoom) == (0.0, 0.0, 0.0, 1.0):
        return ()
    cos, sin = math.cos(turn) / zoom, math.sin(turn) / zoom
    x, y = -move_x, move_y
    rows = (cos, -sin, cos * x - sin * y, sin, cos, sin * x + cos * y, 0.0, 0.0, 1.0)
    return tuple(round(value, _DECIMALS) + 0.0 for value in rows)
