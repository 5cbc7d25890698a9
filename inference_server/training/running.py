"""A run from beginning to end: steps, ticks, snapshots, and what is written when."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..terminal.jobs import Job, JobError
from .estimate import Estimate
from .run_folder import (
    GOOD_FILE,
    STATE_FILE,
    leave_behind,
    load_state,
    preview_latents,
    save_snapshot,
    save_state,
    shorten_log,
)
from .settings import stages
from .starting import Start
from .trainer import SLOWER, Trainer

STATE_SECONDS = 300.0
"""A killed run loses this much time at most, or its last tick if that took longer."""
MOST_RETURNS = 4
"""How often a run goes back to an earlier state before it gives up."""
THINNING = 16
"""Later in a run, a snapshot is taken when the number of images seen has grown by one part in this many."""


@dataclass
class _Tick:
    """Since when, and since how many images seen, the next line of the log counts."""

    started: float
    seen: int


class Run:
    """The loop of one process of a training.

    Args:
        trainer: with the settings; new, without any step made.
        folder: the run's folder.
        job: shows the progress, and whether to stop.
        found: the estimated rates, for the time that is left.
        start: where the weights come from, if the run is new and does not start from random weights.
    """

    def __init__(self, trainer: Trainer, folder: Path, job: Job, found: Estimate, start: Start | None) -> None:
        self.trainer, self.folder, self.job = trainer, folder, job
        self._rates = dict(found.rates)
        self.seconds = 0.0
        self._lost = False
        self._leads = trainer.group.rank == 0
        if (folder / STATE_FILE).exists():
            self.seconds = load_state(trainer, folder / STATE_FILE)
        elif start is not None:
            start.give(trainer)
        self.previews = preview_latents(folder, trainer.settings) if self._leads else torch.empty(0)
        self._writer = None
        if self._leads:
            from tensorboardX import SummaryWriter

            shorten_log(folder, trainer.seen)
            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=trainer.seen)
        trainer.group.wait()

    def train(self) -> None:
        """Train until all images were seen, or until a stop is asked for.

        Raises JobError if weights become wrong, or a file cannot be written.
        """
        trainer, job = self.trainer, self.job
        settings = trainer.settings
        tick = _Tick(time.monotonic(), trainer.seen)
        saved = tick.started
        if trainer.seen == 0:
            self._snapshot()
        job.tell(state="working", message="Training", done=trainer.seen, total=settings.images)
        try:
            while trainer.seen < settings.images and not self._stop_asked():
                before = trainer.seen
                trainer.step()
                now = time.monotonic()
                if self._leads:
                    self._tell(now, tick)
                due = self._is_due(before, trainer.seen)
                if trainer.seen // settings.tick == before // settings.tick and not due:
                    continue
                tick = self._log(now, tick)
                if self._has_come_apart():
                    self._go_back()
                    tick = _Tick(time.monotonic(), trainer.seen)
                    continue
                if due:
                    self._snapshot()
                if due or now - saved >= STATE_SECONDS:
                    self._save_state()
                    saved = time.monotonic()
                tick.started = time.monotonic()
            if trainer.seen > tick.seen:
                self._log(time.monotonic(), tick)
            self._snapshot()
            self._save_state()
        finally:
            trainer.batches.close()
            if self._writer is not None:
                self._writer.close()

    def _stop_asked(self) -> bool:
        return self.trainer.group.any(self.job.stop_asked(), self.trainer.device)

    def _is_due(self, before: int, seen: int) -> bool:
        """Return whether a snapshot is due between two numbers of images seen."""
        settings = self.trainer.settings
        place = settings.snapshot_every
        while place <= before:
            place += max(settings.snapshot_every, place // THINNING)
        return place <= seen and seen < settings.images

    def _tell(self, now: float, tick: _Tick) -> None:
        trainer = self.trainer
        seconds = self.seconds + now - tick.started
        side = min(trainer.size) >> (trainer.top - trainer.level)
        rate = (trainer.seen - tick.seen) / max(1e-9, now - tick.started)
        self._rates[side] = rate
        left = sum(
            (end - max(start, trainer.seen)) / self._rates.get(stage, rate)
            for stage, start, end in stages(trainer.settings, trainer.size)
            if end > trainer.seen
        )
        height, width = (length >> (trainer.top - trainer.level) for length in trainer.size)
        facts = self.job.status.facts | {"size": f"{width} x {height}"}
        self.job.tell(done=trainer.seen, rate=rate, seconds=seconds, seconds_left=left, facts=facts)

    def _log(self, now: float, tick: _Tick) -> _Tick:
        """Write a line of the log. Raises JobError if the training has broken down, or the log cannot be written."""
        trainer = self.trainer
        passed = now - tick.started
        self.seconds += passed
        report = trainer.take_report()
        distance, variety = trainer.take_course()
        report |= {"distance": distance, "variety": variety}
        broken = not all(np.isfinite(value) for value in report.values()) or not trainer.is_sound()
        if trainer.group.any(broken, trainer.device):
            raise JobError(
                f"The training broke down between {tick.seen:,} and {trainer.seen:,} images: weights are no "
                "longer numbers. Snapshots and the last state are kept. Try a smaller learning rate (--lr), "
                "a larger --gamma, or --precision float32, starting from the last good snapshot with --from."
            )
        self._lost = trainer.course.look(distance)
        if not self._leads:
            return _Tick(now, trainer.seen)
        line = {
            "images": trainer.seen,
            "seconds": round(self.seconds, 1),
            "rate": round((trainer.seen - tick.seen) / max(1e-9, passed), 2),
            **{name: round(value, 5) for name, value in report.items()},
        }
        try:
            with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
            if self._writer is not None:
                for name, value in line.items():
                    self._writer.add_scalar(name, value, trainer.seen)
        except OSError as error:
            raise JobError(
                f"{self.folder / 'log.jsonl'} cannot be written ({error.strerror}). Make room, then resume."
            ) from error
        self.job.tell(facts=self.job.status.facts | {name: round(value, 4) for name, value in report.items()})
        return _Tick(now, trainer.seen)

    def _has_come_apart(self) -> bool:
        lost = self.trainer.group.any(self._lost, self.trainer.device)
        return lost and (self.folder / GOOD_FILE).exists()

    def _go_back(self) -> None:
        """Go back to the last good state, and on with a smaller step.

        Raises JobError if that has not helped before, or the state cannot be read.
        """
        trainer = self.trainer
        seen, returns = trainer.seen, trainer.course.returns + 1
        if returns > MOST_RETURNS:
            raise JobError(
                f"The pictures have become much worse {returns} times, now before {seen:,} images. Snapshots and the "
                "last good state are kept. Try a smaller learning rate (--lr) or a larger --gamma, starting from the "
                "last good snapshot with --from."
            )
        self.seconds, spent = load_state(trainer, self.folder / GOOD_FILE), self.seconds
        trainer.course.returns, trainer.course.bad = returns, 0
        trainer.group.wait()
        if self._leads:
            leave_behind(self.folder, trainer.seen, returns)
            self.seconds = spent
            text = (
                f"The pictures became much worse before {seen:,} images. Training went back to {trainer.seen:,} images "
                f"and goes on with learning rates multiplied by {SLOWER**returns:g}."
            )
            print(f"\n{text}")
            self.job.tell(message=text)
            self._save_state()
        trainer.group.wait()

    def _snapshot(self) -> None:
        if not self._leads:
            return
        picture = save_snapshot(self.trainer, self.folder, self.previews, self.seconds)
        if self._writer is not None:
            with Image.open(picture) as image:
                self._writer.add_image(
                    "preview", np.asarray(image.convert("RGB")), self.trainer.seen, dataformats="HWC"
                )
        self.job.tell(picture=picture.relative_to(self.folder).as_posix())

    def _save_state(self) -> None:
        if self._leads:
            save_state(self.trainer, self.folder, self.seconds)
