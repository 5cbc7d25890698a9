"""Bytes of frames as the server writes them, for tests that need files but not pictures."""

from __future__ import annotations

import struct
import zlib

from latent_lantern.lantern_protocol.frame_files import sign


def frame(name: str, size: int = 200) -> bytes:
    """A whole frame with that name and exactly this many bytes; its pixels are noise."""
    empty = len(sign(_png(b""), name))
    return sign(_png(bytes(i * 37 % 256 for i in range(size - empty))), name)


def _png(data: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*c) for c in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
