"""What the inference server is asked to do for a data set or a training: names, checks, command lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

SMALLEST, LARGEST, STEP = 64, 1024, 32
"""Sides of the pictures of a data set, in pixels."""

PLAIN_SIZES = (64, 128, 256, 512, 1024)
"""Sides that are offered by themselves."""

LONGEST_NAME = 60
_FORBIDDEN = re.compile(r'[\x00-\x1f<>:"/\\|?*]+')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


Colour = tuple[float, float, float]


@dataclass(frozen=True)
class DataSetOrder:
    """A data set to make.

    source: a film, a folder, or a text file of paths. every: of a film, which frames. ground: what transparent parts
    and bars are filled with; key: the colour that is made transparent, None for none; both red, green, blue from 0 to
    1, as they are seen. trim: cut pictures to what is not transparent.
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
        """The command line, after the module's name."""
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
    """A training to begin. start: the checkpoint or run that it begins with, None for nothing."""

    data_set: Path
    out: Path
    hours: float
    kind: str = "stylegan2"
    start: Path | None = None
    name: str = ""

    def arguments(self) -> list[str]:
        """The command line, after the module's name."""
        words = ["train", str(self.data_set), "--out", str(self.out), "--hours", f"{self.hours:g}"]
        words += ["--name", self.name or self.out.name, "--nice"]
        # What it starts from says itself of what kind it is.
        words += ["--kind", self.kind] if self.start is None else ["--from", str(self.start)]
        return words


def resume_arguments(run: Path, images: int = 0) -> list[str]:
    """The command line that goes on with a run; until `images` were seen, 0 as it was planned."""
    return ["train", "--resume", str(run), "--nice", *(["--images", str(images)] if images else [])]


def _hexadecimal(colour: Colour) -> str:
    return "#" + "".join(f"{round(255 * min(1.0, max(0.0, part))):02x}" for part in colour)


def check_size(width: int, height: int) -> str:
    """Return "" where pictures may have this size, else a sentence that names one near it."""
    if all(SMALLEST <= side <= LARGEST and side % STEP == 0 for side in (width, height)):
        return ""
    near = [max(SMALLEST, min(LARGEST, STEP * round(side / STEP))) for side in (width, height)]
    return (
        f"Pictures of {width} x {height} cannot be trained on: both sides must be multiples of {STEP} from {SMALLEST} "
        f"to {LARGEST}. {near[0]} x {near[1]} is near."
    )


def folder_name(text: str) -> str:
    """A name for a folder on any system, like the text; "" where nothing of it can be used."""
    name = " ".join(_FORBIDDEN.sub(" ", text).split())[:LONGEST_NAME].strip(" .")
    return f"{name} set" if _DEVICES.fullmatch(name) else name


def free_folder(parent: Path, name: str, may_use: Callable[[Path], bool] = lambda _: False) -> Path:
    """A folder of this name, with a number after it where there is one that may not be used."""
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
