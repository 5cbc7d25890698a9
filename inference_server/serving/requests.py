"""The params of requests, read and checked. Standard library only: the reader thread works before torch is there."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from lantern_protocol.errors import INVALID_PARAMS, VERSION_MISMATCH, ProtocolError, quoted
from lantern_protocol.fields import read_list
from lantern_protocol.orders import FrameOrder, ShadowOrder
from lantern_protocol.vectors import unpack_floats
from lantern_protocol.versions import PIXEL_REVISION, PROTOCOL_VERSION, SERVER_VERSION

from .scheduler import Reply, Ticket

MOST_SEEDS = 1 << 16
MOST_ORDERS = 1 << 16
"""Frames or shadows of one request. The add-on orders 64."""

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Which:
    """A generator: its file, None for the built-in one, and the sha256 its contents must have, None for any."""

    path: str | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Floats:
    """A float32 array as it came: native bytes in C order, and their shape."""

    data: bytes
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FrameSource:
    """What the frames of a frames/generate request are made from; `toward` is where their `mix` leads."""

    which: Which
    toward: Which | None
    space: str
    latents: Floats


def check_versions(params: dict[str, Any]) -> None:
    """Raise ProtocolError VERSION_MISMATCH unless the other side speaks as this one does."""
    theirs = (params.get("protocol"), params.get("pixel_revision"))
    if theirs != (PROTOCOL_VERSION, PIXEL_REVISION):
        raise ProtocolError(
            VERSION_MISMATCH,
            f"The add-on (protocol {quoted(theirs[0])}, pixels {quoted(theirs[1])}) and the inference server "
            f"{SERVER_VERSION} (protocol {PROTOCOL_VERSION}, pixels {PIXEL_REVISION}) are of different versions. "
            "Install the add-on again and restart Blender.",
            {"protocol": PROTOCOL_VERSION, "pixel_revision": PIXEL_REVISION, "server": SERVER_VERSION},
        )


def read_generate(params: dict[str, Any], reply: Reply) -> tuple[Ticket, list[FrameOrder], bool]:
    """Read frames/generate: its ticket, its orders, and whether they join the job's queue."""
    space = params.get("space", "z")
    if space not in ("z", "w"):
        raise ProtocolError(INVALID_PARAMS, '\'space\' must be "z" or "w".')
    latents = read_floats(params, "latents")
    toward = read_generator(params, "toward") if params.get("toward") is not None else None
    orders = [FrameOrder.from_json(item) for item in _orders(params, "frames")]
    rows = latents.shape[0] if latents.shape else 0
    for order in orders:
        if order.row >= rows:
            raise ProtocolError(INVALID_PARAMS, f"Frame '{order.name}' asks for row {order.row} of {rows} latents.")
        if order.mix and toward is None:
            raise ProtocolError(INVALID_PARAMS, f"Frame '{order.name}' has a 'mix' and the request no 'toward'.")
    source = FrameSource(read_generator(params), toward, space, latents)
    return _ticket(params, len(orders), reply, source), orders, read_flag(params, "append")


def read_derive(params: dict[str, Any], reply: Reply) -> tuple[Ticket, list[ShadowOrder], bool]:
    """Read shadows/derive: its ticket, its orders, and whether they join the job's queue."""
    orders = [ShadowOrder.from_json(item) for item in _orders(params, "shadows")]
    return _ticket(params, len(orders), reply), orders, read_flag(params, "append")


def read_job(params: dict[str, Any]) -> int:
    """Return the job's number."""
    job = params.get("job")
    if not isinstance(job, int) or isinstance(job, bool) or job < 0:
        raise ProtocolError(INVALID_PARAMS, "'job' must be a whole number from 0 up.")
    return job


def read_id(params: dict[str, Any]) -> int | str:
    """Return the id of another request."""
    identity = params.get("id")
    if not isinstance(identity, int | str) or isinstance(identity, bool):
        raise ProtocolError(INVALID_PARAMS, "'id' must be the id of a request: a number or a word.")
    return identity


def read_generator(params: dict[str, Any], key: str = "generator") -> Which:
    """Return the generator that a request names."""
    value = params.get(key)
    if not isinstance(value, dict) or not value.keys() <= {"path", "sha256"}:
        raise ProtocolError(INVALID_PARAMS, f"'{key}' must hold path and sha256, and no more.")
    sha256 = value.get("sha256")
    if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise ProtocolError(INVALID_PARAMS, "'sha256' must be 64 hexadecimal digits.")
    return Which(read_path(value), sha256)


def read_path(params: dict[str, Any]) -> str | None:
    """Return a checkpoint's path, None for the built-in generator."""
    path = params.get("path")
    if path is not None and not _is_path(path):
        raise ProtocolError(INVALID_PARAMS, "'path' must name a file, or be null for the built-in generator.")
    return path


def read_file(params: dict[str, Any]) -> str:
    """Return the path of a file that must be named."""
    path = read_path(params)
    if path is None:
        raise ProtocolError(INVALID_PARAMS, "'path' must name a file.")
    return path


def read_folders(params: dict[str, Any]) -> list[str]:
    """Return the folders of library/list."""
    folders = read_list(params, "folders")
    if not all(map(_is_path, folders)):
        raise ProtocolError(INVALID_PARAMS, "'folders' must be a list of paths.")
    return folders


def read_flag(params: dict[str, Any], key: str) -> bool:
    """Return true or false, false when absent."""
    value = params.get(key, False)
    if not isinstance(value, bool):
        raise ProtocolError(INVALID_PARAMS, f"'{key}' must be true or false.")
    return value


def read_seeds(params: dict[str, Any]) -> list[int]:
    """Return the seeds of latents/sample, each in the range of numpy's RandomState."""
    seeds = read_list(params, "seeds")
    if not all(isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < 1 << 32 for seed in seeds):
        raise ProtocolError(INVALID_PARAMS, "Every seed must be a whole number from 0 to 4294967295.")
    if len(seeds) > MOST_SEEDS:
        raise ProtocolError(INVALID_PARAMS, f"At most {MOST_SEEDS} seeds can be sampled at once.")
    return seeds


def read_floats(params: dict[str, Any], key: str) -> Floats:
    """Return packed floats."""
    return Floats(*unpack_floats(params.get(key), key))


def _ticket(params: dict[str, Any], count: int, reply: Reply, source: FrameSource | None = None) -> Ticket:
    read_flag(params, "append")  # an empty ticket answers at once: whatever may be wrong is found before
    return Ticket(read_job(params), _folder(params), count, reply, source)


def _orders(params: dict[str, Any], key: str) -> list[Any]:
    orders = read_list(params, key)
    if len(orders) > MOST_ORDERS:
        raise ProtocolError(INVALID_PARAMS, f"'{key}' has {len(orders)} orders; at most {MOST_ORDERS} are taken.")
    return orders


def _folder(params: dict[str, Any]) -> Path:
    folder = params.get("folder")
    if not _is_path(folder) or not os.path.isabs(folder):
        raise ProtocolError(INVALID_PARAMS, "'folder' must be an absolute path.")
    return Path(folder)


def _is_path(value: Any) -> TypeGuard[str]:
    """Whether a value can be the name of a file here at all, there or not."""
    if not isinstance(value, str) or not value or "\0" in value:
        return False
    try:
        os.fsencode(value)
    except UnicodeEncodeError:  # a lone surrogate that stands for no byte
        return False
    return True
