"""What wants frames, and whose frames are ordered first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Protocol

from ...lantern_protocol.params import GeneratorFile
from .frame_plan import FramePlan


class FrameWanter(Protocol):
    """Something that wants frames: the strips, and later sheets, takes and the stage. For the main thread only.

    All of them share one folder and one server. A wanter plans its frames itself; the session orders those that are
    missing, and calls `made`, `failed` and `look_again`.
    """

    @property
    def priority(self) -> int:
        """Whose frames are ordered first: 0 before 1. It does not change while the session knows the wanter."""
        ...

    def plans(self) -> Sequence[tuple[FramePlan, int]]:
        """The plans whose missing frames may be made now, each with the timeline frame of its playhead.

        Of wanters with the same priority, the frames nearest to their playheads are ordered first.
        """
        ...

    def looked_at(self) -> Collection[str]:
        """Names of files in `plans` that someone looks at.

        If one is missing, it is ordered before all others of the same priority, however far it is from the playhead.
        """
        ...

    def generator(self, sha256: str) -> GeneratorFile | None:
        """The generator of a sha256, as requests name it; None if this wanter has none.

        If no wanter of the same priority knows it either, this wanter's frames have failed (`failed`). Only the strips
        are not told: a strip whose generator is being changed is planned again, or shows a problem of its own.
        """
        ...

    def files_in_use(self) -> set[str]:
        """Names of all files that must not be deleted, whether they are there or not."""
        ...

    def made(self, names: Collection[str]) -> None:
        """Files have come, for this wanter or for others: note them in the plans (`FramePlan.note`)."""
        ...

    def failed(self, reason: str) -> None:
        """Frames of this wanter cannot be made. `reason` is for a person."""
        ...

    def look_again(self, present: Collection[str]) -> None:
        """The folder is a different one, or files have come and gone: note which files are there now."""
        ...


def first_lacking(wanters: Iterable[FrameWanter]) -> list[FrameWanter]:
    """Return all wanters of the first priority at which any frame is known to be missing; [] if none is missing."""
    for _priority, group in groupby(sorted(wanters, key=attrgetter("priority")), key=attrgetter("priority")):
        equals = list(group)
        if any(plan.lacks for wanter in equals for plan, _at in wanter.plans()):
            return equals
    return []
