"""What the animator adds to the picture: steam over the table, a moth at the lamp, a title. Lengths in picture pixels.

Everything makes a whole number of turns in the loop, so that the film can repeat without a jump.
"""

from __future__ import annotations

import math

import numpy as np
from hand import Hand, Stroke
from outlines import Floats, Line

TABLE = (64.0, 63.0)
"""Where the steam rises."""

TITLE = (("LATENT", (8.0, 8.0)), ("LANTERN", (8.0, 17.5)))
LETTER_WIDTH, LETTER_HEIGHT, LETTER_STEP = 3.6, 6.2, 5.3

# The strokes of capital letters, in a box of width 1 and height 1, y down.
_LETTERS: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "A": (((0.0, 1.0), (0.28, 0.45), (0.5, 0.0), (0.72, 0.5), (1.0, 1.02)), ((0.16, 0.66), (0.5, 0.62), (0.86, 0.63))),
    "E": (((0.92, 0.02), (0.4, 0.0), (0.05, 0.03), (0.03, 0.5), (0.05, 0.98), (0.5, 1.0), (0.98, 0.97)),
          ((0.06, 0.5), (0.4, 0.47), (0.78, 0.48))),
    "L": (((0.06, 0.0), (0.03, 0.5), (0.06, 0.97), (0.5, 1.0), (0.95, 0.96)),),
    "N": (((0.03, 1.0), (0.05, 0.5), (0.04, 0.02)), ((0.04, 0.02), (0.5, 0.52), (0.95, 1.0)),
          ((0.95, 1.0), (0.96, 0.5), (0.98, 0.0))),
    "R": (((0.05, 1.0), (0.04, 0.5), (0.05, 0.03)),
          ((0.05, 0.03), (0.55, 0.0), (0.88, 0.22), (0.6, 0.48), (0.08, 0.53), (0.5, 0.7), (0.96, 1.0))),
    "T": (((0.0, 0.03), (0.5, 0.0), (1.0, 0.02)), ((0.5, 0.02), (0.47, 0.5), (0.5, 1.0))),
}  # fmt: skip


def steam(hand: Hand) -> list[Stroke]:
    """Return strokes of three wisps of steam that rise from the table, curve and disappear."""
    wisps = []
    for k in range(3):
        phase = (3 * hand.drawing / hand.loop + k / 3) % 1.0
        low, high = max(0.0, 1.5 * phase - 0.5), min(1.0, 1.5 * phase)
        if high - low < 0.12:
            continue
        s = np.linspace(low, high, 24)
        sway = (0.6 + 2.4 * s) * np.sin(2 * math.pi * (1.3 * s - 4 * hand.drawing / hand.loop + k / 3))
        points = np.stack([TABLE[0] + 3.4 * (k - 1) + sway, TABLE[1] - 27.0 * s], axis=1)
        wisps.append(hand.stroke(points, "Ink White", 0.75 * (1 - 0.5 * phase)))
    return wisps


def lamp_of(outlines: list[Line], size: float) -> tuple[float, float] | None:
    """Return the lowest point of the outline that hangs from the upper edge near the middle; None if none hangs."""
    for line in outlines:
        x, y = line.points.T
        hangs = not line.closed and max(y[0], y[-1]) < 2.0 and abs(x.mean() - size / 2) < 0.15 * size
        if hangs and 0.06 * size < y.max() < 0.3 * size:
            return float(x.mean()), float(y.max())
    return None


def rays(hand: Hand, lamp: tuple[float, float]) -> list[Stroke]:
    """Return short strokes of light under the lamp, with a different length in each drawing."""
    strokes = []
    for angle in np.radians((22, 52, 90, 128, 158)):
        way = np.array((math.cos(angle), math.sin(angle)))
        start, end = 12.5 + hand.rng.uniform(-0.5, 0.5), 16.5 + hand.rng.uniform(-1.0, 1.8)
        middle = np.array((lamp[0], lamp[1] - 6.5)) + hand.rng.uniform(-0.3, 0.3, 2)
        strokes.append(hand.stroke(np.stack([middle + way * r for r in (start, 0.5 * (start + end), end)]), "Ink Warm"))
    return strokes


def moth(hand: Hand, lamp: tuple[float, float]) -> list[Stroke]:
    """Return strokes of a moth that circles the lamp, and of the dashed line behind it."""
    where = [_moth_place((hand.drawing - back) / hand.loop, lamp) for back in np.arange(0.0, 5.5, 0.5)]
    place, heading = where[0], where[0] - where[1]
    heading /= max(np.hypot(*heading), 1e-9)
    side = np.array((-heading[1], heading[0]))
    spread = (1.0, 0.45, 0.85, 0.3)[hand.drawing % 4]
    strokes = []
    for sign in (-1, 1):
        tip = place + sign * side * 3.4 * spread + heading * 1.3
        tail = place + sign * side * 2.2 * spread - heading * 1.9
        fore = place + heading * 0.8
        strokes.append(hand.shape(np.stack([fore, tip, tip - heading * 1.1, tail, place - heading * 0.6]), "Fill Warm"))
    strokes.append(hand.stroke(np.stack([place + heading * 1.5, place, place - heading * 1.8]), "Ink White", 0.9, 0.0))
    for near, far in ((3, 4), (5, 6), (7, 8)):
        dash = np.stack([where[near], 0.5 * (where[near] + where[far]), where[far]])
        strokes.append(hand.stroke(dash, "Ink White", 0.5 - 0.04 * near))
    return strokes


def _moth_place(turns: float, lamp: tuple[float, float]) -> Floats:
    a = 2 * math.pi * 3 * turns + 2.0
    x = lamp[0] + 17.0 * math.cos(a) + 3.0 * math.sin(3 * a)
    return np.array((x, lamp[1] + 5.0 + 7.0 * math.sin(2 * a + 1.0) + 2.0 * math.sin(4 * a)))


def title(hand: Hand, written: int, held: int, wiped: int) -> list[Stroke]:
    """Return the strokes of the title that are visible in this drawing.

    The title is written in the first `written` drawings, stays for `held`, and disappears letter by letter in `wiped`.
    """
    letters = [strokes for word, corner in TITLE for strokes in _word(word, corner)]
    total = sum(map(len, letters))
    done = (hand.drawing + 1) / written * total
    gone = (hand.drawing - written - held) / wiped * len(letters)
    visible = []
    before = 0
    for k, strokes in enumerate(letters):
        for points in strokes:
            shown = min(1.0, done - before)
            before += 1
            if shown > 0.15 and gone <= k:
                count = max(3, math.ceil(shown * len(points)))
                visible.append(hand.stroke(points[:count], "Ink White", 0.9, taper=1.2))
    return visible


def _word(word: str, corner: tuple[float, float]) -> list[list[Floats]]:
    rng = np.random.default_rng(sum(map(ord, word)))
    letters = []
    for k, letter in enumerate(word):
        place = np.array((corner[0] + k * LETTER_STEP, corner[1] + rng.uniform(-0.45, 0.45)))
        lean = rng.uniform(-0.12, 0.08)
        boxes = [np.array(points) for points in _LETTERS[letter]]
        for box in boxes:
            box[:, 0] += lean * (0.5 - box[:, 1])
        letters.append([place + box * (LETTER_WIDTH, LETTER_HEIGHT) for box in boxes])
    return letters
