"""The fake server's queue and the thread that makes its frames: newest job wins, in order within a job."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lantern_protocol import errors

ENDS_THE_JOB = (errors.WRITE_FAILED, errors.OUT_OF_MEMORY, errors.INTERNAL_ERROR)
"""Errors that the next order would get too: after them, the real server drops the rest of the job."""


class Batch:
    """The orders of one request. It is answered when the last of them is made, failed or dropped."""

    def __init__(self, job: int, count: int, answer: Callable[[dict[str, Any]], None]):
        self.job = job
        self._left = count
        self._counts = {"made": 0, "failed": 0, "dropped": 0}
        self._answer = answer
        if not count:
            answer(self._counts)

    def settle(self, outcome: str) -> None:
        """Count an order as made, failed or dropped."""
        self._counts[outcome] += 1
        self._left -= 1
        if self._left == 0:
            self._answer(self._counts)


@dataclass
class Item:
    """One order. names: its files. make: a function that makes them and returns the names to report."""

    batch: Batch
    names: list[str]
    make: Callable[[], list[str]]


class Bench:
    """Makes what is ordered. before() is called before each order; notify(method, params) reports its result."""

    def __init__(self, before: Callable[[], None], notify: Callable[[str, dict[str, Any]], None]):
        self._before = before
        self._notify = notify
        self._changed = threading.Condition()
        self._items: deque[Item] = deque()
        self._job = -1
        self._ending = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def order(self, items: list[Item], append: bool) -> None:
        """Queue the orders of one batch. The rest of older jobs is dropped, and so are orders for an older job."""
        with self._changed:
            if not items:
                return
            job = items[0].batch.job
            if job < self._job:
                for item in items:
                    item.batch.settle("dropped")
                return
            if not (append and job == self._job):
                self._drop()
            self._job = job
            self._items.extend(items)
            self._changed.notify()

    def cancel(self, job: int) -> int:
        """Drop the rest of a job; return how many orders were dropped."""
        with self._changed:
            return self._drop() if job == self._job else 0

    def finish(self) -> None:
        """Drop the queued orders and wait for the frame that is being made."""
        with self._changed:
            self._drop()
            self._ending = True
            self._changed.notify()
        self._thread.join()

    def _drop(self) -> int:
        dropped = list(self._items)
        self._items.clear()
        for item in dropped:
            item.batch.settle("dropped")
        return len(dropped)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._ending)
                if not self._items:
                    return
                item = self._items.popleft()
            started = time.monotonic()
            outcome = "failed"
            try:
                self._before()
                made = {"job": item.batch.job, "names": item.make(), "seconds": time.monotonic() - started}
                self._notify("frames/made", made)
                outcome = "made"
            except errors.ProtocolError as error:
                failed = {"job": item.batch.job, "names": item.names, "error": error.to_json()}
                self._notify("frames/failed", failed)
                if error.code in ENDS_THE_JOB:
                    self.cancel(item.batch.job)
            with self._changed:
                item.batch.settle(outcome)
