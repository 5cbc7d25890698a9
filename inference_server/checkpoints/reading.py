"""Read foreign files into plain values. The content of a file decides its format, and nothing in it is run."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from .errors import CheckpointError, not_safetensors, unexpected
from .extent import check_extent
from .limits import LIMITS, Budget, Damaged, Limits
from .natural import natural
from .pickles import read_pickle
from .torch7 import looks_like_torch7, read_torch7
from .torch_files import MAGIC, MAKERS, read_legacy, read_torch_zip


def read_file(path: str | os.PathLike[str], limits: Limits = LIMITS) -> tuple[str, Any]:
    """Read a pickle, a file of ``torch.save``, or a file of Torch7.

    Args:
        path: the only file that is opened.
        limits: how much memory and work the file may cause.

    Returns:
        the format ("pickle", "torch", "torch7" or "safetensors") and the value (see ``inert``). Large tensors and
        arrays share the file's memory map; clone them if they are used after the file may change.

    Raises:
        CheckpointError: the file cannot be read; the message is a sentence for the user.
    """
    path = Path(path)
    data = map_file(path, limits)
    try:
        if bytes(data[8:9]) == b"{" and 8 + int.from_bytes(data[:8], "little") <= len(data):
            return "safetensors", _read_safetensors(path)
        kind, value = _read(data, Budget(limits, len(data)))
        check_extent(value)
        return kind, value
    except CheckpointError:
        raise
    except Damaged as error:
        raise CheckpointError(f"{path.name} cannot be read: {error}. Download or copy it again.") from error
    except Exception as error:
        raise unexpected(path.name, error) from error


def _read_safetensors(path: Path) -> dict[str, Any]:
    """Return the tensors of another program's safetensors file, by their names.

    The format keeps no order, so the names are sorted with numbers as numbers, as layers are usually numbered.
    """

    try:
        with safe_open(path, "pt") as file:
            # Copies: the file may be cut short later.
            return {name: file.get_tensor(name).clone() for name in sorted(file.keys(), key=natural)}
    except SafetensorError as error:
        raise not_safetensors(path.name, error) from error


def map_file(path: Path, limits: Limits = LIMITS) -> memoryview:
    """Return a file's bytes as a private memory map: writing to it does not change the file.

    Raises:
        CheckpointError: the file cannot be read, or is larger than the limit.
    """
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path} is not a file.")
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > limits.file_bytes:
                raise CheckpointError(f"{path.name} has {size >> 30} GiB; no checkpoint that is read here is as large.")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)) if size else memoryview(b"")
    except FileNotFoundError:
        raise CheckpointError(f"There is no file {path}; it was moved or deleted.") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error


def _read(data: memoryview, budget: Budget) -> tuple[str, Any]:
    start = bytes(data[:64])
    if start[:4] == b"PK\x03\x04":
        return "torch", read_torch_zip(data, budget)
    if looks_like_torch7(start):
        return "torch7", read_torch7(data, budget)
    value, _ = read_pickle(data, 0, budget, MAKERS)
    if type(value) is int and value == MAGIC:
        return "torch", read_legacy(data, budget)
    return "pickle", value
