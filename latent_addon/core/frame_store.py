"""The folder of frames, each named by what made it. Files appear whole and never change."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from .png import encode_png, placeholder

_TICK = 50_000_000
"""Nanoseconds; longer than the clock ticks that file systems stamp folders with."""


class StoreError(Exception):
    """The store's folder cannot be read or written. The text says which and what to do."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What a budget run deleted, and what it had to leave above the budget because it is shown."""

    files: int
    bytes: int
    over: int


class FrameStore:
    """Frames in one flat folder: `c_<hash>.png` colour frames, `s_<hash>.png` shadows, and placeholders.

    The folder is not made before something is written to it. `names` follows what others add or delete, by the folder's
    modification time.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._names: set[str] = set()
        self._seen = -1
        self._look_again = 0.0

    def names(self) -> set[str]:
        """Names of the frames that are there. The set is the store's own; do not change it.

        What others add or delete is seen soon: looking takes at most a fiftieth of the time, however full the folder.
        """
        if time.monotonic() >= self._look_again:
            self.refresh()
        return self._names

    def refresh(self) -> None:
        """Look at the folder now."""
        started = time.monotonic()
        try:
            changed = self.folder.stat().st_mtime_ns
        except OSError:
            self._names, self._seen = set(), -1
        else:
            if changed != self._seen:
                # A folder's time has the resolution of a clock tick: a second change within it would not show.
                settled = time.time_ns() - changed > _TICK
                self._names = _frame_names(self.folder)
                self._seen = changed if settled else -1
        now = time.monotonic()
        self._look_again = now + 50.0 * (now - started)

    def note_made(self, names: Iterable[str]) -> list[str]:
        """Add frames that are said to be made, and return those that are truly there."""
        there = [name for name in names if (self.folder / name).exists()]
        self._names.update(there)
        return there

    def discard(self, names: Iterable[str]) -> None:
        """Delete frames that turned out to be damaged."""
        for name in names:
            self._names.discard(name)
            with contextlib.suppress(OSError):
                (self.folder / name).unlink()

    def placeholder(self, width: int, height: int) -> str:
        """Name of the picture shown for frames of this size that are not made yet; written at first need."""
        name = f"placeholder_{width}x{height}.png"
        if not (self.folder / name).exists():
            self.write(name, encode_png(placeholder(width, height)))
        return name

    def write(self, name: str, data: bytes) -> None:
        """Put a file into the folder, whole or not at all. Raises StoreError."""
        temporary = self.folder / f".{name}.{uuid.uuid4().hex}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            os.replace(temporary, self.folder / name)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise StoreError(_cannot_write(self.folder, error)) from error

    def adopt(self, other: Path, names: Collection[str], move: bool) -> int:
        """Take files of another store's folder into this one; return how many came.

        Files that are already here are left as they are (same name, same content), files that are not there are passed
        over. `move` takes them away from `other`; else they are hard-linked where the disk can, copied where it cannot.
        Raises StoreError; what had come by then stays, and nothing is lost from `other` before it is here.
        """
        came = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in sorted(names):
                source, target = other / name, self.folder / name
                if target.exists() or not source.exists():
                    continue
                self._bring(source, target, move)
                came += 1
        except OSError as error:
            raise StoreError(_cannot_write(self.folder, error)) from error
        return came

    def _bring(self, source: Path, target: Path, move: bool) -> None:
        try:
            if move:
                os.replace(source, target)
            else:
                os.link(source, target)
            return
        except OSError:  # another disk, or one without links
            temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
            try:
                shutil.copyfile(source, temporary)
                os.replace(temporary, target)
            finally:
                with contextlib.suppress(OSError):
                    temporary.unlink()
        if move:
            source.unlink()

    def size(self) -> int:
        """Bytes of all frames."""
        return sum(entry.stat().st_size for entry in _frames_in(self.folder))

    def enforce_budget(self, budget: int, keep: Collection[str]) -> Removed:
        """Delete the oldest frames until at most `budget` bytes are left, but never one named in `keep`.

        `keep` is what any strip of the open file shows, and the colour frames behind its shadows.
        """
        entries = [(entry.stat(), entry) for entry in _frames_in(self.folder)]
        total = sum(stat.st_size for stat, _ in entries)
        files = freed = 0
        for stat, entry in sorted(entries, key=lambda item: item[0].st_mtime_ns):
            if total - freed <= budget:
                break
            if entry.name in keep:
                continue
            with contextlib.suppress(OSError):  # in use on Windows: the next run tries again
                os.unlink(entry.path)
                self._names.discard(entry.name)
                files += 1
                freed += stat.st_size
        return Removed(files, freed, max(0, total - freed - budget))


def _frame_names(folder: Path) -> set[str]:
    try:
        return {name for name in os.listdir(folder) if _is_frame(name)}
    except OSError:
        return set()


def _frames_in(folder: Path) -> Iterable[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if _is_frame(entry.name)]
    except OSError:
        return []


def _is_frame(name: str) -> bool:
    return name.startswith(("c_", "s_")) and name.endswith(".png")


def _cannot_write(folder: Path, error: OSError) -> str:
    reason = error.strerror or str(error)
    return (
        f"Frames cannot be written to {folder}: {reason}. "
        "Free some space, or choose another frame folder in the preferences."
    )
