"""Temporary files that later get their final names, and removing those of killed processes. Standard library only."""

from __future__ import annotations

import itertools
import os
import re
import time
from pathlib import Path

PART_PATTERN = re.compile(r"\.part-(\d{1,10})-\d+")
STALE_AFTER_SECONDS = 3600.0

_part_numbers = itertools.count()


def part_beside(path: Path) -> Path:
    """Return a path for a temporary file in the folder of `path`. The name is unique and holds this process's id.

    Write to it, then rename it to `path`.
    """
    return path.with_name(f".part-{os.getpid()}-{next(_part_numbers)}")


def remove_stale_parts(folder: Path) -> int:
    """Remove the temporary files of ended processes from `folder`; return how many. Files of running processes are
    removed if they are older than STALE_AFTER_SECONDS, because the process may be a different one with the same id."""
    removed = 0
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return 0
    for entry in entries:
        match = PART_PATTERN.fullmatch(entry.name)
        if match is None or int(match[1]) == os.getpid():
            continue
        try:
            if not _is_alive(int(match[1])) or time.time() - entry.stat().st_mtime > STALE_AFTER_SECONDS:
                os.unlink(entry.path)
                removed += 1
        except OSError:
            continue
    return removed


def _is_alive(pid: int) -> bool:
    # On Windows, os.kill would end the process, so only the file's age decides there.
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    try:  # A zombie (ended, but its parent did not wait for it, as in a container without an init) still has its id.
        return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True
