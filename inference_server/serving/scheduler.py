"""Decides which frame comes next: the newest job first, within a job the order asked for, and no file twice."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lantern_protocol.answers import Counts
from lantern_protocol.errors import INVALID_REQUEST, ProtocolError
from lantern_protocol.methods import Body
from lantern_protocol.orders import FrameOrder, ShadowOrder

from .long_work import LongWork

MOST_CALLS = 4096
MOST_WAITING = 1 << 17
"""The most requests, and the most orders, that wait. A client that sends more and reads no answers must not fill the
memory."""

Reply = Callable[[Body | ProtocolError], None]
"""Answers one request, with its result or an error."""


class Ticket:
    """One frames/generate or shadows/derive request: what its orders share, and what became of them.

    source: what the frames are made from; the scheduler does not look into it.
    """

    def __init__(
        self,
        job: int,
        folder: Path,
        total: int,
        reply: Reply,
        source: Any = None,
    ):
        self.job = job
        self.folder = folder
        self.source = source
        self._counts = {"made": 0, "failed": 0, "dropped": 0}
        self._open = total
        self._reply: Reply | None = reply
        self._lock = threading.Lock()
        if total == 0:
            self.settle("made", 0)

    def settle(self, outcome: str, count: int = 1) -> None:
        """Count orders as "made", "failed" or "dropped"; the last one answers the request."""
        with self._lock:
            self._counts[outcome] += count
            self._open -= count
            reply = self._reply if self._open <= 0 else None
            if reply is not None:
                self._reply = None
        if reply is not None:
            reply(Counts(**self._counts))

    def refuse(self, error: ProtocolError) -> None:
        """Answer the request with an error now, whatever becomes of its orders."""
        with self._lock:
            reply, self._reply = self._reply, None
        if reply is not None:
            reply(error)


@dataclass(eq=False, slots=True)
class Order:
    """One frame or shadow of a ticket. `twins` are tickets that ordered the same file while this one waited."""

    ticket: Ticket
    spec: FrameOrder | ShadowOrder
    alone: bool = False
    twins: list[Ticket] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The files of this order."""
        shadows = self.spec.shadows if isinstance(self.spec, FrameOrder) else ()
        return [self.spec.name, *(shadow.name for shadow in shadows)]

    @property
    def key(self) -> Hashable:
        """Orders with equal keys make the same file."""
        return (self.ticket.folder, type(self.spec), self.spec.name)

    def join(self, other: Order) -> None:
        """Take over another order for the same file: its shadows, and its ticket to be counted."""
        if isinstance(self.spec, FrameOrder) and isinstance(other.spec, FrameOrder):
            known = set(self.names)
            added = tuple(shadow for shadow in other.spec.shadows if shadow.name not in known)
            self.spec = replace(self.spec, shadows=self.spec.shadows + added)
        self.twins.append(other.ticket)

    @property
    def batch_key(self) -> Hashable:
        """Orders with equal keys may share a batch."""
        if isinstance(self.spec, FrameOrder):
            return id(self.ticket), self.spec.settings.batch_key
        return id(self.ticket)

    def settle(self, outcome: str) -> None:
        """Count this order, once for every ticket that holds it."""
        for ticket in (self.ticket, *self.twins):
            ticket.settle(outcome)


class Scheduler:
    """The queue between the reader thread and the device thread. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._job = -1
        self._orders: deque[Order] = deque()
        self._waiting = 0
        """How many orders are in the queue, including those that have joined another order for the same file."""
        self._by_key: dict[Hashable, Order] = {}
        self._calls: deque[Callable[[], None]] = deque()
        self._later: deque[Callable[[], None]] = deque()
        self._works: deque[LongWork] = deque()
        """Long work that has not ended. The first one has the next slice."""
        self._slice_next = True
        self._stopped = False

    def call(self, function: Callable[[], None], patient: bool = False) -> None:
        """Have the device thread run `function` before its next batch; if `patient`, when no frame is wanted.

        Raises ProtocolError when too much is waiting.
        """
        with self._wake:
            self._check_room()
            (self._later if patient else self._calls).append(function)
            self._wake.notify()

    def work(self, work: LongWork) -> None:
        """Have the device thread do long work in slices, while neither a call nor a frame is wanted.

        Slices take turns with those of other long work and with patient calls, so that none of them waits for ever.

        Raises ProtocolError when too much is waiting.
        """
        with self._wake:
            self._check_room()
            late = self._stopped
            if not late:
                self._works.append(work)
                self._wake.notify()
        if late:
            work.cancel()

    def _check_room(self) -> None:
        waiting = len(self._calls) + len(self._later) + len(self._works)
        if waiting >= MOST_CALLS and not self._stopped:
            raise too_much()

    def settle(self, work: LongWork, outcome: Body | ProtocolError | None) -> None:
        """Answer the request of long work with the outcome of a slice; None says that there are more slices."""
        if outcome is None:
            return
        with self._wake:
            if work not in self._works:
                return  # it was cancelled during this slice: the call that closes it answers
            self._works.remove(work)
        work.reply(outcome)

    def cancel_work(self, identity: int | str) -> bool:
        """Cancel the long work of a request; return whether it had not ended.

        It is closed on the device thread, after the slice under way, and before the next frame.
        """
        with self._wake:
            return self._cancel_works([work for work in self._works if work.identity == identity])

    def _cancel_works(self, works: list[LongWork]) -> bool:
        for work in works:
            self._works.remove(work)
            self._calls.append(work.cancel)
        self._wake.notify()
        return bool(works)

    def submit(self, ticket: Ticket, specs: Sequence[FrameOrder | ShadowOrder], append: bool) -> None:
        """Queue a ticket's orders. A newer job drops what is left of older ones; an older job is dropped itself.

        Raises ProtocolError when too many are waiting.
        """
        dropped: list[Order] = []
        with self._wake:
            late = self._stopped or ticket.job < self._job
            if not late:
                joins = append and ticket.job == self._job
                if joins and specs and self._waiting + len(specs) > MOST_WAITING:
                    raise too_much()
                if not joins:
                    dropped = self._take_all()
                    self._job = ticket.job
                self._waiting += len(specs)
                for spec in specs:
                    order = Order(ticket, spec, alone=not joins)
                    joins = True
                    if order.key in self._by_key:
                        self._by_key[order.key].join(order)
                    else:
                        self._by_key[order.key] = order
                        self._orders.append(order)
                self._wake.notify()
        if late:
            ticket.settle("dropped", len(specs))
        for order in dropped:
            order.settle("dropped")

    def cancel(self, job: int) -> int:
        """Drop what is left of `job`; return how many orders that were."""
        with self._wake:
            dropped = self._take_all() if job == self._job else []
        for order in dropped:
            order.settle("dropped")
        return len(dropped)

    def refuse(self, ticket: Ticket, error: ProtocolError) -> None:
        """Answer a ticket with an error and drop its orders, also those that other tickets share."""
        ticket.refuse(error)
        with self._wake:
            fallen = [order for order in self._orders if order.ticket is ticket]
            self._orders = deque(order for order in self._orders if order.ticket is not ticket)
            for order in fallen:
                del self._by_key[order.key]
                self._waiting -= 1 + len(order.twins)
        for order in fallen:
            order.settle("dropped")

    def wait(self, timeout: float | None) -> Callable[[], None] | Order | LongWork | None:
        """Return the next call, else the next order (it stays queued), else a patient call or long work, in turn.

        The caller does one slice of long work, which stays queued until `settle` is told of its end. Returns None after
        `timeout` seconds or stop().
        """
        with self._wake:
            self._wake.wait_for(
                lambda: self._calls or self._orders or self._later or self._works or self._stopped, timeout
            )
            if self._calls:
                return self._calls.popleft()
            if self._orders:
                return self._orders[0]
            if self._works and (self._slice_next or not self._later):
                self._slice_next = False
                self._works.rotate(-1)
                return self._works[-1]
            self._slice_next = True
            return self._later.popleft() if self._later else None

    def take(self, batch_key: Hashable) -> Order | None:
        """Take the next order if it may join a batch with this key."""
        with self._wake:
            if not self._orders or self._orders[0].batch_key != batch_key:
                return None
            order = self._orders.popleft()
            del self._by_key[order.key]
            self._waiting -= 1 + len(order.twins)
            return order

    def stop(self) -> None:
        """Drop everything and cancel long work. When the calls are done, wait() returns None."""
        with self._wake:
            self._stopped = True
            self._later.clear()
            self._cancel_works(list(self._works))
            dropped = self._take_all()
            self._wake.notify_all()
        for order in dropped:
            order.settle("dropped")

    @property
    def stopped(self) -> bool:
        """Whether stop() was called and no call is left."""
        with self._wake:
            return self._stopped and not self._calls

    def _take_all(self) -> list[Order]:
        orders = list(self._orders)
        self._orders.clear()
        self._by_key.clear()
        self._waiting = 0
        return orders


def too_much() -> ProtocolError:
    """The error for a request that would wait behind too many others."""
    return ProtocolError(INVALID_REQUEST, "Too many requests are waiting for the device. Wait for their answers first.")
