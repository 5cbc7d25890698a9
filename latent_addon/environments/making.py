"""Make an environment and fill it."""

from __future__ import annotations

from pathlib import Path


def pinned(requirements: Path) -> list[str]:
    """Return the lines of a pin file that are neither empty nor comments."""
    return [line for line in requirements.read_text("utf-8").splitlines() if line and line[0] != "#"]
