"""Write and read messages: JSON-RPC 2.0, framed as in the Language Server Protocol, over a pipe.

A message is the line `Content-Length: N`, an empty line, and N bytes of UTF-8 JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from .errors import INVALID_REQUEST, PARSE_ERROR, TOO_LONG, ProtocolError, readable
from .vectors import MAX_BODY_BYTES

MAX_HEADER_BYTES = 4096


def encode_message(message: dict[str, Any]) -> bytes:
    """Return `message` as one frame: header, empty line, UTF-8 JSON without NaN or infinity.

    Raises ProtocolError TOO_LONG if the other side would refuse to read it.
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
    """Return a JSON-RPC response with a result."""
    return {"jsonrpc": "2.0", "id": identity, "result": value}


def failure(identity: int | str | None, error: ProtocolError) -> dict[str, Any]:
    """Return a JSON-RPC response with an error."""
    return {"jsonrpc": "2.0", "id": identity, "error": error.to_json()}


def read_messages(stream: BinaryIO) -> Iterator[dict[str, Any] | ProtocolError]:
    """Yield the messages of a byte stream until it ends.

    Anything that is not a message is rubbish. Each unbroken piece of rubbish yields one ProtocolError, and reading
    continues at the next header, because a line printed by some library must not end the conversation. A message that
    is cut off by the end of the stream is dropped. A header that announces more than MAX_BODY_BYTES is rubbish too:
    nobody sends so much, so waiting for that many bytes could last for ever.
    """
    in_rubbish = False
    while True:
        line = stream.readline(MAX_HEADER_BYTES)
        if not line:
            return
        start = line.find(b"Content-Length:")
        if start > 0:  # rubbish without a line break before a header
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
    # int() would also accept signs, underscores, and digits of other alphabets.
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
