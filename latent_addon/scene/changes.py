"""Notes that something which frames depend on may have changed. Handlers and properties mark, the session takes."""

from __future__ import annotations

_marked = True
_hinted = False


def mark() -> None:
    """Note that plans may be out of date. Cheap: what really changed is found later, by comparing."""
    global _marked
    _marked = True


def hint() -> None:
    """Note a change that the session has probably made itself: pointing strips at frames changes scenes."""
    global _hinted
    _hinted = True


def take(hints: bool) -> bool:
    """Return whether anything was marked, or with `hints` hinted at, since the last `take`."""
    global _marked, _hinted
    was = _marked or (hints and _hinted)
    if was:
        _marked = _hinted = False
    return was
