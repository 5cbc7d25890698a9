"""A hand that draws: polylines become strokes with pressure, breaks and a slight boil. Lengths in the picture's pixels.

Everything that varies comes from smooth noise over the picture. So a line that stays where it is also keeps its weight
and its gaps from one drawing to the next, as in an animator's tracing. Only the wobble is new in each drawing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from outlines import Floats, Line, normals, resampled


@dataclass(frozen=True, slots=True)
class Stroke:
    """Points (n, 2), each with a radius. `ink` names a material; a fill is a closed shape of that ink."""

    points: Floats
    radius: Floats
    ink: str
    fill: bool = False


class Noise:
    """Smooth noise over the plane, about -1..1, the same for the same seed."""

    SIZE = 64

    def __init__(self, seed: int) -> None:
        self.lattice = np.random.default_rng(seed).uniform(-1, 1, (self.SIZE, self.SIZE))

    def __call__(self, points: Floats, scale: float) -> Floats:
        """Return the noise at points (n, 2); `scale` is the distance over which it changes."""
        at = points / scale
        cell = np.floor(at).astype(int)
        u, v = _ease(at - cell).T
        (x0, y0), (x1, y1) = cell.T % self.SIZE, (cell.T + 1) % self.SIZE
        upper = self.lattice[y0, x0] * (1 - u) + self.lattice[y0, x1] * u
        lower = self.lattice[y1, x0] * (1 - u) + self.lattice[y1, x1] * u
        return upper * (1 - v) + lower * v


def _ease(t: Floats) -> Floats:
    t = np.clip(t, 0.0, 1.0)
    return t * t * (3 - 2 * t)


class Hand:
    """Draws the lines of one drawing.

    Args:
        drawing: number of the drawing; the wobble repeats every `CYCLE` drawings, as a boil does.
        weight: radius of a line at full pressure.
        light: where the light is; lines that face away from it are thicker.
        loop: how many drawings there are before the first one comes again.
    """

    CYCLE = 4
    STEP = 0.6

    def __init__(self, drawing: int, weight: float, light: tuple[float, float], loop: int) -> None:
        self.drawing = drawing
        self.loop = loop
        self.weight = weight
        self.light = np.array(light)
        self.rng = np.random.default_rng((drawing, 7))
        boil = 100 + 2 * (drawing % self.CYCLE)
        self.wobble = Noise(boil), Noise(boil + 1)
        self.drift = Noise(11), Noise(12)
        self.pressure, self.lift = Noise(13), Noise(14)
        turn = 2 * np.pi * drawing / loop
        self.wander = 1.5 * np.array((np.cos(turn), np.sin(turn)))

    def shaken(self, points: Floats, boil: float = 0.16, drift: float = 0.22) -> Floats:
        """Return the points as an unsteady hand moves them.

        `drift` pixels are the same for the whole shot; `boil` pixels are new in each drawing.
        """
        shift = [boil * b(points, 4.5) + drift * d(points, 13.0) for b, d in zip(self.wobble, self.drift, strict=True)]
        return points + np.stack(shift, axis=1)

    def outline(self, line: Line, ink: str, outside: float = 0.3, weight: float = 1.0) -> list[Stroke]:
        """Return strokes along the edge of a figure, `outside` pixels away from it, with gaps here and there."""
        line = resampled(line, self.STEP, 1.0)
        away = normals(line)
        points = line.points + outside * away
        to_light = self.light - points
        to_light /= np.maximum(np.hypot(*to_light.T), 1e-9)[:, None]
        turned_away = 0.5 - 0.5 * np.sum(away * to_light, axis=1)
        pressure = (0.5 + 0.6 * turned_away**1.5) * (1 + 0.3 * self.pressure(points, 8.0))
        down = self.lift(points + self.wander, 10.0) < 0.52
        radius = self.weight * weight * pressure
        moved = self.shaken(points)
        strokes = []
        for run in _runs(down, line.closed):
            if len(run) * self.STEP > 3.5:
                strokes.append(Stroke(moved[run], _tapered(radius[run], self.STEP), ink))
        return strokes

    def stroke(self, points: Floats, ink: str, weight: float = 1.0, boil: float = 0.16, taper: float = 7.0) -> Stroke:
        """Return a stroke through the given points, pressed in the middle and thin over `taper` pixels at its ends."""
        line = resampled(Line(np.asarray(points, dtype=float), False), self.STEP / 2, 0.9)
        radius = np.full(len(line.points), self.weight * weight) * (1 + 0.2 * self.pressure(line.points, 6.0))
        return Stroke(self.shaken(line.points, boil), _tapered(radius, self.STEP / 2, taper), ink)

    def shape(self, points: Floats, ink: str, boil: float = 0.12) -> Stroke:
        """Return a filled shape through the given points."""
        line = resampled(Line(np.asarray(points, dtype=float), True), self.STEP / 2, 0.25)
        return Stroke(self.shaken(line.points, boil), np.full(len(line.points), 0.02), ink, fill=True)


def _tapered(radius: Floats, step: float, taper: float = 7.0) -> Floats:
    """Return the radius with thin ends, as of a pen that lands and leaves; a short stroke never has full pressure."""
    along = np.arange(len(radius)) * step
    reach = min(taper, 0.45 * along[-1])
    return radius * (0.12 + 0.88 * _ease(along / reach) ** 0.7 * _ease((along[-1] - along) / (1.4 * reach)) ** 0.7)


def _runs(down: np.ndarray, closed: bool) -> list[np.ndarray]:
    """Return the indices of each unbroken piece where the pen is down; in a closed line, pieces may cross its seam."""
    count = len(down)
    if closed and not down.all():
        start = int(np.argmin(down))
        order = (np.arange(count) + start) % count
    else:
        order = np.arange(count + 1) % count if closed else np.arange(count)
    pieces = np.split(order, np.nonzero(np.diff(down[order]))[0] + 1)
    return [piece for piece in pieces if down[piece[0]]]
