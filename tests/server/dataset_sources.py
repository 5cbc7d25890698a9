"""Films and pictures for the tests of data sets."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from inference_server.commands import cli
from inference_server.datasets.reading import Dataset


def drawn(seed: int, size: tuple[int, int] = (96, 96), ground: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    """A picture uint8 (h, w, 3) of this width and height: soft blobs on a ground, different for each seed."""
    random = np.random.default_rng(seed)
    width, height = size
    y, x = np.mgrid[:height, :width] / min(size)
    picture = np.zeros((height, width, 3)) + ground
    for _ in range(6 * max(1, round(width / height))):
        at = random.random(2) * (x.max(), y.max())
        cover = np.clip(8 * (0.2 - np.hypot(x - at[0], y - at[1])), 0, 1)[..., None]
        picture = picture * (1 - cover) + random.integers(40, 255, 3) * cover
    return np.rint(picture).astype(np.uint8)


def save(path: Path, picture: np.ndarray, **options: object) -> Path:
    """Save a picture in the format of the path's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, **options)
    return path


def folder_of(folder: Path, count: int, size: tuple[int, int] = (96, 96)) -> Path:
    """A folder of pictures that are all different."""
    for seed in range(count):
        save(folder / f"{seed:03d}.png", drawn(seed, size))
    return folder


def write_film(path: Path, frames: Iterable[np.ndarray], rate: int = 24, times: list[int] | None = None) -> Path:
    """A film of frames uint8 (h, w, 3); times: of each, in frames at the rate."""
    with av.open(str(path), "w") as container:
        stream = None
        for number, frame in enumerate(frames):
            if stream is None:
                stream = container.add_stream("mpeg4", rate=rate)
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt, stream.bit_rate = "yuv420p", 8_000_000
                stream.codec_context.time_base = Fraction(1, rate)
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts = times[number] if times else number
            picture.time_base = Fraction(1, rate)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def moving(seed: int, count: int, size: tuple[int, int] = (128, 96), step: int = 6) -> list[np.ndarray]:
    """Frames of a picture that slides; all are different."""
    wide = drawn(seed, (size[0] + step * count, size[1]), ground=(40 * (seed % 5), 90, 160 - 30 * (seed % 5)))
    return [np.ascontiguousarray(wide[:, step * place : step * place + size[0]]) for place in range(count)]


def make(*words: object) -> int:
    """Run the command; return the exit code."""
    try:
        return cli.main(["dataset", *map(str, words)])
    except SystemExit as stop:  # argparse
        return int(stop.code or 0)


def entries(out: Path) -> list[dict]:
    """The lines of a data set's journal."""
    return [json.loads(line) for line in (out / "sources.jsonl").read_text().splitlines()]


def pictures(out: Path) -> dict[str, bytes]:
    """The data set's pictures by their names."""
    return {path.name: path.read_bytes() for path in sorted((out / "pictures").iterdir())}


def first(out: Path, number: int = 0) -> np.ndarray:
    """A picture of a data set."""
    return Dataset(out).picture(number)


COMMAND = [sys.executable, "-m", "inference_server", "dataset"]
