"""Heads: faces that turn, hair, beards, glasses and hats that grow from nothing."""

from __future__ import annotations

import math

import numpy as np

from .knobs import Knobs
from .pen import BLACK, Colour, Pen, blend, shade

WIDE = 12.4
"""Half the width of a head."""
WHITE: Colour = (250, 248, 240)
RIM: Colour = (206, 214, 226)


class Head:
    """A head with its neck at the pen's origin.

    Args:
        pen: at the neck. knobs: the person's. colours: of "skin", "hair", "hat" and "band".
        yaw: where the face looks, in radians: 0 is at us, pi / 2 is along +x.
    """

    def __init__(self, pen: Pen, knobs: Knobs, colours: dict[str, Colour], yaw: float) -> None:
        self.pen, self.knobs, self.colours, self.yaw = pen, knobs, colours, yaw
        self.side, self.front = math.sin(yaw), math.cos(yaw)
        self.tall = knobs.between("long head", 12.0, 14.2)
        self.middle = -self.tall + 0.5

    def draw(self) -> None:
        """Draw all parts, from the back to the front."""
        self.draw_back()
        self.draw_face()
        self.draw_beard()
        self.draw_mouth()
        self.draw_eyes()
        self.draw_hair()
        self.draw_hat()

    def rim(self, angles: np.ndarray, grow: np.ndarray | float = 1.0) -> np.ndarray:
        """Return points (n, 2) on the head's outline, ``grow`` times as far out; angle 0 is +x, pi / 2 is down."""
        toward = math.pi / 2 - 0.75 * self.side  # the chin lies below the face
        chin = self.knobs.between("chin", 0.0, 0.24) * np.exp(-(((angles - toward) / 0.42) ** 2))
        far = (1 + chin) * grow
        return np.stack([WIDE * np.cos(angles) * far, self.middle + self.tall * np.sin(angles) * far], 1)

    def draw_back(self) -> None:
        """Draw what is behind the face: long hair, a bun, ears, the neck."""
        hair, long, bun = self.colours["hair"], self.knobs.grown("hair"), 6.4 * self.knobs.grown("bun")
        x, low = -3.5 * self.side, self.middle + 5 + 13 * long
        wide = WIDE - 2.5 + 4.3 * long
        self.pen.blob(
            [
                (x - wide, low - 3),
                (x - wide * 0.98, self.middle - 4),
                (x, self.middle - self.tall * 0.9),
                (x + wide * 0.98 * (1 - 0.5 * self.side), self.middle - 4),
                (x + wide * (1 - 0.75 * abs(self.side)), low - 3),
                (x, low),
            ],
            hair,
        )
        far = self.tall - 2 + bun * 0.75
        self.pen.disc(-0.72 * self.side * far, self.middle - far * (1 - 0.3 * abs(self.side)), bun, hair, 0.9)
        skin = self.colours["skin"]
        self.pen.limb([(-1.5 * self.side, -4), (-2 * self.side, 4)], [4.4, 4.6], skin, 0.8)
        for ear in (-1, 1):
            self.pen.disc(ear * WIDE * self.front - 1.5 * self.side, self.middle + 2, 2.7, skin, 0.8)

    def draw_face(self) -> None:
        """Draw the head's outline, rosy cheeks and the nose."""
        skin = self.colours["skin"]
        self.pen.piece(self.rim(np.linspace(0, 2 * math.pi, 48, endpoint=False)), skin)
        rosy = blend(skin, (240, 120, 110), 0.4)
        for offset in (-0.72, 0.72):
            angle = self.yaw + offset
            wide = 2.5 * max(0.0, math.cos(angle))
            self.pen.oval(0.8 * WIDE * math.sin(angle), self.middle + 4.6, wide, 2.3, rosy)
        long = self.knobs.between("nose", 0.8, 5.2)
        root, tip = 0.8 * WIDE * self.side, (0.88 * WIDE + 0.8 + long) * self.side
        radii = [1.5, 1.7 + 0.14 * long]
        self.pen.limb([(root, self.middle + 0.5), (tip, self.middle + 2.6)], radii, shade(skin, 0.86), 0)

    def draw_crescent(self, start: float, end: float, outer: float, depths: np.ndarray, colour: Colour) -> None:
        """Draw a piece along the rim from ``start`` to ``end``: ``outer`` outwards, ``depths`` (20,) inwards."""
        angles = np.linspace(start, end, 20)
        swell = np.sin(np.linspace(0.12, math.pi - 0.12, 20)) ** 0.5
        points = np.concatenate([self.rim(angles, 1 + outer * swell), self.rim(angles, 1 - depths * swell)[::-1]])
        self.pen.piece(points, colour, 0)

    def draw_beard(self) -> None:
        """Draw a beard along the chin, from nothing to long."""
        size = self.knobs.grown("beard")
        if size < 0.02:
            return
        middle = math.pi / 2 - 0.62 * self.side
        half = 0.4 + 0.75 * size
        self.draw_crescent(middle - half, middle + half, 0.34 * size, np.full(20, 0.3 * size), self.colours["hair"])

    def draw_mouth(self) -> None:
        """Draw a dark mouth, from a line to wide open, from sad to smiling."""
        x, y = 0.74 * WIDE * self.side, self.middle + 7.4
        half = 4.1 * max(0.5, self.front)
        gape, curve = self.knobs.either("mouth", 0.55, 2.7), self.knobs.between("smile", -1.1, 2.1)
        across = np.linspace(-1, 1, 9)
        upper = np.stack([x + half * across, y - curve * across**2 - 0.35 * gape * (1 - across**2)], 1)
        lower = np.stack([x + half * across, y - curve * across**2 + 1.3 * gape * (1 - across**2)], 1)
        self.pen.piece(np.concatenate([upper, lower[::-1]]), BLACK, 0.3)

    def draw_eyes(self) -> None:
        """Draw light eyes with dark pupils, glasses and eyebrows. The far eye disappears as the head turns."""
        wide_open = self.knobs.either("eyes", 0.4, 1.0)
        gaze, glasses = self.knobs.between("gaze", -1.0, 1.2), self.knobs.grown("glasses")
        raised = self.knobs.between("brows", -0.4, 2.2)
        y = self.middle - 1.6
        for offset in (-0.44, 0.44):
            angle = self.yaw + offset
            seen = max(0.0, math.cos(angle)) ** 0.7
            x = 0.84 * WIDE * math.sin(angle)
            if glasses > 0.02:
                rim = 3.3 + 1.5 * glasses
                self.pen.oval(x, y, rim * seen, rim, RIM)
            self.pen.oval(x, y, 3.4 * seen, 3.6 * (0.45 + 0.55 * wide_open), WHITE)
            self.pen.oval(x + gaze * seen, y, 1.85 * seen, 2.0 * wide_open, BLACK)
            brow = y - 5.0 - raised
            ends = [(x - 2.6 * seen, brow), (x + 2.6 * seen, brow)]
            self.pen.limb(ends, [0.85 * seen] * 2, self.colours["hair"], 0)

    def draw_hair(self) -> None:
        """Draw hair on the skull, from the forehead over the top to the neck."""
        size = 0.25 + 0.75 * self.knobs.grown("hair")
        lean = abs(self.side)
        start, end = -0.1 - 0.85 * lean, -math.pi + 0.1 - 1.1 * lean
        if self.side < 0:
            start, end = -math.pi - end, -math.pi - start
        back = np.linspace(0, 1, 20) if self.side >= 0 else np.linspace(1, 0, 20)
        depths = (0.14 + 0.16 * size) * (1 - 0.35 * lean * (1 - back)) + 0.55 * lean * back**1.5 * (0.4 + 0.6 * size)
        self.draw_crescent(start, end, 0.05 + 0.09 * size, depths, self.colours["hair"])

    def draw_hat(self) -> None:
        """Draw a crown and a brim: nothing, a cap, a bowler, a top hat, a pointed hat, and all forms between them."""
        crown, brim = self.knobs.grown("crown"), self.knobs.grown("brim")
        if crown < 0.02:
            return
        taper = self.knobs.either("taper")
        height = crown * (9.5 + 7.5 * abs(2 * taper - 1) ** 1.2)
        base = (WIDE - 0.6) * min(1.0, 0.5 + crown)
        flat = 2.2 + 9 * max(0.0, taper - 0.45)  # the exponent of a superellipse
        up = np.linspace(0, 1, 12)
        dome = (1 - np.minimum(up, 0.999) ** flat) ** (1 / flat)
        cone = 1 - 0.97 * up
        pointed = max(0.0, 1 - 2.6 * taper)
        half = base * (pointed * cone + (1 - pointed) * dome * (1 + 0.18 * (taper - 0.4) * up))
        pen = self.pen.moved(-1.2 * self.side, self.middle - self.tall * 0.55, turn=-0.16 * self.side)
        tip = -1.5 * self.side * pointed * up
        left, right = np.stack([tip - half, -height * up], 1), np.stack([tip + half, -height * up], 1)
        pen.piece(np.concatenate([left, right[::-1]]), self.colours["hat"], min(0.9, height))
        pen.disc(tip[-1], -height - 0.5, 3.2 * crown * pointed, self.colours["band"], 0.7)
        thick, out = 1.9 * crown, base + 4.2 * brim * (0.35 + 0.65 * abs(self.side))
        shift = 2.4 * self.side * (1 - brim)
        pen.limb([(shift - out, -0.4), (shift + out, -0.4)], [thick, thick], self.colours["band"], 0.9)
