"""Turn colour frames into flat shadows: threshold, clean up, soften, ink. The manual page is docs/shadow.md."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

from lantern_protocol.orders import ShadowSettings

MIX_WHOLE = np.int32(1 << 16)
EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


def make_shadow(colour: np.ndarray, settings: ShadowSettings) -> np.ndarray:
    """Return the shadow of one colour frame.

    colour: uint8 (H, W, C), C of 1 (grey), 3 (RGB) or 4 (RGBA, straight alpha).
    Returns uint8 (H, W, C'). C' is the smallest number of channels that can hold every frame made with these settings:
    1 if both inks are grey and opaque, 3 if both are opaque, otherwise 4. With `mix` below 1, C' is at least C.
    Only integers and correctly rounded operations are used, so the bytes are the same on every machine.
    """
    coverage = figure_coverage(colour, settings)
    inks = ink_table(settings)
    if settings.mix == 1.0:
        return np.take(inks[:, : _channels_needed(inks)], coverage, axis=0, mode="clip")
    channels = max(_channels_needed(inks), colour.shape[2])
    shadow = np.take(inks[:, :channels], coverage, axis=0, mode="clip")
    if channels == 4:
        return _blend(_with_alpha(colour), shadow, np.int64(round(settings.mix * MIX_WHOLE)), MIX_WHOLE)
    share = np.int32(round(settings.mix * MIX_WHOLE))
    mixed = colour * (MIX_WHOLE - share)  # adding the shadow broadcasts one grey channel to three
    mixed = mixed + shadow * share
    mixed += MIX_WHOLE // 2
    return (mixed >> 16).astype(np.uint8)


def figure_coverage(colour: np.ndarray, settings: ShadowSettings) -> np.ndarray:
    """Return how much of each pixel is figure, uint8 (H, W): 0 is none, 255 is all."""
    light = luma(colour, over=255 if settings.invert else 0)
    level = math.floor(settings.threshold)  # luma is a whole number, so "> threshold" and "> its floor" are the same
    thresholded = (light <= level) if settings.invert else (light > level)
    figure = clean_up(thresholded, settings.fill_holes, settings.min_area)
    if settings.softness <= 0:
        return figure.view(np.uint8) * np.uint8(255)
    field = light.astype(np.float32) - np.float32(level + 0.5)
    return _soften(-field if settings.invert else field, thresholded, figure, settings.softness)


def luma(colour: np.ndarray, over: int = 0) -> np.ndarray:
    """Return the luma of uint8 (H, W, C) pixels, uint8 (H, W): 0.299 R + 0.587 G + 0.114 B.

    The weights are whole 32768ths, as in OpenCV since 4.0, and the result equals that of its cvtColor for every colour.
    RGBA pixels are first composited over a grey of value `over`.
    """
    if colour.shape[2] == 1:
        return colour[:, :, 0]
    total = colour[:, :, 0] * np.int32(9798)
    total += colour[:, :, 1] * np.int32(19235)
    total += colour[:, :, 2] * np.int32(3735)
    total += 16384
    total >>= 15
    if colour.shape[2] == 4:
        alpha = colour[:, :, 3].astype(np.int32)
        total = (total * alpha + over * (255 - alpha) + 127) // 255
    return total.astype(np.uint8)


def clean_up(figure: np.ndarray, fill_holes: int, min_area: int) -> np.ndarray:
    """Return the bool mask (H, W) with small enclosed holes filled, then small specks removed.

    A hole is a region of ground that does not touch the border of the picture; its pixels are joined at edges (4
    neighbours). A speck is a region of figure; its pixels are joined at edges and corners (8 neighbours). Holes of at
    most `fill_holes` pixels become figure, and specks of at most `min_area` pixels become ground.
    """
    if fill_holes > 0:
        labels, count = _label(~figure)
        small = np.bincount(labels.ravel(), minlength=count + 1) <= fill_holes
        for border in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
            small[border] = False
        small[0] = False
        figure = figure | small[labels]
    if min_area > 0:
        labels, count = _label(figure, EIGHT_NEIGHBOURS)
        small = np.bincount(labels.ravel(), minlength=count + 1) <= min_area
        small[0] = False
        figure = figure & ~small[labels]
    return figure


def _label(mask: np.ndarray, structure: np.ndarray | None = None) -> tuple[np.ndarray, int]:
    found: Any = ndimage.label(mask, structure)
    return found


def _soften(field: np.ndarray, thresholded: np.ndarray, figure: np.ndarray, softness: float) -> np.ndarray:
    """Return the coverage with edges whose ramp is `softness` pixels wide and has its middle at the hard edge.

    field: luma minus the threshold, positive in the figure. A ramp of up to one pixel follows the picture itself: field
    divided by its slope is the distance to the edge in pixels, finer than the pixel grid. A wider ramp is also blurred.
    """
    down, across = _steepest(field, 0), _steepest(field, 1)
    slope = np.sqrt(down * down + across * across)
    ramp = np.clip(field / (np.maximum(slope, np.float32(1e-3)) * np.float32(min(softness, 1.0))) + 0.5, 0, 1)
    # Filled holes and removed specks no longer have an edge, so the picture's ramp is used only at the remaining edges.
    ramp = np.where(_beside_an_edge(figure) & (figure == thresholded), ramp, figure)
    coverage = np.floor(ramp * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    if softness <= 1:
        return coverage
    blur = ImageFilter.BoxBlur((softness - 1) / 4)  # its width is 2 r + 1; applied twice, for a ramp without corners
    return np.asarray(Image.fromarray(coverage).filter(blur).filter(blur))


def _beside_an_edge(figure: np.ndarray) -> np.ndarray:
    """Return where a pixel differs from one of its four neighbours, bool (H, W)."""
    beside = np.zeros_like(figure)
    down, across = figure[1:] != figure[:-1], figure[:, 1:] != figure[:, :-1]
    beside[1:] |= down
    beside[:-1] |= down
    beside[:, 1:] |= across
    beside[:, :-1] |= across
    return beside


def _steepest(field: np.ndarray, axis: int) -> np.ndarray:
    """Return the larger of the steps to the two neighbours; their mean would make a sharp edge half as steep."""
    steps = np.abs(np.diff(field, axis=axis))
    before, after = [(0, 0), (0, 0)], [(0, 0), (0, 0)]
    before[axis], after[axis] = (1, 0), (0, 1)
    return np.maximum(np.pad(steps, before), np.pad(steps, after))


@functools.lru_cache(maxsize=64)
def ink_table(settings: ShadowSettings) -> np.ndarray:
    """Return the ink for each coverage, uint8 (256, 4) RGBA with straight alpha: ground at 0, figure at 255."""
    figure, ground = np.array([settings.figure]), np.array([settings.ground])
    return _blend(ground, figure, np.arange(256, dtype=np.int64)[:, None], 255)


def _blend(first: np.ndarray, second: np.ndarray, share: np.ndarray | np.int64, whole: int | np.integer) -> np.ndarray:
    """Return uint8 RGBA between two RGBA values (..., 4), in integers. The weight of `second` is `share` / `whole`.

    Colours are also weighted by their alpha, as for light through glass.
    """
    first, second = first.astype(np.int64), second.astype(np.int64)
    first_weight = (whole - share) * first[..., 3:]
    second_weight = share * second[..., 3:]
    weight = first_weight + second_weight
    safe = np.maximum(weight, 1)
    colour = (first[..., :3] * first_weight + second[..., :3] * second_weight + safe // 2) // safe
    colour = np.where(weight > 0, colour, np.broadcast_to(first[..., :3], colour.shape))
    return np.concatenate([colour, (weight + whole // 2) // whole], axis=-1).astype(np.uint8)


def _with_alpha(colour: np.ndarray) -> np.ndarray:
    if colour.shape[2] == 4:
        return colour
    rgb = np.repeat(colour, 3, axis=2) if colour.shape[2] == 1 else colour
    return np.concatenate([rgb, np.full((*colour.shape[:2], 1), 255, dtype=np.uint8)], axis=2)


def _channels_needed(inks: np.ndarray) -> int:
    if (inks[:, 3] < 255).any():
        return 4
    return 3 if (inks[:, 0] != inks[:, 1]).any() or (inks[:, 1] != inks[:, 2]).any() else 1
