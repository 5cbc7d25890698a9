"""Read files of ``torch.save``, in the zip format and the older one, and tensors in pickles. Nothing in them is run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from .arrays import ARRAYS
from .containers import CONTAINERS
from .dill import DILL
from .inert import Inert
from .limits import Budget, Damaged
from .pickles import Global, Maker, Makers, read_pickle
from .zip_files import read_zip

MAGIC = 0x1950A86A20F9469CFC6C
"""The value of the first pickle of a file in the older format."""

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (*_STORAGES.values(), torch.uint16, torch.uint32, torch.uint64)
}


class Storage(Inert):
    """Numbers in a row. arguments: (dtype, count). raw: their bytes, once their place in the file is known."""

    raw: memoryview | None = None
    swapped: bool = False

    def __init__(self, dtype: torch.dtype, count: int) -> None:
        super().__init__("torch", "Storage", (dtype, count))
        self.views: dict[torch.dtype, torch.Tensor] = {}

    @property
    def nbytes(self) -> int:
        """The number of bytes that the numbers take."""
        dtype, count = self.arguments
        return dtype.itemsize * count

    def tensor(self, budget: Budget, dtype: torch.dtype) -> torch.Tensor:
        """Return the numbers as a tensor of one dimension. It shares the file's memory if they are aligned in it."""
        if dtype not in self.views:
            assert self.raw is not None
            self.views[dtype] = numbers(budget, self.raw, dtype, self.swapped)
        return self.views[dtype]


def numbers(budget: Budget, raw: memoryview, dtype: torch.dtype, swapped: bool = False) -> torch.Tensor:
    """Return a tensor of one dimension of the bytes.

    It shares their memory if they are aligned and in this machine's byte order. swapped: they are in the other order.
    """
    raw = raw[: len(raw) // dtype.itemsize * dtype.itemsize]
    if not len(raw):
        return torch.empty(0, dtype=dtype)
    values = torch.frombuffer(raw, dtype=torch.uint8)
    if dtype == torch.bool:
        budget.copy(len(raw))
        return values != 0
    if swapped and dtype.itemsize > 1:
        budget.copy(len(raw))
        part = dtype.itemsize // 2 if dtype.is_complex else dtype.itemsize
        values = torch.from_numpy(np.frombuffer(raw, f"u{part}").byteswap().view(np.uint8))
    elif values.data_ptr() % dtype.itemsize:
        budget.copy(len(raw))
        values = values.clone()
    return values.view(dtype)


def view(budget: Budget, row: torch.Tensor, offset: Any, size: Any, stride: Any) -> torch.Tensor:
    """Return a tensor that is a strided view of a row of numbers.

    Raises:
        Damaged: an element is outside the row, or the tensor is so much larger than the row that it exceeds the budget,
            as in a file made to use up memory.
    """
    whole = (offset, *size, *stride)
    if len(size) != len(stride) or len(size) > 16 or not all(type(n) is int and 0 <= n < 1 << 48 for n in whole):
        raise Damaged("it has a tensor without a shape")
    budget.object()
    count = math.prod(size)
    if not count:
        if math.prod(max(n, 1) for n in size) >= 1 << 48:
            raise Damaged("it has a tensor without a shape")
        return torch.empty(size, dtype=row.dtype)
    if offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) >= len(row):
        raise Damaged(f"it has a tensor of shape {tuple(size)} that is larger than the numbers stored for it")
    if count > len(row):
        budget.copy(count * row.itemsize)
    return row.as_strided(size, stride, offset)


def _tensor(
    budget: Budget, storage: Any, offset: Any, size: Any, stride: Any, dtype: torch.dtype | None = None
) -> torch.Tensor | Inert:
    """Return a tensor of a storage, or an ``Inert`` while the place of the storage is not known."""
    if not isinstance(storage, Storage) or storage.raw is None:
        return Inert("torch", "Tensor", (storage, offset, size, stride))
    return view(budget, storage.tensor(budget, dtype or storage.arguments[0]), offset, size, stride)


def make_tensor(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    """Make a tensor of (storage, offset, size, stride, ...): ``torch._utils._rebuild_tensor`` and ``_v2``."""
    return _tensor(budget, *arguments[:4])


def make_tensor_of_dtype(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    """Make a tensor as ``make_tensor`` does, with a dtype as the seventh argument: ``_rebuild_tensor_v3``."""
    dtype = _DTYPES.get(arguments[6].name) if isinstance(arguments[6], Global) else None
    storage, offset, size, stride = arguments[:4]
    return _tensor(budget, storage, offset, size, stride, dtype) if dtype else Inert("torch", "Tensor", arguments)


def make_parameter(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    """Return the tensor of a parameter (tensor, ...): ``torch._utils._rebuild_parameter``."""
    return arguments[0]


def make_from_numpy(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    """Make a tensor of (array, ...): ``torch._utils._rebuild_device_tensor_from_numpy``.

    It is used for devices that do not store numbers themselves.
    """
    array = arguments[0]
    if not isinstance(array, np.ndarray):
        return Inert("torch", "Tensor", arguments)
    return torch.from_numpy(array)


def make_of_subclass(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    """Make a tensor of (function, class, arguments, state): ``torch._tensor._rebuild_from_type_v2``."""
    function, _, inner, _ = arguments
    maker = TENSORS.get((function.module, function.name)) if isinstance(function, Global) else None
    if maker is None or maker is make_of_subclass:
        return Inert("torch", "Tensor", arguments)
    return maker(budget, inner)


TENSORS: dict[tuple[str, str], Maker] = {
    ("torch._utils", "_rebuild_tensor"): make_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): make_tensor,
    ("torch._utils", "_rebuild_tensor_v3"): make_tensor_of_dtype,
    ("torch._utils", "_rebuild_parameter"): make_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): make_parameter,
    ("torch._utils", "_rebuild_device_tensor_from_numpy"): make_from_numpy,
    ("torch._tensor", "_rebuild_from_type_v2"): make_of_subclass,
}
"""The makers by the (module, name) that pickles call."""

_INNER: Makers = {**CONTAINERS, **ARRAYS, **DILL, **TENSORS}


def make_nested_storage(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    """Make a storage from bytes that are a file of the older format: ``torch.storage._load_from_bytes``."""
    (blob,) = arguments
    if isinstance(blob, str):
        blob = blob.encode("latin-1")
        budget.copy(len(blob))
    if not isinstance(blob, (bytes, memoryview)):
        raise Damaged("it has a storage without numbers")
    if isinstance(blob, bytes):
        budget.copy(len(blob))
        blob = memoryview(bytearray(blob))
    value = read_legacy(blob, budget, {})
    if not isinstance(value, Storage):
        raise Damaged("it has a storage that is something else")
    return value


MAKERS: Makers = {**_INNER, ("torch.storage", "_load_from_bytes"): make_nested_storage}
"""Every call in a pickle that makes something other than an ``Inert``."""


def read_legacy(data: memoryview, budget: Budget, makers: Makers = MAKERS) -> Any:
    """Return the value of a file in the older format: five pickles, then the storages.

    Raises:
        Damaged: it is not such a file, is cut short, or exceeds the budget.
    """
    magic, position = read_pickle(data, 0, budget, {})
    version, position = read_pickle(data, position, budget, {})
    system, position = read_pickle(data, position, budget, {})
    if magic != MAGIC or version != 1001 or not isinstance(system, dict):
        raise Damaged("it is no file of torch.save")
    storages: dict[str, Storage] = {}
    start = position

    def find(identity: Any) -> Any:
        if isinstance(identity, tuple) and len(identity) == 4 and identity[0] == "module":
            return identity[1]  # A class, which is stored with its source text.
        kind, key, count, view = _storage_identity(identity)
        if key not in storages:
            storages[key] = Storage(kind, count)
        root = storages[key]
        if root.arguments[0] != kind:
            raise Damaged("it has a storage of two kinds")
        return root if view is None else _part_of(root, view)

    # The place of a storage is known only after the pickle that uses it, so this pickle is read twice.
    value, position = read_pickle(data, start, budget, makers, find)
    keys, position = read_pickle(data, position, budget, {})
    if not isinstance(keys, list):
        raise Damaged("it does not say which storages it has")
    for key in keys:
        budget.step()
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None:
            raise Damaged("it has a storage that nothing uses")
        count = int.from_bytes(data[position : position + 8], "little", signed=True)
        position += 8
        if count != storage.arguments[1] or position + storage.nbytes > len(data):
            raise Damaged("it is cut short, or has a storage of another length than it says")
        storage.raw = data[position : position + storage.nbytes]
        storage.swapped = system.get("little_endian") is False
        position += storage.nbytes
    if any(storage.raw is None for storage in storages.values()):
        raise Damaged("it lacks a storage")
    if isinstance(value, Storage):
        return value
    return read_pickle(data, start, budget, makers, find)[0]


def read_torch_zip(data: memoryview, budget: Budget) -> Any:
    """Return the value of a file in the zip format: a pickle, and an entry for each storage.

    Raises:
        Damaged: it is not such a file, is cut short, or exceeds the budget.
    """
    entries = read_zip(data, budget)
    pickles = [name for name in entries if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise Damaged("it is no file of torch.save")
    folder = pickles[0][: -len("data.pkl")]
    swapped = bytes(entries.get(f"{folder}byteorder", memoryview(b""))[:8]) == b"big"
    storages: dict[str, Storage] = {}

    def find(identity: Any) -> Any:
        kind, key, count, view = _storage_identity(identity)
        if view is not None:
            raise Damaged("it has a part of a storage where a whole one belongs")
        storage = storages.get(key)
        if storage is None:
            storage = storages[key] = Storage(kind, count)
            storage.raw = entries.get(f"{folder}data/{key}")
            if storage.raw is None:
                raise Damaged(f"it lacks the storage {key[:40]}")
            if len(storage.raw) != storage.nbytes:
                raise Damaged("it has a storage of another length than it says")
            storage.swapped = swapped
        if storage.arguments != (kind, count):
            raise Damaged("it has a storage of two kinds")
        return storage

    return read_pickle(entries[pickles[0]], 0, budget, MAKERS, find)[0]


def _storage_identity(identity: Any) -> tuple[torch.dtype, str, int, Any]:
    """Return dtype, key, count and part (or None) of ("storage", class, key, device, count[, part])."""
    if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
        raise Damaged("it points to objects outside itself")
    _, kind, key, _, count = identity[:5]
    dtype = _STORAGES.get(kind.name) if isinstance(kind, Global) and kind.module.startswith("torch") else None
    if dtype is None:
        found = kind.name if isinstance(kind, Global) else type(kind).__name__
        raise Damaged(f"it has numbers of a kind that is not read: {found}")
    if not isinstance(key, str) or type(count) is not int or not 0 <= count < 1 << 48:
        raise Damaged("it has a storage without a length")
    return dtype, key, count, identity[5] if len(identity) == 6 else None


def _part_of(root: Storage, view: Any) -> Storage:
    """Return the part (key, offset, count) of another storage."""
    if not isinstance(view, tuple) or len(view) != 3 or not all(type(n) is int and n >= 0 for n in view[1:]):
        raise Damaged("it has a storage without a length")
    _, offset, count = view
    dtype, whole = root.arguments
    if offset + count > whole:
        raise Damaged("it has a storage that is larger than the one it is part of")
    part = Storage(dtype, count)
    if root.raw is not None:
        part.raw = root.raw[offset * dtype.itemsize : (offset + count) * dtype.itemsize]
        part.swapped = root.swapped
    return part
