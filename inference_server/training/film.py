"""A training as a film: the same latents through all snapshots of a run, in a grid.

Between two snapshots the weights are blended. This is done by the code that draws a scrubbed training in Blender, so
that a frame of the film has the same pixels as a frame of the timeline. The snapshots of a run made here are close
together at first and further apart later. So if each snapshot gets the same time, the quick beginning is shown slowly:
this is ``--by snapshots``, the default.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lantern_protocol.orders import RenderSettings, ShadowSettings

from ..checkpoints import CheckpointError
from ..checkpoints.snapshots import find_snapshots
from ..generators.base import GeneratorInfo
from ..pixels.shadow import make_shadow
from ..rendering.batches import Frames, check_latents
from ..rendering.renderer import Renderer
from ..rendering.seeds import sample_seeds
from ..terminal.console import UsageError, load_array, open_renderer, show_progress
from .film_writing import check_free, open_sink

LONGEST = 1_000_000
"""A film has fewer frames than this."""
MOST_LATENTS = 1024
WIDE = 1.6
"""Width divided by height that a grid should come close to."""
NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Look:
    """How the pictures of a frame are laid out.

    columns: of the grid. shadow: whether pictures become shadows by Marrow's rule. label: whether a line of text is
    below.
    """

    columns: int
    shadow: bool
    label: bool


def film(options: argparse.Namespace) -> int:
    """Write the film that the options ask for."""
    _check(options)
    try:
        snapshots = find_snapshots(options.run_folder)
    except CheckpointError as error:
        raise UsageError(str(error)) from None
    if len(snapshots) < 2:
        raise UsageError(
            f"{options.run_folder} holds one snapshot only, {snapshots[0].name}; a film shows the way from one to the "
            "next. Train longer, or make a picture with the command generate."
        )
    images = images_seen(snapshots)
    if images is None and options.by == "images":
        raise UsageError(
            f"The snapshots in {options.run_folder} do not all say in their names how many images they have seen; "
            "leave --by out."
        )
    check_free(options.out, options.overwrite)
    renderer = open_renderer(options.device, options.compile)
    info = renderer.open(str(snapshots[0]), None).info
    latents = _read_latents(options, info)
    columns = min(options.columns or best_columns(len(latents), info.width, info.height), len(latents))
    look = Look(columns, options.shadow, options.label)
    fps = Fraction(options.fps).limit_denominator(1001)
    places = _places(options, len(snapshots), images)
    lingering = round(options.linger * options.fps)
    with open_sink(options.out, fps) as sink:
        places = np.append(places, np.repeat(places[-1:], lingering))
        drawn = pictures_at(renderer, snapshots, latents, options.psi, places)
        for made, (place, pictures) in enumerate(drawn, 1):
            sink.write(lay_out(pictures, look, _text(place, snapshots, images)))
            show_progress(made, len(places))
    print(f"{len(places)} frames of {len(snapshots)} snapshots in {options.out}")
    return 0


def _check(options: argparse.Namespace) -> None:
    if not 0 < options.fps <= 1000:
        raise UsageError("--fps must lie between 0 and 1000.")
    if options.hold < 1:
        raise UsageError("--hold must be 1 or more.")
    if options.seconds is not None and not 0 < options.seconds * options.fps < LONGEST:
        raise UsageError(f"--seconds must be more than 0, and the film must have fewer than {LONGEST:,} frames.")
    if not 0 <= options.linger * options.fps < LONGEST:
        raise UsageError("--linger must be 0 or more seconds.")
    if not math.isfinite(options.psi):
        raise UsageError("--psi must be a finite number.")
    if options.columns is not None and options.columns < 1:
        raise UsageError("--columns must be 1 or more.")
    if not options.run_folder.is_dir():
        raise UsageError(f"{options.run_folder} is not a folder. Name a run's folder.")


def _read_latents(options: argparse.Namespace, info: GeneratorInfo) -> np.ndarray:
    """Return z, float32 (n, z_dim): from the seeds, the file, the run's previews, or else from the seeds 1 to 16."""
    own = options.run_folder / "preview_latents.npy"
    file = own if options.latents is None and own.exists() else options.latents
    seeds: list[int] = []
    latents: np.ndarray | None = None
    if options.seeds is not None or file is None:
        seeds = options.seeds or list(range(1, 17))
        count = len(seeds)
    else:
        latents = np.ascontiguousarray(load_array(file), dtype=np.float32)
        latents = latents[None] if latents.ndim == 1 else latents
        if latents.ndim != 2 or latents.shape[1] != info.z_dim or not np.isfinite(latents).all() or not len(latents):
            raise UsageError(
                f"{file} holds {' x '.join(map(str, latents.shape))} numbers; '{info.name}' needs {info.z_dim} finite "
                "numbers in each row. Choose another file with --latents, or --seeds."
            )
        count = len(latents)
    if count > MOST_LATENTS:
        raise UsageError(f"{count} latents are too many for one picture; {MOST_LATENTS} are the limit.")
    if latents is None:
        latents = sample_seeds(seeds, info.z_dim)
    check_latents(info, "z", latents)
    return latents


def images_seen(snapshots: list[Path]) -> list[int] | None:
    """Return the last number in each snapshot's name: how many images it has seen.

    Snapshots made here are numbered by images. Others are perhaps numbered by thousands of images, which is as good for
    a pace. None if a name has no number, if the names differ in more than their numbers, or if the last number does not
    increase.
    """
    names = [NUMBER.split(path.stem) for path in snapshots]
    numbers = [NUMBER.findall(path.stem) for path in snapshots]
    if any(name != names[0] or not found for name, found in zip(names, numbers, strict=True)):
        return None
    seen = [int(found[-1]) for found in numbers]
    return seen if all(a < b for a, b in pairwise(seen)) else None


def _places(options: argparse.Namespace, count: int, images: list[int] | None) -> np.ndarray:
    steps = count if options.cut else count - 1
    frames = steps * options.hold + (not options.cut)
    if options.seconds is not None:
        frames = max(2, round(options.seconds * options.fps))
    return places_of(frames, count, images if options.by == "images" else None, options.cut)


def places_of(frames: int, count: int, images: list[int] | None, cut: bool) -> np.ndarray:
    """Return where in the row of snapshots each frame lies.

    Args:
        frames: how many frames there are.
        count: how many snapshots there are.
        images: seen by each snapshot, to pass through the images at an even pace; None gives each snapshot the same
            time.
        cut: whether to show whole snapshots only.

    Returns:
        float64 (frames,), from 0 to count - 1; 1.25 is a quarter of the way from the second snapshot to the third.
    """
    if images is None and cut:
        return (np.arange(frames) * count // frames).astype(float)
    share = np.linspace(0, 1, frames)
    if images is None:
        places = share * (count - 1)
    else:
        places = np.interp(images[0] + share * (images[-1] - images[0]), images, np.arange(count))
    # A frame that falls on a snapshot must be exactly that snapshot, in spite of rounding.
    whole = np.round(places)
    places = np.where(np.abs(places - whole) < 1e-9, whole, places)
    return np.floor(places) if cut else places


def pictures_at(
    renderer: Renderer, snapshots: list[Path], latents: np.ndarray, psi: float, places: np.ndarray
) -> Iterator[tuple[float, list[np.ndarray]]]:
    """Yield each place with the pictures of the latents there, uint8 (height, width, channels).

    Args:
        renderer: draws the pictures.
        snapshots: of one training, in order.
        latents: z, float32 (n, z_dim).
        psi: truncation.
        places: as ``places_of`` returns them.

    Raises:
        ProtocolError: if a snapshot cannot be read, or its network differs from the network of its neighbour.
    """
    at, pictures = None, []
    for place in places.tolist():
        if place != at:
            index = int(place)
            toward = (str(snapshots[index + 1]), None) if place > index else None
            loaded = renderer.open_between(str(snapshots[index]), None, toward, place - index)
            frames = Frames.of("z", latents, RenderSettings(psi, loaded.info.default_cutoff))
            at, pictures = place, [picture.pixels() for picture in renderer.render(loaded, frames)]
        yield place, pictures


def best_columns(count: int, width: int, height: int) -> int:
    """Return how many columns make a grid that is a little wider than high and has few empty places."""

    def ugliness(columns: int) -> float:
        rows = -(-count // columns)
        aspect = columns * width / (rows * height)
        return abs(math.log(aspect / WIDE)) + 3 * (columns * rows - count) / count

    return min(range(1, count + 1), key=ugliness)


def lay_out(pictures: list[np.ndarray], look: Look, text: str = "") -> np.ndarray:
    """Lay pictures (height, width, channels) out in a grid, with a line of text below: uint8 (height, width, 3)."""
    ground = 255 if look.shadow else 0
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // look.columns)
    grid = np.full((rows * height, look.columns * width, 3), ground, np.uint8)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, look.columns)
        shown = make_shadow(picture, ShadowSettings()) if look.shadow else picture
        grid[row * height : (row + 1) * height, column * width : (column + 1) * width] = _opaque(shown)
    return np.concatenate([grid, _line(text, grid.shape, ground)]) if look.label else grid


def _opaque(picture: np.ndarray) -> np.ndarray:
    """Return an RGB or grey picture as it is, and an RGBA picture over black."""
    if picture.shape[2] < 4:
        return picture
    return (picture[..., :3].astype(np.int32) * picture[..., 3:] // 255).astype(np.uint8)


def _line(text: str, grid: tuple[int, ...], ground: int) -> np.ndarray:
    """Return a picture of a line of text, as wide as the grid: uint8 (height, width, 3)."""
    height = max(16, min(grid[0], grid[1]) // 18)
    image = Image.new("L", (grid[1], height), ground)
    font = ImageFont.load_default(height * 0.62)
    ImageDraw.Draw(image).text((height / 3, height / 2), text, 255 - ground, font, anchor="lm")
    return np.repeat(np.asarray(image)[:, :, None], 3, axis=2)


def _text(place: float, snapshots: list[Path], images: list[int] | None) -> str:
    """Return how many images were seen at a place; for a training that was not made here, the snapshot's name."""
    if images is None or not snapshots[0].stem.startswith("snapshot-"):
        return snapshots[int(place)].stem
    return f"{round(float(np.interp(place, np.arange(len(images)), images))):,} images"
