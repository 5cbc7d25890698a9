"""Read the state of an environment from the disk; decide where on the disk it may be."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from .builds import by_key
from .locks import holder
from .making import interpreter
from .record import DOWNLOADS, LOCK, Record, leftovers, pins_of, read_record
from .states import SetupState, SetupStatus

INTERRUPTED = "The last set-up was interrupted."
LONGEST_PATH_INSIDE = 200
"""Characters of the longest path below an environment's folder; torch's licence files alone need 190."""

ALLOW_LONG_PATHS = "An administrator can allow long ones: https://pip.pypa.io/warnings/enable-long-paths."


def read_standing(folder: Path, server_root: Path) -> tuple[SetupStatus, Record | None]:
    """Return the state of the environment in `folder`, and its record, None if there is no record that can be read.

    Takes milliseconds, writes nothing and starts no process. server_root: as in `installation.Setup`.
    """
    free = free_room(folder)
    other = holder(folder / LOCK)
    try:
        record = read_record(folder)
    except ValueError as error:
        if other is None:
            return SetupStatus(SetupState.BROKEN, f"{error}.", leftovers=True, free=free), None
        record = None
    if other is not None:
        who = f" (process {other})" if other else ""
        words = f"Another Blender{who} is setting up inference."
        busy = SetupStatus(SetupState.INSTALLING, words, elsewhere=True, doing="In another Blender", free=free)
        return busy, record
    left = leftovers(folder, record)
    message = INTERRUPTED if any(path.name != DOWNLOADS for path in left) else ""
    if record is None:
        return SetupStatus(SetupState.NOT_SET_UP, message, leftovers=bool(left), free=free), None
    python, base = interpreter(folder / record.environment), f"Python {record.release}, {record.base}"
    known = SetupStatus(
        SetupState.READY,
        message,
        leftovers=bool(left),
        python=python,
        base=base,
        build=record.build_name,
        torch=record.torch,
        device=record.device,
        size=record.size,
        free=free,
    )
    lost = f"Python {record.release} at {record.base}" if not os.path.exists(record.base) else ""
    lost = lost or ("" if python.exists() else str(python))
    if lost:
        return replace(known, state=SetupState.BROKEN, message=f"{lost} is gone.", python=None), record
    if not _is_current(record, server_root):
        return replace(known, state=SetupState.OUTDATED), record
    return known, record


def free_room(folder: Path) -> int:
    """Return the free bytes on the disk on which `folder` is or would be made; 0 if they cannot be measured."""
    while not folder.exists() and folder.parent != folder:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def too_little_room(folder: Path, needed: int, free: int) -> str:
    """Return the sentence for a disk that has too little free room; sizes in bytes."""
    return (
        f"About {needed / 1e9:.1f} GB are needed on the disk of {folder}, and {free / 1e9:.1f} GB are free. "
        "Free some room on it, then try again."
    )


def is_too_long(folder: Path) -> bool:
    """Return whether paths below `folder` become longer than this Windows allows; False on other systems."""
    return sys.platform == "win32" and len(str(folder)) + LONGEST_PATH_INSIDE > 259 and not _long_paths_allowed()


def short_enough(folder: Path) -> Path:
    """Return `folder`, or a folder in the user's AppData if paths below `folder` would be too long for this Windows."""
    if not is_too_long(folder):
        return folder
    return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "LatentLantern"


def _long_paths_allowed() -> bool:
    if sys.platform != "win32":
        return True
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SYSTEM\CurrentControlSet\Control\FileSystem") as key:
            return bool(winreg.QueryValueEx(key, "LongPathsEnabled")[0])
    except OSError:
        return False


def _is_current(record: Record, server_root: Path) -> bool:
    build = by_key(record.build)
    try:
        return build is not None and pins_of(server_root, build, record.version) == record.pins
    except OSError:
        return False
