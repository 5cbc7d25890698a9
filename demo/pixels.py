"""Read and write pictures as arrays, with nothing but Blender and numpy."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
from bl_ext.user_default.latent_lantern.latent_addon.core.png import encode_png
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def read_picture(path: Path) -> Bytes:
    """Return the pixels of an image file, uint8 (height, width, 4), top row first."""
    image = bpy.data.images.load(str(path), check_existing=False)
    try:
        image.colorspace_settings.name = "Non-Color"
        image.alpha_mode = "CHANNEL_PACKED"
        width, height = image.size
        values = np.empty(width * height * 4, np.float32)
        image.pixels.foreach_get(values)
    finally:
        bpy.data.images.remove(image)
    return np.rint(values.reshape(height, width, 4)[::-1] * 255).astype(np.uint8)


def resized(values: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Return a grey picture (h, w) scaled to side x side, linear between the pixels' middles."""
    for axis, length in enumerate(values.shape):
        at = ((np.arange(side) + 0.5) * length / side - 0.5).clip(0, length - 1)
        low = np.floor(at).astype(int)
        part = np.expand_dims(at - low, 1 - axis)
        values = values.take(low, axis) * (1 - part) + values.take(np.minimum(low + 1, length - 1), axis) * part
    return values


def write_picture(path: Path, pixels: Bytes) -> None:
    """Write uint8 (height, width, 3) pixels as a PNG, unless the file already has the same content."""
    data = encode_png(pixels)
    if not path.is_file() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
