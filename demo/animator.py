"""The animator: one drawing from one shadow and the picture behind it, as strokes.

Lengths are in pixels of a picture of SIDE x SIDE. The generator's pictures are scaled to this size first.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import extras
import numpy as np
from hand import Hand, Stroke
from outlines import Floats, blurred, level_lines, spots, valleys

SIDE = 128
LINE = "Ink White"
WEIGHT = 0.42
"""Radius of a line at full pressure."""

LIGHT = (64.0, 20.0)
"""Where the lamp hangs."""


@dataclass
class Sheet:
    """One drawing: the strokes of each layer."""

    ink: list[Stroke] = field(default_factory=list)
    colour: list[Stroke] = field(default_factory=list)


def draw(shadow: Floats, luma: Floats, number: int, loop: int) -> Sheet:
    """Draw over one picture.

    Args:
        shadow: (SIDE, SIDE), from 0 on the ground to 1 in the figure.
        luma: (SIDE, SIDE), 0..1, the colour picture as grey.
        number: of the drawing, from 0.
        loop: how many drawings there are; drawing `loop` would be the first one again.
    """
    hand = Hand(number, WEIGHT, LIGHT, loop)
    outlines = [line for line in level_lines(blurred(shadow, 0.5), 0.5) if line.length > 9]
    sheet = Sheet()
    for line in outlines:
        sheet.ink += hand.outline(line, LINE)
    sheet.ink += _inner_lines(hand, luma, blurred(shadow, 1.0) > 0.9)
    sheet.ink += extras.steam(hand)
    sheet.ink += extras.title(hand, written=9, held=6, wiped=5)
    lamp = extras.lamp_of(outlines, SIDE)
    if lamp:
        sheet.ink += extras.rays(hand, lamp)
        for stroke in extras.moth(hand, lamp):
            (sheet.colour if stroke.fill else sheet.ink).append(stroke)
    return sheet


def _inner_lines(hand: Hand, luma: Floats, inside: np.ndarray) -> list[Stroke]:
    """Return strokes for sleeves, collars, hats and eyes: dark gaps and spots of the picture that the shadow hides."""
    strokes = [hand.stroke(line.points, LINE, 0.55) for line in valleys(luma, inside, 0.08) if line.length >= 4]
    for x, y in spots(luma, inside, 0.2):
        strokes.append(hand.stroke(np.array([(x - 0.5, y + 0.1), (x, y - 0.1), (x + 0.5, y)]), LINE, 1.3, boil=0.05))
    return strokes
