"""Small PNG files for the add-on's own pictures; Blender's Python has no library for them."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode pixels (H, W, 3), 8-bit RGB, top row first, as a PNG file."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # every row starts with its filter type, 0
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def placeholder(width: int, height: int) -> NDArray[np.uint8]:
    """The picture of a frame that is not made yet, (H, W, 3): a dark slate with fine slanted lines, no figure."""
    y, x = np.mgrid[:height, :width]
    period = max(8, min(width, height) // 12)
    line = ((x + y) % period) < max(1, period // 8)
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:] = (38, 40, 46)
    pixels[line] = (58, 61, 70)
    return pixels
