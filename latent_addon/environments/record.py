"""What lies in the folder of a set-up: the record of the environment that is whole, and what others have left."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from . import making
from .builds import Build

RECORD = "ready.json"
"""Names the environment that is whole; written last. Whatever else lies there was left unfinished."""

LOCK = "setup.lock"
LOG = "setup.log"
DOWNLOADS = "downloads"
ENVIRONMENT = re.compile(r"[0-9a-f]{8}(-\d+)?")
"""The names of environments: short, because Windows counts the letters of a path."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of the environment that is whole.

    environment: its folder's name. pins: the hash of what it was filled from. base: the interpreter it was made from.
    size: bytes on disk.
    """

    environment: str
    pins: str
    build: str
    build_name: str
    version: str
    release: str
    base: str
    torch: str
    device: str
    size: int


def read_record(folder: Path) -> Record | None:
    """Return the record in `folder`, None if there is none. Raises ValueError if it is damaged."""
    try:
        values = json.loads((folder / RECORD).read_text("utf-8"))
        record = Record(**values)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{folder / RECORD} cannot be read: {error}") from None
    types = Record.__annotations__
    whole = all(isinstance(value, int if types[name] == "int" else str) for name, value in asdict(record).items())
    if not whole or not ENVIRONMENT.fullmatch(record.environment):
        raise ValueError(f"{folder / RECORD} does not hold what it should")
    return record


def leftovers(folder: Path, record: Record | None) -> list[Path]:
    """Return what unfinished attempts have left in `folder`: nothing that is not of our making."""
    kept = record.environment if record else ""
    try:
        entries = [entry for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    names = [entry.name for entry in entries if entry.name == DOWNLOADS or ENVIRONMENT.fullmatch(entry.name)]
    return [folder / name for name in sorted(names) if name != kept]


def pins_of(server_root: Path, build: Build, version: str) -> str:
    """Return the hash of what an environment of a build and a Python ("3.11") is filled from."""
    return making.pins_digest(requirements(server_root, build), version, build.key)


def requirements(server_root: Path, build: Build) -> tuple[Path, Path]:
    """Return the pin files of a build: of torch, and of the rest."""
    folder = server_root / "inference_server" / "requirements"
    return folder / build.requirements, folder / "common.txt"


def write_record(folder: Path, record: Record) -> None:
    """Write the record, whole or not at all, and onto the disk before anything older is deleted."""
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=RECORD)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(record), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / RECORD)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
