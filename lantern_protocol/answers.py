"""The answers of the methods, and the notifications, which read and check themselves.

Every `from_json` raises ProtocolError INVALID_PARAMS, naming the field that is wrong, so wrong answers of a server
come no further than this. Texts are cut and cleaned so that they can be shown (`errors.readable`); paths stay as they
are.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .errors import INVALID_PARAMS, ProtocolError, quoted
from .fields import (
    read_file,
    read_flag,
    read_id,
    read_integer,
    read_job,
    read_list,
    read_number,
    read_path,
    read_sha256,
    read_text,
)
from .vectors import Floats

MOST = (1 << 31) - 1
"""The largest count: Blender's properties hold no larger one."""

MOST_BYTES = 1 << 53
SPACES = ("z", "w", "w+")

LONGEST_VECTOR = 1 << 16
LONGEST_LATENT = 1 << 20
MOST_CLASSES = 1 << 16
LARGEST_SIDE = 16384
"""Limits for the length of a z or w, the length of a whole latent, the number of classes, and the pixels of a picture's
longer side.

They are larger than any generator needs, and small enough for the memory. They are checked because a server, and a
file too, may hold any number.
"""


@dataclass(frozen=True, slots=True)
class Device:
    """What runs the generators: kind is "cuda", "mps" or "cpu"; name is for people."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Greeting:
    """The answer to `initialize`: the server's versions, and what it runs on."""

    protocol: int
    pixel_revision: int
    server: str
    python: str
    torch: str
    device: Device
    pid: int

    def to_json(self) -> dict[str, Any]:
        """Return the greeting as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Greeting:
        """Read the greeting. Only the versions are required, but fields of a wrong type are errors."""
        device = fields.get("device", {})
        if not isinstance(device, dict):
            raise ProtocolError(INVALID_PARAMS, f"'device' must hold kind and name, not {quoted(device)}.")
        return cls(
            protocol=read_integer(fields, "protocol", None, 0, MOST),
            pixel_revision=read_integer(fields, "pixel_revision", None, 0, MOST),
            server=read_text(fields, "server", ""),
            python=read_text(fields, "python", ""),
            torch=read_text(fields, "torch", ""),
            device=Device(read_text(device, "kind", ""), read_text(device, "name", "")),
            pid=read_integer(fields, "pid", 0, 0, MOST),
        )


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """One snapshot of a run: its name for people, its file and what is in it."""

    name: str
    path: str
    sha256: str
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return the snapshot as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> SnapshotFile:
        """Read the snapshot."""
        fields = _object(value, "snapshot")
        size = read_integer(fields, "bytes", 0, 0, MOST_BYTES)
        return cls(read_text(fields, "name"), read_file(fields, "path"), read_sha256(fields, "sha256"), size)


@dataclass(frozen=True, slots=True)
class GeneratorDescription:
    """What a generator is; for a folder of snapshots, what its last one is.

    The fields up to `canvas_step` are those of the server's ``GeneratorInfo``. sha256: of the file. path: as it was
    asked for. bytes: the file's size. device, dtype: where and in which precision it runs. snapshots: of a folder, in
    the order of training; empty for a file.
    """

    kind: str
    name: str
    z_dim: int
    w_dim: int
    num_ws: int
    width: int
    height: int
    channels: int
    num_classes: int
    spaces: tuple[str, ...]
    has_noise: bool
    licence: str
    training: str
    origin: str
    assumed: str
    has_truncation: bool
    default_cutoff: int | None
    has_transform: bool
    normalises_z: bool
    canvas_step: int
    sha256: str
    path: str | None
    bytes: int
    device: str
    dtype: str
    snapshots: tuple[SnapshotFile, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the description as JSON values."""
        return asdict(self) | {"spaces": list(self.spaces), "snapshots": [each.to_json() for each in self.snapshots]}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> GeneratorDescription:
        """Read the description. Sizes that no generator has are errors, because memory is taken for them."""
        spaces = read_list(fields, "spaces")
        if not set(map(str, spaces)) <= set(SPACES):
            raise ProtocolError(INVALID_PARAMS, f"'spaces' must be some of {', '.join(SPACES)}, not {quoted(spaces)}.")
        cutoff = fields.get("default_cutoff")
        w_dim = read_integer(fields, "w_dim", None, 1, LONGEST_VECTOR)
        return cls(
            kind=read_text(fields, "kind"),
            name=read_text(fields, "name"),
            z_dim=read_integer(fields, "z_dim", None, 1, LONGEST_VECTOR),
            w_dim=w_dim,
            num_ws=read_integer(fields, "num_ws", None, 1, LONGEST_LATENT // w_dim),
            width=read_integer(fields, "width", None, 1, LARGEST_SIDE),
            height=read_integer(fields, "height", None, 1, LARGEST_SIDE),
            channels=_length(fields, "channels"),
            num_classes=read_integer(fields, "num_classes", None, 0, MOST_CLASSES),
            spaces=tuple(spaces),
            has_noise=read_flag(fields, "has_noise", None),
            licence=read_text(fields, "licence"),
            training=read_text(fields, "training"),
            origin=read_text(fields, "origin"),
            assumed=read_text(fields, "assumed"),
            has_truncation=read_flag(fields, "has_truncation", None),
            default_cutoff=None if cutoff is None else _length(fields, "default_cutoff"),
            has_transform=read_flag(fields, "has_transform", None),
            normalises_z=read_flag(fields, "normalises_z", None),
            canvas_step=_length(fields, "canvas_step"),
            sha256=read_sha256(fields, "sha256"),
            path=read_path(fields, "path"),
            bytes=read_integer(fields, "bytes", None, 0, MOST_BYTES),
            device=read_text(fields, "device"),
            dtype=read_text(fields, "dtype"),
            snapshots=tuple(SnapshotFile.from_json(item) for item in read_list(fields, "snapshots")),
        )


@dataclass(frozen=True, slots=True)
class LibraryCard:
    """A generator's description, and the path of its picture, a PNG; "" if there is none."""

    description: GeneratorDescription
    thumbnail: str

    def to_json(self) -> dict[str, Any]:
        """Return the card as JSON values: one flat object."""
        return self.description.to_json() | {"thumbnail": self.thumbnail}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> LibraryCard:
        """Read the card."""
        thumbnail = fields.get("thumbnail")
        path = "" if thumbnail in (None, "") else read_file(fields, "thumbnail")
        return cls(GeneratorDescription.from_json(fields), path)


@dataclass(frozen=True, slots=True)
class LibraryEntry:
    """A generator that was found: a file, with 0 snapshots, or a folder of that many. bytes: of all files."""

    path: str
    snapshots: int
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return the entry as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> LibraryEntry:
        """Read the entry."""
        fields = _object(value, "entry")
        snapshots = read_integer(fields, "snapshots", None, 0, MOST)
        return cls(read_file(fields, "path"), snapshots, read_integer(fields, "bytes", None, 0, MOST_BYTES))


@dataclass(frozen=True, slots=True)
class LibraryList:
    """The generators in some folders. problems: a sentence for each folder that could not be read."""

    entries: tuple[LibraryEntry, ...]
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the list as JSON values."""
        return {"entries": [entry.to_json() for entry in self.entries], "problems": list(self.problems)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> LibraryList:
        """Read the list."""
        problems = read_list(fields, "problems")
        return cls(
            tuple(LibraryEntry.from_json(item) for item in read_list(fields, "entries")),
            tuple(read_text({"problems": problem}, "problems") for problem in problems),
        )


@dataclass(frozen=True, slots=True)
class Latents:
    """latents: of `latents/map`, w (n, w_dim) without truncation."""

    latents: Floats

    def to_json(self) -> dict[str, Any]:
        """Return the latents as JSON values."""
        return {"latents": self.latents.to_json()}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Latents:
        """Read the latents."""
        return cls(_rows(fields, 2, 2))


@dataclass(frozen=True, slots=True)
class ImportedLatents:
    """The latents of a file, (n, ...), and their space: "z", "w" or "w+"."""

    latents: Floats
    space: str

    def to_json(self) -> dict[str, Any]:
        """Return latents and space as JSON values."""
        return {"latents": self.latents.to_json(), "space": self.space}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> ImportedLatents:
        """Read latents and space."""
        space = fields.get("space")
        if space not in SPACES:
            raise ProtocolError(INVALID_PARAMS, f"'space' must be one of {', '.join(SPACES)}, not {quoted(space)}.")
        return cls(_rows(fields, 2, 4), str(space))


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the orders of a request, once the last of them was made, failed or dropped."""

    made: int
    failed: int
    dropped: int

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Counts:
        """Read the counts."""
        return cls(*(read_integer(fields, key, None, 0, MOST) for key in ("made", "failed", "dropped")))


@dataclass(frozen=True, slots=True)
class Dropped:
    """How many orders `frames/cancel` has dropped."""

    dropped: int

    def to_json(self) -> dict[str, Any]:
        """Return the count as a JSON value."""
        return {"dropped": self.dropped}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Dropped:
        """Read the count."""
        return cls(read_integer(fields, "dropped", None, 0, MOST))


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Whether the long work that `work/cancel` named was under way. Then its request is answered with CANCELLED."""

    cancelled: bool

    def to_json(self) -> dict[str, Any]:
        """Return the flag as a JSON value."""
        return {"cancelled": self.cancelled}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Cancelled:
        """Read the flag."""
        return cls(read_flag(fields, "cancelled", None))


@dataclass(frozen=True, slots=True)
class Released:
    """How many bytes `device/release` has freed."""

    released: int

    def to_json(self) -> dict[str, Any]:
        """Return the count as a JSON value."""
        return {"released": self.released}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Released:
        """Read the count."""
        return cls(read_integer(fields, "released", None, 0, MOST_BYTES))


@dataclass(frozen=True, slots=True)
class FramesMade:
    """A notification: these files have their final names. seconds: how long it took from the order's start."""

    job: int
    names: tuple[str, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the params of the notification."""
        return {"job": self.job, "names": list(self.names), "seconds": self.seconds}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> FramesMade:
        """Read the params of the notification."""
        return cls(read_job(fields), _names(fields), read_number(fields, "seconds", 0.0, 0, 1e9))


@dataclass(frozen=True, slots=True)
class FramesFailed:
    """A notification: these files cannot be made.

    If the disk or the memory is the cause, the next frame would fail as well, so the rest of the job is dropped.
    """

    job: int
    names: tuple[str, ...]
    error: ProtocolError

    def to_json(self) -> dict[str, Any]:
        """Return the params of the notification."""
        return {"job": self.job, "names": list(self.names), "error": self.error.to_json()}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> FramesFailed:
        """Read the params of the notification."""
        return cls(read_job(fields), _names(fields), ProtocolError.from_json(fields.get("error")))


@dataclass(frozen=True, slots=True)
class WorkProgress:
    """A notification: how far the long work of a request is, 0 <= done <= total."""

    id: int | str
    done: int
    total: int

    def to_json(self) -> dict[str, Any]:
        """Return the params of the notification."""
        return {"id": self.id, "done": self.done, "total": self.total}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> WorkProgress:
        """Read the params of the notification."""
        total = read_integer(fields, "total", None, 0, MOST)
        return cls(read_id(fields), read_integer(fields, "done", None, 0, total), total)


def _length(fields: dict[str, Any], key: str) -> int:
    return read_integer(fields, key, None, 0, MOST)


def _rows(fields: dict[str, Any], least: int, most: int) -> Floats:
    latents = Floats.from_json(fields.get("latents"))
    if not least <= len(latents.shape) <= most:
        raise ProtocolError(INVALID_PARAMS, f"'latents' must be a list of latents, not of shape {latents.shape}.")
    return latents


def _names(fields: dict[str, Any]) -> tuple[str, ...]:
    names = read_list(fields, "names")
    if not all(isinstance(name, str) for name in names):
        raise ProtocolError(INVALID_PARAMS, f"'names' must be file names, not {quoted(names)}.")
    return tuple(names)


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProtocolError(INVALID_PARAMS, f"A {what} must be an object, not {quoted(value)}.")
    return value
