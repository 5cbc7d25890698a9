"""The contents of a set-up's folder: the record of the complete environment, and leftovers of unfinished attempts."""

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
"""The file that names the complete environment; written last. Any other environment in the folder is unfinished."""

LOCK = "setup.lock"
LOG = "setup.log"
DOWNLOADS = "downloads"
ENVIRONMENT = re.compile(r"[0-9a-f]{8}(-\d+)?")
"""The names of environments: short, because Windows limits the length of a path."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is known about the complete environment.

    environment: its folder's name. pins: the hash of the pins it was filled from. base: the interpreter it was made
    from. size: bytes on disk.
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
    """Return the folders that unfinished attempts have left in `folder`: only those that a set-up made."""
    kept = record.environment if record else ""
    try:
        entries = [entry for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    names = [entry.name for entry in entries if entry.name == DOWNLOADS or ENVIRONMENT.fullmatch(entry.name)]
    return [folder / name for name in sorted(names) if name != kept]


def pins_of(server_root: Path, build: Build, version: str) -> str:
    """Return the hash of the pins that an environment of a build and a Python ("3.11") is filled from."""
    return making.pins_digest(requirements(server_root, build), version, build.key)


def requirements(server_root: Path, build: Build) -> tuple[Path, Path]:
    """Return the two pin files of a build: for torch, and for the other packages."""
    folder = server_root / "inference_server" / "requirements"
    return folder / build.requirements, folder / "common.txt"


def write_record(folder: Path, record: Record) -> None:
    """Write the record, completely or not at all. It is on the disk before this returns and old files are deleted."""
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
