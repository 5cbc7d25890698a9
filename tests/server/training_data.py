"""Small data sets for the tests of training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

SMALL = ("--channels", "8,8,8", "--z-dim", "8", "--w-dim", "8", "--batch", "8", "--precision", "float32")
"""Options of a network for pictures of 16 x 16, whose steps take milliseconds."""


def write_dataset(folder: Path, pictures: np.ndarray, latents: np.ndarray | None = None, mirror: bool = False) -> Path:
    """A data set of pictures uint8 (n, h, w, c)."""
    (folder / "pictures").mkdir(parents=True)
    for index, picture in enumerate(pictures):
        Image.fromarray(picture.squeeze()).save(folder / "pictures" / f"{index:04d}.png")
    if latents is not None:
        np.save(folder / "latents.npy", latents)
    _, height, width, channels = pictures.shape
    about = {"width": width, "height": height, "channels": channels, "mirror": mirror}
    (folder / "dataset.json").write_text(json.dumps({"format": "latent-lantern-dataset", "version": 1, **about}))
    return folder


def discs(count: int, size: tuple[int, int] = (16, 16), channels: int = 3, seed: int = 0) -> np.ndarray:
    """Pictures uint8 (count, h, w, channels): a bright disc at a random place, in a random colour."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    pictures = np.zeros((count, *size, channels), np.uint8)
    for picture in pictures:
        at = random.uniform(0.3, 0.7, 2) * size
        inside = np.hypot(y - at[0], x - at[1]) < min(size) / 4
        picture[inside] = random.integers(120, 255, channels)
    return pictures


def log_of(run: Path) -> list[dict]:
    """The lines of a run's log."""
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def losses_of(run: Path) -> list[dict]:
    """The lines without the values that depend on the clock."""
    return [{key: value for key, value in line.items() if key not in ("seconds", "rate")} for line in log_of(run)]
