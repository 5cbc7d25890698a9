"""Which component of z decides what in a picture of the family.

A picture has 128 components of z: 32 for the scene, then 24 for each of the four people, from left to right. Each
component moves one thing from one end of its range to the other. A thing that "grows" begins at nothing: it is not
there in about a quarter of all pictures, and has its full size in another quarter.

Scene, components 0 to 31:

==== ================================================================================
0-3  cloth colours: end people, left middle, right middle, hats and lamp
4    colour of wood
5    colour of the family's skin
6-9  lamp: how far it hangs down, size, swing, colour of its light
10   height of the table
11   length of the tablecloth
12   size of the bottle
13   size of the cake
14   height of the candles
15   flames of the candles
16   size of the bowls
17   steam over the bowls
18   size of the loaf on the right
19   size of the fruit on the left
20   the cat comes up from below
21-23 cat: turn of the head, swing of the tail, colour
==== ================================================================================

Each person, components 32 + 24 n to 55 + 24 n:

==== ================================================================================
0    arm: from the plate to above the head
1    arm: near or far
2    in the hand: spoon grows, empty hand, cup grows
3    lean of the body
4    tilt of the head
5    turn of the head
6    mouth: shut to wide open
7    mouth: sad to smiling
8    eyes: nearly shut to wide
9    eyes: looking back or ahead
10   eyebrows: down to up
11   height of the person (in the middle: child to grown-up)
12   head: wide to long
13   length of the nose
14   size of the chin
15   colour of the hair
16   length of the hair
17   size of the bun
18   size of the beard
19   size of the glasses
20   hat: height of the crown
21   hat: pointed to flared, and round to flat
22   hat: width of the brim
23   collar grows; with it stripes (ends) or buttons (middle)
==== ================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

LATENT = 128
"""Components of z."""

SCENE = (
    *("cloth ends", "cloth left", "cloth right", "cloth hats", "wood", "skin"),
    *("lamp drop", "lamp size", "lamp swing", "lamp light", "table height", "tablecloth"),
    *("bottle", "cake", "candles", "flames", "bowls", "steam", "loaf", "fruit"),
    *("cat", "cat turn", "cat tail", "cat fur"),
)
PERSON = (
    *("arm", "reach", "held", "lean", "tilt", "turn", "mouth", "smile", "eyes", "gaze", "brows", "height"),
    *("long head", "nose", "chin", "hair colour", "hair", "bun", "beard", "glasses", "crown", "taper", "brim"),
    "collar",
)


class Knobs:
    """Named places from 0 to 1: each is one component of z, put through the normal distribution function.

    Args:
        z: components that are standard normal. names: what they decide, in order; further components are not used.
    """

    def __init__(self, z: Sequence[float] | np.ndarray, names: Sequence[str]) -> None:
        self.places = {name: 0.5 + 0.5 * math.erf(value / math.sqrt(2)) for name, value in zip(names, z, strict=False)}

    def between(self, name: str, low: float, high: float) -> float:
        """Return a place from low to high; all are equally likely."""
        return low + (high - low) * self.places[name]

    def either(self, name: str, low: float = 0.0, high: float = 1.0) -> float:
        """Return a place from low to high, more often near the ends: the Beta(1/2, 1/2) distribution."""
        return low + (high - low) * math.sin(math.pi / 2 * self.places[name]) ** 2

    def grown(self, name: str) -> float:
        """Return a size from 0 to 1: 0 for a quarter of all z, 1 for another quarter, a smooth ramp between."""
        return ramp(self.places[name], 0.25, 0.75)


def ramp(value: float, start: float, end: float) -> float:
    """Return a smooth ramp from 0 at ``start`` to 1 at ``end``, constant outside; ``end`` may be below ``start``."""
    share = min(1.0, max(0.0, (value - start) / (end - start)))
    return share * share * (3 - 2 * share)


def latent(seed: int, index: int) -> np.ndarray:
    """Return the latent of picture ``index`` of the set ``seed``: float32 (LATENT,), standard normal."""
    return np.random.default_rng((seed, index)).standard_normal(LATENT).astype(np.float32)
