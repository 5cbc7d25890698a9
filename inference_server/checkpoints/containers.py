"""Makers for the calls in pickles that make plain containers and NVIDIA's persistent objects."""

from __future__ import annotations

from typing import Any

from .inert import Inert
from .limits import Budget, Damaged
from .pickles import Makers, as_key


def make_dict(budget: Budget, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """Make a dict: empty, from another dict, or from a list of pairs."""
    entries = arguments[0] if arguments else ()
    if isinstance(entries, dict):
        budget.step(len(entries))
        return dict(entries)
    if not isinstance(entries, (list, tuple)):
        raise Damaged("it has a dict that is not made of pairs")
    budget.step(len(entries))
    made = {}
    for entry in entries:
        if not isinstance(entry, (list, tuple)) or len(entry) != 2:
            raise Damaged("it has a dict that is not made of pairs")
        made[as_key(entry[0])] = entry[1]
    return made


def make_default_dict(budget: Budget, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """Make a dict for a ``defaultdict``. Its first argument, which makes missing values, is dropped."""
    return make_dict(budget, arguments[1:])


def make_list(budget: Budget, arguments: tuple[Any, ...]) -> list[Any]:
    """Make a list for a list or a set: empty, or from a sequence."""
    items = arguments[0] if arguments else ()
    if not isinstance(items, (list, tuple)):
        raise Damaged("it has a list that is not made of items")
    budget.step(len(items))
    return list(items)


def make_tuple(budget: Budget, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Make a tuple, for example for ``torch.Size``."""
    return tuple(make_list(budget, arguments))


def encode(budget: Budget, arguments: tuple[Any, ...]) -> bytes:
    """Make bytes from text in latin-1, as Python 3 writes bytes for Python 2."""
    text, encoding = arguments
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Damaged("it encodes a text in another way than latin-1")
    budget.copy(len(text))
    return text.encode("latin-1")


def make_bytes(budget: Budget, arguments: tuple[Any, ...]) -> bytes:
    """Make bytes: empty, from other bytes, or from text in latin-1."""
    value = arguments[0] if arguments else b""
    if isinstance(value, str):
        return encode(budget, (value, arguments[1] if len(arguments) > 1 else "latin-1"))
    if not isinstance(value, (bytes, memoryview)):
        raise Damaged("it has bytes that are not made of bytes")
    budget.copy(len(value))
    return bytes(value)


def make_persistent(budget: Budget, arguments: tuple[Any, ...]) -> Inert:
    """Make the ``Inert`` of an object whose class comes with its own source text. The text is dropped."""
    (meta,) = arguments
    if not isinstance(meta, dict) or meta.get("type") != "class" or not isinstance(meta.get("class_name"), str):
        raise Damaged("it has a persistent object without a class")
    return Inert("persistent", meta["class_name"][:200], state=meta.get("state"))


def make_old_object(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    """Make an object as protocols 0 and 1 write it: (class, base class, value for the base class)."""
    kind, base, entries = arguments
    if not isinstance(kind, Inert) or not isinstance(base, Inert):
        raise Damaged("it has an object without a class")
    if base.name == "dict":
        items = make_dict(budget, (entries,) if entries is not None else ())
        return (
            items
            if CONTAINERS.get((kind.module, kind.name)) is make_dict
            else Inert(kind.module, kind.name, (), None, items)
        )
    items = make_list(budget, (entries,)) if base.name == "list" else []
    return Inert(kind.module, kind.name, items=items)


CONTAINERS: Makers = {
    ("collections", "OrderedDict"): make_dict,
    ("collections", "Counter"): make_dict,
    ("collections", "defaultdict"): make_default_dict,
    ("dnnlib.util", "EasyDict"): make_dict,
    ("dnnlib", "EasyDict"): make_dict,
    **{(module, "dict"): make_dict for module in ("builtins", "__builtin__")},
    **{(module, name): make_list for module in ("builtins", "__builtin__") for name in ("list", "set", "frozenset")},
    **{(module, "tuple"): make_tuple for module in ("builtins", "__builtin__")},
    **{(module, name): make_bytes for module in ("builtins", "__builtin__") for name in ("bytes", "bytearray")},
    ("torch", "Size"): make_tuple,
    ("_codecs", "encode"): encode,
    ("copyreg", "_reconstructor"): make_old_object,
    ("copy_reg", "_reconstructor"): make_old_object,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): make_persistent,
}
"""The makers by the (module, name) that pickles call."""
