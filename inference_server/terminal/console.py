"""What the commands share: a renderer, lines on stderr, arrays from files, lists of numbers, progress."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from ..rendering.renderer import Renderer

DTYPES = ("float32", "float16", "bfloat16")
OWN = -1
"""A value of a setting; it means that the generator's own setting is used."""


class UsageError(Exception):
    """The arguments, or a file that they name, cannot be used. The text is for a person."""


def open_renderer(device: str | None, compiled: bool = False) -> Renderer:
    """Return a renderer on the device. Raises UsageError if the device cannot be used."""
    from ..rendering.renderer import DeviceError, Renderer

    try:
        return Renderer(device, compiled or None)
    except DeviceError as error:
        raise UsageError(str(error)) from None


def tell(level: str, text: str) -> None:
    """Print a line of the log on stderr."""
    print(f"{level}: {text}", file=sys.stderr)


def load_array(path: Path) -> np.ndarray:
    """Return the numbers of an .npy file: floats or integers, of any shape. Raises UsageError for anything else."""
    import numpy as np

    try:
        with open(path, "rb") as file:
            values = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"{path} cannot be read as .npy: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        raise UsageError(f"{path} does not hold an array of numbers.")
    return values


def show_progress(made: int, count: int) -> None:
    """Print on stderr how many frames are made, always in the same line. The line ends with the last frame."""
    print(f"\r{made} of {count} frames", end="\n" if made >= count else "", file=sys.stderr, flush=True)


def number_list(text: str) -> list[int]:
    """Return the numbers in a text like "1,2,5-8". Raises ArgumentTypeError for any other text."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise argparse.ArgumentTypeError(f"'{text}' is not a list of whole numbers like 1,2,5-8")
        low, high = int(first), int(last or first)
        if not low <= high < 1 << 32 or high - low >= 1 << 20:
            raise argparse.ArgumentTypeError(f"'{part}' is not a range of whole numbers")
        numbers.extend(range(low, high + 1))
    return numbers


def print_json(value: object) -> None:
    """Print a value as JSON for people and programs."""
    print(json.dumps(value, indent=2, ensure_ascii=False))
