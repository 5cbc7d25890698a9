"""What the numbered frames in a folder were made from, so that a render that was stopped continues where it was.

Several processes may write frames into one folder at the same time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import numpy as np

from lantern_protocol.orders import ShadowSettings
from lantern_protocol.sequence_file import SequenceFile, SequenceFrame
from lantern_protocol.versions import PIXEL_REVISION

from ..pixels.encoding import encode_png, write_atomically, write_failed
from ..pixels.shadow import make_shadow

JOURNAL = ".latent_lantern_render.jsonl"
"""The journal's file, in the folder of frames."""


class Journal:
    """What the files in a folder were made from: lines of JSON {name, request, sha256}.

    Several processes may append lines and write files at the same time. A line stays true whatever comes after it:
    these bytes under this name were made from this request. So it does not matter which process was last. A line comes
    before its file, so a file that is seen has its line already.

    Any thread may call `write`. Everything else belongs to the thread that made the journal.

    done: names whose files are there, unharmed, and made from the same request. others: names that are taken by
    anything else. Both are as they were found when the journal was opened.
    """

    def __init__(self, folder: Path, requests: dict[str, str]):
        self._folder = folder
        self._path = folder / JOURNAL
        self._requests = requests
        self._lock = threading.Lock()
        self._position = 0
        """Where the bytes begin that have not been read yet."""
        self._known: dict[str, set[str]] = {}
        """The sha256 of files that were made from the request of their name. Two devices may give two of them."""
        self._announced: set[str] = set()
        """Names in lines of other processes whose files are to be looked at."""
        self._settled: set[str] = set()
        """Names that this process has made, or that `look` has returned."""
        self._written = self._heard = 0
        self.done: set[str] = set()
        self.others: list[str] = []
        self._read_on()
        for name in requests:
            try:
                contents = self._contents(name)
            except OSError as error:
                raise write_failed(folder / name, error) from None
            if contents is None:
                continue
            if contents not in self._known.get(name, ()):
                self._read_on()  # another process may have made it since
            if contents in self._known.get(name, ()):
                self.done.add(name)
            else:
                self.others.append(name)
        # A killed process leaves lines without files. They would be looked for before each batch.
        self._announced.clear()
        self._heard = 0

    @property
    def shared(self) -> bool:
        """Whether another process has written a line since the journal was opened, as far as `look` has read."""
        with self._lock:
            return self._heard > self._written

    def look(self) -> set[str]:
        """Return the names whose files other processes have finished since the last look, each once.

        Reads only the new lines of the journal, and only the files that they name.
        """
        self._read_on()
        found = set()
        for name in self._announced:
            with contextlib.suppress(OSError):
                if self._contents(name) in self._known[name]:
                    found.add(name)
        self._announced -= found
        with self._lock:
            self._settled |= found
        return found

    def write(self, name: str, picture: np.ndarray, look: ShadowSettings | None) -> None:
        """Write one frame. The line in the journal comes first: without its file it says nothing."""
        data = encode_png(picture if look is None else make_shadow(picture, look))
        line = {"name": name, "request": self._requests[name], "sha256": hashlib.sha256(data).hexdigest()}
        with self._lock:
            self._settled.add(name)
            self._written += 1
        try:
            # The line's end comes first, so that a line cut off by a kill does not spoil the next.
            _append(self._path, b"\n" + json.dumps(line).encode())
        except OSError as error:
            raise write_failed(self._path, error) from None
        write_atomically(self._folder / name, data)

    def _contents(self, name: str) -> str | None:
        """Return the sha256 of a file, None if it is not there. Raises OSError."""
        try:
            return hashlib.sha256((self._folder / name).read_bytes()).hexdigest()
        except FileNotFoundError:
            return None

    def _read_on(self) -> None:
        """Read the lines that have been appended since the last time."""
        try:
            with open(self._path, "rb") as file:
                if os.fstat(file.fileno()).st_size < self._position:
                    self._position = 0  # the journal was deleted, and a new one has begun
                file.seek(self._position)
                data = file.read()
        except OSError:
            return
        *lines, last = data.split(b"\n")
        for line in lines:
            self._read_line(line)
        # The last line may be half written. The beginning of a JSON object is not JSON, so it is read again later.
        self._position += len(data) if self._read_line(last) else len(data) - len(last)

    def _read_line(self, line: bytes) -> bool:
        """Note what a line says; return whether it is whole."""
        try:
            value = json.loads(line)
            name, request, contents = value["name"], value["request"], value["sha256"]
            wanted = self._requests.get(name) == request and isinstance(contents, str)
        except (ValueError, KeyError, TypeError, RecursionError):
            return False  # cut off when a render was stopped
        self._heard += 1
        if wanted:
            self._known.setdefault(name, set()).add(contents)
            with self._lock:
                if name not in self._settled:
                    self._announced.add(name)
        return True


def _append(path: Path, line: bytes) -> None:
    """Append a line in one piece, whatever other threads and processes append at the same time. Raises OSError."""
    with open(path, "ab", buffering=0) as file, _alone(file):
        while file.write(line) != len(line):  # the disk is full: the rest of this line fails, or all of it is written
            pass


if sys.platform == "win32":
    import msvcrt

    BEYOND = 1 << 40
    """A place that no journal reaches. Only a byte there is locked, so other processes can read the journal."""

    @contextlib.contextmanager
    def _alone(file: FileIO) -> Iterator[None]:
        """Let no other process append meanwhile: Windows finds the end of a file and writes there in two steps."""
        while True:
            file.seek(BEYOND)
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
                break
            except PermissionError:
                time.sleep(0.001)
        try:
            yield
        finally:
            file.seek(BEYOND)
            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:

    @contextlib.contextmanager
    def _alone(file: FileIO) -> Iterator[None]:
        """Do nothing: one write to a file that is opened for appending is one piece."""
        yield


def request_hash(sequence: SequenceFile, latent: np.ndarray, frame: SequenceFrame, look: ShadowSettings | None) -> str:
    """Return a hash of everything that decides a frame's pixels, as hexadecimal digits."""
    toward = None
    if frame.settings.mix and frame.toward is not None:
        toward = sequence.generators[frame.toward].sha256
    settings = {
        **frame.settings.to_json(),
        "pixel_revision": PIXEL_REVISION,
        "generator": sequence.generators[frame.generator].sha256,
        "toward": toward,
        "space": sequence.space,
        "shape": list(latent.shape),
        "shadow": None if look is None else look.to_json(),
    }
    text = json.dumps(settings, sort_keys=True).encode()
    return hashlib.sha256(text + latent.astype("<f4").tobytes()).hexdigest()


def file_name(frame: SequenceFrame) -> str:
    """Return the name of a frame's file."""
    return f"frame_{frame.frame:04d}.png"
