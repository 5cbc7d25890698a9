"""The progress of a set-up: steps with known shares, and what the lines of pip show."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DOWNLOADING = 0.65
"""The part of an installing step that is downloading; the rest is unpacking."""

_NEVER_QUITE = 0.98
_RAW = re.compile(r"Progress (\d+) of (\d+)")
_COLLECTING = re.compile(r"Collecting ([\w.\-]+)")
_DOWNLOADING = re.compile(r"\s*(?:Downloading|Using cached) (?:\S*/)?([\w.]+)-[\w.+%!]+-\S*whl(?! ?\.metadata)")


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it does, "Installing PyTorch", and its share of the whole. The shares of all steps add up to 1."""

    doing: str
    share: float


class Progress:
    """The current step, and how much is done. One thread writes it, others read it. The fraction never goes back."""

    def __init__(self, steps: Sequence[Step]):
        self.steps = tuple(steps)
        self.step = 0
        """The number of the current step, from 1; 0 before the first."""
        self.detail = ""
        self.fraction = 0.0

    @property
    def doing(self) -> str:
        """The words of the current step."""
        return self.steps[self.step - 1].doing if self.step else ""

    def begin(self) -> None:
        """Go on to the next step."""
        self.step += 1
        self.detail = ""
        self.advance(0.0)

    def advance(self, part: float, detail: str | None = None) -> None:
        """Set that `part`, 0 to 1, of this step is done, and what is being done at the moment; None keeps that text."""
        before = sum(step.share for step in self.steps[: self.step - 1])
        self.fraction = max(self.fraction, before + self.steps[self.step - 1].share * min(max(part, 0.0), 1.0))
        if detail is not None:
            self.detail = detail


class PipProgress:
    """Follows one run of pip, by its lines and by the disk space it takes, and advances a step of `progress`.

    download, disk: how many bytes pip is expected to download, and to take on the disk of `folder` in the end.
    tells_numbers: whether pip prints its progress in numbers; if not, the disk is also measured while pip downloads.
    """

    def __init__(self, progress: Progress, folder: Path, download: int, disk: int):
        self._progress = progress
        self._folder = folder
        self._download, self._disk = max(download, 1), max(disk, 1)
        self._name = ""
        self._before = self._now = self._size = 0
        self._unpacking = False
        self.tells_numbers = False
        self._free = _free(folder)
        self._measured = time.monotonic()

    def line(self, line: str) -> bool:
        """Read one line of pip; return whether the line belongs in the log that people see."""
        if raw := _RAW.fullmatch(line):
            self._now, self._size = int(raw[1]), int(raw[2])
            words = f"{self._name or 'a package'}, {self._now / 1e6:.0f} of {self._size / 1e6:.0f} MB"
            self._progress.advance(
                DOWNLOADING * min((self._before + self._now) / self._download, _NEVER_QUITE), f"Downloading {words}"
            )
            return False
        if found := _DOWNLOADING.match(line):
            self._before += self._size
            self._now = self._size = 0
            self._name = found[1].replace("_", "-")
            self._progress.advance(0.0, f"Downloading {self._name}")
        elif found := _COLLECTING.match(line):
            self._progress.advance(0.0, f"Looking for {found[1]}")
        elif line.startswith("Installing collected packages"):
            self._unpacking = True
            self._free = _free(self._folder)
            self._progress.advance(DOWNLOADING, "Unpacking")
        return True

    def idle(self) -> None:
        """Measure the disk, for the progress that pip does not print. Called now and then, in the thread of `line`."""
        if time.monotonic() - self._measured < 0.5:
            return
        self._measured = time.monotonic()
        taken = self._free - _free(self._folder)
        if self._unpacking:
            part = DOWNLOADING + (1 - DOWNLOADING) * min(taken / self._disk, _NEVER_QUITE)
            self._progress.advance(part)
        elif self._name and not self.tells_numbers:
            self._progress.advance(DOWNLOADING * min(taken / self._download, _NEVER_QUITE))


def _free(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0
