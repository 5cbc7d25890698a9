"""Write a frame's name into its PNG file, and check that a file is the whole frame of that name. Standard library only.

The server writes the name, both sides check it. After the PNG header there is a chunk of our own with the name. So the
first bytes, the size and the last bytes of a file are enough to tell a finished frame from a file that was cut off,
emptied by a power failure, or renamed. A picture that is damaged in the middle has the right size; only the checksum of
its pixels shows the damage.

The chunk is not a text chunk, because Blender writes every text of a picture over the picture in its previews. Frames
of the first releases have a text chunk with the same contents, and are as good.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib

Stamp = tuple[int, int]
"""Time of the last change in nanoseconds, and size in bytes. While both are the same, the file is the same."""

_HEADER = 33
"""How many bytes the signature and the first chunk, IHDR, take in every PNG file."""

_KIND = b"laMP"
"""The kind of the chunk. By the rules of PNG, its small and capital letters mean: not needed to show the picture, not a
public kind, and not to be copied by a program that changes the picture."""

_TEXT = b"tEXt"
"""The kind of the chunk in frames of the first releases."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_OPEN = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


def sign(png: bytes, name: str) -> bytes:
    """Return the PNG file `png` with its name added. Its pixels must be one IDAT chunk right after the header."""
    return b"".join((png[:_HEADER], _name_chunk(name), memoryview(png)[_HEADER:]))


def stamp_of(path: str | os.PathLike[str]) -> Stamp | None:
    """Return the stamp of a regular file or of a link to one, None for anything else. Does not open the file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return (found.st_mtime_ns, found.st_size) if stat.S_ISREG(found.st_mode) else None


def look(path: str | os.PathLike[str], name: str, thoroughly: bool = False) -> Stamp | None:
    """Return the stamp of the file if it is the whole frame of that name, else None.

    It reads about 200 bytes. With `thoroughly`, it reads the whole file and checks the checksum of the pixels. It opens
    regular files only: reading a pipe with a frame's name could wait for ever.
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
    named = (_name_chunk(name), _name_chunk(name, _TEXT))  # both have the same length
    start = _HEADER + len(named[0])  # where the chunk of the pixels begins: length, kind, data, checksum
    head = os.read(file, start + 8)
    if not head.startswith(_SIGNATURE) or head[_HEADER:start] not in named or head[start + 4 :] != b"IDAT":
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


def _name_chunk(name: str, kind: bytes = _KIND) -> bytes:
    data = kind + b"Latent Lantern\0" + name.encode("latin-1", "backslashreplace")
    return struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
