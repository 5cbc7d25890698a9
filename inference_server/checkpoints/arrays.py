"""Makers for the calls in pickles that make numpy arrays and scalars; plain numbers only."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from .inert import Inert
from .limits import Budget, Damaged
from .pickles import Makers, Unbuilt


class Dtype(Inert):
    """A numpy dtype; its byte order comes with its state."""

    def numbers(self) -> np.dtype[Any] | None:
        """Return this dtype if it is one of plain numbers, otherwise None."""
        code = self.arguments[0] if self.arguments else None
        if not isinstance(code, str) or not re.fullmatch(r"[<>|=]?(b1|[iu][1248]|f[248]|c8|c16)", code):
            return None
        plain = np.dtype(code)
        order = self.state[1] if isinstance(self.state, tuple) and len(self.state) > 1 else "="
        return plain.newbyteorder(order) if order in ("<", ">") else plain


def _array(budget: Budget, raw: Any, dtype: np.dtype[Any], shape: Any, order: str) -> np.ndarray[Any, Any]:
    """Return an array of the bytes. It shares their memory if they are aligned and in this machine's byte order."""
    if isinstance(raw, str):
        budget.copy(len(raw))
        raw = raw.encode("latin-1")
    if not isinstance(raw, (bytes, memoryview)):
        raise Damaged("it has an array without numbers")
    if isinstance(shape, int):
        shape = (shape,)
    if not isinstance(shape, tuple) or len(shape) > 32 or not all(type(n) is int and 0 <= n < 1 << 48 for n in shape):
        raise Damaged("it has an array without a shape")
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise Damaged(f"it has an array of shape {shape} with {len(raw)} bytes of numbers")
    budget.object()
    array = np.frombuffer(raw, dtype)
    if dtype.kind == "b":
        budget.copy(array.nbytes)
        array = array.view(np.uint8) != 0
    elif isinstance(raw, bytes) or not array.flags.aligned or not dtype.isnative:
        budget.copy(array.nbytes)
        array = array.astype(dtype.newbyteorder("="))
    return array.reshape(shape, order="F" if order == "F" else "C")


class UnbuiltArray(Unbuilt):
    """An array whose shape and numbers come with its state."""

    def build(self, budget: Budget, state: Any) -> Any:
        """Return the array of the state (version, shape, dtype, whether columns come first, numbers)."""
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], Dtype):
            raise Damaged("it has an array without a shape")
        dtype = state[2].numbers()
        if dtype is None:
            return Inert("numpy", "ndarray", state=state)
        return _array(budget, state[4], dtype, state[1], "F" if state[3] else "C")


def make_dtype(budget: Budget, arguments: tuple[Any, ...]) -> Dtype:
    """Make a dtype, as ``numpy.dtype`` does."""
    return Dtype("numpy", "dtype", arguments)


def make_unbuilt(budget: Budget, arguments: tuple[Any, ...]) -> UnbuiltArray:
    """Make an array that has no shape and no numbers yet: ``numpy.core.multiarray._reconstruct``."""
    return UnbuiltArray("numpy", "ndarray")


def make_scalar(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    """Make one number of a dtype: ``numpy.core.multiarray.scalar``."""
    kind, raw = arguments
    dtype = kind.numbers() if isinstance(kind, Dtype) else None
    if dtype is None:
        return Inert("numpy", "generic", arguments)
    return _array(budget, raw, dtype, (), "C")[()]


def make_from_buffer(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    """Make an array of (bytes, dtype, shape, order), as protocol 5 stores it: ``numpy.core.numeric._frombuffer``."""
    raw, kind, shape, order = arguments
    dtype = kind.numbers() if isinstance(kind, Dtype) else None
    if dtype is None:
        return Inert("numpy", "ndarray", arguments)
    return _array(budget, raw, dtype, shape, order)


ARRAYS: Makers = {
    ("numpy", "dtype"): make_dtype,
    **{
        (f"numpy.{core}.{module}", name): maker
        for core in ("core", "_core")
        for module in ("multiarray", "_multiarray_umath")
        for name, maker in (("scalar", make_scalar), ("_reconstruct", make_unbuilt))
    },
    **{(f"numpy.{core}.numeric", "_frombuffer"): make_from_buffer for core in ("core", "_core")},
}
"""The makers by the (module, name) that pickles call."""
