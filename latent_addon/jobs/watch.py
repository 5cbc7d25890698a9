"""Reads a training folder in a second thread, because reading a network share may take a while."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .found import TrainingJob, find_jobs
from .process import TrainingProcess


@dataclass(frozen=True)
class Look:
    """What was found in a training folder, or why the folder could not be read."""

    folder: Path
    jobs: list[TrainingJob] = field(default_factory=list)
    problem: str = ""


class TrainingWatch:
    """Looks into a training folder: one look at a time, each in its own thread. Call it from the main thread only."""

    def __init__(self) -> None:
        self._found: queue.SimpleQueue[Look] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._known: dict[Path, TrainingJob] = {}

    @property
    def looking(self) -> bool:
        """Whether a look is under way, or its result has not been taken yet."""
        return self._thread is not None

    def look(self, folder: Path, processes: Sequence[TrainingProcess]) -> None:
        """Begin a look, unless one is under way."""
        if self._thread is None:
            arguments = (folder, tuple(processes), self._known)
            self._thread = threading.Thread(target=self._look, args=arguments, name="lantern-training", daemon=True)
            self._thread.start()

    def take(self) -> Look | None:
        """Return what the look has found, once; None while there is no result. Never waits."""
        try:
            found = self._found.get_nowait()
        except queue.Empty:
            return None
        self._thread = None
        self._known = {job.folder: job for job in found.jobs}
        return found

    def _look(self, folder: Path, processes: tuple[TrainingProcess, ...], known: dict[Path, TrainingJob]) -> None:
        try:
            launches = {process.folder: process.launch() for process in processes}
            look = Look(folder, find_jobs(folder, launches, known))
        except OSError as error:
            reason = error.strerror or error
            problem = f"The training folder {folder} cannot be read: {reason}. Choose another in the preferences."
            look = Look(folder, problem=problem)
        self._found.put(look)
