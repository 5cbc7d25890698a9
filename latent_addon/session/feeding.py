"""Which orders the server has, and which it gets next: a few at a time, so that an edit or the playhead comes first.

Strips are not the only ones that want frames (`core/wanting.py`). The server has orders of only one priority at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, islice
from pathlib import Path

from ...lantern_protocol import errors, methods
from ...lantern_protocol.answers import Counts
from ...lantern_protocol.methods import Method, P
from ...lantern_protocol.orders import ShadowOrder
from ...lantern_protocol.params import CancelParams, DeriveParams, GenerateParams, GeneratorFile
from ...lantern_protocol.vectors import Floats
from ..core import frame_plan
from ..core.frame_plan import FramePlan, PlannedFrame
from ..core.frame_request import frame_order
from ..core.wanting import FrameWanter, first_lacking
from ..server.client import InferenceClient

WINDOW = 64
"""The most orders that the server has: enough that it never waits for the add-on, few enough for small messages."""

NUMBERS = 1 << 17
"""The most components of latents that are sent at once, because packing so many takes 10 ms."""

FEW = 8
"""So many frames may be sent at once, however long their latents are."""

OnFailed = Callable[[errors.ProtocolError, list[str], list[FrameWanter]], None]


@dataclass(frozen=True, slots=True)
class _Ordered:
    frame: PlannedFrame
    wanter: FrameWanter


class Feeder:
    """Keeps the server fed with the orders of one job at a time.

    on_failed: called with the error, the names of the frames, and the wanters that they were ordered for.
    """

    def __init__(self, client: InferenceClient, on_failed: OnFailed):
        self.job = 0
        self._client = client
        self._on_failed = on_failed
        self._ordered: dict[str, _Ordered] = {}
        self._priority = 0
        """Of the wanters whose frames were last ordered."""

    @property
    def busy(self) -> bool:
        """Whether the server has orders from this feeder."""
        return bool(self._ordered)

    @property
    def hungry(self) -> bool:
        """Whether the server should get more before it runs out."""
        return len(self._ordered) <= WINDOW // 2

    def has(self, name: str) -> bool:
        """Whether the frame of this name is on order."""
        return name in self._ordered

    def busy_for(self, wanter: FrameWanter) -> bool:
        """Whether the server has orders for this wanter."""
        return any(each.wanter is wanter for each in self._ordered.values())

    def wanters_of(self, names: Iterable[str]) -> list[FrameWanter]:
        """Return the wanters that these frames are on order for."""
        found = {id(each.wanter): each.wanter for name in names if (each := self._ordered.get(name)) is not None}
        return list(found.values())

    def is_due(self, wanters: Sequence[FrameWanter], present: Collection[str]) -> bool:
        """Whether these wanters should be fed although no plan has changed.

        That is so when the server runs out of orders, when its orders are of a different priority, and when someone
        looks at a missing frame that is not on order.
        """
        if self.hungry or any(wanter.priority != self._priority for wanter in wanters):
            return True
        return not all(map(self.has, _looked_at(wanters, present)))

    def feed(self, wanters: Iterable[FrameWanter], present: Collection[str], folder: Path) -> list[FrameWanter]:
        """Order the first of the missing frames: those of the first priority that lacks any.

        What someone looks at comes first, then what is nearest to the playhead.

        Orders under way are kept while plans of that priority still show them, and while the frames that someone looks
        at are among them. Otherwise a new job replaces them. Orders of a lower priority that are replaced are ordered
        again when nothing of a higher priority is missing any more. present: names of files in `folder`. Returns the
        wanters with frames that cannot be ordered, because nobody knows their generators.
        """
        wanters = first_lacking(wanters)
        owners = [(wanter, wanter.plans()) for wanter in wanters]
        plans = [pair for _, own in owners for pair in own]
        looked_at = _looked_at(wanters, present)  # with many strips, maybe more than are ordered at once
        # What is at a playhead, as with strips, comes first in any case: it need not be looked for in every plan.
        at_playheads = looked_at.intersection(filter(None, (plan.name_at(at) for plan, at in plans)))
        rest = looked_at - at_playheads
        elsewhere = {name for plan, _at in plans for name in plan.missing_among(rest)}
        looked_at = at_playheads | elsewhere
        missing = frame_plan.wanted(plans, elsewhere)
        first = next(missing, None)
        if first is None:
            return []
        most = min(WINDOW, max(FEW, NUMBERS // max(1, first.plan.source.width)))
        waiting = len(looked_at) <= most and any(name not in self._ordered for name in looked_at)
        fresh = waiting or first.name not in self._ordered or self._is_stale(plans, present)
        if fresh:
            self._next_job()
        self._priority = wanters[0].priority
        room = min(WINDOW - len(self._ordered), most)
        picked = list(islice((each for each in chain([first], missing) if each.name not in self._ordered), room))
        owner_of = {id(plan): wanter for wanter, own in reversed(owners) for plan, _ in own}
        owner = {each.name: owner_of[id(each.plan)] for each in picked}
        chosen = frame_plan.planned(picked)
        shas = {sha256 for frame in chosen for sha256 in (frame.request.checkpoint, frame.request.toward) if sha256}
        found = {sha256: _generator(wanters, sha256) for sha256 in shas}
        generators = {sha256: generator for sha256, generator in found.items() if generator is not None}
        nameless = {frame.name for frame in chosen if not _is_named(frame, generators)}
        chosen = [frame for frame in chosen if frame.name not in nameless]
        self._ordered.update((frame.name, _Ordered(frame, owner[frame.name])) for frame in chosen)
        append = not fresh
        for kind, run in groupby(chosen, lambda frame: _kind(frame, present)):
            frames = list(run)
            if kind is None:
                shadows = tuple(map(_shadow_order, frames))
                self._order(methods.DERIVE, DeriveParams(self.job, str(folder), shadows, append), frames)
            else:
                checkpoint, toward, space, _shape = kind
                params = GenerateParams(
                    job=self.job,
                    folder=str(folder),
                    generator=generators[checkpoint],
                    space=space,
                    latents=_rows(frames),
                    frames=tuple(frame_order(f.request, i, f.colour, f.name) for i, f in enumerate(frames)),
                    toward=generators[toward] if toward else None,
                    append=append,
                )
                self._order(methods.GENERATE, params, frames)
            append = True
        return [wanter for wanter in wanters if any(owner[name] is wanter for name in nameless)]

    def _is_stale(self, plans: Sequence[tuple[FramePlan, int]], present: Collection[str]) -> bool:
        """Whether anything is on order that no plan shows any more."""
        # A file may be seen in the folder before the server's word of it arrives: that order is not stale.
        left = {name for name in self._ordered if name not in present}
        for plan, _at in plans:
            left.difference_update(plan.places(left))
            if not left:
                return False
        return True

    def cancel(self) -> None:
        """Take back what is on order. What the device has begun is still made and kept."""
        if self._ordered:
            self._client.ask(methods.CANCEL, CancelParams(self.job), lambda _: None, lambda _: None)
            self._next_job()

    def made(self, names: Iterable[str]) -> None:
        """Take finished frames off the list of orders."""
        for name in names:
            self._ordered.pop(name, None)

    def failed(self, names: Iterable[str]) -> list[PlannedFrame]:
        """Take failed frames off the list of orders, and return them."""
        return [self._ordered.pop(name).frame for name in list(names) if name in self._ordered]

    def _next_job(self) -> None:
        self._ordered.clear()
        self.job += 1

    def _order(self, method: Method[P, Counts], params: P, frames: list[PlannedFrame]) -> None:
        job = self.job
        names = [frame.name for frame in frames]
        wanters = self.wanters_of(names)

        def ended(_counts: Counts) -> None:
            left = self._left(job, names)
            if left:  # neither made nor failed, and nobody took them back: asking again might go on for ever
                self.failed(left)
                message = f"The inference server skipped {len(left)} frames. Try again; its log may say why."
                self._on_failed(errors.ProtocolError(errors.INTERNAL_ERROR, message), left, wanters)

        def refused(error: errors.ProtocolError) -> None:
            left = self._left(job, names)
            self.failed(left)
            if job == self.job:
                self._on_failed(error, left, wanters)

        self._client.ask(method, params, ended, refused)

    def _left(self, job: int, names: list[str]) -> list[str]:
        return [name for name in names if name in self._ordered] if job == self.job else []


def _looked_at(wanters: Iterable[FrameWanter], present: Collection[str]) -> set[str]:
    return {name for wanter in wanters for name in wanter.looked_at() if name not in present}


def _generator(wanters: Iterable[FrameWanter], sha256: str) -> GeneratorFile | None:
    return next(filter(None, (wanter.generator(sha256) for wanter in wanters)), None)


def _kind(frame: PlannedFrame, present: Collection[str]) -> tuple[str, str, str, tuple[int, ...]] | None:
    """Return what all frames of one request must share: generator, second snapshot, space and shape of latent.

    Return None for a shadow whose colour frame is there.
    """
    if frame.name != frame.colour and frame.colour in present:
        return None
    request = frame.request
    return request.checkpoint, request.toward, request.space, request.shape


def _is_named(frame: PlannedFrame, generators: Mapping[str, GeneratorFile]) -> bool:
    return all(sha256 in generators for sha256 in (frame.request.checkpoint, frame.request.toward) if sha256)


def _shadow_order(frame: PlannedFrame) -> ShadowOrder:
    assert frame.request.shadow is not None  # else the frame would be its own colour frame
    return ShadowOrder(frame.name, frame.colour, frame.request.shadow)


def _rows(frames: Sequence[PlannedFrame]) -> Floats:
    data = b"".join(frame.request.latent for frame in frames)
    return Floats(data, (len(frames), *frames[0].request.shape))
