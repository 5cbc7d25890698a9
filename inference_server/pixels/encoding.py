"""Write pixels to PNG files and read them. A file gets its final name only when it is complete."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
import time
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from lantern_protocol.errors import SOURCE_MISSING, WRITE_FAILED, ProtocolError
from lantern_protocol.part_files import part_beside

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
COLOUR_TYPES = {1: 0, 3: 2, 4: 6}
UP = 2
"""PNG's filter "Up" for rows: it stores the difference from the row above."""
RENAME_ATTEMPTS = 50 if os.name == "nt" else 0
"""How often a rename is tried again, 20 ms later."""


def encode_png(pixels: np.ndarray) -> bytes:
    """Return a PNG file's bytes for uint8 pixels (H, W, C); C of 1, 3, 4 gives grey, RGB, RGBA.

    Pillow is not used, because encoding competes with the generator on a CPU. This encoder uses one filter for all
    rows, and run lengths and Huffman codes without a search for matches. It took a third of the time of Pillow's
    fastest setting, and its files are as large as with zlib's level 1.
    """
    height, width, channels = pixels.shape
    rows = pixels.reshape(height, width * channels)
    filtered = np.empty((height, 1 + width * channels), dtype=np.uint8)
    filtered[:, 0] = UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    compressor = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    header = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    data = compressor.compress(filtered.data) + compressor.flush()
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def read_png(path: Path) -> np.ndarray:
    """Return a file's pixels, uint8 (H, W, C) with C of 1, 3 or 4.

    Raises ProtocolError SOURCE_MISSING if the file is missing or cannot be read.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe could wait for ever
            raise OSError("it is not a file")
        with Image.open(path) as image:
            if image.mode not in MODES.values():
                image = image.convert("RGBA" if image.has_transparency_data else "RGB")
            pixels = np.asarray(image)
    except FileNotFoundError:
        message = f"The colour frame {path} is not there. Generate the frame again."
        raise ProtocolError(SOURCE_MISSING, message) from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        message = f"The colour frame {path} cannot be read ({error}). Delete the file and generate the frame again."
        raise ProtocolError(SOURCE_MISSING, message) from None
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to a temporary file next to `path`, then rename it to `path`.

    Raises ProtocolError WRITE_FAILED if it cannot be written.
    """
    try:
        try:
            _write_and_rename(path, data)
        except FileNotFoundError:
            # A process that was asleep for an hour, with its machine, may find its part removed as a leftover.
            _write_and_rename(path, data)
    except OSError as error:
        raise write_failed(path, error) from None


def _write_and_rename(path: Path, data: bytes) -> None:
    part = part_beside(path)
    try:
        with open(part, "wb") as file:
            file.write(data)
        _replace(part, path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def _replace(part: Path, path: Path) -> None:
    """Rename a file, even if another process reads or renames the one at `path`, which Windows refuses meanwhile."""
    for _attempt in range(RENAME_ATTEMPTS):
        with contextlib.suppress(PermissionError):
            os.replace(part, path)
            return
        time.sleep(0.02)
    os.replace(part, path)


def write_failed(path: Path, error: OSError) -> ProtocolError:
    """Return the error for a file or folder that could not be written. It says which one, why, and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        advice = "Free some space or choose another folder in the preferences."
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        advice = "Allow writing to this folder or choose another one in the preferences."
    else:
        advice = "Choose another folder in the preferences."
    return ProtocolError(WRITE_FAILED, f"Could not write {path}: {error.strerror or error}. {advice}")


def prepare_folder(folder: Path) -> None:
    """Make `folder` if it is missing; its parent must exist. Raises ProtocolError WRITE_FAILED if that fails."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise write_failed(folder, error) from None


def encoder_threads() -> int:
    """Return how many encoder threads suit this machine: one for every two processors, two to eight."""
    return max(2, min(8, (os.cpu_count() or 2) // 2))
