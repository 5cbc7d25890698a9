"""A small writer of Torch7's files, binary and in text, for tests."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(eq=False)
class Lua:
    """An object of a class of Lua."""

    name: str
    fields: dict[Any, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Function:
    """A function, with code that must never run."""

    code: bytes = b"\x1bLJ os.execute('touch pwned')"
    captured: Any = None


KINDS = {"float32": "Float", "float64": "Double", "int64": "Long", "int32": "Int", "uint8": "Byte", "float16": "Half"}


class Writer:
    """Writes values: None, bool, numbers, str, dict, list (a table that counts from 1), Lua, Function, numpy arrays.

    text: write text instead of bytes. long: bytes of a long integer. cuda: tensors of float32 are ``torch.CudaTensor``.
    """

    def __init__(self, text: bool = False, long: int = 8, cuda: bool = False) -> None:
        self.text = text
        self.long = long
        self.cuda = cuda
        self.pieces: list[bytes] = []
        self.known: dict[int, int] = {}
        self.kept: list[Any] = []

    def word(self, kind: str, value: float) -> None:
        """Write a number of kind i, d or q (a long integer)."""
        if self.text:
            self.pieces.append(f"{value!r}\n".encode())
        else:
            kind = "i" if kind == "q" and self.long == 4 else kind
            self.pieces.append(struct.pack("<" + kind, value))

    def string(self, value: bytes) -> None:
        """Write a length and the bytes."""
        self.word("i", len(value))
        self.pieces.append(value + b"\n" if self.text else value)

    def index(self, value: Any) -> bool:
        """Write the number of an object that may occur several times; return whether this is its first occurrence."""
        self.kept.append(value)
        first = id(value) not in self.known
        self.word("i", self.known.setdefault(id(value), len(self.known) + 1))
        return first

    def write(self, value: Any) -> Writer:
        """Write one value."""
        if value is None:
            self.word("i", 0)
        elif isinstance(value, bool):
            self.word("i", 5)
            self.word("i", int(value))
        elif isinstance(value, (int, float)):
            self.word("i", 1)
            self.word("d", value)
        elif isinstance(value, str):
            self.word("i", 2)
            self.string(value.encode("latin-1"))
        elif isinstance(value, (dict, list)):
            self.word("i", 3)
            if self.index(value):
                entries = value if isinstance(value, dict) else dict(enumerate(value, 1))
                self.word("i", len(entries))
                for key, item in entries.items():
                    self.write(key)
                    self.write(item)
        elif isinstance(value, Function):
            self.word("i", 8)
            if self.index(value):
                self.string(value.code)
                self.write(value.captured)
        else:
            self.word("i", 4)
            if self.index(value):
                self.string(b"V 1")
                self.object(value)
        return self

    def object(self, value: Any) -> None:
        """Write the part that follows the number of an object."""
        if isinstance(value, Lua):
            self.string(value.name.encode())
            self.write(value.fields)
            return
        kind = "Cuda" if self.cuda and value.dtype == np.float32 else KINDS[str(value.dtype)]
        self.string(f"torch.{kind}Tensor".encode())
        self.word("i", value.ndim)
        for number in (*value.shape, *(step // value.itemsize for step in value.strides), 1):
            self.word("q", number)
        if not value.size:
            self.word("i", 0)
            return
        self.word("i", 4)
        self.index(object())
        self.string(b"V 1")
        self.string(f"torch.{kind}Storage".encode())
        self.word("q", value.size)
        row = value.ravel(order="K")
        if kind == "Long" and self.long == 4:
            row = row.astype(np.int32)
        text = " ".join(map(repr, row.tolist())).encode() + b"\n"
        self.pieces.append(text if self.text else row.tobytes())

    def bytes(self) -> bytes:
        """Return the bytes of the file."""
        return b"".join(self.pieces)
