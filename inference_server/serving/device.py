"""The device thread: takes orders from the scheduler, makes batches, hands them to the encoders."""

from __future__ import annotations

import logging
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from lantern_protocol.errors import (
    CHECKPOINT_CHANGED,
    CHECKPOINT_UNREADABLE,
    INTERNAL_ERROR,
    LATENT_MISMATCH,
    OUT_OF_MEMORY,
    WRITE_FAILED,
    ProtocolError,
)
from lantern_protocol.orders import FrameOrder
from lantern_protocol.part_files import remove_stale_parts
from lantern_protocol.vectors import pack_floats
from lantern_protocol.versions import PIXEL_REVISION, PROTOCOL_VERSION, SERVER_VERSION

from ..checkpoints import BUILTIN_RUN, CheckpointError
from ..checkpoints.latents import read_latents
from ..generators.base import GeneratorInfo
from ..pixels.encoding import encoder_threads, prepare_folder
from ..rendering.batches import Frames, check_classes, check_latents, check_transform
from ..rendering.library import read_run
from ..rendering.renderer import Renderer, frames_at_once, is_out_of_memory
from ..rendering.residents import Loaded
from ..rendering.seeds import sample_seeds
from ..rendering.thumbnails import thumbnail_of
from .pipeline import THERE, Flight, Frame, Pipeline, is_there, missing_shadows
from .requests import Floats, Which
from .scheduler import Order, Scheduler, Ticket

if TYPE_CHECKING:
    from .service import Connection

T = TypeVar("T")
logger = logging.getLogger(__name__)

MOST_IN_A_FLIGHT = 64
"""Orders reported together when their files are there already; else the batch decides."""

SHADOWS_IN_A_FLIGHT = 16
FLUSH_SECONDS = 10.0

ENDS_THE_JOB = (WRITE_FAILED, OUT_OF_MEMORY, INTERNAL_ERROR)
"""Errors that the next frame would meet as well: what is left of the job is dropped."""


class Worker:
    """Owns the renderer and the encoders. All methods belong to the device thread, but for what encoders report."""

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

    def answer(self, work: Callable[[Worker], T]) -> T | ProtocolError:
        """Return what a request's work gives, or the error to answer with."""
        try:
            return work(self)
        except ProtocolError as error:
            return error
        except Exception as error:
            return self._unexpected(error)

    # --- requests ----------------------------------------------------------------------------------------------------

    def describe_server(self) -> dict[str, Any]:
        """Answer initialize."""
        return {
            "protocol": PROTOCOL_VERSION,
            "pixel_revision": PIXEL_REVISION,
            "server": SERVER_VERSION,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "device": {"kind": self.renderer.device.type, "name": self.renderer.device_name()},
            "pid": os.getpid(),
        }

    def look_at(self, path: str | None) -> list[dict[str, Any]]:
        """Return the snapshots of a folder, or of the built-in generator; none of a file. Their hashes are known
        thereafter. On the files thread."""
        place = BUILTIN_RUN if path is None else Path(path)
        if os.path.isdir(place):  # which a path too long for any file is not, and no error either
            return read_run(place, self.renderer.identities, self.renderer.cache)
        self.renderer.identities.of(place)
        return []

    def describe_generator(self, path: str | None, snapshots: list[dict[str, Any]]) -> dict[str, Any]:
        """Answer generator/describe; of a folder's snapshots the last one is loaded and described."""
        loaded = self.renderer.open(*_last(path, snapshots))
        return self._about(loaded.info, path, loaded.sha256, loaded.file_bytes, snapshots)

    def card(self, path: str | None, snapshots: list[dict[str, Any]], thumbnail: bool) -> dict[str, Any]:
        """Answer library/card. Nothing that is loaded makes room for it."""
        file, known = _last(path, snapshots)
        place = self.renderer.file_of(file, known)
        size, sha256 = self.renderer.identities.of(place)
        picture = ""
        if thumbnail:
            try:
                picture = str(thumbnail_of(self.renderer, file, sha256))
            except ProtocolError as error:
                if error.code in (CHECKPOINT_UNREADABLE, CHECKPOINT_CHANGED):
                    raise
                logger.warning("There is no thumbnail of %s: %s", place.name, error)
        info = self.renderer.cache.info(place, sha256) or self.renderer.open(file, known, keep=False).info
        return self._about(info, path, sha256, size, snapshots) | {"thumbnail": picture}

    def _about(
        self, info: GeneratorInfo, path: str | None, sha256: str, size: int, snapshots: list[dict[str, Any]]
    ) -> dict[str, Any]:
        return info.to_dict() | {
            "sha256": sha256,
            "path": path,
            "bytes": size,
            "device": self.renderer.device.type,
            "dtype": "float32",
            "snapshots": snapshots,
        }

    def import_latents(self, path: str, which: Which) -> dict[str, Any]:
        """Answer latents/import."""
        info = self.renderer.open(which.path, which.sha256).info
        try:
            latents, space = read_latents(path, info.z_dim, info.w_dim, info.num_ws)
        except CheckpointError as error:
            raise ProtocolError(LATENT_MISMATCH, str(error), {"path": path}) from None
        check_latents(info, space[0], latents)
        return {"latents": _pack(latents), "space": space}

    def sample(self, which: Which, seeds: list[int]) -> dict[str, Any]:
        """Answer latents/sample: z of each seed, as the generators' own scripts draw it."""
        info = self.renderer.open(which.path, which.sha256).info
        return {"latents": _pack(sample_seeds(seeds, info.z_dim))}

    def map(self, which: Which, latents: Floats, classes: Floats | None) -> dict[str, Any]:
        """Answer latents/map."""
        loaded = self.renderer.open(which.path, which.sha256)
        weights = None if classes is None else _array(classes)
        return {"latents": _pack(self.renderer.map(loaded, _array(latents), weights))}

    def release(self) -> dict[str, Any]:
        """Answer device/release."""
        freed = self._let_go()
        logger.info("Freed %.0f MB on %s, as asked.", freed / 1e6, self.renderer.device_name())
        return {"released": freed}

    def _let_go(self) -> int:
        self._checked = None
        return self.renderer.release()

    def finish(self) -> dict[str, Any]:
        """Answer shutdown, once the files under way are written."""
        self._pipeline.flush(FLUSH_SECONDS)
        return {}

    def abandon(self, seconds: float) -> None:
        """Give up what is not written yet, except for the files being written now."""
        self._pipeline.close(seconds)

    # --- frames ------------------------------------------------------------------------------------------------------

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
        """Return the generator and latents of an order (None for shadows alone), and see to its folder."""
        ticket = head.ticket
        first_time = self._ready is None or self._ready[0] is not ticket
        source = ticket.source
        if source is None:
            if first_time:
                self._tidy(ticket.folder)
                self._ready = (ticket, None)
            return None, None
        assert isinstance(head.spec, FrameOrder)  # a ticket of shadows has no source
        toward = None if source.toward is None else (source.toward.path, source.toward.sha256)
        loaded = self.renderer.open_between(source.which.path, source.which.sha256, toward, head.spec.mix)
        if first_time:
            prepare_folder(ticket.folder)
            self._tidy(ticket.folder)
            self._ready = (ticket, _array(source.latents))
        assert self._ready is not None and self._ready[1] is not None
        latents = self._ready[1]
        if first_time or self._checked is not loaded:
            check_latents(loaded.info, source.space, latents)
            self._checked = loaded
        return loaded, latents

    def _tidy(self, folder: Path) -> None:
        """Once for each folder: to look through a full one takes as long as a frame."""
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
        space, classes, transform = self._ready[0].source.space, None, None
        try:
            if specs[0].classes:
                classes = np.array([spec.classes for spec in specs], dtype=np.float32)
            if specs[0].transform:
                transform = np.array([spec.transform for spec in specs], dtype=np.float32).reshape(-1, 3, 3)
            check_classes(loaded.info, space, classes)
            check_transform(loaded.info, transform)
            frames = Frames(
                space,
                latents[[spec.row for spec in specs]],
                np.array([spec.psi for spec in specs], dtype=np.float32),
                [spec.cutoff for spec in specs],
                specs[0].noise,
                classes,
                transform,
            )
            return [*self.renderer.render(loaded, frames)]
        except ProtocolError as error:
            return [error] * len(specs)
        except Exception as error:
            return [self._unexpected(error)] * len(specs)

    def _unexpected(self, error: Exception) -> ProtocolError:
        if is_out_of_memory(error):
            return ProtocolError(OUT_OF_MEMORY, f"Memory ran out on {self.renderer.device_name()}: {error}")
        traceback.print_exception(error, file=sys.stderr)
        return ProtocolError(INTERNAL_ERROR, f"{type(error).__name__}: {error}")

    # --- encoder threads ---------------------------------------------------------------------------------------------

    def _report(self, flight: Flight, seconds: float) -> None:
        made = [name for index, order in enumerate(flight.orders) if index not in flight.errors for name in order.names]
        if made:
            self._connection.notify("frames/made", job=flight.job, names=made, seconds=round(seconds, 6))
        failed: dict[tuple[int, str], list[str]] = {}
        for index, error in sorted(flight.errors.items()):
            failed.setdefault((error.code, str(error)), []).extend(flight.orders[index].names)
        for (code, text), names in failed.items():
            error = ProtocolError(code, text).to_json()
            self._connection.notify("frames/failed", job=flight.job, names=names, error=error)
        if any(error.code in ENDS_THE_JOB for error in flight.errors.values()):
            self._scheduler.cancel(flight.job)
        for index, order in enumerate(flight.orders):
            order.settle("failed" if index in flight.errors else "made")


def _last(path: str | None, snapshots: list[dict[str, Any]]) -> tuple[str | None, str | None]:
    """File and sha256 of what stands for a path: the file itself, or the last snapshot of a folder."""
    return (snapshots[-1]["path"], snapshots[-1]["sha256"]) if snapshots else (path, None)


def _array(floats: Floats) -> np.ndarray:
    return np.frombuffer(floats.data, dtype=np.float32).reshape(floats.shape)


def _pack(values: np.ndarray) -> dict[str, Any]:
    return pack_floats(np.ascontiguousarray(values, dtype=np.float32).tobytes(), values.shape)
