"""The params of the methods, which read and check themselves.

Every `from_json` raises ProtocolError INVALID_PARAMS, naming the field that is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .errors import INVALID_PARAMS, ProtocolError
from .fields import is_path, read_file, read_flag, read_id, read_job, read_list, read_path, read_sha256
from .orders import FrameOrder, ShadowOrder
from .vectors import Floats

MOST_ORDERS = 1 << 16
"""Frames or shadows of one request. The add-on orders 64."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """No params, or an answer that only says that the work is done."""

    def to_json(self) -> dict[str, Any]:
        """Return an empty object."""
        return {}

    @classmethod
    def from_json(cls, _fields: dict[str, Any]) -> Nothing:
        """Take anything."""
        return cls()


@dataclass(frozen=True, slots=True)
class GeneratorFile:
    """Which generator is meant.

    path: of its file, None for the built-in one. sha256: what its contents must have, None for any. The server loads
    the file when it must, and refuses one whose contents have changed.
    """

    path: str | None
    sha256: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return path and sha256."""
        return {"path": self.path, "sha256": self.sha256}

    @classmethod
    def from_json(cls, value: Any, what: str = "generator") -> GeneratorFile:
        """Read the object under the field `what`."""
        if not isinstance(value, dict) or not value.keys() <= {"path", "sha256"}:
            raise ProtocolError(INVALID_PARAMS, f"'{what}' must hold path and sha256, and no more.")
        sha256 = None if value.get("sha256") is None else read_sha256(value, "sha256")
        return cls(read_path(value, "path"), sha256)


@dataclass(frozen=True, slots=True)
class Hello:
    """The add-on's first message: its versions. They may be of any type, because a wrong version has its own error."""

    protocol: Any
    pixel_revision: Any
    client: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the versions and the client's name."""
        return {"protocol": self.protocol, "pixel_revision": self.pixel_revision, "client": self.client}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Hello:
        """Read the versions; never raises."""
        return cls(fields.get("protocol"), fields.get("pixel_revision"))


@dataclass(frozen=True, slots=True)
class DescribeParams:
    """path: of a file, or of a folder of snapshots; None for the built-in generator."""

    path: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the params as JSON values."""
        return {"path": self.path}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> DescribeParams:
        """Read the params."""
        return cls(read_path(fields, "path"))


@dataclass(frozen=True, slots=True)
class CardParams:
    """path: as in DescribeParams. thumbnail: whether to make a picture if there is none yet."""

    path: str | None
    thumbnail: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the params as JSON values."""
        return {"path": self.path, "thumbnail": self.thumbnail}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> CardParams:
        """Read the params."""
        return cls(read_path(fields, "path"), read_flag(fields, "thumbnail", False))


@dataclass(frozen=True, slots=True)
class ListParams:
    """folders: in which generators are looked for."""

    folders: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the params as JSON values."""
        return {"folders": list(self.folders)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> ListParams:
        """Read the params."""
        folders = read_list(fields, "folders")
        if not all(map(is_path, folders)):
            raise ProtocolError(INVALID_PARAMS, "'folders' must be a list of paths.")
        return cls(tuple(folders))


@dataclass(frozen=True, slots=True)
class MapParams:
    """latents: z, (n, z_dim). classes: class weights (n, num_classes), None for an unconditional generator."""

    generator: GeneratorFile
    latents: Floats
    classes: Floats | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the params as JSON values."""
        value = {"generator": self.generator.to_json(), "latents": self.latents.to_json()}
        return value if self.classes is None else value | {"classes": self.classes.to_json()}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> MapParams:
        """Read the params."""
        generator, latents = GeneratorFile.from_json(fields.get("generator")), Floats.from_json(fields.get("latents"))
        given = fields.get("classes")
        return cls(generator, latents, None if given is None else Floats.from_json(given, "classes"))


@dataclass(frozen=True, slots=True)
class ImportParams:
    """path: of an .npy, .npz or .pt file of latents. generator: the one that they are for."""

    path: str
    generator: GeneratorFile

    def to_json(self) -> dict[str, Any]:
        """Return the params as JSON values."""
        return {"path": self.path, "generator": self.generator.to_json()}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> ImportParams:
        """Read the params."""
        return cls(read_file(fields, "path"), GeneratorFile.from_json(fields.get("generator")))


@dataclass(frozen=True, slots=True)
class GenerateParams:
    """An order for colour frames, and for shadows from them.

    job: a number chosen by the add-on that only grows. folder: where the files go, an absolute path. toward: a second
    snapshot of the generator's run, to which the frames' `mix` leads. space: "z" or "w". latents: (rows, z_dim),
    (rows, w_dim), (rows, num_ws, w_dim) which is W+, or (rows, z_dim, height, width) for generators with a
    `canvas_step`. append: whether the frames join the end of the job's queue.
    """

    job: int
    folder: str
    generator: GeneratorFile
    space: str
    latents: Floats
    frames: tuple[FrameOrder, ...]
    toward: GeneratorFile | None = None
    append: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the params as JSON values."""
        value = {
            "job": self.job,
            "folder": self.folder,
            "append": self.append,
            "generator": self.generator.to_json(),
            "space": self.space,
            "latents": self.latents.to_json(),
            "frames": [frame.to_json() for frame in self.frames],
        }
        return value if self.toward is None else value | {"toward": self.toward.to_json()}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> GenerateParams:
        """Read the params."""
        space = fields.get("space", "z")
        if space not in ("z", "w"):
            raise ProtocolError(INVALID_PARAMS, '\'space\' must be "z" or "w".')
        latents = Floats.from_json(fields.get("latents"))
        given = fields.get("toward")
        toward = None if given is None else GeneratorFile.from_json(given, "toward")
        frames = tuple(FrameOrder.from_json(item) for item in _read_orders(fields, "frames"))
        _check_frames(frames, latents, toward)
        generator = GeneratorFile.from_json(fields.get("generator"))
        append, job, folder = read_flag(fields, "append", False), read_job(fields), _read_folder(fields)
        return cls(job, folder, generator, space, latents, frames, toward, append)


@dataclass(frozen=True, slots=True)
class DeriveParams:
    """An order for shadows from colour frames that are in the folder. job, folder, append: as in GenerateParams."""

    job: int
    folder: str
    shadows: tuple[ShadowOrder, ...]
    append: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the params as JSON values."""
        shadows = [shadow.to_json() for shadow in self.shadows]
        return {"job": self.job, "folder": self.folder, "append": self.append, "shadows": shadows}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> DeriveParams:
        """Read the params."""
        shadows = tuple(ShadowOrder.from_json(item) for item in _read_orders(fields, "shadows"))
        append, job, folder = read_flag(fields, "append", False), read_job(fields), _read_folder(fields)
        return cls(job, folder, shadows, append)


@dataclass(frozen=True, slots=True)
class CancelParams:
    """job: what is left of this one is dropped."""

    job: int

    def to_json(self) -> dict[str, Any]:
        """Return the params as JSON values."""
        return {"job": self.job}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> CancelParams:
        """Read the params."""
        return cls(read_job(fields))


@dataclass(frozen=True, slots=True)
class CancelWorkParams:
    """id: of the request whose long work is cancelled."""

    id: int | str

    def to_json(self) -> dict[str, Any]:
        """Return the params as JSON values."""
        return {"id": self.id}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> CancelWorkParams:
        """Read the params."""
        return cls(read_id(fields))


def _check_frames(frames: Sequence[FrameOrder], latents: Floats, toward: GeneratorFile | None) -> None:
    rows = latents.shape[0] if latents.shape else 0
    for frame in frames:
        if frame.row >= rows:
            raise ProtocolError(INVALID_PARAMS, f"Frame '{frame.name}' asks for row {frame.row} of {rows} latents.")
        if frame.settings.mix and toward is None:
            raise ProtocolError(INVALID_PARAMS, f"Frame '{frame.name}' has a 'mix' and the request no 'toward'.")


def _read_orders(fields: dict[str, Any], key: str) -> list[Any]:
    orders = read_list(fields, key)
    if len(orders) > MOST_ORDERS:
        raise ProtocolError(INVALID_PARAMS, f"'{key}' has {len(orders)} orders; at most {MOST_ORDERS} are taken.")
    return orders


def _read_folder(fields: dict[str, Any]) -> str:
    folder = fields.get("folder")
    if not is_path(folder) or not os.path.isabs(folder):
        raise ProtocolError(INVALID_PARAMS, "'folder' must be an absolute path.")
    return folder
