"""A disk that is soon full, and clocks that can be moved forward and back."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path

BYTES = 4 << 20


class SmallDisk:
    """A file system of 4 MB in memory. Its space is used up page by page, in pages of 4096 bytes."""

    def __init__(self, path: Path):
        self.path = path
        self.read_only = False

    @classmethod
    def mounted(cls, path: Path) -> SmallDisk | None:
        """Mount one; return None if that is not allowed, because it needs the rights of root."""
        path.mkdir()
        return cls(path) if _run("mount", "-t", "tmpfs", "-o", f"size={BYTES}", "tmpfs", str(path)) else None

    def fill(self, left: int) -> None:
        """Leave space for this many bytes."""
        self.free()
        with contextlib.suppress(OSError), (self.path / "ballast").open("wb") as file:  # a server may be quicker
            found = os.statvfs(self.path)
            file.write(bytes(max(0, found.f_bavail * found.f_frsize - left)))

    def free(self) -> None:
        """Remove the file that fills the disk."""
        (self.path / "ballast").unlink(missing_ok=True)

    def set_read_only(self, read_only: bool) -> None:
        """Forbid writing, or allow it again. While a file is being written, the system refuses for a moment."""
        for _ in range(200):
            if _run("mount", "-o", f"remount,{'ro' if read_only else 'rw'}", str(self.path)):
                self.read_only = read_only
                return
            time.sleep(0.01)
        raise RuntimeError(f"{self.path} could not be made {'read-only' if read_only else 'writable'}")

    def unmount(self) -> None:
        """Unmount it, even while a process uses it."""
        _run("umount", "-l", str(self.path))


class Clocks:
    """By how many seconds the time of day and the monotonic clock are wrong."""

    def __init__(self) -> None:
        self.day = 0.0
        self.sleep = 0.0
        self._time, self._time_ns, self._monotonic = time.time, time.time_ns, time.monotonic

    def time(self) -> float:
        """Seconds since 1970, by the wrong clock."""
        return self._time() + self.day

    def time_ns(self) -> int:
        """The same in nanoseconds."""
        return self._time_ns() + round(self.day * 1e9)

    def monotonic(self) -> float:
        """Seconds, including those of the sleep."""
        return self._monotonic() + self.sleep


def _run(*command: str) -> bool:
    try:
        return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0
    except OSError:
        return False
