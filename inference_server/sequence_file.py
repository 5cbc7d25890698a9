"""Sequence files, `NAME.lantern.json`: a shot as latents and settings, from which frames are made without Blender.

Standard library and protocol.py only, because the add-on writes these files too. JSON:

    {"format": "latent_lantern.sequence", "version": 1, "name": "Shot 3", "fps": 24.0,
     "generator": {"path": null or text, "sha256": "...", "name": "family at dinner"}, "space": "z" or "w",
     "latents": {"dtype": "float32", "shape": [rows, size], "data": base64 of little-endian float32},
     "frames": [{"frame": 1, "row": 0, "psi": 0.7, "cutoff": null, "noise": "const", "classes": [], "shadow": {...}}]}

A path is relative to the sequence file's folder, or absolute; null is the built-in generator. A frame without `shadow`
is in colour. In w, latents may also have the shape [rows, num_ws, w_dim].
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from .protocol import ProtocolError, ShadowSettings, pack_floats, render_settings, unpack_floats

FORMAT = "latent_lantern.sequence"
VERSION = 1
SUFFIX = ".lantern.json"


class SequenceFileError(Exception):
    """A sequence file cannot be read or written; the text names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class SequenceFrame:
    """One frame: its number on the timeline, then what protocol.FrameOrder says of it; shadow None for colour."""

    frame: int
    row: int
    psi: float = 1.0
    cutoff: int | None = None
    noise: str | int = "const"
    classes: tuple[float, ...] = ()
    shadow: ShadowSettings | None = None


@dataclass(frozen=True, slots=True)
class SequenceFile:
    """A sequence.

    fps: frames a second. checkpoint: the generator's path as in the file, relative to the file's folder or absolute,
    None for the built-in one; sha256: of the checkpoint's contents; generator: its name, for people. space: "z" or "w".
    latents: native float32 bytes in C order; shape: theirs, (rows, z_dim), (rows, w_dim) or (rows, num_ws, w_dim).
    """

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
        """Write the file, whole or not at all. Raises OSError, or SequenceFileError for a number that is not finite."""
        value = {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "fps": self.fps,
            "generator": {
                "path": None if self.checkpoint is None else PurePath(self.checkpoint).as_posix(),
                "sha256": self.sha256,
                "name": self.generator,
            },
            "space": self.space,
            "latents": pack_floats(self.latents, self.shape),
            "frames": [_frame_to_json(frame) for frame in self.frames],
        }
        part = path.with_name(f".part-{os.getpid()}-{path.name}")
        try:
            part.write_text(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1), encoding="utf-8")
            os.replace(part, path)
        except ValueError as error:
            raise SequenceFileError(f"{path} was not written: {error}.") from None
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: Path) -> SequenceFile:
        """Read and check a file. Raises SequenceFileError naming the file and the field."""
        try:
            value = json.loads(path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise SequenceFileError(f"Could not read {path}: {error.strerror or error}.") from None
        except (ValueError, RecursionError) as error:
            raise SequenceFileError(f"{path} is not a sequence file: {error}.") from None
        try:
            return cls._from_json(value)
        except (ProtocolError, SequenceFileError) as error:
            raise SequenceFileError(f"{path}: {error}") from None

    @classmethod
    def _from_json(cls, value: Any) -> SequenceFile:
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise SequenceFileError(f"This is not a sequence file: its 'format' is not \"{FORMAT}\".")
        if value.get("version") != VERSION:
            raise SequenceFileError(
                f"It has version {str(value.get('version'))[:20]}; this version of Latent Lantern reads {VERSION}."
            )
        generator = _field(value, "generator", dict)
        checkpoint = _field(generator, "path", str) if generator.get("path") is not None else None
        if checkpoint is not None and (not checkpoint or "\0" in checkpoint):
            raise SequenceFileError("'path' must name a file, or be null for the built-in generator.")
        sha256 = _field(generator, "sha256", str).lower()
        if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
            raise SequenceFileError("'sha256' must be 64 hexadecimal digits.")
        space = _field(value, "space", str)
        data, shape = unpack_floats(value.get("latents"))
        if space not in ("z", "w") or len(shape) not in ((2,) if space == "z" else (2, 3)):
            raise SequenceFileError(f"'space' is {space[:20]!r} and 'latents' has {len(shape)} dimensions; use \"z\" "
                                    'with 2, or "w" with 2 or 3.')  # fmt: skip
        fps = value.get("fps")
        if not isinstance(fps, (int, float)) or isinstance(fps, bool) or not 0 < fps <= 1e6:
            raise SequenceFileError("'fps' must be a number above 0.")
        frames = tuple(
            _frame_from_json(item, index, shape[0]) for index, item in enumerate(_field(value, "frames", list))
        )
        if len({frame.frame for frame in frames}) < len(frames):
            raise SequenceFileError("Two of its frames have the same number.")
        return cls(
            name=_field(value, "name", str),
            fps=float(fps),
            checkpoint=checkpoint,
            sha256=sha256,
            generator=_field(generator, "name", str),
            space=space,
            latents=data,
            shape=shape,
            frames=frames,
        )


def _field(fields: dict[str, Any], key: str, kind: type) -> Any:
    value = fields.get(key)
    if not isinstance(value, kind):
        raise SequenceFileError(f"'{key}' is missing or of the wrong kind.")
    return value


def _frame_to_json(frame: SequenceFrame) -> dict[str, Any]:
    value: dict[str, Any] = {
        "frame": frame.frame,
        "row": frame.row,
        "psi": frame.psi,
        "cutoff": frame.cutoff,
        "noise": frame.noise,
        "classes": list(frame.classes),
    }
    if frame.shadow is not None:
        value["shadow"] = frame.shadow.to_json()
    return value


def _frame_from_json(value: Any, index: int, rows: int) -> SequenceFrame:
    try:
        if not isinstance(value, dict):
            raise SequenceFileError("it must be an object.")
        unknown = sorted(set(value) - set(SequenceFrame.__slots__))
        if unknown:
            raise SequenceFileError(f"there is no field {unknown[0]!r}.")
        number = value.get("frame")
        if not isinstance(number, int) or isinstance(number, bool) or abs(number) > 1 << 31:
            raise SequenceFileError("'frame' must be a whole number.")
        settings = render_settings(value)
        if settings["row"] >= rows:
            raise SequenceFileError(f"'row' is {settings['row']}, and there are {rows} latents.")
        shadow = None if value.get("shadow") is None else ShadowSettings.from_json(value["shadow"])
        return SequenceFrame(number, **settings, shadow=shadow)
    except (ProtocolError, SequenceFileError) as error:
        raise SequenceFileError(f"in frames[{index}], {error}") from None
