"""Pack vectors into messages and unpack them: base64 of little-endian float32, with their shape."""

from __future__ import annotations

import array
import base64
import binascii
import math
import sys
from dataclasses import dataclass
from typing import Any

from .errors import INVALID_PARAMS, ProtocolError, is_int, quoted

MAX_BODY_BYTES = 64 * 1024 * 1024
"""The most bytes in the body of a message."""

MOST_DIMENSIONS = 8


def pack_floats(data: bytes, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return native float32 bytes (C order, e.g. `ndarray.tobytes()`) of the given shape as an object for a message."""
    if sys.byteorder == "big":
        swapped = array.array("f", data)
        swapped.byteswap()
        data = swapped.tobytes()
    return {"dtype": "float32", "shape": list(shape), "data": base64.b64encode(data).decode("ascii")}


def unpack_floats(value: Any, what: str = "latents") -> tuple[bytes, tuple[int, ...]]:
    """Return (native float32 bytes in C order, shape) of an object in a message.

    Raises ProtocolError, naming the field `what`, if the object is not valid or the length does not fit the shape.
    """
    shape = value.get("shape") if isinstance(value, dict) else None
    if not isinstance(shape, list) or not all(is_int(n) and n >= 0 for n in shape) or value.get("dtype") != "float32":
        raise ProtocolError(INVALID_PARAMS, f"'{what}' must hold dtype float32, shape and data.")
    # Numbers in a message may have thousands of digits, so check that they are small before multiplying or printing.
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


@dataclass(frozen=True, slots=True)
class Floats:
    """A float32 array: native bytes in C order, and its shape."""

    data: bytes
    shape: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the array as JSON values."""
        return pack_floats(self.data, self.shape)

    @classmethod
    def from_json(cls, value: Any, what: str = "latents") -> Floats:
        """Read the array under the field `what`. Raises ProtocolError unless length and shape agree."""
        return cls(*unpack_floats(value, what))
