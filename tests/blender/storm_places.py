"""A disk that is soon full, and clocks that can be put forward and back."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path

BYTES = 4 << 20


class SmallDisk:
    """A file system of 4 MB in memory, whose pages of 4096 bytes give out one after the other."""

    def __init__(self, path: Path):
        self.path = path
        self.read_only = False

    @classmethod
    def mounted(cls, path: Path) -> SmallDisk | None:
        """Mount one; None where that is not allowed, for it takes a system administrator's rights."""
        path.mkdir()
        return cls(path) if _run("mount", "-t", "tmpfs", "-o", f"size={BYTES}", "tmpfs", str(path)) else None

    def fill(self, left: int) -> None:
        """Leave room for so many bytes."""
        self.free()
        with contextlib.suppress(OSError), (self.path / "ballast").open("wb") as file:  # a server may be quicker
            found = os.statvfs(self.path)
            file.write(bytes(max(0, found.f_bavail * found.f_frsize - left)))

    def free(self) -> None:
        """Take the ballast away."""
        (self.path / "ballast").unlink(missing_ok=True)

    def set_read_only(self, read_only: bool) -> None:
        """Let nothing be written, or let it be again. While a file is being written the system refuses for a moment."""
        for _ in range(200):
            if _run("mount", "-o", f"remount,{'ro' if read_only else 'rw'}", str(self.path)):
                self.read_only = read_only
                return
            time.sleep(0.01)
        raise RuntimeError(f"{self.path} could not be made {'read-only' if read_only else 'writable'}")

    def unmount(self) -> None:
        """Take it away, even while someone is looking at it."""
        _run("umount", "-l", str(self.path))


class Clocks:
    """How far the time of day and the clock that only runs forward are off, in seconds."""

    def __init__(self) -> None:
        self.day = 0.0
        self.sleep = 0.0
        self._time, self._time_ns, self._monotonic = time.time, time.time_ns, time.monotonic

    def time(self) -> float:
        """Seconds since 1970, or so it says."""
        return self._time() + self.day

    def time_ns(self) -> int:
        """The same in nanoseconds."""
        return self._time_ns() + round(self.day * 1e9)

    def monotonic(self) -> float:
        """Seconds, those of the sleep included."""
        return self._monotonic() + self.sleep


def _run(*command: str) -> bool:
    try:
        return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0
    except OSError:
        return False
