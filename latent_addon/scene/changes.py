"""Whether anything may have changed that frames depend on. Handlers and properties mark, the session takes."""

from __future__ import annotations

_marked = True
_hinted = False


def mark() -> None:
    """Say that plans may be out of date. Cheap: what truly changed is found by comparing."""
    global _marked
    _marked = True


def hint() -> None:
    """Say that something changed which is mostly the session's own doing: pointing strips at frames changes scenes."""
    global _hinted
    _hinted = True


def take(hints: bool) -> bool:
    """Return whether anything was marked, or with `hints` hinted at, since it was last taken."""
    global _marked, _hinted
    was = _marked or (hints and _hinted)
    if was:
        _marked = _hinted = False
    return was
