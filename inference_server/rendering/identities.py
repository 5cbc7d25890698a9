"""The SHA-256 of files. A hash is remembered as long as the file's size and time of change stay the same."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path

from lantern_protocol.errors import CHECKPOINT_UNREADABLE, ProtocolError

from ..checkpoints import CheckpointError, sha256_of
from ..pixels.encoding import write_atomically

MOST_ENTRIES = 10_000
SETTLED_SECONDS = 5.0
"""The hash of a file that changed more recently is not remembered on disk: another change within the same tick of the
file system's clock would not be noticed."""


class Identities:
    """The hashes of files. Several threads may use it.

    store: a JSON file {path: [size, time of change in ns, sha256]}, which keeps the hashes for later processes. If it
    is missing or damaged, the hashes are computed again.
    """

    def __init__(self, store: Path):
        self._store = store
        self._lock = threading.Lock()
        self._known: dict[str, tuple[int, int, str]] | None = None

    def of(self, file: Path) -> tuple[int, str]:
        """Return a file's size in bytes and its sha256. Raises ProtocolError CHECKPOINT_UNREADABLE."""
        try:
            status = os.stat(file)
            if not stat.S_ISREG(status.st_mode):
                kind = "a folder; choose the checkpoint in it" if stat.S_ISDIR(status.st_mode) else "not a file"
                raise ProtocolError(CHECKPOINT_UNREADABLE, f"{file} is {kind}.", {"path": str(file)})
            key, place = (status.st_size, status.st_mtime_ns), os.path.abspath(file)
            known = self._look_up(place)
            if known is None or known[:2] != key:
                known = (*key, sha256_of(file))
                self._remember(place, known)
        except FileNotFoundError:
            message = f"The checkpoint {file} is not there. Put it back or choose another one."
            raise ProtocolError(CHECKPOINT_UNREADABLE, message, {"path": str(file)}) from None
        except (OSError, CheckpointError) as error:
            message = f"The checkpoint {file} cannot be read: {getattr(error, 'strerror', None) or error}."
            raise ProtocolError(CHECKPOINT_UNREADABLE, message, {"path": str(file)}) from None
        return status.st_size, known[2]

    def _look_up(self, place: str) -> tuple[int, int, str] | None:
        with self._lock:
            if self._known is None:
                self._known = self._read()
            return self._known.get(place)

    def _remember(self, place: str, known: tuple[int, int, str]) -> None:
        with self._lock:
            if self._known is None:
                self._known = self._read()
            self._known[place] = known
            if abs(time.time() - known[1] / 1e9) < SETTLED_SECONDS:
                return
            # Other processes may have added entries to the file: keep them.
            entries = self._read() | {place: known}
            value = dict(list(entries.items())[-MOST_ENTRIES:])
            with suppress(OSError, ProtocolError):
                self._store.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(self._store, json.dumps(value).encode())

    def _read(self) -> dict[str, tuple[int, int, str]]:
        try:
            value = json.loads(self._store.read_bytes())
            return {
                place: (size, changed, sha256)
                for place, (size, changed, sha256) in value.items()
                if isinstance(sha256, str) and len(sha256) == 64
            }
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return {}
