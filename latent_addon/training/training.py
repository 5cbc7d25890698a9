"""Data sets and trainings: started as processes of their own, watched in their folders, found by the next Blender.

All that is known of them is in the training folder, a preference. It is read only while the panel is open or a job
of it is under way, in a thread; nothing of it is saved in the .blend, and opening a file starts nothing.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import bpy

from ...lantern_protocol.job_folder import ask_to_stop, is_running
from ..jobs.commands import DataSetOrder, TrainingOrder, folder_name, free_folder, resume_arguments
from ..jobs.found import DATA_SETS, LOG_FILE, RUNS, UNFINISHED, JobState, TrainingJob, holds_nothing
from ..jobs.process import TrainingProcess
from ..jobs.watch import Look, TrainingWatch
from ..preferences import preferences
from ..server.launch import module_command
from ..server.sentences import not_startable
from ..session.runtime import SERVER_ROOT, runtime
from ..session.session import session
from ..ui.pictures import pictures
from .properties import training_rows

_SEEN = 5.0
"""Seconds after the panel was last drawn in which it counts as open."""

_OFTEN = 0.5
_SELDOM = 2.0
"""Seconds between looks at the training folder, while a job is under way and otherwise."""

_ROOM = "training"
"""The room of its pictures in `pictures`."""


class Training:
    """What the training folder holds, the newest first, and what this Blender has started in it.

    problem: what stands in the way of what the user has last asked for, for the panel; empty while nothing does.
    without_python: whether the problem is that there is no Python that can train.
    unreadable: why the training folder cannot be read.
    """

    def __init__(self) -> None:
        self._keep = True
        self._forget()

    def _forget(self) -> None:
        self.jobs: list[TrainingJob] = []
        self.problem = self.unreadable = ""
        self.without_python = False
        self._watch = TrainingWatch()
        self._processes: dict[Path, TrainingProcess] = {}
        self._seen = self._looked = float("-inf")
        self._started = False
        self._wanted: Path | None = None
        """The run to choose in the list as soon as it is there."""

    def seen(self) -> None:
        """Note that the panel is being drawn, so that the training folder is read."""
        self._seen = time.monotonic()

    def fail(self, problem: str) -> None:
        """Show a problem in the panel."""
        self.problem = problem

    def inference_changed(self) -> None:
        """What inference runs on has changed: it may no longer be the problem."""
        if self.without_python and not runtime.problem:
            self.without_python, self.problem = False, ""

    def tick(self) -> None:
        """Take in what was found, and look again when it is time. Never waits."""
        self._keep = preferences().keep_training  # when Blender ends, preferences may be gone before `close`
        look = self._watch.take()
        if look is not None:
            self._found(look)
        now = time.monotonic()
        working = self.working
        early = self._watch.looking or now - self._looked <= (_OFTEN if working else _SELDOM)
        if (working or now - self._seen < _SEEN) and not early:
            self._looked = now
            self._started = False
            self._watch.look(preferences().training_path(), list(self._processes.values()))

    @property
    def working(self) -> bool:
        """Whether any job is under way, or was started and not looked at since."""
        return (
            self._started
            or any(job.active for job in self.jobs)
            or any(process.alive for process in self._processes.values())
        )

    @property
    def runs(self) -> list[TrainingJob]:
        """The trainings."""
        return [job for job in self.jobs if job.kind == "training"]

    @property
    def data_sets(self) -> list[TrainingJob]:
        """The data sets, also those that are being made."""
        return [job for job in self.jobs if job.kind == "dataset"]

    @property
    def ready_data_sets(self) -> list[TrainingJob]:
        """The data sets that can be trained on."""
        return [job for job in self.data_sets if not job.active and job.state is not JobState.FAILED]

    def run(self, place: int) -> TrainingJob | None:
        """Return the training at a place in the list, None if there is none."""
        runs = self.runs
        return runs[place] if 0 <= place < len(runs) else None

    def job(self, folder: Path | str) -> TrainingJob | None:
        """Return the job of a folder, whether it runs or has ended; None if there is none."""
        return next((job for job in self.jobs if job.folder == Path(folder)), None)

    def data_set(self, folder: str) -> Path | None:
        """Return the data set to train on: the chosen `folder`, else the newest ready one; None if there is none."""
        if folder:
            return Path(os.path.abspath(bpy.path.abspath(folder)))  # else it could begin with a dash, as options do
        return next((job.folder for job in self.ready_data_sets), None)

    def show(self) -> None:
        """Bring Blender's list up to date. It has changed when a file was opened."""
        shown, runs = training_rows(), self.runs
        chosen = shown.rows[shown.chosen].folder if 0 <= shown.chosen < len(shown.rows) else ""
        if len(shown.rows) > 2 * len(runs):
            shown.rows.clear()  # a file may hold thousands; removing one of many takes long
        while len(shown.rows) > len(runs):
            shown.rows.remove(len(shown.rows) - 1)
        for i, job in enumerate(runs):
            row = shown.rows[i] if i < len(shown.rows) else shown.rows.add()
            if row.folder != str(job.folder):
                row.name, row.folder = job.name, str(job.folder)
        folders = [job.folder for job in runs]
        if self._wanted in folders:
            chosen, self._wanted = str(self._wanted), None
        place = folders.index(Path(chosen)) if chosen and Path(chosen) in folders else 0
        if shown.chosen != place:
            shown.chosen = place
        session.redraw()

    def data_set_folder(self, name: str) -> Path:
        """Return the folder for a data set of this name: a new one, or one in which such a data set is unfinished."""

        def unfinished(folder: Path) -> bool:
            job = self.job(folder)
            return holds_nothing(folder) or (job is not None and job.state in UNFINISHED)

        return free_folder(preferences().training_path() / DATA_SETS, folder_name(name) or "Pictures", unfinished)

    def run_folder(self, name: str) -> Path:
        """Return the folder for a new run of this name."""
        return free_folder(preferences().training_path() / RUNS, folder_name(name) or "Generator", holds_nothing)

    def make_data_set(self, order: DataSetOrder) -> bool:
        """Begin to make a data set. If that is not possible, set `problem` and return False."""
        return self._start(order.arguments(), order.out)

    def train(self, order: TrainingOrder) -> bool:
        """Begin to train. If that is not possible, set `problem` and return False."""
        return self._start(order.arguments(), order.out)

    def resume(self, job: TrainingJob, images: int = 0) -> bool:
        """Continue a training, until `images` if not 0. If that is not possible, set `problem` and return False."""
        return self._start(resume_arguments(job.folder, images), job.folder)

    def stop(self, job: TrainingJob) -> None:
        """Ask a job to save what it has and to end."""
        self.problem = ""
        try:
            self._stop(job.folder)
        except OSError as error:
            self.problem = f"{job.folder} cannot be written to ({error.strerror or error}), so the job continues."
        self._looked = float("-inf")

    def _start(self, arguments: list[str], folder: Path) -> bool:
        self.problem = runtime.problem
        self.without_python = bool(self.problem)
        if self.problem:
            return False
        python = runtime.python
        try:
            folder.mkdir(parents=True, exist_ok=True)
            log = (folder / LOG_FILE).open("ab")
        except OSError as error:
            self.problem = (
                f"{folder} cannot be written to ({error.strerror or error}). Choose another training folder in the "
                "preferences."
            )
            return False
        with log:
            try:
                command = module_command(python, SERVER_ROOT, *arguments)
                self._processes[folder] = TrainingProcess(*command, folder, log)
            except OSError as error:
                self.problem = not_startable(python, error)
                return False
        self._started = True
        if arguments[0] == "train":
            self._wanted = folder
        self._looked = float("-inf")
        return True

    def at_work(self) -> Path | None:
        """Return the folder of a job that runs, here or in another process; None if none runs.

        Reads the disk, so call it only after a click.
        """
        root = preferences().training_path()
        for kind in (DATA_SETS, RUNS):
            with contextlib.suppress(OSError):
                for folder in (root / kind).iterdir():
                    if is_running(folder):
                        return folder
        return next((folder for folder, process in self._processes.items() if process.alive), None)

    def _stop(self, folder: Path) -> None:
        if is_running(folder):
            ask_to_stop(folder)
        elif folder in self._processes:
            self._processes.pop(folder).terminate()

    def _found(self, look: Look) -> None:
        if look.folder != preferences().training_path():
            return
        if look.jobs != self.jobs or look.problem != self.unreadable:
            self.unreadable = look.problem
            self.jobs = look.jobs
            self.show()
        pictures.keep(_ROOM, {str(job.folder) for job in self.jobs})
        loaded = [
            pictures.load(_ROOM, str(job.folder), str(job.picture), job.picture_stamp)
            for job in self.jobs
            if job.picture is not None
        ]
        if any(loaded):
            session.redraw()

    def close(self) -> None:
        """Blender ends, or the add-on is disabled: what this Blender has started continues, or is asked to stop."""
        if not self._keep:
            for folder, process in list(self._processes.items()):
                if process.alive:
                    with contextlib.suppress(OSError):
                        self._stop(folder)
        self._forget()


def icon_of(job: TrainingJob) -> int:
    """Return the icon of a job's newest picture, 0 if there is none."""
    return pictures.icon(_ROOM, str(job.folder))


def register() -> None:
    """Let setting up inference know of the jobs that run on it."""
    runtime.users.append(training)


def unregister() -> None:
    """Forget the jobs. No job is ended, unless the preferences say so."""
    training.close()
    runtime.users.remove(training)


training = Training()
"""The trainings of this Blender's user."""
