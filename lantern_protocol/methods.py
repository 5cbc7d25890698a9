"""The methods of the protocol: for each its name, its params and its answer.

An order drops what is left of older jobs, unless `append` is true and the job is the current one: then the orders join
the end of its queue. Orders for a job older than the current one are dropped at once. Within a job, orders are made in
the order given. The first one of a job is made alone, so that the frame under the playhead never waits for a batch.

Long work (a search, an inversion) answers its request only at its end, and may take minutes. The device does it in
slices between calls and batches of frames, so that no frame waits for more than one slice. Meanwhile notifications tell
how far it is, at most five times a second; `done` only grows. No method is answered by long work yet.

Notifications go from the server to the add-on: `frames/made` (FramesMade), `frames/failed` (FramesFailed),
`work/progress` (WorkProgress), and `log` with a level and a text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

from . import answers, params
from .params import Nothing


class Body(Protocol):
    """The params or the answer of a method."""

    def to_json(self) -> dict[str, Any]:
        """Return the body as JSON values."""
        ...

    @classmethod
    def from_json(cls, fields: dict[str, Any], /) -> Self:
        """Read the body. Raises ProtocolError naming the field that is wrong."""
        ...


P = TypeVar("P", bound=Body)
A = TypeVar("A", bound=Body)


@dataclass(frozen=True, slots=True)
class Method(Generic[P, A]):
    """A request that the add-on makes of the server."""

    name: str
    params: type[P]
    answer: type[A]


INITIALIZE = Method("initialize", params.Hello, answers.Greeting)
"""Comes first, once. Fails with VERSION_MISMATCH where the two sides are of different releases."""

DESCRIBE = Method("generator/describe", params.DescribeParams, answers.GeneratorDescription)
MAP = Method("latents/map", params.MapParams, answers.Latents)
"""From z to w, without truncation."""

IMPORT = Method("latents/import", params.ImportParams, answers.ImportedLatents)
GENERATE = Method("frames/generate", params.GenerateParams, answers.Counts)
DERIVE = Method("shadows/derive", params.DeriveParams, answers.Counts)
CANCEL = Method("frames/cancel", params.CancelParams, answers.Dropped)
CANCEL_WORK = Method("work/cancel", params.CancelWorkParams, answers.Cancelled)
LIST = Method("library/list", params.ListParams, answers.LibraryList)
CARD = Method("library/card", params.CardParams, answers.LibraryCard)
RELEASE = Method("device/release", Nothing, answers.Released)
"""Generators leave the device, and come back with the next frame."""

PING = Method("ping", Nothing, Nothing)
"""Answered at once, whatever the device is doing."""

SHUTDOWN = Method("shutdown", Nothing, Nothing)
"""Answered after the files that are being written are whole."""

METHODS: tuple[Method[Any, Any], ...] = (
    *(INITIALIZE, DESCRIBE, MAP, IMPORT, GENERATE, DERIVE, CANCEL, CANCEL_WORK, LIST, CARD, RELEASE, PING, SHUTDOWN),
)
"""All of them. The server takes each of these and no other."""

FRAMES_MADE, FRAMES_FAILED, PROGRESS, LOG = "frames/made", "frames/failed", "work/progress", "log"
