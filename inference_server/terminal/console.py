"""What the commands have in common: a renderer that speaks to stderr, arrays of files, and progress."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from ..commands.cli import UsageError
from ..rendering.renderer import DeviceError, Renderer


def open_renderer(device: str | None, compiled: bool = False) -> Renderer:
    """Return a renderer that tells of itself on stderr. Raises UsageError."""
    try:
        return Renderer(device, tell, compiled or None)
    except DeviceError as error:
        raise UsageError(str(error)) from None


def tell(level: str, text: str) -> None:
    """Print a line of the log on stderr."""
    print(f"{level}: {text}", file=sys.stderr)


def load_array(path: Path) -> np.ndarray:
    """Return the numbers of an .npy file, of whatever kind they are. Raises UsageError."""
    try:
        with open(path, "rb") as file:
            values = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"{path} cannot be read as .npy: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        raise UsageError(f"{path} does not hold an array of numbers.")
    return values


def show_progress(made: int, count: int) -> None:
    """Say on stderr how many frames are made; the line ends with the last one."""
    print(f"\r{made} of {count} frames", end="\n" if made >= count else "", file=sys.stderr, flush=True)
