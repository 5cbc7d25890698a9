"""Long work of the device thread: a search or an inversion, done in slices between calls and batches of frames.

Standard library only: the reader thread works before torch is imported.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator

from lantern_protocol.errors import CANCELLED, ProtocolError
from lantern_protocol.methods import Body
from lantern_protocol.params import Nothing

logger = logging.getLogger(__name__)

TELL_EVERY = 0.2
"""Seconds between two messages about the progress of one piece of work."""

Slices = Generator[tuple[int, int], None, Body]
"""Does one slice of the work at each step, and yields how far it is: (done, total), 0 <= done <= total < 2^31.

Returns the request's answer.

A slice should take some tens of milliseconds, because a frame may wait for a whole one. Raises ProtocolError, or any
other error, to give the work up; when it is cancelled, it is closed between two slices (see `Generator.close`).

Other work is done between two slices, on the same thread. So a slice

- waits for what it has started on a GPU: what is only queued there would still hold up the next frame;
- does not yield within `torch.no_grad()`, `torch.inference_mode()` or any other mode of the thread, which would be in
  force for the frames made in between;
- keeps its own reference to what it uses. Generators leave the device, and a blend of two snapshots gets other weights,
  whenever a frame needs that.
"""


class LongWork:
    """The work of one request, in slices. The scheduler decides when; `step` and `cancel` belong to the device thread.

    identity: the id of the request, for `work/cancel`; None if it has none.
    begin: returns the slices; called on the device thread when the first one is due.
    reply: answers the request, once.
    tell: receives `done` and `total` after the first slice, then every TELL_EVERY seconds at most, and only when `done`
    has grown.
    """

    def __init__(
        self,
        identity: int | str | None,
        begin: Callable[[], Slices],
        reply: Callable[[Body | ProtocolError], None],
        tell: Callable[[int, int], None],
        clock: Callable[[], float] = time.monotonic,
    ):
        self.identity = identity
        self.reply = reply
        self._begin: Callable[[], Slices] | None = begin
        self._slices: Slices | None = None
        self._tell = tell
        self._clock = clock
        self._told: tuple[int, float] | None = None

    def step(self) -> Body | None:
        """Do one slice; return the request's answer after the last one, None before. Raises what the slice raises."""
        if self._begin is not None:
            begin, self._begin = self._begin, None
            self._slices = begin()
        assert self._slices is not None
        try:
            done, total = next(self._slices)
        except StopIteration as end:
            return end.value or Nothing()
        now = self._clock()
        if self._told is None or (done > self._told[0] and now - self._told[1] >= TELL_EVERY):
            self._told = (done, now)
            self._tell(done, total)
        return None

    def cancel(self) -> None:
        """Close the slices, and answer the request with the error CANCELLED. Never raises."""
        slices, self._slices, self._begin = self._slices, None, None
        if slices is not None:
            try:
                slices.close()
            except Exception:  # a mistake in the work's own cleaning up
                logger.exception("long work could not be closed")
        self.reply(ProtocolError(CANCELLED, "This work was cancelled before its end."))
