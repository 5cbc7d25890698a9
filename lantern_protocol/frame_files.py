"""A frame's file says its own name: what the server writes into a PNG, and what both sides look for. Standard library.

Behind the header stands a text chunk, `Latent Lantern: c_<hash>.png`. So a look at a file's first bytes, its size and
its last bytes tells a finished frame from one that was cut off, emptied by a power failure, or put there under a name
that is not its own. A picture damaged in the middle has the right size; the checksum of its pixels tells.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib

Stamp = tuple[int, int]
"""Time of the last change in nanoseconds, and size: while they are the same, so is the file."""

_HEADER = 33
"""Bytes of the signature and of the first chunk, IHDR, of every PNG file."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_OPEN = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


def sign(png: bytes, name: str) -> bytes:
    """Return the PNG file `png`, whose pixels are one IDAT chunk right after the header, with its name inside."""
    return b"".join((png[:_HEADER], _name_chunk(name), memoryview(png)[_HEADER:]))


def stamp_of(path: str | os.PathLike[str]) -> Stamp | None:
    """The stamp of a plain file, or of the one that a link leads to; None for anything else. Reads nothing."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return (found.st_mtime_ns, found.st_size) if stat.S_ISREG(found.st_mode) else None


def look(path: str | os.PathLike[str], name: str, thoroughly: bool = False) -> Stamp | None:
    """Return the stamp of the file if it is the whole frame of that name, else None.

    Reads some 200 bytes; `thoroughly` reads it all, for the checksum of the pixels. Opens nothing but plain files: a
    pipe in a frame's place would never answer.
    """
    if stamp_of(path) is None:
        return None
    try:
        file = os.open(path, _OPEN)
    except OSError:
        return None
    try:
        found = os.fstat(file)
        if stat.S_ISREG(found.st_mode) and _is_frame(file, found.st_size, name, thoroughly):
            return found.st_mtime_ns, found.st_size
        return None
    except OSError:
        return None
    finally:
        os.close(file)


def is_frame(path: str | os.PathLike[str], name: str, thoroughly: bool = False) -> bool:
    """Return whether the file is the whole frame of that name, as `look` does."""
    return look(path, name, thoroughly) is not None


def _is_frame(file: int, size: int, name: str, thoroughly: bool) -> bool:
    expected = _name_chunk(name)
    start = _HEADER + len(expected)  # of the pixels' chunk: length, kind, data, checksum
    head = os.read(file, start + 8)
    if not head.startswith(_SIGNATURE) or head[_HEADER:start] != expected or head[start + 4 :] != b"IDAT":
        return False
    (length,) = struct.unpack(">I", head[start : start + 4])
    if size != start + 12 + length + len(_END):
        return False
    if thoroughly:
        checksum = zlib.crc32(b"IDAT")
        while length and (data := os.read(file, min(length, 1 << 20))):
            checksum = zlib.crc32(data, checksum)
            length -= len(data)
        if os.read(file, 4) != struct.pack(">I", checksum):
            return False
    else:
        os.lseek(file, -len(_END), os.SEEK_END)
    return os.read(file, len(_END)) == _END


def _name_chunk(name: str) -> bytes:
    data = b"tEXtLatent Lantern\0" + name.encode("latin-1", "backslashreplace")
    return struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
