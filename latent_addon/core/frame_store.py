"""The folder of frames. Each file is named by what made it, is complete as soon as it appears, and never changes."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import shutil
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...lantern_protocol.frame_files import Stamp, is_frame, look, stamp_of
from ...lantern_protocol.part_files import part_beside
from .png import placeholder

_TICK = 0.05
"""Seconds; longer than the resolution of the modification times that file systems give folders."""

_SLICE = 0.005
"""Seconds for which names are read in one call."""

_LONGEST_PAUSE = 60.0
"""The most seconds between two looks. A look can take very long: a network share that hung, a machine that slept."""


class StoreError(Exception):
    """Raised when the store's folder cannot be read or written. The text names the folder and says what to do."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What `enforce_budget` has deleted.

    files, bytes: how many files and bytes. over: bytes that are still above the budget, because strips show them.
    """

    files: int
    bytes: int
    over: int


class FrameStore:
    """Frames in one flat folder: `c_<hash>.png` colour frames, `s_<hash>.png` shadows, and placeholders.

    The folder is made when the first file is written to it. `names` notices the files that others add or delete by the
    folder's modification time. A name is trusted until `look_closer`, which checks all files in turn, again and again,
    comes to its file.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._news: set[str] = set()
        self._names: set[str] = set()
        self._damaged: set[str] = set()
        self._stamps: dict[str, Stamp] = {}
        """Stamps of the files that were read and found complete."""
        self._unchecked: list[str] = []
        self._round: list[str] = []
        self._placeholders: dict[str, Stamp | None] = {}
        self._known = False
        """Whether the folder has been read completely once."""
        self._listing: Iterator[str] | None = None
        self._listed: set[str] = set()
        self._made: set[str] = set()
        self._gone: set[str] = set()
        """`_made` and `_gone`: frames made and deleted here since the current reading of the folder began.

        That reading may have missed both.
        """
        self._seen = -1
        self._seen_at = 0.0
        self._settled = False
        self._look_again = 0.0

    def names(self) -> set[str]:
        """Return the names of the frames in the folder. The set is the store's own; do not change it.

        Files that others add or delete are noticed soon. Looking takes at most a fiftieth of the time, however many
        files the folder has. A folder that is known already is read a few thousand names at a time.
        """
        if time.monotonic() >= self._look_again:
            self._look(_SLICE if self._known else math.inf)
        return self._names

    def refresh(self) -> None:
        """Read the folder now and completely."""
        self._listing = None
        self._look(math.inf)

    def _look(self, seconds: float) -> None:
        started = time.monotonic()
        if self._listing is None and self._has_changed(started):
            self._listing = iter(_frame_names(self.folder))
            self._listed, self._made, self._gone = set(), set(), set()
        if self._listing is not None:
            while some := list(itertools.islice(self._listing, 1000)):
                self._listed.update(some)
                if time.monotonic() - started > seconds:
                    break
            else:
                self._listing = None
                self._take((self._listed | self._made) - self._gone)
        now = time.monotonic()
        self._look_again = now + min(_LONGEST_PAUSE, 50.0 * (now - started))

    def _has_changed(self, now: float) -> bool:
        try:
            changed = self.folder.stat().st_mtime_ns
        except OSError:
            changed = -1
        if changed != self._seen:
            self._seen, self._seen_at, self._settled = changed, now, False
        if self._settled:
            return False
        # A second change within one tick of the file system's clock would not show. It may be another machine's clock.
        self._settled = now - self._seen_at > _TICK
        return True

    def _take(self, listed: set[str]) -> None:
        fresh = listed - self._names  # the damaged ones, too: somebody may have replaced them with the right file
        self._known = True
        self._damaged &= listed
        before, self._names = self._names, listed - self._damaged
        self._news |= before ^ self._names
        self._unchecked += fresh
        for name in self._stamps.keys() - listed:
            del self._stamps[name]

    @property
    def unchecked(self) -> bool:
        """Whether there are names whose files have not been checked yet."""
        return bool(self._unchecked)

    def knows(self, name: str) -> bool:
        """Return whether the file was checked and found complete, so that any change of it will be noticed."""
        return name in self._stamps

    def doubt(self) -> None:
        """Mark every file to be checked again, before anything relies on no file being missing."""
        self.refresh()
        self._unchecked = [*self._names, *self._damaged]

    def look_closer(self, seconds: float = 0.002) -> bool:
        """Check files one after the other for about `seconds`, new files first, then all in turn, again and again.

        Returns whether `names` has changed: a file was damaged, cut off or replaced, or has become complete again.
        """
        end = time.monotonic() + seconds
        changed = False
        while self._unchecked or self._round:
            name = self._unchecked.pop() if self._unchecked else self._round.pop()
            changed |= self._check(name)
            if time.monotonic() >= end:
                return changed
        self._round = [*self._names, *self._damaged]
        return changed

    def _check(self, name: str) -> bool:
        known = self._stamps.get(name)
        if known is not None and stamp_of(self.folder / name) == known:
            return False
        # A file that has changed since it was complete, or was damaged before, is checked thoroughly.
        if (name in self._names) == self._is_whole(name, known is not None or name in self._damaged):
            return False
        self._news.add(name)
        return True

    def _is_whole(self, name: str, thoroughly: bool = False) -> bool:
        stamp = look(self.folder / name, name, thoroughly)
        if stamp is None:
            self._forget(name)
            self._damaged.add(name)
            self._gone.discard(name)
            return False
        self._damaged.discard(name)
        self._gone.discard(name)
        self._names.add(name)
        self._made.add(name)
        self._stamps[name] = stamp
        return True

    def _forget(self, name: str) -> None:
        if name in self._names:
            self._news.add(name)
        for names in (self._names, self._made, self._damaged):
            names.discard(name)
        self._gone.add(name)
        self._stamps.pop(name, None)

    def note_made(self, names: Iterable[str]) -> list[str]:
        """Add frames that the server says it has made; return those that are really there and complete."""
        there = [name for name in names if self._is_whole(name)]
        self._news.difference_update(there)
        return there

    def take_news(self) -> bool:
        """Return whether frames were added or removed since the last call, except those given to `note_made`."""
        news = bool(self._news)
        self._news.clear()
        return news

    def discard(self, names: Iterable[str]) -> None:
        """Delete the frames with these names, complete or damaged, from this folder."""
        for name in names:
            self._forget(name)
            with contextlib.suppress(OSError):
                (self.folder / name).unlink()

    def placeholder(self, width: int, height: int) -> str:
        """Return the name of the picture that is shown for frames of this size that are not made yet.

        The file is written when it is needed for the first time. Raises StoreError.
        """
        name = f"placeholder_{width}x{height}.png"
        stamp = stamp_of(self.folder / name)
        if stamp is None or self._placeholders.get(name) != stamp:
            data = placeholder(width, height)
            if stamp is None or _content(self.folder / name) != data:
                self.write(name, data)
            self._placeholders[name] = stamp_of(self.folder / name)
        return name

    def write(self, name: str, data: bytes) -> None:
        """Write a file into the folder, completely or not at all. Raises StoreError."""
        temporary = part_beside(self.folder / name)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            os.replace(temporary, self.folder / name)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise StoreError(_cannot_write(self.folder, error)) from error

    def adopt(self, other: Path, names: Collection[str]) -> int:
        """Link or copy files of the folder `other` into this one; return how many.

        They are hard-linked if the disk supports it, else copied, and stay in `other`. Files that are complete here
        already are left as they are (same name, same content). Files that are not complete in `other` are skipped.
        Raises StoreError; the files that were linked or copied before the error stay.
        """
        came = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in sorted(names):
                source, target = other / name, self.folder / name
                if is_frame(target, name) or not is_frame(source, name):
                    continue
                _bring(source, target)
                came += 1
        except OSError as error:
            raise StoreError(_cannot_write(self.folder, error)) from error
        return came

    def leave_to(self, other: FrameStore) -> None:
        """Delete the frames here that are also complete in another store's folder."""
        if other.folder != self.folder:
            self.discard([name for name in self._names if is_frame(other.folder / name, name)])

    def size(self) -> int:
        """Return the bytes of all frames that were checked and found complete."""
        return sum(size for _, size in self._stamps.values())

    def enforce_budget(self, budget: int, keep: Collection[str]) -> Removed:
        """Delete the oldest frames until at most `budget` bytes are left, but never one named in `keep`.

        keep: the frames that strips of the open file show, and the colour frames behind their shadows. Files that were
        not checked yet do not count.
        """
        total = self.size()
        files = freed = 0
        if total > budget:
            for name, (_, size) in sorted(self._stamps.items(), key=lambda item: item[1]):
                if total - freed <= budget:
                    break
                if name in keep:
                    continue
                with contextlib.suppress(OSError):  # in use on Windows: the next run tries again
                    (self.folder / name).unlink(missing_ok=True)
                    self._forget(name)
                    files += 1
                    freed += size
        return Removed(files, freed, max(0, total - freed - budget))


def _frame_names(folder: Path) -> Iterator[str]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _is_frame(entry.name):
                yield entry.name


def _bring(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a different disk, or a disk without hard links; or a damaged file is in the way
        temporary = part_beside(target)
        try:
            shutil.copyfile(source, temporary)
            os.replace(temporary, target)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _is_frame(name: str) -> bool:
    return name.startswith(("c_", "s_")) and name.endswith(".png")


def _cannot_write(folder: Path, error: OSError) -> str:
    in_the_way = isinstance(error, (FileExistsError, NotADirectoryError))
    reason = "something that is no folder is in the way" if in_the_way else error.strerror or str(error)
    return (
        f"Frames cannot be written to {folder}: {reason}. "
        "Free some space, or choose another frame folder in the preferences."
    )
