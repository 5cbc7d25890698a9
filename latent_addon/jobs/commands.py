"""Command lines that make a data set or train a generator on the inference server; checks of their names and sizes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

SMALLEST, LARGEST, STEP = 64, 1024, 32
"""Smallest and largest side of the pictures of a data set, and the step between sides, in pixels."""

PLAIN_SIZES = (64, 128, 256, 512, 1024)
"""Sides of square pictures that the panel offers."""

LONGEST_NAME = 60
_FORBIDDEN = re.compile(r'[\x00-\x1f<>:"/\\|?*]+')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


Colour = tuple[float, float, float]


@dataclass(frozen=True)
class DataSetOrder:
    """A data set to make.

    source: a film, a folder, or a text file of paths. every: of a film, one frame out of this many is used. ground: the
    colour that fills transparent parts and bars. key: the colour that is made transparent, None for none. Both are red,
    green, blue from 0 to 1, in sRGB. trim: cut pictures to the part that is not transparent.
    """

    source: Path
    out: Path
    width: int
    height: int
    crop: str = "centre"
    mirror: bool = False
    every: int = 1
    ground: Colour = (0.0, 0.0, 0.0)
    key: Colour | None = None
    trim: bool = False

    def arguments(self) -> list[str]:
        """Return the command line after the module's name."""
        size = str(self.width) if self.width == self.height else f"{self.width}x{self.height}"
        words = ["dataset", str(self.source), str(self.out), "--size", size, "--crop", self.crop, "--nice"]
        if self.mirror:
            words.append("--mirror")
        if self.every > 1:
            words += ["--every", str(self.every)]
        if any(self.ground):
            words += ["--ground", _hexadecimal(self.ground)]
        if self.key is not None:
            words += ["--key", _hexadecimal(self.key)]
        if self.trim:
            words.append("--trim")
        return words


@dataclass(frozen=True)
class TrainingOrder:
    """A training to begin.

    kind: "" lets the server choose what fits the machine. start: the checkpoint or run that it starts from, None to
    start from nothing.
    """

    data_set: Path
    out: Path
    hours: float
    kind: str = ""
    start: Path | None = None
    name: str = ""

    def arguments(self) -> list[str]:
        """Return the command line after the module's name."""
        words = ["train", str(self.data_set), "--out", str(self.out), "--hours", f"{self.hours:g}"]
        words += ["--name", self.name or self.out.name, "--nice"]
        if self.start is not None:
            words += ["--from", str(self.start)]  # which decides the kind
        elif self.kind:
            words += ["--kind", self.kind]
        return words


def resume_arguments(run: Path, images: int = 0) -> list[str]:
    """Return the command line that continues a run until `images` pictures were seen; 0 keeps the run's own plan."""
    return ["train", "--resume", str(run), "--nice", *(["--images", str(images)] if images else [])]


def _hexadecimal(colour: Colour) -> str:
    return "#" + "".join(f"{round(255 * min(1.0, max(0.0, part))):02x}" for part in colour)


def check_size(width: int, height: int) -> str:
    """Return "" if pictures may have this size, else a sentence that names the nearest size that they may have."""
    if all(SMALLEST <= side <= LARGEST and side % STEP == 0 for side in (width, height)):
        return ""
    near = [max(SMALLEST, min(LARGEST, STEP * round(side / STEP))) for side in (width, height)]
    return (
        f"Pictures of {width} x {height} cannot be trained on: both sides must be multiples of {STEP} from {SMALLEST} "
        f"to {LARGEST}. {near[0]} x {near[1]} is near."
    )


def folder_name(text: str) -> str:
    """Return a folder name that is allowed on every system, close to `text`; "" if nothing of the text can be used."""
    name = " ".join(_FORBIDDEN.sub(" ", text).split())[:LONGEST_NAME].strip(" .")
    return f"{name} set" if _DEVICES.fullmatch(name) else name


def free_folder(parent: Path, name: str, may_use: Callable[[Path], bool] = lambda _: False) -> Path:
    """Return a folder with this name in `parent`, with a number after it if one exists that may not be used."""
    number = 1
    while True:
        path = parent / (name if number == 1 else f"{name} {number}")
        if not path.exists() or may_use(path):
            return path
        number += 1


def write_paths(file: Path, paths: Iterable[str]) -> int:
    """Write a text file with a path on each line, each path once, in order; return how many. Raises OSError."""
    once = list(dict.fromkeys(paths))
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    part.write_text("".join(f"{path}\n" for path in once), encoding="utf-8")
    part.replace(file)
    return len(once)
