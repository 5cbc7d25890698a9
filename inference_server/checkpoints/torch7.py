"""Read files of Torch7 (``torch.save`` of Lua), binary or text. They may hold functions, too; these are skipped.

The value of a file consists of None, bools, numbers (whole numbers are ints), strings (latin-1), tensors, and

- tables: dicts, also for lists, whose keys count from 1 in Lua;
- storages: tensors of one dimension;
- objects of other classes: ``Inert("torch7", name, state=dict)``.

Class names are those of the CPU: ``cudnn.SpatialConvolution`` becomes ``nn.SpatialConvolution``.
"""

from __future__ import annotations

import re
import struct
from typing import Any

import numpy as np
import torch

from .inert import Inert
from .limits import Budget, Damaged
from .pickles import as_key
from .torch_files import numbers, view

DEPTH = 200
"""The most values within values; a network of ten levels has about 40."""

_NIL, _NUMBER, _STRING, _TABLE, _OBJECT, _BOOLEAN = range(6)
_FUNCTIONS = (6, 7, 8)
_TENSOR = re.compile(r"torch\.(?:Cuda)?(Double|Float|Half|Long|Int|Short|Char|Byte|)(Tensor|Storage)")
_DTYPES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "": torch.float32,  # torch.CudaTensor
    "Half": torch.float16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
}


def looks_like_torch7(start: bytes) -> bool:
    """Return whether a file that begins with these bytes may be of Torch7: a table or an object, binary or text."""
    return start[:4] in (b"\x03\0\0\0", b"\x04\0\0\0") or re.match(rb"[34]\s\d+\s", start) is not None


def read_torch7(data: memoryview, budget: Budget) -> Any:
    """Return the value of a file.

    Raises:
        Damaged: it is not a file of Torch7, is cut short, or exceeds the budget.
    """
    if data[1:2] != b"\0":
        return _Reader(_Text(data, budget), budget, torch.int64).value(0)
    try:
        return _Reader(_Binary(data, budget, "<q"), budget, torch.int64).value(0)
    except Damaged as error:
        # Windows writes long numbers with four bytes. If that fails, too, the first error is the one to report.
        words = _Binary(data, budget, "<i")
        try:
            value = _Reader(words, budget, torch.int32).value(0)
        except (ArithmeticError, ValueError):
            raise error from None
        if words.position < len(data):
            raise
        return value


class _Binary:
    """Reads the words of a binary file."""

    def __init__(self, data: memoryview, budget: Budget, long: str) -> None:
        self.data = data
        self.position = 0
        self.budget = budget
        self.kinds = {name: struct.Struct(kind) for name, kind in (("int", "<i"), ("long", long), ("double", "<d"))}

    def take(self, count: int) -> memoryview:
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise Damaged("it is cut short")
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def word(self, kind: str) -> Any:
        (value,) = self.kinds[kind].unpack(self.take(self.kinds[kind].size))
        return value

    def text(self) -> str:
        return str(self.take(self.word("int")), "latin-1")

    def skip(self) -> None:
        self.take(self.word("int"))

    def numbers(self, dtype: torch.dtype, count: int) -> torch.Tensor:
        return numbers(self.budget, self.take(count * dtype.itemsize), dtype)


class _Text:
    """Reads the words of a text file; spaces or line ends separate them."""

    def __init__(self, data: memoryview, budget: Budget) -> None:
        self.data = data
        self.position = 0
        self.budget = budget

    def word(self, kind: str) -> Any:
        piece = bytes(self.data[self.position : self.position + 64])
        found = re.match(rb"\s*(\S{1,40})(?=\s|$)", piece)
        if not found:
            raise Damaged("it is cut short")
        self.position += found.end()
        try:
            return float(found[1]) if kind == "double" else int(found[1])
        except ValueError:
            raise Damaged("it has a number that is not valid") from None

    def text(self) -> str:
        count = self.word("int")
        self.position += 1
        if count < 0 or self.position + count > len(self.data):
            raise Damaged("it is cut short")
        piece = str(self.data[self.position : self.position + count], "latin-1")
        self.position += count
        return piece

    def skip(self) -> None:
        self.text()

    def numbers(self, dtype: torch.dtype, count: int) -> torch.Tensor:
        if not 0 <= count <= (len(self.data) - self.position) // 2:
            raise Damaged("it is cut short")
        if not count:
            return torch.empty(0, dtype=dtype)
        line = self.line()
        kind = np.float64 if dtype.is_floating_point else np.int64
        self.budget.copy(count * 8)
        try:
            values = np.fromstring(line, kind, count, sep=" ")
        except ValueError:
            raise Damaged("it has a number that is not valid") from None
        if len(values) != count:
            raise Damaged("it has fewer numbers than it says")
        return torch.from_numpy(values).to(dtype)

    def line(self) -> bytes:
        """Return the rest of the line, or the next line if nothing is left; a row of numbers is always in one line."""
        near = bytes(self.data[self.position : self.position + 64])
        start = self.position + len(near) - len(near.lstrip())
        end, piece = start, 1 << 16
        while end < len(self.data):
            chunk = bytes(self.data[end : end + piece])
            found = chunk.find(b"\n")
            end += len(chunk) if found < 0 else found
            if found >= 0:
                break
        self.budget.copy(end - start)
        self.position = end
        return bytes(self.data[start:end])


class _Reader:
    def __init__(self, words: _Binary | _Text, budget: Budget, long: torch.dtype) -> None:
        self.words = words
        self.budget = budget
        self.dtypes = {**_DTYPES, "Long": long}
        self.known: dict[int, Any] = {}

    def value(self, depth: int) -> Any:
        self.budget.step()
        if depth > DEPTH:
            raise Damaged("it is nested too deep")
        kind = self.words.word("int")
        if kind == _NIL:
            return None
        if kind == _NUMBER:
            value = self.words.word("double")
            return int(value) if value.is_integer() and abs(value) < 1 << 53 else value
        if kind == _STRING:
            return self.words.text()
        if kind == _BOOLEAN:
            return self.words.word("int") == 1
        if kind in (_TABLE, _OBJECT, *_FUNCTIONS):
            return self.function(depth) if kind == 6 else self.shared(kind, depth)
        raise Damaged(f"it has a value of a kind {kind} that is not known")

    def shared(self, kind: int, depth: int) -> Any:
        """Return a value that may be used in several places. The file holds it once, with a number."""
        index = self.words.word("int")
        if index in self.known:
            return self.known[index]
        if kind == _TABLE:
            table = self.known[index] = {}
            self.entries(table, depth)
        elif kind == _OBJECT:
            self.known[index] = None
            self.object(index, depth)
        else:
            self.known[index] = None
            self.known[index] = self.function(depth)
        return self.known[index]

    def entries(self, table: dict[Any, Any], depth: int) -> None:
        for _ in range(self.words.word("int")):
            key = as_key(self.value(depth + 1))
            table[key] = self.value(depth + 1)

    def function(self, depth: int) -> Inert:
        """Skip the code of a function. The values it has captured are read, because more of the file follows them."""
        self.words.skip()
        self.value(depth + 1)
        return Inert("torch7", "function")

    def object(self, index: int, depth: int) -> None:
        name = self.words.text()
        if re.fullmatch(r"V \d+", name):
            name = self.words.text()
        found = _TENSOR.fullmatch(name)
        if found and found[2] == "Tensor":
            self.known[index] = self.tensor(self.dtypes[found[1]], depth)
        elif found:
            self.budget.object()
            self.known[index] = self.words.numbers(self.dtypes[found[1]], self.words.word("long"))
        else:
            made = self.known[index] = Inert("torch7", re.sub(r"^cudnn\.", "nn.", name[:200]))
            made.state = self.value(depth + 1)
            if not isinstance(made.state, dict):
                raise Damaged(f"it has an object of a class {name[:40]} that is not known")

    def tensor(self, dtype: torch.dtype, depth: int) -> torch.Tensor:
        dimensions = self.words.word("int")
        if not 0 <= dimensions <= 16:
            raise Damaged("it has a tensor without a shape")
        size = [self.words.word("long") for _ in range(dimensions)]
        stride = [self.words.word("long") for _ in range(dimensions)]
        offset = self.words.word("long") - 1
        row = self.value(depth + 1)
        if row is None or not dimensions:
            return torch.empty(0, dtype=dtype)
        if not isinstance(row, torch.Tensor) or row.dtype != dtype or row.ndim != 1:
            raise Damaged("it has a tensor without numbers")
        return view(self.budget, row, offset, size, stride)
