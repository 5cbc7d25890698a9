"""Find the sockets that processes have open. Linux only."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

TABLES = ("tcp", "tcp6", "udp", "udp6", "udplite", "raw", "raw6", "unix")


def sockets_of(pid: int) -> list[str]:
    """The sockets that a process has open: the line of /proc/net for each, or its number for a kind not listed there.

    A pipe does not count. A pair of connected sockets made by `socketpair` does not count either, because nobody else
    can reach it; it appears as a line of "unix" without a path.
    """
    numbers = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed in the meantime
            kind, _, rest = os.readlink(link).partition(":")
            if kind == "socket":
                numbers.add(rest.strip("[]"))
    found = []
    for number in sorted(numbers):
        lines = [
            f"{table}: {line.strip()}" for table in TABLES for line in _lines(table, pid) if number in line.split()
        ]
        found += lines or [f"a socket of another kind: {number}"]
    return found


def _lines(table: str, pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    except FileNotFoundError:  # a kernel without that kind
        return []


def family_of(pid: int) -> list[int]:
    """A process and all its descendants."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                words = (folder / "stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(words[1]), []).append(int(folder.name))
    family = [pid]
    for member in family:
        family += parents.get(member, [])
    return family
