"""Write small PNG files for the add-on's own pictures; Blender's Python has no library for that."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

GROUND, LINE = (38, 40, 46), (58, 61, 70)
"""Colours of the placeholder, 8-bit RGB."""


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG file of the pixels (H, W, 3), 8-bit RGB, top row first."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # every row starts with its filter type, 0
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return _file((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)))


def placeholder(width: int, height: int) -> bytes:
    """Return a PNG file that stands for a frame that is not made yet: a dark area with fine slanted lines, no figure.

    It has one bit for each pixel, and the rows repeat, so 4096 x 4096 pixels are made in a few milliseconds.
    """
    period = max(8, min(width, height) // 12)
    lines = np.arange(period + width) % period < max(1, period // 8)
    rows = np.stack([lines[y : y + width] for y in range(min(period, height))])
    packed = np.pad(np.packbits(rows, axis=1), ((0, 0), (1, 0)))  # every row starts with its filter type, 0
    data = b"".join(packed[y % period].tobytes() for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)
    return _file((b"IHDR", header), (b"PLTE", bytes((*GROUND, *LINE))), (b"IDAT", zlib.compress(data, 1)))


def _file(*chunks: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (*chunks, (b"IEND", b""))
    )
