"""Find the processes that are left. They are known by the session that a server was started in: children stay in it."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path


def members(sessions: Collection[int]) -> dict[int, str]:
    """Processes of these sessions by their id, with their command lines. Zombies do not count: they only wait."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            state, _parent, _group, session, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(session) in sessions and state != "Z":
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except (OSError, ValueError):
            continue  # it ended meanwhile
    return found


def naming(text: str) -> dict[int, str]:
    """Processes whose command line contains `text`, except this process."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:
                continue
            if text in command:
                found[int(folder.name)] = command
    return found
