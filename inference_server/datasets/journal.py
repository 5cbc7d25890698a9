"""The journal of a data set, `sources.jsonl`: a line for each picture of the source says what happened to it.

A line is written after its picture. So if the work is killed, at most the newest picture is made again, with the same
name.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .duplicates import CELLS

FILE = "sources.jsonl"


@dataclass(frozen=True)
class Entry:
    """One picture of the source, and what happened to it."""

    source: str
    """The file, relative to the source's folder or as the list names it; for a film, "frame 120"."""
    picture: str = ""
    """Its name in the data set; "" if it is not in the data set."""
    like: str = ""
    """The picture in the data set that it is a near-duplicate of, or ""."""
    skipped: str = ""
    """Why it could not be used, or ""."""
    scene: int = -1
    enlarged: bool = False
    cells: str = ""
    """The cells of `picture`, for finding near-duplicates: base64."""

    @staticmethod
    def pack(cells: np.ndarray) -> str:
        """Return cells as text."""
        return base64.b64encode(cells.tobytes()).decode()

    def unpack(self) -> np.ndarray | None:
        """Return the cells; None if there are none."""
        raw = base64.b64decode(self.cells)
        return np.frombuffer(raw, np.uint8) if len(raw) == CELLS else None


class Journal:
    """The entries of a data set. A line that is not complete, because the work was killed, is removed.

    Args:
        folder: the data set's folder.

    Attributes:
        entries: the entries; the keys are their `source`.
        counts: how many pictures were kept, skipped, left out as duplicates, and enlarged.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.entries: dict[str, Entry] = {}
        self.counts = {"kept": 0, "skipped": 0, "duplicates": 0, "enlarged": 0}
        whole = 0
        if self.path.exists():
            with self.path.open("rb") as file:
                for line in file:
                    entry = _entry(line)
                    if entry is None:
                        break
                    self._note(entry)
                    whole += len(line)
        self._file: BinaryIO = self.path.open("ab")
        self._file.truncate(whole)

    def add(self, entry: Entry) -> None:
        """Write an entry. Raises OSError if that fails."""
        default = asdict(Entry(""))
        fields = {name: value for name, value in asdict(entry).items() if value != default[name]}
        self._file.write(json.dumps(fields).encode() + b"\n")
        self._file.flush()
        self._note(entry)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _note(self, entry: Entry) -> None:
        self.entries[entry.source] = entry
        self.counts["kept"] += bool(entry.picture)
        self.counts["skipped"] += bool(entry.skipped)
        self.counts["duplicates"] += bool(entry.like)
        self.counts["enlarged"] += entry.enlarged


def _entry(line: bytes) -> Entry | None:
    if not line.endswith(b"\n"):
        return None
    try:
        fields: Any = json.loads(line)
        return Entry(**fields)
    except (ValueError, TypeError):
        return None
