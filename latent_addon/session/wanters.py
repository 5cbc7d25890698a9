"""The list of what wants frames from the session, and which of these are not asked any more."""

from __future__ import annotations

from collections.abc import Iterator

from ..core.wanting import FrameWanter, first_lacking


class Wanters:
    """The strips, which always want frames, and what else was added.

    A wanter whose frames failed is given up: it is told why, and it is not asked for frames again until it changes.
    Otherwise the same order would fail again and again. The strips are never given up: the session halts instead.
    """

    def __init__(self, strips: FrameWanter) -> None:
        self._strips = strips
        self._others: list[FrameWanter] = []
        self._given_up: list[FrameWanter] = []

    @property
    def others(self) -> list[FrameWanter]:
        """All but the strips."""
        return list(self._others)

    def __iter__(self) -> Iterator[FrameWanter]:
        return iter([self._strips, *self._others])

    def add(self, wanter: FrameWanter) -> None:
        """Add a wanter, unless it is in the list."""
        if not _holds(self, wanter):
            self._others.append(wanter)

    def remove(self, wanter: FrameWanter) -> None:
        """Remove a wanter, if it is in the list. The strips stay."""
        self._others = _without(self._others, wanter)
        self.forgive(wanter)

    def forget_file(self) -> None:
        """Another file is being opened: remove all but the strips."""
        self._others.clear()
        self._given_up.clear()

    def give_up(self, wanter: FrameWanter, reason: str) -> None:
        """Tell a wanter that its frames failed, and do not ask it any more. The strips are only told."""
        if wanter is not self._strips and _holds(self, wanter) and not _holds(self._given_up, wanter):
            self._given_up.append(wanter)
        wanter.failed(reason)

    def forgive(self, wanter: FrameWanter) -> None:
        """Ask a wanter again that was given up."""
        self._given_up = _without(self._given_up, wanter)

    def first_lacking(self, urgent_only: bool) -> list[FrameWanter]:
        """Return the wanters whose frames are ordered now: all of the first priority at which any frame is missing.

        urgent_only: leave out those that come after the strips.
        """
        asked = [wanter for wanter in self if not _holds(self._given_up, wanter)]
        if urgent_only:
            asked = [wanter for wanter in asked if wanter.priority <= self._strips.priority]
        return first_lacking(asked)

    def files_in_use(self) -> set[str]:
        """Return the names of all files that any wanter needs."""
        return set().union(*(wanter.files_in_use() for wanter in self))


def _holds(wanters: Wanters | list[FrameWanter], wanter: FrameWanter) -> bool:
    return any(each is wanter for each in wanters)


def _without(wanters: list[FrameWanter], wanter: FrameWanter) -> list[FrameWanter]:
    return [each for each in wanters if each is not wanter]
