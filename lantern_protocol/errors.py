"""The errors of the protocol: their codes, and how text from the other side is made safe to show."""

from __future__ import annotations

import reprlib
from typing import Any

MOST_WORDS = 1000
"""The most characters of an error's text that are kept; a person reads no more."""

# The error codes of JSON-RPC, then (from VERSION_MISMATCH) those of Latent Lantern.
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
"""A shadow was ordered from a colour frame that is missing or cannot be read."""
NOT_A_PICTURE = -32008
"""The generator returned NaN or infinity for this frame."""
TOO_LONG = -32009
"""A request, or the answer to it, would be longer than the longest message allowed."""
SERVER_GONE = -32010
"""Never sent. The add-on itself answers a request with this code if the server has stopped or is not running."""
CANCELLED = -32800
"""Long work ended before its end, by work/cancel or because the server ends. It is the Language Server Protocol's code
for a cancelled request."""


class ProtocolError(Exception):
    """A message that cannot be understood or answered.

    code: a JSON-RPC error code. message: text for a person. data: further values for programs.
    """

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
        return cls(INTERNAL_ERROR, f"The other side sent an error without code and message: {quoted(error)}")


_shortened = reprlib.Repr()
_shortened.maxlevel = 3
_shortened.maxstring = _shortened.maxlong = _shortened.maxother = 60


def quoted(value: Any) -> str:
    """Return `value` as text, to quote it in an error. It is ASCII and at most 200 characters, also for a value that is
    huge or deeply nested."""
    return ascii(_shortened.repr(value))[1:-1][:200]


def readable(text: str) -> str:
    """Return text from the other side, safe to show: at most MOST_WORDS characters, and without lone surrogates, which
    neither Blender's interface nor a file accepts."""
    return text[:MOST_WORDS].encode("utf-8", "replace").decode("utf-8")


def is_int(value: Any) -> bool:
    """Return whether a value is an integer. True and False are not integers here."""
    return isinstance(value, int) and not isinstance(value, bool)
