"""A lock file between processes. The operating system releases it even when the process that holds it is killed."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_FAR_OFF = 1 << 30
"""Position of the byte that is locked on Windows, which keeps other processes from reading locked bytes.

It is far behind the bytes that are written, so that those can still be read.
"""


_PAUSE = 0.05


class Busy(Exception):
    """Raised when another process holds the lock; `holder` is its number, 0 if unknown."""

    def __init__(self, holder: int):
        super().__init__(f"held by process {holder}")
        self.holder = holder


@contextlib.contextmanager
def held(path: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock file `path`, which is made if it is missing. Waits for up to `patience` seconds.

    Raises Busy if another process still holds it then, and OSError.
    """
    deadline = time.monotonic() + patience
    with path.open("a+", encoding="ascii") as file:
        while not _try(file):
            if time.monotonic() >= deadline:
                raise Busy(_holder(path))
            time.sleep(_PAUSE)
        try:
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield
        finally:
            with contextlib.suppress(OSError):
                file.truncate(0)
            _release(file)


def holder(path: Path) -> int | None:
    """Return the number of the process that holds the lock file `path`, 0 if unknown; None if no process holds it.

    Makes no file. This takes the lock for an instant, so a process that wants to hold it needs a little patience.
    """
    try:
        with path.open("r+", encoding="ascii") as file:
            if _try(file):
                _release(file)
                return None
    except OSError:
        return None
    return _holder(path)


def _holder(path: Path) -> int:
    try:
        return int(path.read_text("ascii") or 0)
    except (OSError, ValueError):
        return 0


def _try(file: IO[str]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(_FAR_OFF)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            file.seek(0)
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _release(file: IO[str]) -> None:
    if sys.platform == "win32":
        import msvcrt

        file.seek(_FAR_OFF)
        with contextlib.suppress(OSError):
            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
    else:
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_UN)
