"""How large a value is when it is followed to its ends: a few shared lists within lists can be endless."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from .inert import Inert
from .limits import Damaged

DEPTH = 200
"""Containers within containers; objects count anew."""
EXTENT = 4_000_000
"""Entries of a value and of all within it, each as often as it stands there."""
MODULE_DEPTH = 64
MODULES = 100_000
"""Modules of a network, each as often as it stands there."""

_FOLLOWED = (list, tuple, dict, Inert)


def check_extent(value: Any) -> None:
    """Raise Damaged for what cannot be printed, compared or walked in a moment.

    Those are containers that hold themselves, or the same parts again and again, and networks of modules that do.
    Objects may refer to those that hold them.
    """
    extents: dict[int, tuple[int, int]] = {}
    entered: dict[int, int] = {}
    modules: list[Inert] = []
    # Item, whether its children are done, depth among containers, and objects on the way to it.
    waiting: list[tuple[Any, bool, int, int]] = [(value, False, 0, 0)]
    while waiting:
        item, done, level, objects = waiting.pop()
        children = _children(item)
        if done:
            found = [extents[id(child)] for child in children if id(child) in extents]
            extent = 1 + len(children) + sum(extent for extent, _ in found)
            if extent > EXTENT:
                raise Damaged("the same parts stand in it again and again, without end")
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
    """Modules in a module, itself included."""
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
        raise Damaged("the same modules stand in it again and again, without end")
    counts[id(module)] = count
    return count


def _children(item: Any) -> Collection[Any]:
    if isinstance(item, Inert):
        return (item.arguments, item.state, item.items)
    if isinstance(item, dict):
        return (*item.keys(), *item.values())
    return item if isinstance(item, (list, tuple)) else ()
