"""From any file to a generator: recognise what the file is, read it, convert it."""

from __future__ import annotations

import os
from pathlib import Path

from inference_server.generators.base import Generator

from .errors import CheckpointError
from .native import read_native


def load_generator(path: str | os.PathLike[str]) -> Generator:
    """Read a generator from a checkpoint of any kind; on the CPU, in float32, ready for use.

    Raises:
        CheckpointError: with a sentence for a person.
    """
    path = Path(path)
    _check_kind_of_file(path)
    return read_native(path)


def _check_kind_of_file(path: Path) -> None:
    """Raise for what is plainly something else, in words that say what it is."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(512)
    except FileNotFoundError:
        raise CheckpointError(f"There is no file {path}; it was moved or deleted.") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    if not start:
        raise CheckpointError(f"{path.name} is empty; download or copy it again.")
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path.name} is a Git LFS pointer and not the weights; fetch it with 'git lfs pull'.")
    if start.lstrip()[:1] == b"<":
        raise CheckpointError(f"{path.name} is a web page and not weights; the download went wrong.")
    if start.startswith((b"PK\x03\x04", b"\x80")):
        raise CheckpointError(f"{path.name} is a Python pickle or zip checkpoint, which is not read here.")
    length = int.from_bytes(start[:8], "little")
    if start[8:9] != b"{":
        raise CheckpointError(f"{path.name} is not a checkpoint that Latent Lantern knows.")
    if 8 + length > size:
        raise CheckpointError(f"{path.name} is cut short; download or copy it again.")
