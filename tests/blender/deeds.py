"""Watch what Python does in Blender except computing: files examined, opened, made; processes; sockets."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

DEEDS = ("open", "os.", "shutil.", "subprocess.", "socket.", "pty.", "webbrowser.", "urllib.", "bpy.load")
HARMLESS = ("os.putenv", "os.unsetenv", "os.listxattr")
LOOKS = ("stat", "lstat", "access", "readlink")
"""Functions of `os` that audit hooks do not report."""

MODULES = (sys.prefix, sys.base_prefix)
"""Folders of modules that are imported at the first use."""

_seen: list[tuple[str, str]] | None = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is None or not event.startswith(DEEDS) or event.startswith(HARMLESS):
        return
    what = os.fsdecode(arguments[0]) if arguments and isinstance(arguments[0], (str, bytes)) else repr(arguments)
    _note(event, what)


def _note(event: str, what: str) -> None:
    if not what.startswith(MODULES) and not what.endswith((".py", ".pyc")):
        _seen.append((event, what))


def _told(name: str) -> Any:
    real = getattr(os, name)

    def look(path: Any, *arguments: Any, **more: Any) -> Any:
        if _seen is not None and isinstance(path, (str, bytes, os.PathLike)):
            _note(f"os.{name}", os.fsdecode(path))
        return real(path, *arguments, **more)

    return look


sys.addaudithook(_hook)


@contextmanager
def watched() -> Iterator[list[tuple[str, str]]]:
    """Yield a list of what is done in the block: pairs of an event and its file, or its other arguments."""
    global _seen
    real = {name: getattr(os, name) for name in LOOKS}
    for name in LOOKS:
        setattr(os, name, _told(name))
    noted: list[tuple[str, str]] = []
    _seen = noted
    try:
        yield noted
    finally:
        _seen = None
        for name, function in real.items():
            setattr(os, name, function)
