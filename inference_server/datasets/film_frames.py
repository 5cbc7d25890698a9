"""From a decoded frame to a picture: set upright, with its transparency, and HDR brought to SDR."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import av
import numpy as np
from av.error import FFmpegError
from av.sidedata.sidedata import Type
from PIL import Image

from .film_reading import Shown, reason_of
from .pictures import BadPicture

PQ, HLG = 16, 18
"""Transfer characteristics of ITU-T H.273, table 3: SMPTE ST 2084, and ARIB STD-B67."""
WHITE = 203.0
"""Diffuse white in HDR, in cd/m2 (ITU-R BT.2408, table 1). It becomes the white of the picture."""
PEAK = 1000.0
"""Of the display that HLG is meant for, in cd/m2 (BT.2100, table 5)."""
SDR_GAMMA = 2.4
"""Of the display that SDR is meant for (BT.1886)."""
KR, KB = 0.2627, 0.0593
"""Red's and blue's share of the luminance (BT.2020, table 4)."""
TO_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
"""From linear BT.2020 to linear BT.709 (BT.2087, annex 2)."""
BT2020 = 9
"""Colour primaries of ITU-T H.273, table 2."""
FULL = 2
"""The colour range that uses all numbers (PyAV's ColorRange.JPEG)."""


def orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Return how to set a frame upright: whether to transpose it, then whether to flip it left-right, then top-bottom.

    The container's display matrix takes a place (x, y) to (a x + c y, b x + d y). Of other angles than quarter turns,
    the nearest quarter turn is taken.
    """
    found = [data for data in cast(Any, frame.side_data) if data.type == Type.DISPLAYMATRIX]
    values = np.frombuffer(memoryview(found[0]), np.int32) if found else np.empty(0, np.int32)
    if len(values) != 9:
        return False, False, False
    a, b, _, c, d = values[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, a < 0, d < 0
    return True, c < 0, b < 0


def upright(picture: np.ndarray, way: tuple[bool, bool, bool]) -> np.ndarray:
    """Return a picture (h, w, ...) set upright; see ``orientation``."""
    transpose, mirror, flip = way
    picture = picture.swapaxes(0, 1) if transpose else picture
    picture = picture[:, ::-1] if mirror else picture
    return picture[::-1] if flip else picture


def picture_of(shown: Shown) -> Image.Image:
    """Return a frame as a picture, RGB or RGBA, in square pixels, upright.

    Raises BadPicture if it cannot be decoded.
    """
    frame = shown.frame
    transparent = any(component.is_alpha for component in frame.format.components)
    try:
        if frame.color_trc in LINEAR and not transparent:
            pixels = sdr_of(frame)
        else:
            pixels = frame.to_ndarray(format="rgba" if transparent else "rgb24")
    except (FFmpegError, ValueError, MemoryError) as error:
        raise BadPicture(f"it cannot be read: {reason_of(error)}") from error
    image = Image.fromarray(pixels)
    if image.size != shown.shape:
        image = image.resize(shown.shape, Image.Resampling.LANCZOS)
    way = orientation(frame)
    return Image.fromarray(np.ascontiguousarray(upright(np.asarray(image), way))) if any(way) else image


def sdr_of(frame: av.VideoFrame) -> np.ndarray:
    """Return an HDR frame (HLG or PQ) as SDR pixels uint8 (h, w, 3).

    Its light is scaled so that diffuse white is white, what is brighter is cut off, colours outside BT.709 too.
    """
    rgb = _rgb(frame)
    light = LINEAR[frame.color_trc](rgb) / WHITE
    if frame.color_primaries == BT2020:
        light = light @ TO_709.T.astype(np.float32)
    return np.rint(np.clip(light, 0, 1) ** (1 / SDR_GAMMA) * 255).astype(np.uint8)


def pq_light(signal: np.ndarray) -> np.ndarray:
    """Return light in cd/m2 of a PQ signal, 0 to 1 (BT.2100, table 4)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = np.clip(signal, 0, 1) ** (1 / m2)
    return 10000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)


def hlg_light(signal: np.ndarray) -> np.ndarray:
    """Return light in cd/m2, on a display of 1000 cd/m2, of an HLG signal (h, w, 3), 0 to 1 (BT.2100, table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal = np.clip(signal, 0, 1)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luminance = scene @ np.array([KR, 1 - KR - KB, KB], np.float32)
    return PEAK * np.maximum(luminance, 1e-9)[..., None] ** 0.2 * scene


LINEAR: dict[int, Callable[[np.ndarray], np.ndarray]] = {PQ: pq_light, HLG: hlg_light}
"""From a signal to light, by transfer characteristic."""


def _rgb(frame: av.VideoFrame) -> np.ndarray:
    """Return the signal of a frame as RGB, float32 (h, w, 3), 0 to 1 in all its depth (BT.2020, table 4)."""
    if frame.format.is_rgb:
        return frame.to_ndarray(format="rgb48le").astype(np.float32) / 65535
    values = frame.reformat(format="yuv444p16le").to_ndarray().astype(np.float32) / 65535
    y, cb, cr = np.moveaxis(values, -1, 0)
    if frame.color_range == FULL:
        cb, cr = cb - 0.5, cr - 0.5
    else:
        # 16 bits hold 219 * 256 steps of luminance and 224 * 256 of colour, beginning at 16 * 256.
        y = (y * 65535 - 4096) / (219 * 256)
        cb, cr = ((plane * 65535 - 32768) / (224 * 256) for plane in (cb, cr))
    red, blue = y + 2 * (1 - KR) * cr, y + 2 * (1 - KB) * cb
    green = (y - KR * red - KB * blue) / (1 - KR - KB)
    return np.stack([red, green, blue], axis=-1)
