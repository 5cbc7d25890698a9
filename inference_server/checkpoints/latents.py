"""Read latents of other programs from .npy, .npz, .pt and .csv files, as z, w or W+. Nothing in a file is ever run."""

from __future__ import annotations

import math
import os
import re
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from .errors import CheckpointError, unexpected
from .inert import Inert
from .limits import LIMITS, Budget, Damaged
from .natural import natural
from .pickles import read_pickle
from .reading import map_file, read_file
from .torch_files import MAKERS
from .zip_files import list_zip

NUMBERS = 64_000_000
"""The most numbers in one file: 7000 W+ matrices of a StyleGAN of 1024 pixels."""

_Z = ("z", "zs")
_W = ("w", "ws", "w_plus", "wplus", "w+", "w_pivot", "dlatent", "dlatents")
_WEIGHTS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked", "w_avg")
"""Last words of the names of a network's tensors."""
_EITHER = ("latent", "latents", "latent_in", "latent_code", "latent_codes", "arr_0")


def read_latents(path: str | os.PathLike[str], z_dim: int, w_dim: int, num_ws: int) -> tuple[np.ndarray[Any, Any], str]:
    """Read latents for a generator of given sizes.

    An array that is called w (or has another of w's usual names) holds w or W+; an array that is called z holds z. An
    array without such a name holds W+ if it has three dimensions, otherwise z if its rows are as long as z, otherwise
    w. Leading dimensions of size 1 are dropped. An array named w with exactly ``num_ws`` rows is one W+ matrix. From a
    file of rosinality's projector, the latents of all its pictures are read. From a dict of encoders (picture's name to
    latent), they are read in the order of the names, "2" before "10".

    Returns:
        the latents, float32 and finite, and their space: "z" (n, z_dim), "w" (n, w_dim) or "w+" (n, num_ws, w_dim). If
        the rows of every W+ matrix are exactly equal, they are returned as "w".

    Raises:
        CheckpointError: the file cannot be read; the message is a sentence for the user.
    """
    path = Path(path)
    try:
        array, space = _find(path)
        return _fit(array, space, z_dim, w_dim, num_ws)
    except (Damaged, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise CheckpointError(f"{path.name} cannot be imported: {error}.") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:
        raise unexpected(path.name, error) from error


def is_of_objects(path: Path) -> bool:
    """Return whether an .npy file holds objects, as a pickle, and not numbers."""
    try:
        with path.open("rb") as file:
            return _holds_objects(_npy_header(file))
    except (OSError, Damaged):
        return False


def _find(path: Path) -> tuple[np.ndarray[Any, Any], str | None]:
    """Return the latents of a file, and the space that their name tells, or None."""
    data = map_file(path)
    start = bytes(data[:6])
    if start == b"\x93NUMPY":
        with path.open("rb") as file:
            header = _npy_header(file)
            if not _holds_objects(header):
                return _read_numbers(file, header), None
            value, _ = read_pickle(data, file.tell(), Budget(LIMITS, len(data)), MAKERS)
            return _in_value(_objects(value))
    if path.suffix.lower() in (".csv", ".tsv"):
        return _read_table(bytes(data)), None
    if start[:4] == b"PK\x03\x04":
        names = list(list_zip(data, Budget(LIMITS, len(data))))
        if names and all(name.endswith(".npy") for name in names):
            return _read_npz(path, names)
    return _in_value(read_file(path)[1])


def _npy_header(file: IO[bytes]) -> str:
    """Read the header of an array file, Python text; the data follow. Raises Damaged."""
    sign = file.read(8)
    width = {1: 2, 2: 4, 3: 4}.get(sign[6] if len(sign) == 8 and sign.startswith(b"\x93NUMPY") else 0)
    if width is None:
        raise Damaged("it is no array file of a version that is known")
    length = int.from_bytes(file.read(width), "little")
    header = file.read(min(length, 10_000)).decode("latin-1")
    if length > 10_000 or not header.startswith("{"):
        raise Damaged("it is a damaged array file, or holds no plain numbers")
    return header


def _holds_objects(header: str) -> bool:
    return re.search(r"'descr': *'\|O'", header) is not None


def _objects(value: Any) -> Any:
    """Return what an array of objects holds: its only object, or a list."""
    state = value.state if isinstance(value, Inert) else None
    items = state[4] if isinstance(state, tuple) and len(state) == 5 else None
    if not isinstance(items, list):
        raise Damaged("it holds no plain numbers")
    value = items[0] if len(items) == 1 else items
    if not isinstance(value, dict | list | tuple | torch.Tensor | np.ndarray):
        raise Damaged("it holds no plain numbers")
    return value


def _read_table(data: bytes) -> np.ndarray[Any, Any]:
    """Read a table of numbers: a latent in each line, with commas, semicolons, tabs or spaces between the numbers.

    A first line of words, and a first column of names, are left out.
    """
    if len(data) > 32 * NUMBERS:
        raise Damaged("it holds more numbers than any latents")
    text = data.decode("utf-8-sig", "replace")
    rows: list[list[float]] = []
    for number, line in enumerate(filter(str.strip, text.splitlines())):
        words = [word.strip().strip("\"'") for word in re.split(r"[,;\t]|(?<=\S) +(?=\S)", line.strip())]
        words = words[1:] if words and not _is_number(words[0]) else words
        if number == 0 and not all(map(_is_number, words)):
            continue
        if not words or not all(map(_is_number, words)):
            raise Damaged(f"line {number + 1} of it is not a row of numbers")
        rows.append([float(word) for word in words])
    if not rows or len({len(row) for row in rows}) > 1:
        raise Damaged("its lines hold no numbers, or not all as many")
    return np.array(rows, np.float64)


def _is_number(word: str) -> bool:
    return bool(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", word))


def _read_numbers(file: IO[bytes], header: str) -> np.ndarray[Any, Any]:
    """Read an array of plain numbers. Its size is checked first, and numpy's parser of Python text is not used."""
    kind = re.search(r"'descr': *'([<>|=]?)([a-zA-Z?])(\d{0,4})'", header)
    order = re.search(r"'fortran_order': *(True|False)", header)
    sizes = re.search(r"'shape': *\(((?:\d{1,18}, *)*(?:\d{1,18})?)\)", header)
    if not sizes or not order:
        raise Damaged("it is a damaged array file, or holds no plain numbers")
    if not kind or kind[2] not in "fiu" or kind[3] not in ("1", "2", "4", "8"):
        raise Damaged("it holds no plain numbers")
    dtype = np.dtype("".join(kind.groups()))
    shape = tuple(int(size) for size in sizes[1].replace(",", " ").split())
    count = math.prod(shape)
    if count > NUMBERS or len(shape) > 8 or max(shape, default=0) > NUMBERS:
        raise Damaged(f"its array of shape {shape[:8]} is larger than any latents")
    raw = file.read(count * dtype.itemsize)
    if len(raw) != count * dtype.itemsize:
        raise Damaged("it is cut short")
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if order[1] == "True" else "C")


def _read_npz(path: Path, names: list[str]) -> tuple[np.ndarray[Any, Any], str | None]:
    stems = {name.removesuffix(".npy"): name for name in names}
    key, space = _choose(stems)
    if key is None and len(stems) == 1:
        key = next(iter(stems))
    if key is None:
        raise Damaged(f"it holds {', '.join(sorted(stems)[:8])}, and neither w nor z")
    with zipfile.ZipFile(path) as archive, archive.open(stems[key]) as file:
        return _read_numbers(file, _npy_header(file)), space


def _choose(names: Any) -> tuple[Any, str | None]:
    """Return which of the names is that of latents, and the space that it tells; None for what is not known."""
    for space, known in (("w", _W), ("z", _Z), (None, _EITHER)):
        for name in known:
            if name in names:
                return name, space
    return None, None


def _in_value(value: Any, depth: int = 0) -> tuple[np.ndarray[Any, Any], str | None]:
    """Return the latents in a value of ``read_file``, and their space, or None if that is not known."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return _to_array(value), None
    if isinstance(value, dict) and depth < 2:
        key, space = _choose(value)
        if key is not None:
            array, inner = _in_value(value[key], depth + 1)
            # A latent stored with a picture or its noise was projected, and projection is done in w.
            return array, space or inner or ("w" if value.keys() & {"img", "noise"} else None)
        if value and all(isinstance(item, dict) for item in value.values()):
            return _join([_in_value(item, depth + 1) for item in value.values()])
        arrays = value and all(isinstance(item, (torch.Tensor, np.ndarray)) for item in value.values())
        if arrays and not any(str(name).rpartition(".")[2] in _WEIGHTS for name in value):
            # Encoders write a latent for each picture, by its name.
            names = sorted((name for name in value if isinstance(name, str)), key=natural)
            return _join([_in_value(value[name], depth + 1) for name in names])
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, (int, float)) for item in value):
        return np.array(value, np.float64), None
    if isinstance(value, (list, tuple)) and value and depth < 3:
        return _join([_in_value(item, depth + 1) for item in value])
    raise Damaged("it holds no latents: neither an array nor a dict with w, z or latent in it")


def _join(parts: list[tuple[np.ndarray[Any, Any], str | None]]) -> tuple[np.ndarray[Any, Any], str | None]:
    """Return several latents of the same shape and space as one array."""
    spaces = {space for _, space in parts}
    shapes = {array.shape for array, _ in parts}
    if len(spaces) > 1 or len(shapes) > 1:
        raise Damaged("its latents have different shapes")
    if sum(array.size for array, _ in parts) > NUMBERS:
        raise Damaged("it holds more numbers than any latents")
    arrays = [array.reshape(array.shape[1:]) if array.shape[:1] == (1,) else array for array, _ in parts]
    return np.stack(arrays), spaces.pop()


def _to_array(value: torch.Tensor | np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a copy in float32."""
    count = value.numel() if isinstance(value, torch.Tensor) else value.size
    if count > NUMBERS:
        raise Damaged(f"its array of shape {tuple(value.shape)} is larger than any latents")
    if isinstance(value, torch.Tensor):
        if value.dtype.is_complex or value.dtype == torch.bool:
            raise Damaged(f"it holds {value.dtype} and no plain numbers")
        return value.detach().to(torch.float32, copy=True).numpy()
    if value.dtype.kind not in "fiu":
        raise Damaged(f"it holds {value.dtype} and no plain numbers")
    return value.astype(np.float32)


def _fit(
    array: np.ndarray[Any, Any], space: str | None, z_dim: int, w_dim: int, num_ws: int
) -> tuple[np.ndarray[Any, Any], str]:
    """Return the latents in one of the three shapes, and their space. Raises Damaged if none of the shapes fits."""
    found = array.shape
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    while array.ndim > 2 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim == 1:
        array = array[None]
    if array.ndim == 3 and array.shape[1] == 1:
        array = array[:, 0]
    if not array.size:
        raise Damaged(f"it holds no latents: its array is of shape {found}")
    if array.ndim == 2 and space == "w" and array.shape == (num_ws, w_dim) and num_ws > 1:
        array = array[None]
    if array.ndim == 3 and space != "z" and array.shape[1:] == (num_ws, w_dim):
        space = "w+"
    elif array.ndim == 2 and space != "w" and array.shape[1] == z_dim:
        space = "z"
    elif array.ndim == 2 and space != "z" and array.shape[1] == w_dim:
        space = "w"
    else:
        raise Damaged(
            f"its array of shape {found} fits neither z of {z_dim} numbers, nor w of {w_dim}, nor W+ of "
            f"{num_ws} x {w_dim}; it was made for another generator"
        )
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(array).all():
        raise Damaged("it holds numbers that are infinite or not numbers")
    if space == "w+" and (array == array[:, :1]).all():
        return np.ascontiguousarray(array[:, 0]), "w"
    return array, space
