"""The device thread: takes orders from the scheduler, makes batches, hands them to the encoders."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from lantern_protocol.answers import FramesFailed, FramesMade, Released
from lantern_protocol.errors import (
    INTERNAL_ERROR,
    OUT_OF_MEMORY,
    WRITE_FAILED,
    ProtocolError,
)
from lantern_protocol.methods import FRAMES_FAILED, FRAMES_MADE
from lantern_protocol.orders import FrameOrder
from lantern_protocol.params import Nothing
from lantern_protocol.part_files import remove_stale_parts

from ..pixels.encoding import encoder_threads, prepare_folder
from ..rendering.batches import Frames, check_frames, check_latents
from ..rendering.renderer import Renderer, frames_at_once, is_out_of_memory
from ..rendering.residents import Loaded
from .answers import array_of
from .connection import Connection
from .long_work import LongWork
from .pipeline import THERE, Flight, Frame, Pipeline, is_there, missing_shadows
from .scheduler import Order, Scheduler, Ticket

T = TypeVar("T")
logger = logging.getLogger(__name__)

MOST_IN_A_FLIGHT = 64
"""The most orders that are reported together. Orders whose files are there do not count for the size of a batch."""

SHADOWS_IN_A_FLIGHT = 16
FLUSH_SECONDS = 10.0

ENDS_THE_JOB = (WRITE_FAILED, OUT_OF_MEMORY, INTERNAL_ERROR)
"""Errors that the next frame would meet as well: what is left of the job is dropped."""


class DeviceThread:
    """Owns the renderer and the encoders. All methods belong to the device thread, except what encoders report."""

    def __init__(self, scheduler: Scheduler, connection: Connection, device: str | None, compiled: bool | None = None):
        self.renderer = Renderer(device, compiled)
        self._scheduler = scheduler
        self._connection = connection
        self._pipeline = Pipeline(self._report, encoder_threads())
        self._threads = encoder_threads()
        self._ready: tuple[Ticket, np.ndarray | None] | None = None
        self._checked: Loaded | None = None
        self._tidied: set[Path] = set()

    def run(self, idle_seconds: float) -> None:
        """Work until the scheduler is stopped."""
        while not self._scheduler.stopped:
            work = self._scheduler.wait(idle_seconds if self.renderer.holds_generators else None)
            if isinstance(work, Order):
                self._make(work)
            elif isinstance(work, LongWork):
                self._do_slice(work)
            elif work is not None:
                work()
            elif not self._scheduler.stopped:
                freed = self._let_go()
                logger.info(
                    "Nothing to do for %g seconds: freed %.0f MB on %s. The generator is loaded again when it is "
                    "needed.",
                    idle_seconds,
                    freed / 1e6,
                    self.renderer.device_name(),
                )

    def _do_slice(self, work: LongWork) -> None:
        self._scheduler.settle(work, self.answer(work.step))

    def answer(self, work: Callable[[], T]) -> T | ProtocolError:
        """Do the work of a request; return its result, or the error to answer with."""
        try:
            return work()
        except ProtocolError as error:
            return error
        except Exception as error:
            return self._unexpected(error)

    def release(self) -> Released:
        """Answer device/release."""
        freed = self._let_go()
        logger.info("Freed %.0f MB on %s, as asked.", freed / 1e6, self.renderer.device_name())
        return Released(freed)

    def _let_go(self) -> int:
        self._checked = None
        return self.renderer.release()

    def finish(self) -> Nothing:
        """Answer shutdown, once the files under way are written."""
        self._pipeline.flush(FLUSH_SECONDS)
        return Nothing()

    def abandon(self, seconds: float) -> None:
        """Give up what is not written yet, except for the files being written now."""
        self._pipeline.close(seconds)

    def _make(self, head: Order) -> None:
        """Make the batch that begins with `head`, which is still queued."""
        started = time.monotonic()
        try:
            loaded, latents = self._prepare(head)
        except ProtocolError as error:
            self._cannot_start(head, error, started)
            return
        except Exception as error:
            self._cannot_start(head, self._unexpected(error), started)
            return
        limit = SHADOWS_IN_A_FLIGHT if loaded is None or latents is None else frames_at_once(loaded, latents.shape[1:])
        orders: list[Order] = []
        frames: list[Frame] = []
        wanted: list[int] = []
        while len(wanted) < limit and len(orders) < MOST_IN_A_FLIGHT:
            order = self._scheduler.take(head.batch_key)
            if order is None:
                break
            if isinstance(order.spec, FrameOrder) and not is_there(order.ticket.folder, order.spec.name):
                wanted.append(len(orders))
            orders.append(order)
            frames.append(None if missing_shadows(order) else THERE)
            if order.alone or (loaded is None and len(orders) >= limit):
                break
        if not orders:
            return
        if loaded is not None and latents is not None and wanted:
            specs = [spec for index in wanted if isinstance(spec := orders[index].spec, FrameOrder)]
            made = self._render(loaded, latents, specs)
            for index, frame in zip(wanted, made, strict=True):
                frames[index] = frame
        self._pipeline.add(Flight(head.ticket.job, orders, started), frames, max(limit, self._threads))

    def _prepare(self, head: Order) -> tuple[Loaded | None, np.ndarray | None]:
        """Return the generator and latents of an order (None for shadows alone), and prepare its folder."""
        ticket = head.ticket
        first_time = self._ready is None or self._ready[0] is not ticket
        source = ticket.source
        if source is None:
            if first_time:
                self._tidy(ticket.folder)
                self._ready = (ticket, None)
            return None, None
        assert isinstance(head.spec, FrameOrder)  # a ticket of shadows has no source
        first, second = source.generator, source.toward
        toward = None if second is None else (second.path, second.sha256)
        loaded = self.renderer.open_between(first.path, first.sha256, toward, head.spec.settings.mix)
        if first_time:
            prepare_folder(ticket.folder)
            self._tidy(ticket.folder)
            self._ready = (ticket, array_of(source.latents))
        assert self._ready is not None and self._ready[1] is not None
        latents = self._ready[1]
        if first_time or self._checked is not loaded:
            check_latents(loaded.info, source.space, latents)
            self._checked = loaded
        return loaded, latents

    def _tidy(self, folder: Path) -> None:
        """Tidy each folder only once, because looking through a full one takes as long as a frame."""
        if folder not in self._tidied:
            self._tidied.add(folder)
            remove_stale_parts(folder)

    def _cannot_start(self, head: Order, error: ProtocolError, started: float) -> None:
        if error.code != WRITE_FAILED:
            self._scheduler.refuse(head.ticket, error)
            return
        order = self._scheduler.take(head.batch_key)
        if order is not None:
            self._pipeline.add(Flight(head.ticket.job, [order], started), [error], 1)

    def _render(self, loaded: Loaded, latents: np.ndarray, specs: list[FrameOrder]) -> list[Frame]:
        assert self._ready is not None and self._ready[0].source is not None
        space = self._ready[0].source.space
        try:
            rows = latents[[spec.row for spec in specs]]
            frames = Frames.of(space, rows, [spec.settings for spec in specs])
            check_frames(loaded.info, frames)
            return [*self.renderer.render(loaded, frames)]
        except ProtocolError as error:
            return [error] * len(specs)
        except Exception as error:
            return [self._unexpected(error)] * len(specs)

    def _unexpected(self, error: Exception) -> ProtocolError:
        if is_out_of_memory(error):
            return ProtocolError(OUT_OF_MEMORY, f"Memory ran out on {self.renderer.device_name()}: {error}")
        logger.exception("the work of the device thread failed", exc_info=error)
        return ProtocolError(INTERNAL_ERROR, f"{type(error).__name__}: {error}")

    def _report(self, flight: Flight, seconds: float) -> None:
        made = [name for index, order in enumerate(flight.orders) if index not in flight.errors for name in order.names]
        if made:
            self._connection.notify(FRAMES_MADE, FramesMade(flight.job, tuple(made), round(seconds, 6)).to_json())
        failed: dict[tuple[int, str], list[str]] = {}
        for index, error in sorted(flight.errors.items()):
            failed.setdefault((error.code, str(error)), []).extend(flight.orders[index].names)
        for (code, text), names in failed.items():
            failure = FramesFailed(flight.job, tuple(names), ProtocolError(code, text))
            self._connection.notify(FRAMES_FAILED, failure.to_json())
        if any(error.code in ENDS_THE_JOB for error in flight.errors.values()):
            self._scheduler.cancel(flight.job)
        for index, order in enumerate(flight.orders):
            order.settle("failed" if index in flight.errors else "made")
