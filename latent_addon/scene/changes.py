"""Whether anything may have changed that frames depend on. Handlers and properties mark, the session takes."""

from __future__ import annotations

_marked = True


def mark() -> None:
    """Say that plans may be out of date. Cheap: what truly changed is found by comparing."""
    global _marked
    _marked = True


def take() -> bool:
    """Return whether anything was marked since the last call."""
    global _marked
    was, _marked = _marked, False
    return was
