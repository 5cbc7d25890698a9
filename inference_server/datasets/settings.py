"""The settings of a data set, and how its options are written."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

SMALLEST, LARGEST, STEP = 64, 1024, 32
"""Limits for the sides of the pictures, in pixels; sides are multiples of STEP."""
CROPS = ("centre", "smart", "fit")
MOST_BITS = 6
"""The largest threshold for near-duplicates; see duplicates.py."""
GROUNDS = {"black": (0, 0, 0), "white": (255, 255, 255)}

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Settings:
    """Everything that decides which pictures are made from a source, and how. The fields have the options' names."""

    size: tuple[int, int] = (256, 256)
    """Width and height in pixels."""
    crop: str = "centre"
    """"centre"; "smart": the part with the most detail; "fit": the whole picture on the ground colour."""
    colour: str = "rgb"
    """"rgb" or "grey"."""
    alpha: bool = False
    """Whether to keep transparency as a fourth channel."""
    mirror: bool = False
    ground: Colour = (0, 0, 0)
    """The colour that fills transparent parts and the bars of "fit"."""
    key: Colour | None = None
    """The colour that is made transparent, or None."""
    key_tolerance: float = 0.25
    """0 to 1; see cut_out.py."""
    trim: bool = False
    """Whether to cut each picture to the part that is not transparent."""
    duplicates: int = 3
    """Pictures that differ by this many bits or fewer are near-duplicates; 0 keeps all. See duplicates.py."""
    every: int = 1
    """For a film: 1 takes every frame, 2 takes every second frame, and so on."""
    rate: float | None = None
    """For a film: how many frames are taken per second, instead of `every`."""
    start: float = 0.0
    end: float | None = None
    """For a film: `start` and `end` of the part that is used, in seconds."""
    scenes: int = 0
    """For a film: how many frames are taken from each scene at most; 0 is all."""

    @property
    def channels(self) -> int:
        """Return the number of channels: 1, 3 or 4."""
        return 1 if self.colour == "grey" else 4 if self.alpha else 3

    def as_json(self) -> dict[str, Any]:
        """Return the fields with lists instead of tuples, because JSON has only lists."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def problem(self) -> str:
        """Return a sentence about options that cannot be used together; "" if there are none."""
        if self.alpha and self.colour == "grey":
            return "Grey pictures with transparency cannot be trained on. Leave out --alpha or --colour grey."
        if self.end is not None and self.end <= self.start:
            return "--end must be later than --start."
        return ""


def parse_size(text: str) -> tuple[int, int]:
    """Return width and height from ``"256"`` or ``"512x256"``.

    Raises ValueError with a sentence for people; if the size is not allowed, the sentence suggests a similar one.
    """
    match = re.fullmatch(r"(\d{1,5})(?:[xX*](\d{1,5}))?", text.strip())
    if not match:
        raise ValueError(f"'{text}' is not a size. Write 256, or 512x256 for width and height.")
    width, height = int(match[1]), int(match[2] or match[1])
    if all(SMALLEST <= side <= LARGEST and side % STEP == 0 for side in (width, height)):
        return width, height
    near = [max(SMALLEST, min(LARGEST, STEP * round(side / STEP))) for side in (width, height)]
    raise ValueError(
        f"pictures of {width} x {height} cannot be trained on: both sides must be multiples of {STEP} from {SMALLEST} "
        f"to {LARGEST}. {near[0]} x {near[1]} is near."
    )


def parse_time(text: str) -> float:
    """Return seconds from ``"65"``, ``"1:05"`` or ``"0:01:05.5"``. Raises ValueError with a sentence for people."""
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d*)?", text.strip()):
        raise ValueError(f"'{text}' is not a time. Write seconds, or minutes and seconds like 1:05.")
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def parse_colour(text: str) -> Colour:
    """Return red, green and blue, 0 to 255, from ``"black"``, ``"white"`` or ``"#00ff00"``.

    Raises ValueError with a sentence for people.
    """
    if text.lower() in GROUNDS:
        return GROUNDS[text.lower()]
    match = re.fullmatch(r"#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", text.strip())
    if not match:
        raise ValueError(f"'{text}' is not a colour. Write black, white, or six digits like #00ff00.")
    return int(match[1], 16), int(match[2], 16), int(match[3], 16)


def differing(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return the settings that differ, with their old values, such as ``--size 256x256``."""
    names = [name for name in new if old.get(name) != new[name]]
    return [f"--{name.replace('_', '-')} {_written(name, old.get(name))}" for name in names]


def _written(name: str, value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "on" if value is True else "off"
    if isinstance(value, list):
        return "x".join(map(str, value)) if name == "size" else "#" + "".join(f"{int(part):02x}" for part in value)
    return f"{value}"
