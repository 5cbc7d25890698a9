"""The whole picture, its shadow, and sheets of pictures."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from .knobs import PERSON, SCENE, Knobs
from .pen import Colour, Pen, along, blend, shade
from .people import draw_behind, draw_seated
from .things import draw_cat, draw_lamp, draw_meal, draw_table

UNITS = 128.0
"""Width and height of the drawing, in its own units."""
FINER = 2
"""Canvas pixels per picture pixel, across and down."""

# Neighbouring colours blend into each other, so a colour is a place along its row.
CLOTH: tuple[Colour, ...] = (
    (230, 88, 66),
    (242, 178, 66),
    (236, 222, 176),
    (140, 188, 108),
    (64, 164, 160),
    (108, 166, 228),
    (180, 138, 216),
    (234, 138, 160),
)
HAIR: tuple[Colour, ...] = ((160, 106, 70), (218, 116, 52), (238, 198, 104), (244, 238, 226), (168, 172, 190))
WOOD: tuple[Colour, ...] = ((168, 110, 76), (198, 140, 86), (220, 178, 122))
SKIN: tuple[Colour, ...] = ((252, 216, 184), (236, 184, 142), (190, 130, 92))


def draw_picture(z: np.ndarray, size: int = 256) -> np.ndarray:
    """Draw the picture of a latent.

    Args:
        z: (LATENT,). Its length does not matter, as in StyleGAN: it is scaled to a mean square of one.
        size: width and height in pixels.

    Returns:
        uint8 array (size, size, 3), RGB, on black.
    """
    z = z.astype(np.float64) / np.sqrt(np.mean(np.square(z, dtype=np.float64)))
    scene = Knobs(z[:32], SCENE)
    left, child, parent, right = people = [Knobs(z[start : start + 24], PERSON) for start in range(32, 128, 24)]
    canvas = Image.new("RGB", (size * FINER, size * FINER))
    pen = Pen(ImageDraw.Draw(canvas), size * FINER / UNITS)
    ends, first, second, hats = (
        along(CLOTH, scene.places[name]) for name in ("cloth ends", "cloth left", "cloth right", "cloth hats")
    )
    wood, skin = along(WOOD, scene.places["wood"]), along(SKIN, scene.places["skin"])
    colours = [
        {
            "cloth": cloth,
            "sleeve": shade(cloth, 1.3),
            "trousers": trousers,
            "hat": hat,
            "band": band,
            "hair": along(HAIR, knobs.places["hair colour"]),
            "skin": skin,
            "wood": wood,
            "cup": (190, 224, 242),
        }
        for knobs, cloth, trousers, hat, band in zip(
            people,
            (ends, first, second, blend(ends, second, 0.5)),
            (second, ends, ends, first),
            (hats, second, hats, first),
            (second, hats, first, hats),
            strict=True,
        )
    ]
    table = scene.between("table height", 82.5, 85.5)
    draw_lamp(pen.moved(64, 0), scene, hats)
    draw_behind(pen.moved(76.4, table, facing=-1), parent, colours[2], 0.25)
    draw_behind(pen.moved(51.6, table), child, colours[1], 0.25)
    draw_cat(pen.moved(64, 123), scene, along(HAIR, scene.places["cat fur"]))
    draw_table(pen.moved(64, table), scene, wood, (240, 234, 222))
    draw_meal(pen.moved(64, table), scene, {"bowl": hats, "icing": first})
    draw_seated(pen.moved(17, 93), left, colours[0], table - 93)
    draw_seated(pen.moved(111, 93, facing=-1), right, colours[3], table - 93)
    return np.asarray(canvas.reduce(FINER))


def silhouette(pictures: np.ndarray, threshold: int = 50) -> np.ndarray:
    """Return black figures on white: where luma (Rec. 601) is above ``threshold``, there is a figure.

    Args:
        pictures: uint8 (..., 3). Returns: uint8 of the same shape, 0 or 255.
    """
    luma = pictures @ np.array((0.299, 0.587, 0.114))
    return np.repeat(np.where(luma > threshold, 0, 255).astype(np.uint8)[..., None], 3, axis=-1)


def contact_sheet(pictures: np.ndarray, columns: int) -> np.ndarray:
    """Return pictures (n, h, w, 3) uint8 side by side: each row in colour, then the row of their shadows."""
    rows = []
    for start in range(0, len(pictures) - columns + 1, columns):
        row = pictures[start : start + columns]
        rows += [np.concatenate(list(row), axis=1), np.concatenate(list(silhouette(row)), axis=1)]
    return np.concatenate(rows, axis=0)
