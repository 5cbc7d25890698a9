"""Makers for pickles that dill has written: numpy's numbers come through functions of dill's own.

dill writes a function of a C module as ``_get_attr(_import_module(name), name)``, and an array as
``_create_array(function, arguments, state)``. Both are read only where they mean numpy's own ``_reconstruct``,
``scalar`` and ``_frombuffer``.
StyleGAN-XL's training loop saves with dill.
"""

from __future__ import annotations

from typing import Any

from .arrays import ARRAYS, make_unbuilt
from .inert import Inert
from .limits import Budget, Damaged
from .pickles import Global, Makers


class Module(Inert):
    """A Python module that a file names; it is never imported."""


def make_module(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    """Return the description of a module: ``dill._dill._import_module(name, safe=False)``."""
    name = arguments[0]
    if not isinstance(name, str):
        raise Damaged("it names a module by something else than words")
    return Module("module", name[:200])


def make_attribute(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    """Return the description of a module's function: ``dill._dill._get_attr(module, name)``."""
    module, name = arguments[:2]
    if isinstance(module, Module) and (module.name, name) in ARRAYS:
        return Global(module.name, name)
    return Inert("dill._dill", "_get_attr", arguments)


def make_array(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    """Return an array: ``dill._dill._create_array(function, arguments, state, attributes=None)``."""
    function, inner, state = arguments[:3]
    maker = ARRAYS.get((function.module, function.name)) if isinstance(function, Global) else None
    if maker is not make_unbuilt:
        return Inert("dill._dill", "_create_array", arguments)
    return make_unbuilt(budget, inner).build(budget, state)


DILL: Makers = {
    (f"dill.{module}", name): maker
    for module in ("_dill", "dill")
    for name, maker in (
        ("_import_module", make_module),
        ("_get_attr", make_attribute),
        ("_create_array", make_array),
    )
}
"""The makers by the (module, name) that pickles call."""
