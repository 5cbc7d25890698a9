"""Which frames a strip shows, which of them are missing, and in which order they are wanted.

A plan is filled in piece by piece, from the playhead outward, and knows which frames are not planned yet. It keeps
names as plain bytes, about fifty for each frame. Requests are made again from the recipe, for the few frames that are
ordered.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Protocol, overload

import numpy as np
from numpy.typing import NDArray

from .frame_request import DIGEST, FrameRequest, file_name
from .ranges import Ranges
from .spans import Span

_PIECE = 128


@dataclass(frozen=True, slots=True)
class PlannedFrame:
    """One file to be shown: `name`, made from the colour file `colour` (the same when there is no shadow)."""

    request: FrameRequest
    colour: str
    name: str


class Source(Protocol):
    """What a plan is made from; `Recipe` is one. Frames are counted from the first one shown, at `start`."""

    @property
    def start(self) -> int: ...

    def __len__(self) -> int: ...

    @property
    def width(self) -> int: ...

    def requests(self, first: int, end: int) -> list[FrameRequest]: ...

    def names(self, first: int, end: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]: ...


class FramePlan:
    """What a strip should show: frame i of the plan at timeline frame start + i."""

    def __init__(self, source: Source):
        self.source = source
        count = len(source)
        self._colours = np.zeros((count, DIGEST), np.uint8)
        self._names = np.zeros((count, DIGEST), np.uint8)
        self._heads = np.zeros(count, np.uint64)
        """The first eight bytes of each name, to find names by."""
        self._there = np.zeros(count, bool)
        self.unknown = Ranges([(0, count)])
        """Frames that are not planned yet."""
        self._order: NDArray[np.intp] | None = None

    @classmethod
    def after(cls, source: Source, old: FramePlan, shift: int, span: Span) -> FramePlan:
        """Return a plan that keeps what `old` knows.

        shift: the new plan's first frame, as a number in the old plan. span: the numbers of the new plan's frames that
        may ask for different pictures; frames outside of it have not changed.
        """
        plan = cls(source)
        begin, end = max(0, -shift), min(len(plan), len(old) - shift)
        if begin >= end:
            return plan
        for ours, theirs in (
            (plan._colours, old._colours),
            (plan._names, old._names),
            (plan._heads, old._heads),
            (plan._there, old._there),
        ):
            ours[begin:end] = theirs[begin + shift : end + shift]
        unknown = np.ones(len(plan), bool)
        unknown[begin:end] = False
        for first, stop in old.unknown:
            unknown[max(0, first - shift) : max(0, stop - shift)] = True
        if span is not None:
            low, high = np.clip(np.array([np.ceil(span[0]), np.floor(span[1]) + 1]), 0, len(plan)).astype(int)
            unknown[low:high] = True
        edges = np.flatnonzero(np.diff(unknown, prepend=False, append=False)).tolist()
        plan.unknown = Ranges(zip(edges[::2], edges[1::2], strict=True))
        plan._there[unknown] = False
        return plan

    @property
    def start(self) -> int:
        """Timeline frame of the first frame."""
        return self.source.start

    def __len__(self) -> int:
        return len(self._there)

    def fill_in(self, first: int, end: int, present: Collection[str]) -> None:
        """Name the unknown ones of the frames first .. end - 1, counted from 0, and note which of these are present.

        present: names of the files that exist. Raises ValueError if a curve's values are out of range.
        """
        for a, b in self.unknown.within(first, end):
            colours, names = self.source.names(a, b)
            self._colours[a:b], self._names[a:b] = colours, names
            self._heads[a:b] = np.ascontiguousarray(names[:, :8]).view(np.uint64)[:, 0]
            self._order = None
            self.unknown.remove(a, b)
        self._there[first:end] = [name in present for name in self.names(first, end)]

    def complete(self, present: Collection[str]) -> None:
        """Fill in everything that is left, at once."""
        for first, end in self.unknown:
            for i in range(first, end, _PIECE):
                self.fill_in(i, min(end, i + _PIECE), present)

    def names(self, first: int, end: int) -> list[str]:
        """Return file names of the frames first .. end - 1, counted from 0; names of unknown frames mean nothing."""
        names = self._names[first:end]
        shadows = (names != self._colours[first:end]).any(axis=1).tolist()
        digests = (names[i].tobytes() for i in range(len(names)))
        return [file_name(digest, shadow) for digest, shadow in zip(digests, shadows, strict=True)]

    @property
    def frames(self) -> Frames:
        """All frames, each made when it is asked for."""
        return Frames(self)

    def frame(self, i: int) -> PlannedFrame | None:
        """Return frame i, counted from 0; None while it is not known."""
        return self.frames_of([i])[0] if i not in self.unknown else None

    def frames_of(self, numbers: Sequence[int]) -> list[PlannedFrame]:
        """Return frames by their numbers, counted from 0. Neighbours are evaluated together, in any order.

        Frames that are not known yet are named only for this call.
        """
        requests = {}
        ascending = sorted(set(numbers))
        edges = [k for k in range(1, len(ascending)) if ascending[k] != ascending[k - 1] + 1]
        for k, end in zip([0, *edges], [*edges, len(ascending)], strict=True):
            first, last = ascending[k], ascending[end - 1]
            requests.update(zip(range(first, last + 1), self.source.requests(first, last + 1), strict=True))
        return [self._frame(n, requests[n]) for n in numbers]

    def _frame(self, n: int, request: FrameRequest) -> PlannedFrame:
        if n in self.unknown:
            return PlannedFrame(request, request.colour_name(), request.name())
        return PlannedFrame(request, self._colour(n), self.names(n, n + 1)[0])

    def _colour(self, i: int) -> str:
        return file_name(self._colours[i].tobytes(), shadow=False)

    def name_at(self, frame: int) -> str | None:
        """Return the file name at a timeline frame, None outside of the strip and where it is not known yet."""
        i = frame - self.start
        return self.names(i, i + 1)[0] if 0 <= i < len(self) and i not in self.unknown else None

    def at(self, frame: int) -> PlannedFrame | None:
        """Return the planned frame at a timeline frame, None outside of the strip and where it is not known yet."""
        i = frame - self.start
        return self.frame(i) if 0 <= i < len(self) else None

    def files(self) -> set[str]:
        """Return the names of all files that the strip shows or that its shadows are made from."""
        shown = set(self.names(0, len(self)))
        data = self._colours.tobytes()
        return shown | {file_name(data[i : i + DIGEST], shadow=False) for i in range(0, len(data), DIGEST)}

    def lacking(self, first: int, end: int) -> set[str]:
        """Return the files that the frames first .. end - 1 lack, and the colour frames behind shadows among them."""
        numbers = [i for i in range(first, end) if not self._there[i] and i not in self.unknown]
        return {name for i in numbers for name in (self.names(i, i + 1)[0], self._colour(i))}

    @property
    def done(self) -> int:
        """How many frames are there, as far as is known."""
        return int(np.count_nonzero(self._there))

    @property
    def lacks(self) -> bool:
        """Whether any frame is known to be missing."""
        return self.done + len(self.unknown) < len(self)

    def missing(self) -> list[int]:
        """Return the timeline frames whose picture is not there, ascending; unknown frames are among them."""
        return (np.flatnonzero(~self._there) + self.start).tolist()

    def missing_among(self, names: Collection[str]) -> dict[str, int]:
        """Return those of these files that are known to be missing, each with the number of a frame that shows it."""
        return {name: numbers[0] for name, numbers in self.places(names).items() if not self._there[numbers[0]]}

    def note(self, names: Collection[str], there: bool = True) -> dict[int, str]:
        """Note that files have come, or are gone; return the numbers of the frames that show them, with their names."""
        found = {n: name for name, numbers in self.places(names).items() for n in numbers}
        self._there[list(found)] = there
        return found

    def places(self, names: Collection[str]) -> dict[str, list[int]]:
        """Return the numbers of the known frames that show these files, by name; without names that none shows."""
        wanted = [name for name in names if len(name) == len("c_.png") + 2 * DIGEST]
        if not wanted:
            return {}
        heads = np.frombuffer(b"".join(bytes.fromhex(name[2:18]) for name in wanted), np.uint64)
        if self.unknown:
            candidates = [np.flatnonzero(self._heads == head) for head in heads]
        else:
            if self._order is None:
                self._order = np.argsort(self._heads, kind="stable")
            begin, end = (np.searchsorted(self._heads, heads, side, sorter=self._order) for side in ("left", "right"))
            candidates = [self._order[i:j] for i, j in zip(begin.tolist(), end.tolist(), strict=True)]
        found = {}
        for name, numbers in zip(wanted, candidates, strict=True):
            certain = [n for n in numbers.tolist() if self.names(n, n + 1)[0] == name and n not in self.unknown]
            if certain:
                found[name] = certain
        return found

    def outward(self, at: int) -> Iterator[tuple[int, bool, int]]:
        """Return the known frames that are missing, nearest to timeline frame `at` first: (distance, earlier?, number).

        Of neighbours that ask for the same picture, only the nearest one is returned.
        """
        i = at - self.start
        missing = ~self._there
        for first, end in self.unknown:
            missing[first:end] = False
        numbers = np.flatnonzero(missing)
        middle = int(np.searchsorted(numbers, i))
        later, earlier = self._changing(numbers[middle:]), self._changing(numbers[:middle][::-1])
        forward = ((n - i, False, n) for n in later.tolist())
        backward = ((i - n, True, n) for n in earlier.tolist())
        return heapq.merge(forward, backward)

    def _changing(self, numbers: NDArray[np.intp]) -> NDArray[np.intp]:
        heads = self._heads[numbers]
        return numbers[np.concatenate([[True], heads[1:] != heads[:-1]])] if len(numbers) else numbers


class Frames(Sequence[PlannedFrame]):
    """All frames of a plan, made when they are asked for."""

    def __init__(self, plan: FramePlan):
        self._plan = plan

    def __len__(self) -> int:
        return len(self._plan)

    @overload
    def __getitem__(self, i: int) -> PlannedFrame: ...

    @overload
    def __getitem__(self, i: slice) -> list[PlannedFrame]: ...

    def __getitem__(self, i: int | slice) -> PlannedFrame | list[PlannedFrame]:
        if isinstance(i, slice):
            return list(self._plan.frames_of(range(len(self))[i]))
        if not 0 <= i < len(self):
            raise IndexError(i)
        return self._plan.frames_of([i])[0]

    def __iter__(self) -> Iterator[PlannedFrame]:
        for first in range(0, len(self), _PIECE):
            yield from self._plan.frames_of(range(first, min(first + _PIECE, len(self))))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A frame of a plan by its number, counted from 0, and the file that is missing."""

    plan: FramePlan
    number: int
    name: str


def wanted(plans: Sequence[tuple[FramePlan, int]], looked_at: Collection[str] = ()) -> Iterator[Wanted]:
    """Yield the missing frames of all plans, each file once: those looked at, then nearest to the playhead first.

    plans: each with the timeline frame of its playhead. Of two frames at the same distance from it, the later one comes
    first, because time runs forward. looked_at: names of files, whether they are in `plans` or not.
    """
    given: set[str] = set()
    for plan, _at in plans:
        for name, n in sorted(plan.missing_among(looked_at).items(), key=itemgetter(1)):
            if name not in given:
                given.add(name)
                yield Wanted(plan, n, name)
    candidates = [_ranked(k, plan, at) for k, (plan, at) in enumerate(plans)]
    for _distance, _earlier, _k, n, plan in heapq.merge(*candidates):
        name = plan.names(n, n + 1)[0]
        if name not in given:
            given.add(name)
            yield Wanted(plan, n, name)


def _ranked(k: int, plan: FramePlan, at: int) -> Iterator[tuple[int, bool, int, int, FramePlan]]:
    return ((distance, earlier, k, n, plan) for distance, earlier, n in plan.outward(at))


def planned(chosen: Sequence[Wanted]) -> list[PlannedFrame]:
    """Return the wanted frames with their requests, in the same order."""
    numbers: dict[int, tuple[FramePlan, list[int]]] = {}
    for each in chosen:
        numbers.setdefault(id(each.plan), (each.plan, []))[1].append(each.number)
    made = {key: dict(zip(of, plan.frames_of(of), strict=True)) for key, (plan, of) in numbers.items()}
    return [made[id(each.plan)][each.number] for each in chosen]
