"""The messages between the add-on and the inference server. Standard library only; both sides import this file.

JSON-RPC 2.0 in the base framing of the Language Server Protocol (`Content-Length: N`, an empty line, N bytes of UTF-8
JSON), over the child's stdin and stdout. Vectors travel as base64 of little-endian float32; pixels travel as files.

Requests, from the add-on to the server:

=================== ================================================= =======================================
method              params                                            result
=================== ================================================= =======================================
initialize          protocol, pixel_revision, client                  protocol, pixel_revision, server, python,
                                                                      torch, device {kind, name}, pid
generator/describe  path: of a file, of a folder of snapshots, or     the fields of GeneratorInfo, and sha256, path,
                    null: the built-in one                            bytes, device, dtype, snapshots: one flat object
latents/sample      generator, seeds [int]                            latents (n, z_dim)
latents/map         generator, latents (n, z_dim), classes or absent  latents (n, w_dim), without truncation
latents/import      path: of an .npy, .npz or .pt file, generator     latents (n, ...), space: "z", "w" or "w+"
frames/generate     job, folder, generator, toward or absent, space,  made, failed, dropped: counts, once the last
                    latents (rows), frames [FrameOrder], append       of these frames is made, failed or dropped
shadows/derive      job, folder, shadows [ShadowOrder], append        the same
frames/cancel       job                                               dropped: a count
library/list        folders [path]                                    entries [{path, snapshots: a count, bytes}],
                                                                      problems [text]
library/card        path, thumbnail: whether to make one              as generator/describe, and thumbnail: path of a
                                                                      PNG, empty if there is none
device/release      none                                              released: bytes; generators leave the device
ping                none                                              {}, at once, whatever the device is doing
shutdown            none                                              {}, after the files under way are written
=================== ================================================= =======================================

`generator` is {path, sha256}: the server loads the file when it must, and refuses one whose contents have changed.
`toward`, of the same form, is a second snapshot of the same run; a frame's `mix` says how far its weights lie from the
first to the second. `snapshots` of a folder is a list of {name, path, sha256, bytes} in the order of training, and the
flat fields are those of the last one; of a file it is empty. Latents in space "w" may also be (rows, num_ws, w_dim),
which is W+, and in z (rows, z_dim, height, width) for generators with a `canvas_step`.
A job is a number chosen by the add-on that only grows. An order drops what is left of older ones, unless `append` is
true and the job is the current one: then the orders join the end of its queue. Orders for a job older than the current
one are dropped at once. Within a job, orders are made in the order given; the first one of a job is made alone, so that
the frame under the playhead never waits for a batch. Whatever a frames/failed says of the disk or of memory would meet
the next frame as well: the rest of the job is dropped then.

Notifications, from the server to the add-on: `frames/made` {job, names, seconds} after files have their final names,
`frames/failed` {job, names, error}, and `log` {level, text}.
"""

from __future__ import annotations

import array
import base64
import binascii
import json
import math
import reprlib
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

PROTOCOL_VERSION = 2
SERVER_VERSION = "0.1.0"
PIXEL_REVISION = 2
"""Raised whenever the same request would give other pixels. Part of every frame's name."""

MAX_HEADER_BYTES = 4096
MAX_BODY_BYTES = 64 * 1024 * 1024
MOST_DIMENSIONS = 8
MOST_WORDS = 1000
"""Characters of an error's text that are read; a person reads no more."""

# JSON-RPC's own error codes, then ours.
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
VERSION_MISMATCH = -32001
CHECKPOINT_UNREADABLE = -32002
CHECKPOINT_CHANGED = -32003
LATENT_MISMATCH = -32004
WRITE_FAILED = -32005
OUT_OF_MEMORY = -32006
SOURCE_MISSING = -32007
"""A shadow was ordered from a colour frame that is not there or cannot be read."""
NOT_A_PICTURE = -32008
"""The generator gave NaN or infinity for this frame."""
TOO_LONG = -32009
"""A request, or the answer to it, would be longer than a message may be."""
SERVER_GONE = -32010
"""Never sent: the add-on's own answer to a request whose server stopped, or was not running."""


class ProtocolError(Exception):
    """A message that cannot be understood or answered. `code` is a JSON-RPC error code; the text is for a person."""

    def __init__(self, code: int, message: str, data: dict[str, Any] | None = None):
        super().__init__(message)
        self.code = code
        self.data = data

    def to_json(self) -> dict[str, Any]:
        """Return the JSON-RPC error object."""
        error: dict[str, Any] = {"code": self.code, "message": str(self)}
        if self.data is not None:
            error["data"] = self.data
        return error

    @classmethod
    def from_json(cls, error: Any) -> ProtocolError:
        """Read a JSON-RPC error object; anything else becomes an internal error that quotes it."""
        if isinstance(error, dict) and _is_int(error.get("code")) and isinstance(error.get("message"), str):
            data = error.get("data")
            return cls(error["code"], readable(error["message"]), data if isinstance(data, dict) else None)
        return cls(INTERNAL_ERROR, f"The other side sent an error that is not one: {quoted(error)}")


# --- quoting ---------------------------------------------------------------------------------------------------------

_shortened = reprlib.Repr()
_shortened.maxlevel = 3
_shortened.maxstring = _shortened.maxlong = _shortened.maxother = 60


def quoted(value: Any) -> str:
    """Return what `value` looks like, for an error's text: short, in ASCII, however large or deep the value is."""
    return ascii(_shortened.repr(value))[1:-1][:200]


def readable(text: str) -> str:
    """Return text of the other side's as a person may see it: not endless, and without lone surrogates, which neither
    Blender's interface nor a file takes."""
    return text[:MOST_WORDS].encode("utf-8", "replace").decode("utf-8")


# --- framing ---------------------------------------------------------------------------------------------------------


def encode_message(message: dict[str, Any]) -> bytes:
    """Return `message` as one frame: header, empty line, UTF-8 JSON without NaN or infinity.

    Raises ProtocolError TOO_LONG where the other side would not read it.
    """
    body = json.dumps(message, separators=(",", ":"), allow_nan=False).encode("utf-8")
    if len(body) > MAX_BODY_BYTES:
        raise ProtocolError(
            TOO_LONG, f"A message would be {len(body) >> 20} MiB long; {MAX_BODY_BYTES >> 20} MiB can be sent at once."
        )
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


def request(identity: int, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a JSON-RPC request."""
    return {"jsonrpc": "2.0", "id": identity, "method": method, "params": params or {}}


def notification(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON-RPC notification."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def result(identity: int | str | None, value: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON-RPC answer."""
    return {"jsonrpc": "2.0", "id": identity, "result": value}


def failure(identity: int | str | None, error: ProtocolError) -> dict[str, Any]:
    """Return a JSON-RPC error answer."""
    return {"jsonrpc": "2.0", "id": identity, "error": error.to_json()}


def read_messages(stream: BinaryIO) -> Iterator[dict[str, Any] | ProtocolError]:
    """Yield the messages of a byte stream until it ends.

    Whatever is not a message is yielded as a ProtocolError, once for each unbroken piece of rubbish, and reading goes
    on at the next header: a stray line printed by a library must not end the conversation. A message that the end of
    the stream cuts off is dropped. A header that announces more than MAX_BODY_BYTES is rubbish, for nobody sends so
    much: to wait for what it announces might be to wait for ever.
    """
    in_rubbish = False
    while True:
        line = stream.readline(MAX_HEADER_BYTES)
        if not line:
            return
        start = line.find(b"Content-Length:")
        if start > 0:  # rubbish without a line's end before a header
            if not in_rubbish:
                in_rubbish = True
                yield ProtocolError(PARSE_ERROR, f"Expected a Content-Length header, got {line[:80]!r}.")
            line = line[start:]
        length = _content_length(line)
        if length is None:
            if line.strip() and not in_rubbish:
                in_rubbish = True
                yield ProtocolError(PARSE_ERROR, f"Expected a Content-Length header, got {line[:80]!r}.")
            continue
        in_rubbish = False
        if length > MAX_BODY_BYTES:
            yield ProtocolError(PARSE_ERROR, f"A message of {length} bytes is longer than {MAX_BODY_BYTES}.")
            in_rubbish = True
            continue
        if not _skip_other_headers(stream):
            yield ProtocolError(PARSE_ERROR, "The header of a message has no end.")
            in_rubbish = True
            continue
        body = _read_exactly(stream, length)
        if body is None:
            return
        try:
            message = json.loads(body)
        except (ValueError, RecursionError, MemoryError) as error:
            yield ProtocolError(PARSE_ERROR, f"A message is not JSON: {readable(str(error))[:200]}")
            continue
        if isinstance(message, dict):
            yield message
        else:
            yield ProtocolError(INVALID_REQUEST, "A message must be a JSON object.")


def _content_length(line: bytes) -> int | None:
    name, colon, value = line.partition(b":")
    digits = value.strip()
    # int() would also take signs, underscores and other alphabets' digits.
    if not colon or name.strip().lower() != b"content-length" or not digits.isdigit() or len(digits) > 15:
        return None
    return int(digits)


def _skip_other_headers(stream: BinaryIO) -> bool:
    for _ in range(16):
        line = stream.readline(MAX_HEADER_BYTES)
        if line in (b"\r\n", b"\n"):
            return True
        if not line.endswith(b"\n"):
            return False
    return False


def _read_exactly(stream: BinaryIO, length: int) -> bytes | None:
    pieces = []
    while length > 0:
        piece = stream.read(min(length, 1 << 20))
        if not piece:
            return None
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


# --- vectors ---------------------------------------------------------------------------------------------------------


def pack_floats(data: bytes, shape: tuple[int, ...]) -> dict[str, Any]:
    """Wrap native float32 bytes (C order, e.g. `ndarray.tobytes()`) of the given shape for a message."""
    if sys.byteorder == "big":
        swapped = array.array("f", data)
        swapped.byteswap()
        data = swapped.tobytes()
    return {"dtype": "float32", "shape": list(shape), "data": base64.b64encode(data).decode("ascii")}


def unpack_floats(value: Any, what: str = "latents") -> tuple[bytes, tuple[int, ...]]:
    """Return (native float32 bytes in C order, shape). Raises ProtocolError unless length and shape agree."""
    shape = value.get("shape") if isinstance(value, dict) else None
    if not isinstance(shape, list) or not all(_is_int(n) and n >= 0 for n in shape) or value.get("dtype") != "float32":
        raise ProtocolError(INVALID_PARAMS, f"'{what}' must hold dtype float32, shape and data.")
    # Numbers in a message may have thousands of digits: nothing is multiplied, or printed, before it is known small.
    if len(shape) > MOST_DIMENSIONS or any(n > MAX_BODY_BYTES for n in shape):
        raise ProtocolError(INVALID_PARAMS, f"'{what}' has a shape that no message holds: {quoted(shape)}.")
    count = math.prod(shape)
    if math.prod(max(n, 1) for n in shape) > MAX_BODY_BYTES:
        raise ProtocolError(INVALID_PARAMS, f"'{what}' has a shape that no message holds: {quoted(shape)}.")
    try:
        data = base64.b64decode(value.get("data", ""), validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise ProtocolError(INVALID_PARAMS, f"'{what}' is not base64: {error}") from None
    if len(data) != 4 * count:
        raise ProtocolError(INVALID_PARAMS, f"'{what}' has {len(data)} bytes; shape {shape} needs {4 * count}.")
    if sys.byteorder == "big":
        swapped = array.array("f", data)
        swapped.byteswap()
        data = swapped.tobytes()
    return data, tuple(shape)


# --- orders ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ShadowSettings:
    """How a colour frame is flattened to a shadow. The defaults are Marrow's rule.

    threshold: 0..255; a pixel whose luma (0.299 R + 0.587 G + 0.114 B, rounded to 8 bits as OpenCV does) is greater
        is figure. softness: width of the edge's ramp in pixels, 0 for a hard edge. fill_holes, min_area: enclosed
        ground and specks of figure of at most this many pixels are turned over, 0 for none. invert: dark pixels are
        the figure.
    figure, ground: RGBA, 0..255. mix: 0 shows the colour frame, 1 the shadow, between them a blend of 8-bit values.
    """

    threshold: float = 50.0
    softness: float = 0.0
    fill_holes: int = 0
    min_area: int = 0
    invert: bool = False
    figure: tuple[int, int, int, int] = (0, 0, 0, 255)
    ground: tuple[int, int, int, int] = (255, 255, 255, 255)
    mix: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return asdict(self) | {"figure": list(self.figure), "ground": list(self.ground)}

    @classmethod
    def from_json(cls, value: Any) -> ShadowSettings:
        """Read the settings; raises ProtocolError naming the field that is wrong."""
        fields = _object(value, "shadow settings", set(cls.__slots__))
        defaults = cls()
        return cls(
            threshold=_number(fields, "threshold", defaults.threshold, 0, 255),
            softness=_number(fields, "softness", defaults.softness, 0, 64),
            fill_holes=_integer(fields, "fill_holes", defaults.fill_holes, 0, 1 << 31),
            min_area=_integer(fields, "min_area", defaults.min_area, 0, 1 << 31),
            invert=_boolean(fields, "invert", defaults.invert),
            figure=_colour(fields, "figure", defaults.figure),
            ground=_colour(fields, "ground", defaults.ground),
            mix=_number(fields, "mix", defaults.mix, 0, 1),
        )


@dataclass(frozen=True, slots=True)
class ShadowOrder:
    """One shadow frame: file `name` from the colour file `source`, both in the job's folder."""

    name: str
    source: str
    settings: ShadowSettings

    def to_json(self) -> dict[str, Any]:
        """Return the order as JSON values."""
        return {"name": self.name, "source": self.source, "settings": self.settings.to_json()}

    @classmethod
    def from_json(cls, value: Any) -> ShadowOrder:
        """Read the order; raises ProtocolError naming the field that is wrong."""
        fields = _object(value, "shadow", {"name", "source", "settings"})
        name, source = _file_name(fields, "name"), _file_name(fields, "source")
        if name.lower() == source.lower():  # nor on a disk that takes them for one
            raise ProtocolError(INVALID_PARAMS, f"The shadow '{name}' would be written over its own source.")
        return cls(name, source, ShadowSettings.from_json(fields.get("settings")))


@dataclass(frozen=True, slots=True)
class FrameOrder:
    """One colour frame to be generated, and the shadows to be made from it in the same pass.

    name: the file's name in the job's folder. row: the row of the request's latents. psi: truncation, a finite number.
    cutoff: how many rows of W+ are truncated, None for all. noise: "const", "none" or a seed. classes: weights of the
    class vector, empty for an unconditional generator. mix: 0..1, how far the weights lie from the request's generator
    to its `toward`. transform: nine numbers, row by row, that take the place of the stored transform of the input grid
    (StyleGAN3), or none. shadows: their `source` must be `name`.
    """

    name: str
    row: int
    psi: float = 1.0
    cutoff: int | None = None
    noise: str | int = "const"
    classes: tuple[float, ...] = ()
    mix: float = 0.0
    transform: tuple[float, ...] = ()
    shadows: tuple[ShadowOrder, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the order as JSON values."""
        return {
            "name": self.name,
            "row": self.row,
            "psi": self.psi,
            "cutoff": self.cutoff,
            "noise": self.noise,
            "classes": list(self.classes),
            "mix": self.mix,
            "transform": list(self.transform),
            "shadows": [shadow.to_json() for shadow in self.shadows],
        }

    @classmethod
    def from_json(cls, value: Any) -> FrameOrder:
        """Read the order; raises ProtocolError naming the field that is wrong."""
        fields = _object(value, "frame", set(cls.__slots__))
        name = _file_name(fields, "name")
        shadows = tuple(ShadowOrder.from_json(item) for item in list_of(fields, "shadows"))
        if any(shadow.source != name for shadow in shadows):
            raise ProtocolError(INVALID_PARAMS, f"A shadow of '{name}' names another source.")
        return cls(name, **render_settings(fields), shadows=shadows)


def render_settings(fields: dict[str, Any]) -> dict[str, Any]:
    """Read what FrameOrder and the frames of a sequence file have in common: row, psi, cutoff, noise and so on."""
    cutoff = fields.get("cutoff")
    transform = _numbers(fields, "transform")
    if len(transform) not in (0, 9):
        raise ProtocolError(INVALID_PARAMS, f"'transform' must be nine numbers or none, not {len(transform)}.")
    return {
        "row": _integer(fields, "row", None, 0, 1 << 31),
        "psi": _number(fields, "psi", 1.0, -1e6, 1e6),
        "cutoff": None if cutoff is None else _integer(fields, "cutoff", None, 0, 1 << 16),
        "noise": noise_from_json(fields.get("noise", "const")),
        "classes": _numbers(fields, "classes"),
        "mix": _number(fields, "mix", 0.0, 0, 1),
        "transform": transform,
    }


def noise_from_json(value: Any) -> str | int:
    """Return "const", "none" or a seed of 0..2**32-1 (the range of numpy's RandomState)."""
    if value in ("const", "none") and isinstance(value, str):
        return value
    if _is_int(value) and 0 <= value < 1 << 32:
        return value
    raise ProtocolError(INVALID_PARAMS, f'\'noise\' must be "const", "none" or a seed, not {quoted(value)}.')


# --- reading fields --------------------------------------------------------------------------------------------------


def list_of(fields: dict[str, Any], key: str) -> list[Any]:
    """Return the list under `key`, empty when absent. Raises ProtocolError for anything else."""
    value = fields.get(key, [])
    if not isinstance(value, list):
        raise ProtocolError(INVALID_PARAMS, f"'{key}' must be a list.")
    return value


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _object(value: Any, what: str, known: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProtocolError(INVALID_PARAMS, f"The {what} must be an object, not {quoted(value)}.")
    unknown = sorted(set(value) - known)
    if unknown:
        raise ProtocolError(INVALID_PARAMS, f"The {what} has no field {quoted(unknown[0])}.")
    return value


def _number(fields: dict[str, Any], key: str, default: float | None, low: float, high: float) -> float:
    value = fields.get(key, default)
    if not (_is_int(value) or isinstance(value, float)) or not low <= value <= high:
        raise ProtocolError(INVALID_PARAMS, f"'{key}' must be a number from {low} to {high}, not {quoted(value)}.")
    return float(value)


def _numbers(fields: dict[str, Any], key: str) -> tuple[float, ...]:
    return tuple(_number({key: item}, key, None, -1e6, 1e6) for item in list_of(fields, key))


def _integer(fields: dict[str, Any], key: str, default: int | None, low: int, high: int) -> int:
    value = fields.get(key, default)
    if not _is_int(value) or not low <= value <= high:
        raise ProtocolError(INVALID_PARAMS, f"'{key}' must be a whole number from {low} to {high}.")
    return int(value)


def _boolean(fields: dict[str, Any], key: str, default: bool) -> bool:
    value = fields.get(key, default)
    if not isinstance(value, bool):
        raise ProtocolError(INVALID_PARAMS, f"'{key}' must be true or false.")
    return value


def _colour(fields: dict[str, Any], key: str, default: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    value = fields.get(key, list(default))
    if not isinstance(value, list) or len(value) != 4 or not all(_is_int(c) and 0 <= c <= 255 for c in value):
        raise ProtocolError(INVALID_PARAMS, f"'{key}' must be four whole numbers from 0 to 255 (RGBA).")
    return (value[0], value[1], value[2], value[3])


def _file_name(fields: dict[str, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= 120 or value.startswith(".") or not _is_plain(value):
        raise ProtocolError(INVALID_PARAMS, f"'{key}' must be a plain file name, not {quoted(value)}.")
    return value


def _is_plain(name: str) -> bool:
    return all(c.isascii() and (c.isalnum() or c in "._-") for c in name)
