"""What the numbered frames in a folder were made from, so that a render that was stopped continues where it was.

Several processes may write frames into one folder at the same time.
"""

from __future__ import annotations

import hashlib
import json
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
    """What the files in a folder were made from: lines of JSON {name, request, sha256}, the later ones winning.

    done: names whose files are there, unharmed, and made from the same request. others: names that are taken by
    anything else.
    """

    def __init__(self, folder: Path, requests: dict[str, str]):
        self._folder = folder
        self._requests = requests
        self.done: set[str] = set()
        self.others: list[str] = []
        entries = self._read()
        for name, request in requests.items():
            try:
                contents = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise write_failed(folder / name, error) from None
            if entries.get(name) == (request, contents):
                self.done.add(name)
            else:
                self.others.append(name)

    def write(self, name: str, picture: np.ndarray, look: ShadowSettings | None) -> None:
        """Write one frame. The line in the journal comes first: without its file it says nothing."""
        data = encode_png(picture if look is None else make_shadow(picture, look))
        line = {"name": name, "request": self._requests[name], "sha256": hashlib.sha256(data).hexdigest()}
        path = self._folder / JOURNAL
        try:
            # One write to a file opened for appending: lines of several threads do not mix. The line's end comes
            # first, so that one cut off by a kill does not spoil the next.
            with open(path, "ab", buffering=0) as file:
                file.write(b"\n" + json.dumps(line).encode())
        except OSError as error:
            raise write_failed(path, error) from None
        write_atomically(self._folder / name, data)

    def _read(self) -> dict[str, tuple[str, str]]:
        entries: dict[str, tuple[str, str]] = {}
        try:
            lines = (self._folder / JOURNAL).read_bytes().splitlines()
        except OSError:
            return entries
        for line in lines:
            try:
                value = json.loads(line)
                entries[value["name"]] = (value["request"], value["sha256"])
            except (ValueError, KeyError, TypeError):
                continue  # cut off when the render was stopped
        return entries


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
