"""Limit how large a value may be when all its parts are followed: a few lists that share parts can be endless."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from .inert import Inert
from .limits import Damaged

DEPTH = 200
"""The most containers within containers; inside an object the count starts again at 0."""
EXTENT = 4_000_000
"""The most entries of a value and of everything in it; an entry counts once for each place where it is used."""
MODULE_DEPTH = 64
MODULES = 100_000
"""The most modules of a network; a module counts once for each place where it is used."""

_FOLLOWED = (list, tuple, dict, Inert)


def check_extent(value: Any) -> None:
    """Raise Damaged for a value that cannot be printed, compared or walked in a moment.

    Such values are containers, and networks of modules, that hold themselves or hold the same parts again and again.
    An object may refer to the objects that hold it.
    """
    extents: dict[int, tuple[int, int]] = {}
    entered: dict[int, int] = {}
    modules: list[Inert] = []
    # The item, whether its children are done, its depth in containers, and the number of objects that lead to it.
    waiting: list[tuple[Any, bool, int, int]] = [(value, False, 0, 0)]
    while waiting:
        item, done, level, objects = waiting.pop()
        children = _children(item)
        if done:
            found = [extents[id(child)] for child in children if id(child) in extents]
            extent = 1 + len(children) + sum(extent for extent, _ in found)
            if extent > EXTENT:
                raise Damaged("it holds the same parts again and again, without end")
            depth = 0 if isinstance(item, Inert) else 1 + max((depth for _, depth in found), default=0)
            if depth > DEPTH:
                raise Damaged("it is nested too deep")
            extents[id(item)] = extent, depth
            del entered[id(item)]
        elif id(item) in entered:
            if entered[id(item)] == objects and not isinstance(item, Inert):
                raise Damaged("it has a list or dict that holds itself")
        elif id(item) not in extents:
            if isinstance(item, Inert):
                modules.append(item)
                level, objects = 0, objects + 1
            else:
                level += 1
            if level > DEPTH:
                raise Damaged("it is nested too deep")
            if children:
                entered[id(item)] = objects
                waiting.append((item, True, level, objects))
                waiting.extend((child, False, level, objects) for child in children if isinstance(child, _FOLLOWED))
    counts: dict[int, int | None] = {}
    for module in modules:
        _count_modules(module, counts, 0)


def _count_modules(module: Inert, counts: dict[int, int | None], depth: int) -> int:
    """Return the number of modules in a module, including the module."""
    if id(module) in counts:
        count = counts[id(module)]
        if count is None:
            raise Damaged("it has a module that holds itself")
        return count
    if depth > MODULE_DEPTH:
        raise Damaged("its modules are nested too deep")
    counts[id(module)] = None
    count = 1
    for name in ("_modules", "modules"):
        children = module.get(name)
        for child in children.values() if isinstance(children, dict) else ():
            if isinstance(child, Inert):
                count += _count_modules(child, counts, depth + 1)
    if count > MODULES:
        raise Damaged("it holds the same modules again and again, without end")
    counts[id(module)] = count
    return count


def _children(item: Any) -> Collection[Any]:
    if isinstance(item, Inert):
        return (item.arguments, item.state, item.items)
    if isinstance(item, dict):
        return (*item.keys(), *item.values())
    return item if isinstance(item, (list, tuple)) else ()
