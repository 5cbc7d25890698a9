"""Cut a figure out of the plain background behind it (the screen)."""

from __future__ import annotations

import numpy as np

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
LEAST_CHROMA = 0.1
"""A key colour with less chroma than this counts as grey. Pixels are then compared with it by distance, not by hue."""
SOLID = 0.95
"""If the figure's share in a pixel is this or more, the whole pixel counts as the figure."""


def cut_out(picture: np.ndarray, key: tuple[int, int, int], tolerance: float) -> np.ndarray:
    """Make a colour transparent, with soft edges, and remove its reflection (spill) from the rest.

    A coloured key follows van den Bergh and Lalioti, "Software chroma keying in an immersive virtual environment"
    (1999). In the plane of the two colour differences, the part of a pixel that is within 45 degrees of the key is the
    screen's share in the pixel. That share of the key is subtracted. This also removes its spill, and makes shadows on
    the screen dark. With a grey, black or white key, the largest difference in a channel decides.

    Args:
        picture: uint8 (h, w, 3).
        key: red, green, blue, 0 to 255.
        tolerance: 0 to 1; a pixel is screen if the share of anything else in it is less than this.

    Returns:
        uint8 (h, w, 4), not premultiplied.
    """
    pixels = picture.astype(np.float32) / 255
    screen = np.array(key, np.float32) / 255
    luma = pixels @ LUMA
    blue, red = (pixels[..., 2] - luma) * 0.564, (pixels[..., 0] - luma) * 0.713  # the colour differences of BT.601
    grey = float(screen @ LUMA)
    key_blue, key_red = (float(screen[2]) - grey) * 0.564, (float(screen[0]) - grey) * 0.713
    strength = float(np.hypot(key_blue, key_red))
    if strength < LEAST_CHROMA:
        figure = np.abs(pixels - screen).max(axis=-1)
        alpha = np.clip((figure - tolerance / 2) / max(0.02, tolerance / 2), 0, 1)
        own = pixels - (1 - alpha[..., None]) * screen
    else:
        along = (blue * key_blue + red * key_red) / strength
        across = np.abs(blue * key_red - red * key_blue) / strength
        share = np.clip((along - across) / strength, 0, 1)
        alpha = np.clip((1 - share - tolerance) / max(0.02, SOLID - tolerance), 0, 1)
        own = pixels - share[..., None] * screen
    colour = np.clip(own, 0, 1) / np.maximum(alpha, 1 / 255)[..., None]
    return np.rint(np.concatenate([np.clip(colour, 0, 1), alpha[..., None]], axis=-1) * 255).astype(np.uint8)


def bounds(alpha: np.ndarray, margin: float = 0.03) -> tuple[int, int, int, int] | None:
    """Return the box around the visible part: left, top, right, bottom in pixels; None if nothing is visible.

    Specks that fill less than a thousandth of a row or column are not counted.

    Args:
        alpha: uint8 (h, w).
        margin: space added on every side, as a share of the box's longer side.
    """
    solid = alpha > 127
    height, width = alpha.shape
    rows = np.flatnonzero(solid.sum(axis=1) > width // 1000)
    columns = np.flatnonzero(solid.sum(axis=0) > height // 1000)
    if not len(rows) or not len(columns):
        return None
    left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    extra = round(margin * max(right - left, bottom - top))
    return (
        max(0, int(left) - extra),
        max(0, int(top) - extra),
        min(width, int(right) + extra),
        min(height, int(bottom) + extra),
    )
