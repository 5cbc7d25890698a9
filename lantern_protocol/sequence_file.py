"""Sequence files, `NAME.lantern.json`: a shot as latents and settings, from which frames are made without Blender.

The add-on writes these files and the server reads them. JSON:

    {"format": "latent_lantern.sequence", "version": 2, "name": "Shot 3", "fps": 24.0,
     "generators": [{"path": null or text, "sha256": "...", "name": "family at dinner"}], "space": "z" or "w",
     "latents": {"dtype": "float32", "shape": [rows, size], "data": base64 of little-endian float32},
     "frames": [{"frame": 1, "generator": 0, "row": 0, "psi": 0.7, "cutoff": null, "noise": "const", "classes": [],
                 "toward": null, "mix": 0.0, "transform": [], "shadow": {...}}]}

A path is relative to the sequence file's folder, or absolute; null is the built-in generator. A frame's `generator` and
`toward` are places in the list of generators (the snapshots of one run), and `mix` says how far its weights lie from
`generator` to `toward`, 0 to 1. A frame without `shadow` is in colour. In w, latents may also have the shape [rows,
num_ws, w_dim] (W+), in z [rows, z_dim, height, width]. Version 1 had one generator, under `generator`, and is read too.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from .errors import ProtocolError
from .orders import AS_IS, RENDER_FIELDS, RenderSettings, ShadowSettings, read_row
from .vectors import pack_floats, unpack_floats

FORMAT = "latent_lantern.sequence"
VERSION = 2
SUFFIX = ".lantern.json"


class SequenceFileError(Exception):
    """A sequence file cannot be read or written; the text names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class SequenceGenerator:
    """A checkpoint of a sequence.

    path: as in the file, relative to the file's folder or absolute, None for the built-in one. sha256: of its contents.
    name: for people.
    """

    path: str | None
    sha256: str
    name: str


@dataclass(frozen=True, slots=True)
class SequenceFrame:
    """One frame.

    frame: its number on the timeline. row: of the sequence's latents. settings: how it is rendered. generator, toward:
    places in the sequence's generators; toward is None where `mix` is 0. shadow: None for colour.
    """

    frame: int
    row: int
    settings: RenderSettings = AS_IS
    generator: int = 0
    toward: int | None = None
    shadow: ShadowSettings | None = None


@dataclass(frozen=True, slots=True)
class SequenceFile:
    """A sequence.

    fps: frames a second. generators: at least one. space: "z" or "w". latents: native float32 bytes in C order; shape:
    of the latents, (rows, z_dim), (rows, w_dim), (rows, num_ws, w_dim) or (rows, z_dim, height, width).
    """

    name: str
    fps: float
    generators: tuple[SequenceGenerator, ...]
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
            "generators": [
                {
                    "path": None if generator.path is None else PurePath(generator.path).as_posix(),
                    "sha256": generator.sha256,
                    "name": generator.name,
                }
                for generator in self.generators
            ],
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
        if value.get("version") not in (1, VERSION):
            raise SequenceFileError(
                f"It has version {str(value.get('version'))[:20]}; this version of Latent Lantern reads {VERSION}."
            )
        listed = [value.get("generator")] if value["version"] == 1 else _field(value, "generators", list)
        generators = tuple(map(_generator_from_json, listed))
        if not generators:
            raise SequenceFileError("'generators' is empty.")
        space = _field(value, "space", str)
        data, shape = unpack_floats(value.get("latents"))
        if space not in ("z", "w") or len(shape) not in ((2, 4) if space == "z" else (2, 3)):
            raise SequenceFileError(f"'space' is {space[:20]!r} and 'latents' has {len(shape)} dimensions; use \"z\" "
                                    'with 2 or 4, or "w" with 2 or 3.')  # fmt: skip
        fps = value.get("fps")
        if not isinstance(fps, (int, float)) or isinstance(fps, bool) or not 0 < fps <= 1e6:
            raise SequenceFileError("'fps' must be a number above 0.")
        frames = tuple(
            _frame_from_json(item, index, shape[0], len(generators))
            for index, item in enumerate(_field(value, "frames", list))
        )
        if len({frame.frame for frame in frames}) < len(frames):
            raise SequenceFileError("Two of its frames have the same number.")
        return cls(
            name=_field(value, "name", str),
            fps=float(fps),
            generators=generators,
            space=space,
            latents=data,
            shape=shape,
            frames=frames,
        )


def _generator_from_json(value: Any) -> SequenceGenerator:
    if not isinstance(value, dict):
        raise SequenceFileError("A generator must be an object.")
    path = _field(value, "path", str) if value.get("path") is not None else None
    if path is not None and (not path or "\0" in path):
        raise SequenceFileError("'path' must name a file, or be null for the built-in generator.")
    sha256 = _field(value, "sha256", str).lower()
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise SequenceFileError("'sha256' must be 64 hexadecimal digits.")
    return SequenceGenerator(path, sha256, _field(value, "name", str))


def _field(fields: dict[str, Any], key: str, kind: type) -> Any:
    value = fields.get(key)
    if not isinstance(value, kind):
        raise SequenceFileError(f"'{key}' is missing or of the wrong kind.")
    return value


_WRITTEN = ("frame", "generator", "row", "psi", "cutoff", "noise", "classes", "toward", "mix", "transform")
"""Fields of a frame, in the order in which they are written."""

_FRAME_FIELDS = {"frame", "row", "generator", "toward", "shadow", *RENDER_FIELDS}


def _frame_to_json(frame: SequenceFrame) -> dict[str, Any]:
    places = {"frame": frame.frame, "generator": frame.generator, "row": frame.row, "toward": frame.toward}
    fields = places | frame.settings.to_json()
    value: dict[str, Any] = {key: fields[key] for key in _WRITTEN}
    if frame.shadow is not None:
        value["shadow"] = frame.shadow.to_json()
    return value


def _frame_from_json(value: Any, index: int, rows: int, generators: int) -> SequenceFrame:
    try:
        if not isinstance(value, dict):
            raise SequenceFileError("it must be an object.")
        unknown = sorted(set(value) - _FRAME_FIELDS)
        if unknown:
            raise SequenceFileError(f"there is no field {unknown[0]!r}.")
        number = value.get("frame")
        if not isinstance(number, int) or isinstance(number, bool) or abs(number) > 1 << 31:
            raise SequenceFileError("'frame' must be a whole number.")
        row, settings = read_row(value), RenderSettings.from_json(value)
        if row >= rows:
            raise SequenceFileError(f"'row' is {row}, and there are {rows} latents.")
        generator, toward = value.get("generator", 0), value.get("toward")
        for place in (generator, 0 if toward is None else toward):
            if not isinstance(place, int) or isinstance(place, bool) or not 0 <= place < generators:
                raise SequenceFileError(f"'generator' and 'toward' must be places in a list of {generators}.")
        if settings.mix and toward is None:
            raise SequenceFileError("'mix' needs 'toward'.")
        shadow = None if value.get("shadow") is None else ShadowSettings.from_json(value["shadow"])
        return SequenceFrame(number, row, settings, generator, toward, shadow)
    except (ProtocolError, SequenceFileError) as error:
        raise SequenceFileError(f"in frames[{index}], {error}") from None
