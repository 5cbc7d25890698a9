"""Pictures drawn by code: a family of four at dinner, coloured paper figures cut out on black.

Two people sit on chairs at the ends of a table and turn towards it, two sit behind it, a child among them. Seats are
fixed and gestures are continuous (arms, lean, tilt of the head), so that a generator trained on the pictures has
directions worth animating. Every choice in a picture is made by one component of a latent vector z, so that a generator
can be trained on pairs of z and picture (``--latents``). Every part of a figure is bright (luma above 60) and lies in a
dark gap, so that a threshold on luma turns any picture into shadows of people.

``python -m inference_server.training.figures --count 20000 --size 128 --seed 1 --out figures.npy --sheet sheet.png``
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from itertools import pairwise
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

UNITS = 128.0
"""The drawing's own width and height; lengths below are in pixels of a 128-pixel picture."""

Colour = tuple[int, int, int]
Points = Sequence[tuple[float, float]]

# Neighbours blend into each other, so that a colour is a place along its row.
CLOTH: tuple[Colour, ...] = (
    (226, 84, 62),
    (240, 184, 62),
    (238, 222, 190),
    (146, 182, 100),
    (58, 158, 150),
    (110, 170, 226),
    (176, 136, 214),
    (232, 140, 160),
)
HAIR: tuple[Colour, ...] = ((168, 116, 74), (222, 116, 48), (240, 204, 112), (246, 240, 228), (186, 188, 196))
WOOD: tuple[Colour, ...] = ((176, 116, 78), (200, 142, 86), (222, 180, 124))
SKIN: tuple[Colour, ...] = ((252, 214, 178), (182, 122, 84))
METAL: Colour = (214, 222, 230)
LIGHT: Colour = (255, 238, 170)
BLACK: Colour = (0, 0, 0)

# What each seat may wear on its head: fewer kinds per seat are learned better than all kinds on all seats.
LOOKS: tuple[tuple[str, ...], ...] = (
    ("bowler", "cap", "bald", "short", "top hat"),
    ("pointed", "beanie", "short", "ponytail"),
    ("bun", "bob", "scarf", "brim"),
    ("bun", "bald", "cap", "beret", "bowler"),
)


LATENT = 128
"""Components of z: 32 for the scene, then 24 for each of the four people; not all are used."""


class Chance:
    """Choices made by the components of z, one after the other.

    Args:
        z: components that are standard normal; ``erf`` makes each a uniform number from 0 to 1.
    """

    def __init__(self, z: Sequence[float]) -> None:
        self.uniforms = iter([0.5 + 0.5 * math.erf(value / math.sqrt(2)) for value in z])

    def random(self) -> float:
        """From 0 to 1."""
        return next(self.uniforms)

    def uniform(self, low: float, high: float) -> float:
        """From low to high."""
        return low + (high - low) * self.random()

    def either(self) -> float:
        """From 0 to 1, more often near the ends: the Beta(1/2, 1/2) distribution."""
        return math.sin(math.pi / 2 * self.random()) ** 2

    def choice(self, kinds: Sequence[str]) -> str:
        """One of them, each as likely."""
        return kinds[min(int(self.random() * len(kinds)), len(kinds) - 1)]

    def colour(self, row: Sequence[Colour]) -> Colour:
        """A place along a row of colours, blended between neighbours."""
        place = self.random() * (len(row) - 1)
        first = min(int(place), len(row) - 2)
        return blend(row[first], row[first + 1], place - first)


class Pen:
    """Draws smooth coloured pieces, each in a dark gap, through a turn, a scale and a shift.

    Args:
        draw: Pillow's drawing handle of the large canvas.
        scale: canvas pixels per drawing unit.
    """

    def __init__(self, draw: ImageDraw.ImageDraw, scale: float) -> None:
        self.draw = draw
        self.scale = scale
        self.matrix = np.eye(3)

    def moved(self, x: float, y: float, turn: float = 0.0, size: float = 1.0, facing: int = 1) -> Pen:
        """A pen whose origin lies at (x, y), turned by ``turn`` radians; ``facing`` -1 mirrors it left to right."""
        c, s = math.cos(turn) * size, math.sin(turn) * size
        pen = Pen(self.draw, self.scale)
        pen.matrix = self.matrix @ np.array([[facing, 0, x], [0, 1, y], [0, 0, 1]]) @ [[c, -s, 0], [s, c, 0], [0, 0, 1]]
        return pen

    def place(self, points: Points) -> list[tuple[float, float]]:
        """Drawing units to canvas pixels."""
        xy = np.asarray(points, dtype=float) @ self.matrix[:2, :2].T + self.matrix[:2, 2]
        return [(x, y) for x, y in xy * self.scale]

    def piece(self, points: Points, colour: Colour, gap: float = 1.0) -> None:
        """A filled polygon with a dark gap of ``gap`` units round it."""
        xy = self.place(points)
        if gap:
            self.draw.line([*xy, *xy[:2]], fill=BLACK, width=round(2 * gap * self.scale), joint="curve")
        self.draw.polygon(xy, fill=colour)

    def blob(self, points: Points, colour: Colour, gap: float = 1.0) -> None:
        """A filled closed Catmull-Rom curve through ``points``."""
        p1 = np.asarray(points, dtype=float)[:, None]
        p0, p2, p3 = np.roll(p1, 1, 0), np.roll(p1, -1, 0), np.roll(p1, -2, 0)
        t = np.linspace(0, 1, 6, endpoint=False)[None, :, None]
        curve = 0.5 * (
            2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
        )
        self.piece(curve.reshape(-1, 2), colour, gap)

    def disc(self, x: float, y: float, radius: float, colour: Colour, gap: float = 0.0) -> None:
        """A filled circle."""
        angles = np.linspace(0, 2 * math.pi, 24, endpoint=False)
        self.piece(np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], 1), colour, gap)

    def limb(self, joints: Points, radii: Sequence[float], colour: Colour, gap: float = 1.2) -> None:
        """A tapering limb through two or more joints, round at the ends and the joints."""
        for grow, ink in ((gap, BLACK), (0.0, colour)):
            for (a, b), (ra, rb) in zip(pairwise(joints), pairwise(radii), strict=True):
                along = math.atan2(b[1] - a[1], b[0] - a[0])
                back = np.linspace(along + math.pi / 2, along + 3 * math.pi / 2, 9)
                front = np.linspace(along - math.pi / 2, along + math.pi / 2, 9)
                outline = [(a[0] + (ra + grow) * math.cos(t), a[1] + (ra + grow) * math.sin(t)) for t in back]
                outline += [(b[0] + (rb + grow) * math.cos(t), b[1] + (rb + grow) * math.sin(t)) for t in front]
                self.piece(outline, ink, 0)


def blend(first: Colour, second: Colour, share: float) -> Colour:
    """``share`` of the way from the first colour to the second."""
    r, g, b = (round(one + (other - one) * share) for one, other in zip(first, second, strict=True))
    return r, g, b


def shade(colour: Colour, factor: float) -> Colour:
    """Lighter (above 1) or darker (below 1), never darker than a luma of 75."""
    rgb = np.asarray(colour, dtype=float)
    rgb = rgb * factor if factor <= 1 else 255 - (255 - rgb) / factor
    luma = float(rgb @ (0.299, 0.587, 0.114))
    if luma < 75:
        rgb = rgb + (75 - luma)
    r, g, b = np.clip(rgb, 0, 255).round().astype(int)
    return int(r), int(g), int(b)


def draw_hair(pen: Pen, look: str, hair: Colour, cloth: Colour, band: Colour) -> None:
    """Hair and hat over a head whose neck is at the origin and whose face looks along +x."""
    skull = [(-8.5, -4), (-11.4, -8), (-11.2, -15), (-7, -22), (0.5, -24.6), (7, -22), (9, -17.5)]
    if look in ("bob", "brim"):
        pen.blob([*skull, (4, -17), (1, -12), (1, -5), (0, 1.5), (-6, 3), (-11.5, 2)], hair, 0.6)
    elif look == "bald":
        pen.blob([(-9, -3), (-11.2, -7), (-11.4, -13), (-8, -15), (-3, -13), (-1, -9), (-4, -4)], hair, 0.6)
    elif look != "scarf":
        pen.blob([*skull, (3.5, -17), (1, -12), (-2, -8), (-5, -3.5)], hair, 0.6)
    if look == "bun":
        pen.disc(-9.5, -24, 5.6, hair, 0.8)
    elif look == "ponytail":
        pen.blob([(-10, -19), (-16, -17), (-18, -9), (-16, -1), (-13, -6), (-11.5, -12)], hair, 0.8)
        pen.disc(-11, -17, 2.4, band, 0.5)
    elif look == "scarf":
        pen.blob(
            [
                (-8, 2),
                (-13, 3),
                (-12.5, -8),
                (-11, -17),
                (-6, -23),
                (1, -25),
                (8, -21),
                (8.5, -16.5),
                (2.5, -12),
                (1, -5),
                (2, 1),
            ],
            cloth,
            0.8,
        )
    elif look == "bowler":
        pen.blob([(-9.5, -18), (-10, -25), (-5, -31), (3, -31.5), (8.5, -26), (9, -18)], cloth, 0.8)
        pen.limb([(-13.5, -18), (-6, -17), (6, -17), (13, -18.5)], [1.7, 2, 2, 1.7], band, 0.6)
    elif look == "top hat":
        pen.piece([(-8.5, -18), (-10, -35), (8.5, -35), (8, -18)], cloth, 0.8)
        pen.limb([(-13, -18), (13, -18)], [1.9, 1.9], band, 0.6)
    elif look == "cap":
        pen.blob([(-11.5, -15), (-11, -21), (-5, -26.5), (3, -26), (9, -20), (9.5, -16.5), (0, -16)], cloth, 0.8)
        pen.blob([(6, -18.5), (13, -18.5), (16.5, -16), (12, -15), (6, -15.5)], band, 0.6)
    elif look == "beanie":
        pen.blob([(-11.5, -15), (-11, -22), (-5, -28), (3, -28), (9, -22), (9.5, -16), (0, -15)], cloth, 0.8)
        pen.limb([(-10.5, -16), (9, -17)], [2.5, 2.5], band, 0.6)
        pen.disc(-1, -30, 3.6, band, 0.6)
    elif look == "pointed":
        pen.piece([(-9, -18), (-3.5, -40), (8, -19)], cloth, 0.8)
        pen.disc(-3.5, -39, 3, band, 0.6)
        pen.limb([(-9, -18.5), (8, -19.5)], [1.7, 1.7], band, 0.6)
    elif look == "beret":
        pen.blob([(-15.5, -17), (-13, -24), (-4, -28), (6, -25), (10, -18), (2, -16.5), (-8, -15.5)], cloth, 0.8)
        pen.limb([(-3, -27), (-3.5, -30)], [1.2, 1.2], cloth, 0.4)
    elif look == "brim":
        pen.blob([(-8, -19), (-7, -27), (0, -29.5), (7, -26), (8, -19)], cloth, 0.8)
        pen.blob([(-18, -15.5), (-10, -20), (0, -21), (9, -20), (17, -17.5), (8, -17), (-8, -16)], band, 0.6)


def draw_head(
    pen: Pen, chance: Chance, look: str, skin: Colour, hair: Colour, cloth: Colour, band: Colour, beard: bool
) -> None:
    """A head in profile with its neck at the origin, looking along +x."""
    nose, chin = chance.uniform(2.6, 5.2), chance.uniform(-0.8, 1.2)
    rosy, glasses = chance.random() < 0.5, chance.random() < 0.35
    pen.limb([(-1.5, -4), (-2, 4)], [4.6, 4.6], skin, 0.8)
    pen.blob(
        [
            (-6.5, -1),
            (-10, -7),
            (-10.4, -14),
            (-6.5, -20.5),
            (0, -22.8),
            (6, -20.4),
            (8.8, -15.5),
            (8.9, -12.6),
            (9 + nose, -8.6),
            (9.6, -6.8),
            (10.3, -5.4),
            (8.5, -4.5),
            (9.7, -3.4),
            (8.7 + chin, -0.2),
            (4.5, 1.2),
            (-1, 0),
        ],
        skin,
    )
    if beard:
        pen.blob([(0, -9), (3, -5.5), (8.5, -6.8), (11, -5.2), (10, -3), (10.5, 3), (5, 6.5), (0.5, 2.5)], hair, 0.4)
    elif rosy:
        pen.disc(4.2, -5.6, 2.2, shade((int(skin[0]), int(skin[1] * 0.72), int(skin[2] * 0.7)), 1.0))
    if glasses:
        pen.disc(6.6, -11.4, 4.2, METAL, 0.4)
        pen.disc(6.6, -11.4, 2.9, BLACK)
        pen.limb([(2.4, -12), (-2, -12.6)], [0.7, 0.7], METAL, 0.3)
    else:
        pen.disc(5.7, -11.6, 1.45, BLACK)
    draw_hair(pen, look, hair, cloth, band)


def draw_arm(
    pen: Pen,
    chance: Chance,
    shoulder: tuple[float, float],
    reach: float,
    sleeve: Colour,
    skin: Colour,
    cup: Colour,
) -> None:
    """An arm towards +x from the table (low) to above the head (high), with or without something in the hand."""
    raised = chance.either()
    upper = math.radians(62 - 100 * raised + chance.uniform(-6, 6))
    lower = upper - math.radians(chance.uniform(42, 58) - 18 * raised)
    elbow = (shoulder[0] + reach * math.cos(upper), shoulder[1] + reach * math.sin(upper))
    wrist = (elbow[0] + reach * math.cos(lower), elbow[1] + reach * math.sin(lower))
    hand = (wrist[0] + 3.6 * math.cos(lower), wrist[1] + 3.6 * math.sin(lower))
    kind = chance.choice(("cup", "spoon", "cup", "fork", "point", "open"))
    tool = pen.moved(*hand, turn=lower + math.radians(80))
    if kind == "cup":
        tool.piece([(-4, -9), (4, -9), (2.8, 0.5), (-2.8, 0.5)], cup)
    elif kind == "spoon":
        tool.limb([(0, 1), (0, -8)], [1.1, 1.1], METAL, 0.8)
        tool.blob([(-2.6, -11), (0, -14.5), (2.6, -11), (0, -7.5)], METAL, 0.8)
    elif kind == "fork":
        tool.limb([(0, 1), (0, -8)], [1.1, 1.1], METAL, 0.8)
        tool.piece(
            [(-3, -14), (-1.6, -14), (-1.6, -10), (1.6, -10), (1.6, -14), (3, -14), (3, -7.5), (-3, -7.5)], METAL, 0.6
        )
    elif kind == "point":
        along = (hand[0] + 7 * math.cos(lower - 0.1), hand[1] + 7 * math.sin(lower - 0.1))
        pen.limb([hand, along], [1.7, 1.4], skin, 0.8)
    pen.limb([shoulder, elbow, wrist], [4.6, 3.8, 3.1], sleeve)
    pen.disc(*hand, 3.6, skin, 0.7)
    if kind == "open":
        for spread in (-0.5, 0.0, 0.5):
            tip = (hand[0] + 6 * math.cos(lower + spread), hand[1] + 6 * math.sin(lower + spread))
            pen.limb([hand, tip], [1.5, 1.2], skin, 0)


def draw_seated(pen: Pen, chance: Chance, look: str, paint: dict[str, Colour], beard: bool) -> None:
    """Someone on a chair, from the side; the origin is the hip, the floor is 30 units below."""
    wood, cloth, skin = paint["wood"], paint["cloth"], paint["skin"]
    for x in (-10.5, 7):
        pen.limb([(x, 6), (x - 0.5, 29)], [1.5, 1.4], wood, 0.6)
    pen.limb([(-11, 6), (-13.5, -22)], [1.7, 1.7], wood, 0.6)
    pen.limb([(-11, 5.5), (9, 5.5)], [1.7, 1.7], wood, 0.6)
    lean, tuck = math.radians(chance.uniform(-9, 7)), chance.uniform(-4, 4)
    legs, knee = shade(paint["trousers"], 0.9), (19.0, -0.5)
    pen.limb([(0, 0), knee, (19 + tuck, 25)], [5.4, 4.4, 3.2], legs)
    pen.blob(
        [(16 + tuck, 29.5), (16 + tuck, 25), (20 + tuck, 25), (26 + tuck, 27.5), (27 + tuck, 29.5)], paint["hair"], 0.7
    )
    body = pen.moved(0, 0, turn=lean)
    body.blob([(-8, 3), (-9.5, -10), (-9, -26), (-5, -34), (2, -35), (7, -29), (8.5, -15), (8, 3), (0, 5)], cloth)
    if chance.random() < 0.5:
        body.limb([(-5.5, -32.5), (3.5, -32.5)], [2.3, 2.3], paint["band"], 0.6)
    tilt = math.radians(chance.uniform(-16, 14)) - lean * 0.5
    draw_head(body.moved(-0.5, -35, turn=tilt), chance, look, skin, paint["hair"], paint["hat"], paint["band"], beard)
    draw_arm(body, chance, (0, -28), 15.5, shade(cloth, 1.25), skin, paint["cup"])


def draw_behind(pen: Pen, chance: Chance, look: str, paint: dict[str, Colour]) -> None:
    """Someone behind the table, cut off by it; the origin is where the body meets the table's edge."""
    cloth = paint["cloth"]
    body = pen.moved(0, 0, turn=math.radians(chance.uniform(-5, 9)))
    body.blob([(-10, 4), (-10.5, -8), (-8, -18), (-3, -22), (3, -21.5), (8, -16), (9.5, -6), (9.5, 4)], cloth)
    if chance.random() < 0.5:
        body.limb([(-5, -19.5), (4, -19.5)], [2.3, 2.3], paint["band"], 0.6)
    tilt = math.radians(chance.uniform(-16, 14))
    draw_head(
        body.moved(-0.5, -22, turn=tilt), chance, look, paint["skin"], paint["hair"], paint["hat"], paint["band"], False
    )
    draw_arm(body, chance, (1, -15), 11, shade(cloth, 1.25), paint["skin"], paint["cup"])


def draw_table(pen: Pen, chance: Chance, wood: Colour, cloth: Sequence[Colour]) -> None:
    """The table from the side, what stands on it, and now and then a cat below; the origin is the middle of the top."""
    for x in (-14, 14):
        pen.limb([(x, 3), (x * 1.12, 38)], [2.3, 1.9], wood)
    pen.piece([(-30, 0), (30, 0), (29, 5), (-29, 5)], wood, 1.2)
    for x in (-18, 18):
        if chance.random() < 0.6:
            pen.blob([(x - 6, -4.5), (x + 6, -4.5), (x + 4.4, -0.5), (x - 4.4, -0.5)], cloth[3], 0.8)
    thing = chance.choice(("bottle", "pot", "candle", "cake"))
    if thing == "bottle":
        pen.blob(
            [(-3.6, -0.8), (-4, -11), (-1.8, -15), (-1.6, -21), (1.6, -21), (1.8, -15), (4, -11), (3.6, -0.8)],
            (120, 190, 120),
            1,
        )
        pen.piece([(-3.8, -10), (3.8, -10), (3.8, -4.5), (-3.8, -4.5)], (240, 230, 200), 0)
    elif thing == "pot":
        pen.blob([(-7, -0.8), (-8.5, -6), (-7.5, -10), (7.5, -10), (8.5, -6), (7, -0.8)], cloth[0], 1)
        pen.limb([(-8, -11), (8, -11)], [1.4, 1.4], METAL, 0.6)
        pen.disc(0, -13.5, 1.9, METAL, 0.4)
    elif thing == "candle":
        pen.limb([(-4.5, -1.5), (4.5, -1.5)], [1.3, 1.3], METAL, 0.6)
        pen.piece([(-2.2, -2.5), (2.2, -2.5), (2, -14), (-2, -14)], (250, 240, 220), 0.6)
        pen.blob([(-2.4, -17.5), (0, -23.5), (2.4, -17.5), (0, -15)], (255, 200, 80), 0.6)
    else:
        pen.piece([(-8.5, -8), (8.5, -8), (8.5, -0.8), (-8.5, -0.8)], (250, 226, 190), 0.8)
        pen.piece([(-6, -14), (6, -14), (6, -8.6), (-6, -8.6)], cloth[1], 0.8)
        pen.disc(0, -16.4, 2.2, (235, 70, 60), 0.6)
    fur, swing, facing = chance.colour(HAIR), chance.uniform(-2.5, 2.5), 1 if chance.random() < 0.5 else -1
    if chance.random() < 0.5:
        cat = pen.moved(chance.uniform(-1.5, 1.5), 37.5, facing=facing)
        cat.limb([(-5, -2), (-9, -7), (-9.5 + swing, -14)], [1.6, 1.5, 1.3], fur, 0.6)
        cat.blob([(-6.5, 0), (-7, -5), (-3, -11), (3, -14), (5.5, -8), (5.5, 0)], fur, 0.8)
        cat.piece([(-0.5, -17), (0, -23), (3, -20), (5.5, -23), (8, -17), (6, -12), (2, -12)], fur, 0.8)
        cat.disc(5, -17, 0.9, BLACK)


def draw_lamp(pen: Pen, drop: float, half: float, colour: Colour) -> None:
    """A lamp from the ceiling; the origin is the middle of the upper edge."""
    pen.limb([(0, -2), (0, drop)], [1.2, 1.2], METAL, 0)
    pen.disc(0, drop + 9, 3.4, LIGHT)
    pen.blob(
        [(-half, drop + 9), (-half * 0.5, drop + 2), (0, drop - 0.5), (half * 0.5, drop + 2), (half, drop + 9)],
        colour,
        0.6,
    )


def latent(seed: int, index: int) -> np.ndarray:
    """The latent of picture ``index`` of the set ``seed``: float32 (LATENT,), standard normal."""
    return np.random.default_rng((seed, index)).standard_normal(LATENT).astype(np.float32)


def draw_picture(z: np.ndarray, size: int = 128) -> np.ndarray:
    """Draw the picture of a latent.

    Args:
        z: (LATENT,). Its length does not matter, as in StyleGAN: it is scaled to a mean square of one.
        size: width and height in pixels.

    Returns:
        uint8 array (size, size, 3), RGB, black ground.
    """
    z = z.astype(np.float64) / np.sqrt(np.mean(np.square(z, dtype=np.float64)))
    scene, chances = Chance(z[:32]), [Chance(z[start : start + 24]) for start in range(32, LATENT, 24)]
    canvas = Image.new("RGB", (size * 4, size * 4))
    pen = Pen(ImageDraw.Draw(canvas), size * 4 / UNITS)
    cloth = [shade(scene.colour(CLOTH), 1.05) for _ in range(4)]
    wood, tone = scene.colour(WOOD), scene.random() ** 1.5
    people: list[dict[str, Colour]] = []
    looks: list[str] = []
    places: list[tuple[float, float, float]] = []
    beards: list[bool] = []
    for seat, chance in enumerate(chances):
        looks.append(chance.choice(LOOKS[seat]))
        people.append(
            {
                "cloth": cloth[(0, 1, 2, 1)[seat]],
                "trousers": cloth[(2, 0, 0, 0)[seat]],
                "hat": cloth[(2, 0, 3, 2)[seat]],
                "band": cloth[(3, 2, 1, 3)[seat]],
                "cup": (186, 222, 240),
                "hair": chance.colour(HAIR),
                "skin": blend(*SKIN, min(1.0, max(0.0, tone + chance.uniform(-0.1, 0.1)))),
                "wood": wood,
            }
        )
        places.append((chance.uniform(-1, 1), chance.uniform(-1, 1.5), chance.uniform(-0.04, 0.04)))
        beards.append(chance.random() < 0.6 and looks[seat] in ("bald", "bowler"))
    lamp = pen.moved(64 + scene.uniform(-1, 1), 0)
    if scene.random() < 0.75:
        draw_lamp(lamp, scene.uniform(6, 11), scene.uniform(9, 13), cloth[3])
    for seat, x, usual, facing in ((2, 80.0, 0.9, -1), (1, 48.5, 0.78, 1)):
        dx, dy, grown = places[seat]
        where = pen.moved(x + dx, 84 + dy, size=usual * (1 + grown), facing=facing)
        draw_behind(where, chances[seat], looks[seat], people[seat])
    draw_table(pen.moved(64, 84), Chance(z[16:32]), wood, cloth)
    for seat, x, facing in ((0, 16.5, 1), (3, 111.5, -1)):
        dx, _, grown = places[seat]
        where = pen.moved(x + dx, 93, size=0.965 * (1 + grown), facing=facing)
        draw_seated(where, chances[seat], looks[seat], people[seat], beards[seat])
    return np.asarray(canvas.reduce(4))


def silhouette(pictures: np.ndarray, threshold: int = 50) -> np.ndarray:
    """Black figures on white: luma (Rec. 601) above ``threshold`` is figure.

    Args:
        pictures: uint8 (..., 3). Returns: uint8 of the same shape, 0 or 255.
    """
    luma = pictures @ np.array((0.299, 0.587, 0.114))
    return np.repeat(np.where(luma > threshold, 0, 255).astype(np.uint8)[..., None], 3, axis=-1)


def contact_sheet(pictures: np.ndarray, columns: int) -> np.ndarray:
    """Pictures (n, h, w, 3) uint8 side by side, each row of colours followed by the row of their shadows."""
    rows = []
    for start in range(0, len(pictures) - columns + 1, columns):
        row = pictures[start : start + columns]
        rows += [np.concatenate(list(row), axis=1), np.concatenate(list(silhouette(row)), axis=1)]
    return np.concatenate(rows, axis=0)


def _draw(job: tuple[int, int, int]) -> np.ndarray:
    seed, index, size = job
    return draw_picture(latent(seed, index), size)


def draw_dataset(count: int, size: int, seed: int, workers: int = 1) -> np.ndarray:
    """Draw ``count`` pictures: uint8 (count, size, size, 3)."""
    jobs = [(seed, index, size) for index in range(count)]
    pictures = np.empty((count, size, size, 3), np.uint8)
    if workers == 1:
        for index, job in enumerate(jobs):
            pictures[index] = _draw(job)
        return pictures
    with Pool(workers) as pool:
        for index, picture in enumerate(pool.imap(_draw, jobs, chunksize=64)):
            pictures[index] = picture
    return pictures


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw a data set to one ``.npy`` array or to a folder of numbered PNGs, and a contact sheet if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, required=True, help="how many pictures")
    parser.add_argument("--size", type=int, default=128, help="width and height in pixels (128)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same pictures (0)")
    parser.add_argument("--out", type=Path, required=True, help="a file ending in .npy, or a folder for PNGs")
    parser.add_argument("--sheet", type=Path, help="also write a contact sheet of the first pictures")
    parser.add_argument("--latents", type=Path, help="also write the latents of the pictures, to this .npy file")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw (1)")
    options = parser.parse_args(arguments)
    pictures = draw_dataset(options.count, options.size, options.seed, options.workers)
    if options.out.suffix == ".npy":
        options.out.parent.mkdir(parents=True, exist_ok=True)
        np.save(options.out, pictures)
    else:
        options.out.mkdir(parents=True, exist_ok=True)
        for index, picture in enumerate(pictures):
            Image.fromarray(picture).save(options.out / f"{index:06d}.png")
    if options.latents:
        np.save(options.latents, np.stack([latent(options.seed, index) for index in range(options.count)]))
    if options.sheet:
        Image.fromarray(contact_sheet(pictures[:24], min(6, len(pictures)))).save(options.sheet)
    print(f"{len(pictures)} pictures of {options.size} x {options.size} in {options.out}")


if __name__ == "__main__":
    main()
