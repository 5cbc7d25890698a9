"""The files of a job that runs on its own: making a data set, or a training.

A job runs in its own process, which may run longer than Blender. Other programs learn about the job only from the
files in its folder. Both sides import this module; it needs only the standard library.

- ``status.json``: a ``Status``, replaced every two seconds.
- ``lock``: locked by the process as long as it runs. The system frees the lock however the process ends, so a killed
  job never looks like a running one.
- ``stop``: made by a program that wants the job to stop. The job then saves its work and ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO

STATUS_FILE = "status.json"
STOP_FILE = "stop"
LOCK_FILE = "lock"
STATES = ("starting", "working", "finished", "stopped", "failed")
LONGEST_TEXT = 2000


class JobBusy(Exception):
    """Another process works in this folder. The text is for a person."""


@dataclass(frozen=True)
class Status:
    """The last report of a job about itself. Paths are relative to its folder; "" means that there is none."""

    job: str
    """"dataset" or "training"."""
    state: str
    """One of ``STATES``. If it is "starting" or "working", but the folder is not locked, the job was killed: see
    ``is_running``."""
    message: str = ""
    """A sentence: what the job does, or why it failed."""
    done: int = 0
    total: int = 0
    """How many ``unit`` there are to do; 0 if it is not known yet."""
    unit: str = "images"
    rate: float = 0.0
    """How many ``unit`` were done per second recently."""
    seconds: float = 0.0
    """Time spent so far, including the time before the job was resumed."""
    seconds_left: float = 0.0
    """An estimate; 0 if there is none."""
    picture: str = ""
    """The newest contact sheet or preview grid."""
    facts: dict[str, str | float] = field(default_factory=dict)
    """More numbers and words to show, such as losses, by name."""
    pid: int = 0
    updated: float = 0.0
    """Seconds since 1970."""


def write_json(path: Path, value: object) -> None:
    """Write JSON to a temporary file in the same folder, then rename that file to `path`. Raises OSError."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; {} if there is no file or it holds something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def write_status(folder: Path, status: Status) -> None:
    """Replace the status in the folder. Raises OSError."""
    write_json(folder / STATUS_FILE, asdict(status))


def read_status(folder: Path) -> Status | None:
    """Return the status in the folder, None if there is no usable one. Fields of a wrong type get their default."""
    values = read_json(folder / STATUS_FILE)
    defaults = Status(job="", state="")
    kept: dict[str, Any] = {}
    for one in fields(Status):
        value, default = values.get(one.name), getattr(defaults, one.name)
        if isinstance(default, str) and isinstance(value, str):
            kept[one.name] = value[:LONGEST_TEXT]
        elif isinstance(default, int | float) and isinstance(value, int | float) and not isinstance(value, bool):
            with contextlib.suppress(ValueError, OverflowError):
                kept[one.name] = type(default)(value)
        elif isinstance(default, dict) and isinstance(value, Mapping):
            kept[one.name] = {
                str(key)[:60]: fact for key, fact in list(value.items())[:40] if isinstance(fact, str | int | float)
            }
    if kept.get("state") not in STATES or not kept.get("job"):
        return None
    return Status(**kept)


def ask_to_stop(folder: Path) -> None:
    """Ask the job in the folder to save its work and to end. Raises OSError."""
    (folder / STOP_FILE).touch()


def is_running(folder: Path) -> bool:
    """Return whether a process works in the folder now."""
    try:
        file = (folder / LOCK_FILE).open("r+b")
    except OSError:
        return False
    with file:
        if not _lock(file):
            return True
        _unlock(file)
    return False


def duration(seconds: float) -> str:
    """Return a time as text for people: "40 s", "12 min", "3 h 20 min", "2 days 4 h"."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{hours // 24} days {hours % 24} h"


class FolderLock:
    """Locks a folder for this process. Raises JobBusy if another process has locked it, and OSError."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / LOCK_FILE).open("a+b")
        for _attempt in range(20):  # is_running() in another process locks the folder for an instant
            if _lock(self._file):
                return
            time.sleep(0.05)
        self._file.close()
        raise JobBusy(f"Another process is at work in {folder}. Wait for it, or stop it first.")

    def release(self) -> None:
        """Unlock the folder."""
        if not self._file.closed:
            _unlock(self._file)
            self._file.close()


if os.name == "nt":
    import msvcrt

    def _lock(file: BinaryIO) -> bool:
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(file: BinaryIO) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: BinaryIO) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks: it is better to work without a lock than not at all
            return True
        return True

    def _unlock(file: BinaryIO) -> None:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)
