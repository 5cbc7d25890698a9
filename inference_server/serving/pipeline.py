"""Writes frames to files while the device works: a bounded queue, encoder threads, and reports of what was made."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Protocol

import numpy as np

from lantern_protocol.errors import INTERNAL_ERROR, SOURCE_MISSING, ProtocolError
from lantern_protocol.frame_files import is_frame, sign
from lantern_protocol.orders import FrameOrder, ShadowOrder

from ..pixels.encoding import encode_png, read_png, write_atomically
from ..pixels.shadow import make_shadow
from .scheduler import Order


class Flight:
    """Orders that are reported together, in the order they were asked for."""

    def __init__(self, job: int, orders: list[Order], started: float):
        self.job = job
        self.orders = orders
        self.started = started
        self.errors: dict[int, ProtocolError] = {}
        self.open = len(orders)


class There(Enum):
    """Says that an order's files are all there already."""

    THERE = "there"


THERE = There.THERE


class Pixels(Protocol):
    """A picture that may still be on its way from the device."""

    def pixels(self) -> np.ndarray:
        """Wait for it; return uint8 (H, W, C), or raise ProtocolError."""
        ...


Frame = Pixels | None | ProtocolError | There
"""An order's colour frame; None if it is in its file; an error if it could not be made; or THERE."""

Report = Callable[[Flight, float], None]
"""Called with each finished flight and the seconds it took. Flights of one job come in the order they were added."""


def is_there(folder: Path, name: str) -> bool:
    """Return whether a frame need not be made: its file is there, is whole, and was written under its name.

    The file is read to the end, because a frame that is there may be ordered again after it was found damaged.
    """
    return is_frame(folder / name, name, thoroughly=True)


def missing_shadows(order: Order) -> list[ShadowOrder]:
    """Return the shadows of an order whose files are not there yet."""
    shadows = order.spec.shadows if isinstance(order.spec, FrameOrder) else (order.spec,)
    return [shadow for shadow in shadows if not is_there(order.ticket.folder, shadow.name)]


def write_order(order: Order, colour: np.ndarray | None) -> None:
    """Write an order's files: the colour frame (uint8 HWC) if given, and the shadows that are missing.

    A shadow without its colour frame in memory is made from the file. Raises ProtocolError.
    """
    folder = order.ticket.folder
    if colour is not None:
        write_atomically(folder / order.spec.name, sign(encode_png(colour), order.spec.name))
    for shadow in missing_shadows(order):
        if colour is None:
            colour = _read_frame(folder, shadow.source)
        picture = encode_png(make_shadow(colour, shadow.settings))
        write_atomically(folder / shadow.name, sign(picture, shadow.name))


def _read_frame(folder: Path, name: str) -> np.ndarray:
    pixels = read_png(folder / name)
    if not is_frame(folder / name, name):
        message = (
            f"The file {folder / name} is not the frame of that name. Delete the file and generate the frame again."
        )
        raise ProtocolError(SOURCE_MISSING, message)
    return pixels


class Pipeline:
    """Encoder threads behind a bounded queue. Frames of the newest job are written first."""

    def __init__(self, report: Report, threads: int):
        self._report = report
        self._lock = threading.RLock()
        # One condition for each kind of waiting, so that no thread is woken without need between two small frames.
        self._filled = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._finished = threading.Condition(self._lock)
        self._heap: list[tuple[int, int, Flight, int, Pixels | None]] = []
        self._numbers = itertools.count()
        self._in_flight: dict[int, deque[Flight]] = {}
        self._waiting: Counter[int] = Counter()
        self._busy = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"encoder-{index}", daemon=True) for index in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def add(self, flight: Flight, frames: Sequence[Frame], capacity: int) -> None:
        """Queue a flight, with a frame for each of its orders.

        Waits while `capacity` or more frames of this job, or twice as many of all jobs, are waiting for an encoder.
        """
        with self._lock:
            self._room.wait_for(
                lambda: self._closed or (self._waiting[flight.job] < capacity and len(self._heap) < 2 * capacity)
            )
            if self._closed:
                return
            self._in_flight.setdefault(flight.job, deque()).append(flight)
            for index, frame in enumerate(frames):
                if frame is THERE or isinstance(frame, ProtocolError):
                    self._done(flight, index, None if frame is THERE else frame)
                else:
                    heapq.heappush(self._heap, (-flight.job, next(self._numbers), flight, index, frame))
                    self._waiting[flight.job] += 1
                    self._filled.notify()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything queued is written; return whether that took less than `timeout` seconds."""
        with self._lock:
            return self._finished.wait_for(lambda: not self._heap and not self._busy, timeout)

    def close(self, timeout: float) -> None:
        """Give up what waits, let the files being written finish (at most `timeout` seconds), end the threads."""
        with self._lock:
            self._closed = True
            self._heap.clear()
            self._filled.notify_all()
            self._room.notify_all()
        end = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _run(self) -> None:
        while True:
            with self._lock:
                self._filled.wait_for(lambda: self._heap or self._closed)
                if self._closed:
                    return
                _, _, flight, index, picture = heapq.heappop(self._heap)
                self._waiting[flight.job] -= 1
                if not self._waiting[flight.job]:
                    del self._waiting[flight.job]
                self._busy += 1
                self._room.notify()
            error = None
            try:
                write_order(flight.orders[index], None if picture is None else picture.pixels())
            except ProtocolError as failure:
                error = failure
            except Exception as failure:
                name = flight.orders[index].spec.name
                error = ProtocolError(INTERNAL_ERROR, f"Frame {name} failed: {type(failure).__name__}: {failure}")
            with self._lock:
                self._done(flight, index, error)
                self._busy -= 1
                if not self._busy and not self._heap:
                    self._finished.notify_all()
            # The next wait may be long, and must not keep a frame in memory.
            del picture, flight

    def _done(self, flight: Flight, index: int, error: ProtocolError | None) -> None:
        """Count one order. Report under the lock; otherwise two threads could report two flights in the wrong order."""
        if error is not None:
            flight.errors[index] = error
        flight.open -= 1
        queue = self._in_flight[flight.job]
        while queue and queue[0].open == 0:
            done = queue.popleft()
            self._report(done, time.monotonic() - done.started)
        if not queue:
            del self._in_flight[flight.job]
