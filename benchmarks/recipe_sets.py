"""Data sets without latents, on which recipes of training are compared (recipes.py).

    python benchmarks/recipe_sets.py FOLDER [--size 64] [--photos PHOTOS]

Writes FOLDER/figures (6,500 drawn pictures of a family at dinner), FOLDER/few (300 of them), FOLDER/film (the frames of
a film made by code: 60 shots, in which the camera moves and people change, with cuts between them) and FOLDER/lines
(6,500 line drawings). With --photos, a folder of photographs, also FOLDER/photos: 6,500 pieces of them, of all sizes.
The photographs that the wheel of scikit-image holds (skimage/data/*.png and *.jpg) are enough. FOLDER/NAME-held holds
500 further pictures of each set, which no training sees. A set that exists is kept.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from inference_server.datasets.reading import FORMAT, VERSION  # noqa: E402
from inference_server.training.figures.knobs import latent  # noqa: E402
from inference_server.training.figures.scene import draw_picture  # noqa: E402

COUNT, FEW, HELD = 6500, 300, 500
SHOTS, FRAMES = 60, 96
"""Of the film; every second frame is taken, as the command dataset would with --rate 12."""
SEED = 11


def figures(size: int, first: int, count: int) -> Iterator[np.ndarray]:
    """Yield drawn families uint8 (size, size, 3)."""
    for index in range(first, first + count):
        yield draw_picture(latent(SEED, index), size)


def lines(size: int, first: int, count: int) -> Iterator[np.ndarray]:
    """Yield their outlines, black on white, uint8 (size, size, 3)."""
    for picture in figures(4 * size, first, count):
        whole = picture.astype(np.int16)
        edge = np.zeros(whole.shape[:2], bool)
        for axis in (0, 1):
            step = np.abs(np.diff(whole, axis=axis)).max(axis=2) > 24
            edge[tuple(slice(0, side) for side in step.shape)] |= step
        paper = np.where(edge, 0, 255).astype(np.uint8)
        small = Image.fromarray(paper).resize((size, size), Image.Resampling.BOX)
        yield np.repeat(np.asarray(small)[..., None], 3, axis=2)


def film(size: int, first: int, count: int) -> Iterator[np.ndarray]:
    """Yield frames: in each shot people change slowly while the camera moves over them and comes nearer."""
    made = 0
    shot = first  # so that other pictures are of other shots
    while made < count:
        random = np.random.RandomState(SEED + shot)
        ends = [latent(SEED + 1, 2 * shot), latent(SEED + 1, 2 * shot + 1)]
        scale, places = random.uniform(0.45, 0.9, 2), random.uniform(0, 1, (2, 2))
        for frame in range(0, FRAMES, 2):
            if made == count:
                return
            at = frame / (FRAMES - 1)
            whole = Image.fromarray(draw_picture((1 - 0.5 * at) * ends[0] + 0.5 * at * ends[1], 4 * size))
            side = 4 * size * ((1 - at) * scale[0] + at * scale[1])
            left, top = ((1 - at) * places[0] + at * places[1]) * (4 * size - side)
            box = (left, top, left + side, top + side)
            yield np.asarray(whole.resize((size, size), Image.Resampling.BOX, box))
            made += 1
        shot += 1


def pieces(photos: Path) -> Callable[[int, int, int], Iterator[np.ndarray]]:
    """Return what yields pieces of the photographs in a folder."""
    files = sorted(path for path in photos.iterdir() if path.suffix in (".png", ".jpg", ".jpeg"))
    pictures = [Image.open(path).convert("RGB") for path in files]
    pictures = [
        picture for picture in pictures if min(picture.size) >= 256 and len(picture.getcolors(1 << 24) or ()) > 256
    ]

    def cut(size: int, first: int, count: int) -> Iterator[np.ndarray]:
        for index in range(first, first + count):
            random = np.random.RandomState(SEED + index)
            picture = pictures[random.randint(len(pictures))]
            side = random.uniform(0.35, 1) * min(picture.size)
            left, top = (random.uniform(0, length - side) for length in picture.size)
            box = (left, top, left + side, top + side)
            yield np.asarray(picture.resize((size, size), Image.Resampling.BOX, box))

    return cut


def write(folder: Path, size: int, pictures: Iterator[np.ndarray]) -> None:
    """Write a data set, completely or not at all."""
    if folder.exists():
        return
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    (part / "pictures").mkdir(parents=True)
    for index, picture in enumerate(pictures):
        Image.fromarray(picture).save(part / "pictures" / f"{index:06d}.png", compress_level=1)
    about = {"width": size, "height": size, "channels": 3, "mirror": False, "source": "recipe_sets.py", "settings": {}}
    (part / "dataset.json").write_text(json.dumps({"format": FORMAT, "version": VERSION, **about}))
    part.rename(folder)


def main() -> None:
    """Write the sets that are missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--photos", type=Path)
    options = parser.parse_args()
    far = 1 << 20  # the first of the pictures that are held back
    kinds = {
        "figures": (figures, COUNT),
        "few": (figures, FEW),
        "film": (film, SHOTS * FRAMES // 2),
        "lines": (lines, COUNT),
    }
    if options.photos:
        kinds["photos"] = (pieces(options.photos), COUNT)
    for name, (make, count) in kinds.items():
        write(options.folder / name, options.size, make(options.size, 0, count))
        write(options.folder / f"{name}-held", options.size, make(options.size, far, HELD))
        print(f"{options.folder / name}: {count} pictures", flush=True)


if __name__ == "__main__":
    main()
