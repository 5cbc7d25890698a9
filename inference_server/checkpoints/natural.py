"""The order in which people number names."""

from __future__ import annotations

import re


def natural(name: str) -> list[tuple[bool, int, str]]:
    """Return a key that sorts numbers in names as numbers: "layer 2" before "layer 10"."""
    # A name in a file may be one endless number, so that only so many digits are read as one.
    pieces = re.split(r"(\d{1,18})", name)
    return [(not piece.isdecimal(), int(piece) if piece.isdecimal() else 0, piece) for piece in pieces]
