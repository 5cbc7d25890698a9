"""The table and what stands on it, the lamp above and the cat below."""

from __future__ import annotations

import math

import numpy as np

from .knobs import Knobs
from .pen import BLACK, Colour, Pen, shade

METAL: Colour = (214, 222, 230)
GLASS: Colour = (120, 196, 124)
CREAM: Colour = (250, 226, 190)
CRUST: Colour = (222, 156, 84)
RED: Colour = (236, 84, 66)


def draw_table(pen: Pen, knobs: Knobs, wood: Colour, linen: Colour) -> None:
    """Draw the table from the side; the origin is the middle of its top."""
    for x in (-15, 15):
        pen.limb([(x, 3), (x * 1.1, 40)], [2.4, 2.0], wood)
    pen.piece([(-31, 0), (31, 0), (30, 4.6), (-30, 4.6)], wood, 1.1)
    long = 13.0 * knobs.grown("tablecloth")
    if long > 0.1:
        x = np.linspace(-27.5, 27.5, 41)
        hem = 1.2 + long + min(1.8, long) * np.abs(np.sin((x + 27.5) * math.pi / 11))
        points = np.concatenate([np.stack([x, hem], 1), [(27.5, 0.4), (-27.5, 0.4)]])
        pen.piece(points, linen, 0.9)


def draw_meal(pen: Pen, knobs: Knobs, colours: dict[str, Colour]) -> None:
    """Draw what stands on the table; the origin is the middle of its top. Everything grows from nothing."""
    steam, bowls = knobs.grown("steam"), knobs.between("bowls", 0.55, 1.0)
    for x in (-25.5, 25.5):
        up = np.linspace(0, 1, 5)
        for side in (-1.6, 1.6):
            wisp = [(x + side + 1.3 * math.sin(5 * u), -6.5 - 11 * steam * u) for u in up]
            pen.limb(wisp, [0.9 * steam] * 5, (226, 232, 238), 0)
        bowl = [(-6, -5.2), (6, -5.2), (5, -2.4), (2.6, -0.4), (-2.6, -0.4), (-5, -2.4)]
        pen.piece([(x + a * bowls, b * bowls) for a, b in bowl], colours["bowl"], 0.9)
    candles, flames = knobs.grown("candles"), knobs.grown("flames")
    for x in (-6.3, 6.3):
        if candles > 0.03:
            top = -2 - 11 * candles
            pen.piece([(x - 1.7, -1), (x + 1.7, -1), (x + 1.5, top), (x - 1.5, top)], (250, 240, 220), 0.7)
            pen.limb([(x - 2.8, -0.9), (x + 2.8, -0.9)], [1.2 * candles] * 2, METAL, 0.6)
            flame = flames * candles
            if flame > 0.03:
                points = [(-2.3, -2.2), (-0.8, -5), (0, -8), (0.8, -5), (2.3, -2.2), (0, -0.4)]
                pen.blob([(x + a * flame, top - 0.8 + b * flame) for a, b in points], (255, 204, 90), 0.6 * flame)
    bottle, cake = knobs.grown("bottle"), knobs.grown("cake")
    if bottle > 0.03:
        shape = [(-3.4, -0.6), (-3.6, -11), (-1.5, -15), (-1.4, -21), (1.4, -21), (1.5, -15), (3.6, -11), (3.4, -0.6)]
        pen.piece([(a * bottle**0.5, b * bottle) for a, b in shape], GLASS, 0.9)
        label = [(-3.3, -9.5), (3.3, -9.5), (3.3, -4), (-3.3, -4)]
        pen.piece([(a * bottle**0.5, b * bottle) for a, b in label], CREAM, 0)
    if cake > 0.03:
        pen.piece(
            [(-8.5 * cake, -5.5 * cake), (8.5 * cake, -5.5 * cake), (8.5 * cake, -0.4), (-8.5 * cake, -0.4)], CREAM
        )
        pen.piece(
            [(-6 * cake, -9.5 * cake), (6 * cake, -9.5 * cake), (6 * cake, -6 * cake), (-6 * cake, -6 * cake)],
            colours["icing"],
            0.6 * cake,
        )
        for x in (-3.6, 0, 3.6):
            pen.disc(x * cake, -10.8 * cake, 1.7 * cake, RED, 0.5)
    loaf, fruit = knobs.grown("loaf"), knobs.grown("fruit")
    pen.oval(16.0, -3.1 * loaf, 5.4 * loaf, 3.3 * loaf, CRUST, 0.8)
    for x, y, colour in ((-18, -2.7, RED), (-13.4, -2.7, (156, 204, 92)), (-15.7, -6.4, (246, 190, 70))):
        pen.disc(x, y * fruit, 2.6 * fruit, colour, 0.7)


def draw_cat(pen: Pen, knobs: Knobs, fur: Colour) -> None:
    """Draw a sitting cat; the origin is on the floor. The cat comes up from below like a puppet."""
    pen = pen.moved(0, 27 * (1 - knobs.grown("cat")))
    turn, swing = knobs.either("cat turn", -1.0, 1.0), knobs.either("cat tail", -1.0, 1.0)
    pen.limb(
        [(3 * swing, -2), (8.5 * swing, -4), (10.5 * swing, -10), (8 * swing, -15)], [1.6, 1.6, 1.4, 1.2], fur, 0.6
    )
    pen.blob([(-6, 0), (-6.4, -5), (-3.4, -12), (3.4, -12), (6.4, -5), (6, 0)], fur, 0.8)
    x = 2.6 * turn
    head = [(-5.8, -14), (-5.6, -22.6), (-2.2, -19.4), (2.2, -19.4), (5.6, -22.6), (5.8, -14), (3, -10.4), (-3, -10.4)]
    pen.piece([(x + a, b) for a, b in head], fur, 0.8)
    for side in (-2.4, 2.4):
        pen.disc(x + side + 1.5 * turn, -15.2, 1.25, BLACK)
    pen.oval(x + 1.5 * turn, -12.6, 1.0, 0.7, BLACK)


def draw_lamp(pen: Pen, knobs: Knobs, colour: Colour) -> None:
    """Draw a lamp that hangs from the ceiling and swings; the origin is the middle of the picture's upper edge."""
    pen = pen.moved(0, -6, turn=knobs.between("lamp swing", -0.35, 0.35))
    drop, half = knobs.either("lamp drop", 4.5, 14.0), knobs.between("lamp size", 8.5, 13.0)
    pen.limb([(0, -6), (0, drop)], [1.2, 1.2], METAL, 0)
    light = shade((255, 226, 120), knobs.between("lamp light", 0.8, 1.8))
    pen.disc(0, drop + 8.6, 3.6, light)
    shape = [(-half, drop + 8.6), (-half * 0.8, drop + 4), (-half * 0.32, drop), (half * 0.32, drop)]
    pen.piece([*shape, (half * 0.8, drop + 4), (half, drop + 8.6)], colour, 0.6)
