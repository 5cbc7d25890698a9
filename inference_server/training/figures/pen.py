"""Smooth coloured pieces of paper, each with a dark gap around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from PIL import ImageDraw

Colour = tuple[int, int, int]
Points = Sequence[tuple[float, float]] | np.ndarray

BLACK: Colour = (0, 0, 0)
CIRCLE = np.linspace(0, 2 * math.pi, 24, endpoint=False)
ROUND = np.stack([np.cos(CIRCLE), np.sin(CIRCLE)], 1)
HALF = np.stack([np.cos(np.linspace(-1.5708, 1.5708, 9)), np.sin(np.linspace(-1.5708, 1.5708, 9))], 1)
STEPS = np.linspace(0, 1, 6, endpoint=False)[None, :, None]


class Pen:
    """Draws through a turn, a scale and a shift.

    Args:
        draw: Pillow's drawing handle of the large canvas.
        scale: canvas pixels per drawing unit.
    """

    def __init__(self, draw: ImageDraw.ImageDraw, scale: float) -> None:
        self.draw = draw
        self.scale = scale
        self.matrix = np.eye(3)

    def moved(self, x: float, y: float, turn: float = 0.0, size: float = 1.0, facing: int = 1) -> Pen:
        """Return a pen with its origin at (x, y), turned by ``turn`` radians.

        ``facing`` -1 mirrors it left to right.
        """
        c, s = math.cos(turn) * size, math.sin(turn) * size
        pen = Pen(self.draw, self.scale)
        pen.matrix = self.matrix @ np.array([[facing, 0, x], [0, 1, y], [0, 0, 1]]) @ [[c, -s, 0], [s, c, 0], [0, 0, 1]]
        return pen

    def piece(self, points: Points, colour: Colour, gap: float = 1.0) -> None:
        """Draw a filled polygon with a dark gap of ``gap`` units around it."""
        xy = (np.asarray(points, dtype=float) @ self.matrix[:2, :2].T + self.matrix[:2, 2]) * self.scale
        flat = xy.ravel().tolist()
        width = round(2 * gap * self.scale)
        if width > 1:
            # Corners need joints. On a fine curve, joints would only cost time.
            self.draw.line(flat + flat[:4], fill=BLACK, width=width, joint="curve" if len(flat) < 24 else None)
        self.draw.polygon(flat, fill=colour)

    def blob(self, points: Points, colour: Colour, gap: float = 1.0) -> None:
        """Draw a filled closed Catmull-Rom curve through ``points``."""
        p1 = np.asarray(points, dtype=float)[:, None]
        p0, p2, p3 = np.roll(p1, 1, 0), np.roll(p1, -1, 0), np.roll(p1, -2, 0)
        t = STEPS
        curve = 0.5 * (
            2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
        )
        self.piece(curve.reshape(-1, 2), colour, gap)

    def oval(self, x: float, y: float, width: float, height: float, colour: Colour, gap: float = 0.0) -> None:
        """Draw a filled ellipse with half-axes ``width`` and ``height``; nothing if one of them is almost zero."""
        if min(width, height) > 0.05:
            gap = min(gap, width, height)
            self.piece(ROUND * (width, height) + (x, y), colour, gap)

    def disc(self, x: float, y: float, radius: float, colour: Colour, gap: float = 0.0) -> None:
        """Draw a filled circle."""
        self.oval(x, y, radius, radius, colour, gap)

    def limb(self, joints: Points, radii: Sequence[float], colour: Colour, gap: float = 1.1) -> None:
        """Draw a tapering limb through two or more joints, round at the ends and at the joints."""
        if max(radii) < 0.05:
            return
        for grow, ink in ((min(gap, max(radii)), BLACK), (0.0, colour)):
            if ink is BLACK and not grow:
                continue
            for (a, b), (ra, rb) in zip(pairwise(joints), pairwise(radii), strict=True):
                turn = math.atan2(b[1] - a[1], b[0] - a[0])
                c, s = math.cos(turn), math.sin(turn)
                circle = HALF @ ((c, s), (-s, c))
                outline = np.concatenate([np.asarray(a) - (ra + grow) * circle, np.asarray(b) + (rb + grow) * circle])
                self.piece(outline, ink, 0)


def blend(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour that is ``share`` of the way from the first colour to the second."""
    r, g, b = (round(one + (other - one) * share) for one, other in zip(first, second, strict=True))
    return r, g, b


def along(row: Sequence[Colour], place: float) -> Colour:
    """Return the colour at ``place`` (0 to 1) along a row of colours, blended between neighbours."""
    place *= len(row) - 1
    first = min(int(place), len(row) - 2)
    return blend(row[first], row[first + 1], place - first)


def shade(colour: Colour, factor: float) -> Colour:
    """Return the colour lighter (``factor`` above 1) or darker (below 1), with a luma of 75 or more."""
    rgb = np.asarray(colour, dtype=float)
    rgb = rgb * factor if factor <= 1 else 255 - (255 - rgb) / factor
    rgb = rgb + max(0.0, 75 - float(rgb @ (0.299, 0.587, 0.114)))
    r, g, b = np.clip(rgb, 0, 255).round().astype(int)
    return int(r), int(g), int(b)
