"""A folder of drawn pictures, and the latents that they were drawn from."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from PIL import Image

from .knobs import latent
from .scene import contact_sheet, draw_picture

Job = tuple[int, int, int, Path]


def write_picture(job: Job) -> None:
    """Draw a picture (seed, index, size) to a PNG, unless the file exists. The file is never incomplete."""
    seed, index, size, path = job
    if path.exists():
        return
    unfinished = path.with_suffix(".unfinished")
    Image.fromarray(draw_picture(latent(seed, index), size)).save(unfinished, format="PNG", compress_level=1)
    os.replace(unfinished, path)


def draw_dataset(folder: Path, count: int, size: int, seed: int, workers: int = 1) -> None:
    """Draw ``count`` pictures to ``folder/pictures/000000.png`` and so on, and their latents to ``folder/latents.npy``.

    The latents are float32 (count, LATENT); row i belongs to picture i. Pictures that exist are kept, so that a run
    that was stopped continues.

    Raises:
        ValueError: if the folder holds the latents of other pictures, more than ``count`` of them, or pictures of
            another size.
    """
    latents = np.stack([latent(seed, index) for index in range(count)])
    pictures, table = folder / "pictures", folder / "latents.npy"
    pictures.mkdir(parents=True, exist_ok=True)
    if table.exists():
        there = np.load(table)
        same = min(len(there), count)
        if not np.array_equal(there[:same], latents[:same]) or len(there) > count:
            raise ValueError(f"{table} belongs to other pictures. Choose another folder, or the same seed and count.")
    for path in sorted(pictures.glob("*.png"))[:1]:
        with Image.open(path) as picture:
            if picture.size != (size, size):
                raise ValueError(
                    f"{path} is {picture.width} x {picture.height} pixels, not {size} x {size}. "
                    "Choose another folder, or the same size."
                )
    unfinished = table.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        np.save(file, latents)
    os.replace(unfinished, table)
    jobs = [(seed, index, size, pictures / f"{index:06d}.png") for index in range(count)]
    with Pool(workers) as pool:
        for _ in pool.imap_unordered(write_picture, jobs, chunksize=64):
            pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw a data set to a folder, and a contact sheet if asked."""
    parser = argparse.ArgumentParser(
        prog="python -m inference_server.training.figures", description="Draw pictures of a family at dinner."
    )
    parser.add_argument("--count", type=int, required=True, help="how many pictures")
    parser.add_argument("--size", type=int, default=256, help="width and height in pixels (256)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same pictures (0)")
    parser.add_argument("--out", type=Path, required=True, help="the folder for pictures/ and latents.npy")
    parser.add_argument("--sheet", type=Path, help="also write a contact sheet of the first 24 pictures, a PNG")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw (1)")
    options = parser.parse_args(arguments)
    try:
        draw_dataset(options.out, options.count, options.size, options.seed, options.workers)
    except (OSError, ValueError) as error:
        parser.exit(1, f"The pictures could not be drawn: {error}\n")
    if options.sheet:
        some = min(24, options.count)
        first = np.stack([draw_picture(latent(options.seed, index), options.size) for index in range(some)])
        Image.fromarray(contact_sheet(first, min(6, some))).save(options.sheet, format="PNG")
    print(f"{options.count} pictures of {options.size} x {options.size} in {options.out}")
