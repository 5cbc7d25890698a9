"""Watch what Python does except computing: files, imports, code, processes, sockets. Uses Python's audit hooks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

HARMLESS = (
    "object.__getattr__",
    "object.__setattr__",
    "mmap.__new__",
    "sys._getframe",
    "sys._current_frames",
    "gc.",
    "cpython.",
    "sys.unraisablehook",
    "os.scandir",
    "os.listdir",
    "builtins.id",
    "time.sleep",
)
"""Beginnings of the names of events that touch nothing outside the process's memory."""

_seen: list[str] | None = None
_allowed: set[str] = set()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is None or event.startswith(HARMLESS):
        return
    if event == "open" and _is_allowed(*arguments):
        return
    _seen.append(f"{event} {arguments!r}"[:300])


def _is_allowed(path: Any, mode: str | None, flags: int) -> bool:
    """Return whether this event reads one of the given files."""
    if not isinstance(path, (str, bytes, os.PathLike)) or os.fsdecode(path) not in _allowed:
        return False
    return not set(mode or "") & set("wax+") and not flags & (os.O_WRONLY | os.O_RDWR)


sys.addaudithook(_hook)


@contextmanager
def watched(*paths: str | os.PathLike[str]) -> Iterator[list[str]]:
    """Yield a list of everything that is done in the block, except reading the given files."""
    global _seen
    _allowed.clear()
    _allowed.update(os.fspath(path) for path in paths)
    noted: list[str] = []
    _seen = noted
    try:
        yield noted
    finally:
        _seen = None
