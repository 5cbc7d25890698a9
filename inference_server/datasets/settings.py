"""What a data set is to be like, and how its options are written."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

SMALLEST, LARGEST, STEP = 64, 1024, 32
"""Sides of the pictures, in pixels."""
CROPS = ("centre", "smart", "fit")
MOST_BITS = 6
"""The largest threshold for near-duplicates; see duplicates.py."""
GROUNDS = {"black": (0, 0, 0), "white": (255, 255, 255)}

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Settings:
    """All that decides which pictures are made of a source, and how. Field names are those of the options."""

    size: tuple[int, int] = (256, 256)
    """Width and height in pixels."""
    crop: str = "centre"
    """"centre"; "smart", where most detail is; "fit", the whole picture on the ground colour."""
    colour: str = "rgb"
    """"rgb" or "grey"."""
    alpha: bool = False
    """Keep transparency as a fourth channel."""
    mirror: bool = False
    ground: Colour = (0, 0, 0)
    """What transparent parts and the bars of "fit" are filled with."""
    key: Colour | None = None
    """The colour that is made transparent."""
    key_tolerance: float = 0.25
    """0 to 1; see cut_out.py."""
    trim: bool = False
    """Cut each picture to what is not transparent."""
    duplicates: int = 3
    """Pictures that differ by so many bits or fewer are the same; 0 keeps all. See duplicates.py."""
    every: int = 1
    """Of a film, each so-manieth frame."""
    rate: float | None = None
    """Of a film, frames for each second, instead of `every`."""
    start: float = 0.0
    end: float | None = None
    """Of a film, in seconds."""
    scenes: int = 0
    """Of a film, at most so many frames of each scene; 0 is all."""

    @property
    def channels(self) -> int:
        """1, 3 or 4."""
        return 1 if self.colour == "grey" else 4 if self.alpha else 3

    def as_json(self) -> dict[str, Any]:
        """The fields with lists for tuples, as JSON gives them back."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def problem(self) -> str:
        """A sentence about options that do not go together, "" where all is well."""
        if self.alpha and self.colour == "grey":
            return "Grey pictures with transparency cannot be trained on. Leave out --alpha or --colour grey."
        if self.end is not None and self.end <= self.start:
            return "--end must be later than --start."
        return ""


def parse_size(text: str) -> tuple[int, int]:
    """``"256"`` or ``"512x256"`` to width and height. Raises ValueError with a sentence that names a size near it."""
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
    """``"65"``, ``"1:05"`` or ``"0:01:05.5"`` to seconds. Raises ValueError with a sentence."""
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d*)?", text.strip()):
        raise ValueError(f"'{text}' is not a time. Write seconds, or minutes and seconds like 1:05.")
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def parse_colour(text: str) -> Colour:
    """``"black"``, ``"white"`` or ``"#00ff00"`` to red, green, blue. Raises ValueError with a sentence."""
    if text.lower() in GROUNDS:
        return GROUNDS[text.lower()]
    match = re.fullmatch(r"#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", text.strip())
    if not match:
        raise ValueError(f"'{text}' is not a colour. Write black, white, or six digits like #00ff00.")
    return int(match[1], 16), int(match[2], 16), int(match[3], 16)


def differing(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Words for the settings that differ, such as ``--size [256, 256]``, as the old ones were."""
    names = [name for name in new if old.get(name) != new[name]]
    return [f"--{name.replace('_', '-')} {_written(name, old.get(name))}" for name in names]


def _written(name: str, value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "on" if value is True else "off"
    if isinstance(value, list):
        return "x".join(map(str, value)) if name == "size" else "#" + "".join(f"{int(part):02x}" for part in value)
    return f"{value}"
