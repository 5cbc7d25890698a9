"""The errors of the protocol: JSON-RPC's codes and our own, and texts of the other side that a person can read."""

from __future__ import annotations

import reprlib
from typing import Any

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
CANCELLED = -32800
"""Long work ended before its end, by work/cancel or because the server ends. It is the Language Server Protocol's code
for a cancelled request."""


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
        if isinstance(error, dict) and is_int(error.get("code")) and isinstance(error.get("message"), str):
            data = error.get("data")
            return cls(error["code"], readable(error["message"]), data if isinstance(data, dict) else None)
        return cls(INTERNAL_ERROR, f"The other side sent an error that is not one: {quoted(error)}")


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


def is_int(value: Any) -> bool:
    """Return whether a value is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)
