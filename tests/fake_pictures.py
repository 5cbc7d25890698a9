"""The fake server's generator: pictures that are a simple function of the order, and their shadows.

A frame is a bright disc on a dark ground. Its position depends on the first and the last component of the latent; its
colours depend on everything that decides a frame's pixels. So two frames are equal exactly when their orders ask for
the same picture.
"""

from __future__ import annotations

import array
import contextlib
import errno
import hashlib
import math
import os
import random
import struct
import zlib
from pathlib import Path
from typing import Any

from lantern_protocol import errors, orders, vectors
from lantern_protocol.frame_files import is_frame, sign
from lantern_protocol.part_files import part_beside

room: int | None = None
"""How many bytes of each file can be written before the disk is full; None for a disk with enough space."""


def latent(seed: int, z_dim: int) -> list[float]:
    """The latent of a seed."""
    generator = random.Random(seed)
    return [generator.gauss(0.0, 1.0) for _ in range(z_dim)]


def pack_rows(rows: list[list[float]]) -> dict[str, Any]:
    """Pack rows of equal length for a message."""
    values = array.array("f", [value for row in rows for value in row])
    return vectors.pack_floats(values.tobytes(), (len(rows), len(rows[0]) if rows else 0))


def unpack_rows(value: Any) -> list[list[float]]:
    """Unpack the rows of a message; each is flattened."""
    data, (count, *shape) = vectors.unpack_floats(value)
    values, length = array.array("f", data), math.prod(shape)
    return [list(values[i * length : (i + 1) * length]) for i in range(count)]


def picture(
    frame: orders.FrameOrder, row: list[float], width: int, height: int, weights: tuple[str, ...] = ()
) -> bytes:
    """The pixels of a frame, 8-bit RGB, top row first.

    row: its latent as float32 values. weights: sha256 of the file that makes it, and of the file it is mixed with;
    empty for the built-in generator.
    """
    key = (
        array.array("f", row).tobytes(),
        frame.settings.psi,
        frame.settings.cutoff,
        frame.settings.noise,
        frame.settings.classes,
    )
    key += (frame.settings.transform, weights, frame.settings.mix)
    digest = hashlib.sha256(repr(key).encode()).digest()
    bright = bytes(128 + value // 2 for value in digest[:3])
    dark = bytes(value // 8 for value in digest[3:6])
    x0 = width * (0.5 + 0.1 * max(-2.0, min(2.0, row[0])))
    y0 = height * (0.5 + 0.1 * max(-2.0, min(2.0, row[-1])))
    radius2 = (min(width, height) * 0.3) ** 2
    return b"".join(
        bright if (x + 0.5 - x0) ** 2 + (y + 0.5 - y0) ** 2 < radius2 else dark
        for y in range(height)
        for x in range(width)
    )


def shadow(colour: bytes, settings: orders.ShadowSettings) -> bytes:
    """The pixels of a shadow, 8-bit RGBA, from a frame's RGB. Only threshold and mix are applied."""
    pixels = bytearray()
    for i in range(0, len(colour), 3):
        red, green, blue = colour[i : i + 3]
        bright = round(0.299 * red + 0.587 * green + 0.114 * blue) > settings.threshold
        flat = settings.figure if bright != settings.invert else settings.ground
        source = (red, green, blue, 255)
        pixels += bytes(round(a + (b - a) * settings.mix) for a, b in zip(source, flat, strict=True))
    return bytes(pixels)


def write_frame(
    folder: Path, frame: orders.FrameOrder, row: list[float], width: int, height: int, weights: tuple[str, ...] = ()
) -> list[str]:
    """Write a colour frame unless it exists, like the real server; return the names to report."""
    if not is_frame(folder / frame.name, frame.name, thoroughly=True):
        data = encode_png(picture(frame, row, width, height, weights), width, height)
        _replace(folder / frame.name, sign(data, frame.name))
    return [frame.name]


def write_shadow(folder: Path, order: orders.ShadowOrder) -> list[str]:
    """Write a shadow frame from its source in the same folder unless it exists; return the names to report."""
    if is_frame(folder / order.name, order.name, thoroughly=True):
        return [order.name]
    if not is_frame(folder / order.source, order.source, thoroughly=True):
        raise errors.ProtocolError(errors.SOURCE_MISSING, f"'{order.source}' is not there, or damaged.")
    colour, width, height = decode_png((folder / order.source).read_bytes())
    _replace(folder / order.name, sign(encode_png(shadow(colour, order.settings), width, height), order.name))
    return [order.name]


def encode_png(pixels: bytes, width: int, height: int) -> bytes:
    """A PNG file of 8-bit pixels: RGB or RGBA, depending on their number."""
    stride = len(pixels) // height
    rows = b"".join(b"\0" + pixels[y * stride : (y + 1) * stride] for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if stride == 3 * width else 6, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def decode_png(data: bytes) -> tuple[bytes, int, int]:
    """The RGB or RGBA pixels, width and height of a file that `encode_png` made. Raises ValueError for other files."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError("not a PNG file")
    width, height, depth, kind, *_ = struct.unpack(">IIBBBBB", data[16:29])
    start = data.index(b"IDAT")
    (length,) = struct.unpack(">I", data[start - 4 : start])
    rows = zlib.decompress(data[start + 4 : start + 4 + length])
    stride = 1 + width * (3 if kind == 2 else 4)
    if depth != 8 or kind not in (2, 6) or len(rows) != stride * height or any(rows[::stride]):
        raise ValueError("not a PNG file of the fake generator")
    return b"".join(rows[y * stride + 1 : (y + 1) * stride] for y in range(height)), width, height


def _replace(path: Path, data: bytes) -> None:
    part = part_beside(path)
    try:
        path.parent.mkdir(exist_ok=True)
        part.write_bytes(data if room is None else data[:room])
        if room is not None and room < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        text = f"'{path}' could not be written: {error.strerror}."
        raise errors.ProtocolError(errors.WRITE_FAILED, text) from None
