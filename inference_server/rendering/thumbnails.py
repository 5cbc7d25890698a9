"""Small pictures of generators, made once and kept in the cache under the hash of the checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lantern_protocol.orders import RenderSettings
from lantern_protocol.versions import PIXEL_REVISION

from ..checkpoints.cache import cache_folder
from ..pixels.encoding import encode_png, write_atomically, write_failed
from .batches import Frames
from .renderer import Renderer
from .seeds import sample_seeds

SIDE = 128
"""The longer side of a thumbnail, in pixels."""

PSI = 0.7


def thumbnail_of(renderer: Renderer, path: str | None, sha256: str) -> Path:
    """Return the PNG file with a generator's picture of seed 0. It is made now if it does not exist.

    The file is whole, or does not exist. Raises ProtocolError if the generator cannot be loaded or makes no picture, or
    if the file cannot be written.
    """
    file = cache_folder() / "thumbnails" / f"{sha256}-p{PIXEL_REVISION}.png"
    if file.exists():
        return file
    loaded = renderer.open(path, sha256, keep=False)
    info = loaded.info
    classes = (1.0,) + (0.0,) * (info.num_classes - 1) if info.num_classes else ()
    settings = RenderSettings(PSI, info.default_cutoff, classes=classes)
    frames = Frames.of("z", sample_seeds([0], info.z_dim), settings)
    pixels = renderer.render(loaded, frames)[0].pixels()
    small = Image.fromarray(pixels[:, :, 0] if info.channels == 1 else pixels)
    small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(small)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_failed(file, error) from None
    write_atomically(file, encode_png(values[:, :, None] if values.ndim == 2 else values))
    return file
