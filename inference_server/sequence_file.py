"""Sequence files, `NAME.lantern.json`: a shot as latents and settings, from which frames are made without Blender.

Standard library and protocol.py only, because the add-on writes these files too. JSON:

    {"format": "latent_lantern.sequence", "version": 1, "name": "Shot 3", "fps": 24.0,
     "generator": {"path": null or text, "sha256": "…", "name": "family at dinner"}, "space": "z" or "w",
     "latents": {"dtype": "float32", "shape": [rows, size], "data": base64 of little-endian float32},
     "frames": [{"frame": 1, "row": 0, "psi": 0.7, "cutoff": null, "noise": "const", "classes": [], "shadow": {…}}, …]}

A path is relative to the sequence file's folder, or absolute; null is the built-in generator. A frame without `shadow`
is in colour.
"""

from __future__ import annotations

import json
import math
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .protocol import ProtocolError, ShadowSettings, list_of, pack_floats, render_settings, unpack_floats

FORMAT = "latent_lantern.sequence"
VERSION = 1
SUFFIX = ".lantern.json"
MAX_BYTES = 2 * 1024**3


class SequenceFileError(Exception):
    """A sequence file that cannot be used. The text names the file and what is wrong in it."""


@dataclass(frozen=True, slots=True)
class SequenceFrame:
    """One frame: its number, its row of the latents, and how it is rendered, as in protocol.FrameOrder."""

    frame: int
    row: int
    psi: float = 1.0
    cutoff: int | None = None
    noise: str | int = "const"
    classes: tuple[float, ...] = ()
    shadow: ShadowSettings | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the frame as JSON values."""
        value: dict[str, Any] = {
            "frame": self.frame,
            "row": self.row,
            "psi": self.psi,
            "cutoff": self.cutoff,
            "noise": self.noise,
            "classes": list(self.classes),
        }
        if self.shadow is not None:
            value["shadow"] = self.shadow.to_json()
        return value

    @classmethod
    def from_json(cls, value: Any) -> SequenceFrame:
        """Read a frame; raises ProtocolError naming the field that is wrong."""
        number = value.get("frame") if isinstance(value, dict) else None
        if not isinstance(number, int) or isinstance(number, bool):
            raise ProtocolError(0, "a frame has no whole number 'frame'")
        shadow = ShadowSettings.from_json(value["shadow"]) if value.get("shadow") is not None else None
        return cls(number, **render_settings(value), shadow=shadow)


@dataclass(frozen=True, slots=True)
class SequenceFile:
    """A shot. latents: native float32 bytes in C order, of `shape` (rows, size). checkpoint: path as in the file."""

    name: str
    fps: float
    checkpoint: str | None
    sha256: str
    generator: str
    space: str
    latents: bytes
    shape: tuple[int, ...]
    frames: tuple[SequenceFrame, ...]

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all. Raises OSError."""
        value = {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "fps": self.fps,
            "generator": {"path": self.checkpoint, "sha256": self.sha256, "name": self.generator},
            "space": self.space,
            "latents": pack_floats(self.latents, self.shape),
            "frames": [frame.to_json() for frame in self.frames],
        }
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
        try:
            temporary.write_text(json.dumps(value, indent=1, allow_nan=False), encoding="utf-8")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: Path) -> SequenceFile:
        """Read a file. Raises SequenceFileError."""
        try:
            if path.stat().st_size > MAX_BYTES:
                raise SequenceFileError(f"{path} is larger than any sequence file.")
            value = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SequenceFileError(f"{path} cannot be read: {error.strerror or error}.") from error
        except (ValueError, RecursionError) as error:
            raise SequenceFileError(f"{path} is not a sequence file: it is not JSON ({error}).") from error
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise SequenceFileError(f"{path} is not a sequence file of Latent Lantern.")
        if value.get("version") != VERSION:
            raise SequenceFileError(
                f"{path} has version {value.get('version')!r}; this Latent Lantern reads {VERSION}."
            )
        try:
            return cls._from_json(value)
        except ProtocolError as error:
            raise SequenceFileError(f"{path} cannot be used: {error}") from error

    @classmethod
    def _from_json(cls, value: dict[str, Any]) -> SequenceFile:
        generator = value.get("generator")
        if not isinstance(generator, dict) or not isinstance(generator.get("sha256"), str):
            raise ProtocolError(0, "'generator' must hold the checkpoint's sha256.")
        checkpoint = generator.get("path")
        if checkpoint is not None and not isinstance(checkpoint, str):
            raise ProtocolError(0, "the generator's 'path' must be text or null.")
        fps = value.get("fps")
        if not isinstance(fps, int | float) or not math.isfinite(fps) or fps <= 0:
            raise ProtocolError(0, "'fps' must be a number above 0.")
        if value.get("space") not in ("z", "w"):
            raise ProtocolError(0, '\'space\' must be "z" or "w".')
        latents, shape = unpack_floats(value.get("latents"))
        if len(shape) < 2:
            raise ProtocolError(0, "'latents' must have a row for each latent.")
        frames = tuple(SequenceFrame.from_json(item) for item in list_of(value, "frames"))
        if any(frame.row >= shape[0] for frame in frames):
            raise ProtocolError(0, f"a frame names a row that the latents, {shape[0]} rows, do not have.")
        if len({frame.frame for frame in frames}) != len(frames):
            raise ProtocolError(0, "two frames have the same number.")
        return cls(
            str(value.get("name", "")),
            float(fps),
            checkpoint,
            generator["sha256"],
            str(generator.get("name", "")),
            value["space"],
            latents,
            shape,
            frames,
        )
