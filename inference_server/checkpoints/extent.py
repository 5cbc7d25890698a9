"""How large a value is when it is followed to its ends: a few shared lists within lists can be endless."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from .inert import Inert
from .limits import Damaged

DEPTH = 200
"""Containers within containers; objects count anew."""
EXTENT = 20_000_000
"""Entries of a container and of all within it, each as often as it stands there."""


def check_extent(value: Any) -> None:
    """Raise Damaged for containers that cannot be printed, compared or walked in a moment.

    A list that holds itself is not followed a second time: Python itself knows such lists.
    """
    extents: dict[int, tuple[int, int]] = {}
    waiting: list[tuple[Any, bool, int]] = [(value, False, 0)]
    while waiting:
        item, entered, level = waiting.pop()
        children = _children(item)
        if entered:
            found = [extents[id(child)] for child in children if id(child) in extents]
            extent = 1 + len(children) + sum(extent for extent, _ in found)
            depth = 1 + max((depth for _, depth in found), default=0)
            if depth > DEPTH:
                raise Damaged("it is nested too deep")
            if extent > EXTENT:
                raise Damaged("the same parts stand in it again and again, without end")
            extents[id(item)] = (1, 0) if isinstance(item, Inert) else (extent, depth)
        elif id(item) not in extents:
            level = 0 if isinstance(item, Inert) else level + 1
            if level > DEPTH:
                raise Damaged("it is nested too deep")
            extents[id(item)] = (1, 0)
            if children:
                waiting.append((item, True, level))
                waiting.extend((child, False, level) for child in children if isinstance(child, _FOLLOWED))


_FOLLOWED = (list, tuple, dict, Inert)


def _children(item: Any) -> Collection[Any]:
    if isinstance(item, Inert):
        return (item.arguments, item.state, item.items)
    if isinstance(item, dict):
        return (*item.keys(), *item.values())
    return item if isinstance(item, (list, tuple)) else ()
