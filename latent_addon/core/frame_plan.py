"""Which frames a strip shows, which of them are missing, and in which order they are wanted."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from .frame_request import FrameRequest


@dataclass(frozen=True, slots=True)
class PlannedFrame:
    """One file to be shown: `name`, made from the colour file `colour` (the same when there is no shadow)."""

    request: FrameRequest
    colour: str
    name: str


@dataclass(frozen=True, slots=True)
class FramePlan:
    """What a strip should show: frames[i] at timeline frame start + i."""

    start: int
    frames: tuple[PlannedFrame, ...]

    @classmethod
    def of(cls, start: int, requests: Iterable[FrameRequest]) -> FramePlan:
        """Name the requests. Held frames, which ask for the same picture, are named once."""
        known: dict[FrameRequest, PlannedFrame] = {}
        frames = []
        for request in requests:
            frame = known.get(request)
            if frame is None:
                colour = request.colour_name()
                frame = known[request] = PlannedFrame(request, colour, request.name())
            frames.append(frame)
        return cls(start, tuple(frames))

    def files(self) -> set[str]:
        """Names of all files that the strip shows or that its shadows are made from."""
        return {frame.name for frame in self.frames} | {frame.colour for frame in self.frames}

    def missing(self, present: Collection[str]) -> list[int]:
        """Timeline frames whose picture is not among `present`, ascending."""
        return [self.start + i for i, frame in enumerate(self.frames) if frame.name not in present]

    def at(self, frame: int) -> PlannedFrame | None:
        """The planned frame at a timeline frame, None outside of the strip."""
        i = frame - self.start
        return self.frames[i] if 0 <= i < len(self.frames) else None


def wanted(plans: Iterable[tuple[FramePlan, int]], present: Collection[str]) -> list[PlannedFrame]:
    """The missing frames of all plans, each file once, nearest to its plan's playhead first.

    plans: each with the timeline frame of its playhead. Of two frames as far from it the later one comes first, for
    time runs forward.
    """
    candidates: list[tuple[int, bool, PlannedFrame]] = []
    for plan, at in plans:
        for frame in plan.missing(present):
            planned = plan.at(frame)
            if planned is not None:
                candidates.append((abs(frame - at), frame < at, planned))
    candidates.sort(key=lambda item: item[:2])
    return list({planned.name: planned for _, _, planned in candidates}.values())
