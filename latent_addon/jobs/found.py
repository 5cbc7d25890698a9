"""Read data sets and trainings from their folders: which there are, and their state, in words.

A training folder holds them one or two levels deep: in ``Data Sets/NAME`` and ``Runs/NAME``, where this add-on puts
them, or simply in ``NAME``. Reading may take long if the folder is on a network share, so it is done in a thread.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path, PurePosixPath

from ...lantern_protocol.job_folder import (
    LOCK_FILE,
    STATUS_FILE,
    STOP_FILE,
    Status,
    duration,
    is_running,
    read_status,
)

DATA_SETS = "Data Sets"
RUNS = "Runs"
LOG_FILE = "output.log"
"""The file that keeps what the job's process prints."""

MOST_JOBS = 500
_TAIL = 8192
_MARKS = {"dataset.json": "dataset", "run.json": "training"}
_SNAPSHOT = re.compile(r"snapshot-\d+\.safetensors")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class JobState(Enum):
    """The state of a data set or a training; the value is the word that people see."""

    STARTING = "Starting"
    WORKING = "Working"
    STOPPING = "Stopping"
    FINISHED = "Finished"
    STOPPED = "Stopped"
    INTERRUPTED = "Interrupted"
    FAILED = "Failed"


ACTIVE = (JobState.STARTING, JobState.WORKING, JobState.STOPPING)
UNFINISHED = (JobState.STOPPED, JobState.INTERRUPTED, JobState.FAILED)


@dataclass(frozen=True)
class Launch:
    """A process that this Blender has started for a folder.

    since: when, in seconds since 1970. alive: whether it still runs. words: why it ended, if it ended with an error.
    spoke: whether `words` are the process's own, not only an exit code or a signal.
    """

    since: float
    alive: bool
    words: str = ""
    spoke: bool = False


@dataclass(frozen=True)
class TrainingJob:
    """A data set or a training.

    kind: "dataset" or "training". begun: seconds since 1970. snapshots: how many generators a run has saved. picture:
    the contact sheet or the newest preview. picture_stamp: a number that changes when the picture changes. problem: why
    it failed. resumable: whether a training has got far enough to be continued.
    """

    folder: Path
    kind: str
    state: JobState
    status: Status
    begun: float = 0.0
    snapshots: int = 0
    picture: Path | None = None
    picture_stamp: int = 0
    problem: str = ""
    resumable: bool = False

    @property
    def name(self) -> str:
        """The name that people see."""
        return self.folder.name

    @property
    def active(self) -> bool:
        """Whether a process works on it, or will soon."""
        return self.state in ACTIVE

    @property
    def factor(self) -> float:
        """How much of it is done, from 0 to 1."""
        return min(1.0, max(0.0, self.status.done / self.status.total)) if self.status.total > 0 else 0.0

    def doing(self) -> str:
        """Return the state in one word, for a list."""
        if self.state is JobState.WORKING:
            return "Training" if self.kind == "training" else "Making"
        return self.state.value

    def counted(self) -> str:
        """Return how much is done, for example "12,345 of 400,000 images"."""
        status = self.status
        total = f" of {status.total:,}" if status.total else ""
        return f"{status.done:,}{total} {status.unit}"

    def pace(self) -> str:
        """Return how fast it works and how long it will still take, "" if neither is known."""
        words = []
        if self.status.rate > 0:
            words.append(f"{self.status.rate:.1f} {self.status.unit}/s")
        if self.status.seconds_left > 0:
            words.append(f"{duration(self.status.seconds_left)} left")
        return ", ".join(words)

    def sentence(self) -> str:
        """Return what it does or how it ended, and what the user can do then; "" if there is nothing to say."""
        status = self.status
        here = f"at {status.done:,} {status.unit}" if status.done else "before it had begun"
        again = "Make it again to continue from there."
        if self.kind == "training":
            again = "Resume continues from there." if self.resumable else "Start it again."
        if self.state is JobState.STARTING:
            waiting = "Starting: it takes a while to load PyTorch." if self.kind == "training" else "Starting ..."
            return status.message or waiting
        if self.state is JobState.STOPPING:
            return "Stopping: it saves what it has first."
        if self.state is JobState.INTERRUPTED:
            return f"Interrupted {here}. {again}"
        if self.state is JobState.STOPPED:
            return f"Stopped {here}. {again}"
        if self.state is JobState.FAILED:
            return self.problem or "It failed and did not say why; output.log in its folder may."
        if self.state is JobState.FINISHED and self.kind == "training":
            return f"Finished: {status.done:,} {status.unit} in {duration(status.seconds)}."
        return status.message


def find_jobs(
    folder: Path,
    launches: Mapping[Path, Launch] | None = None,
    known: Mapping[Path, TrainingJob] | None = None,
) -> list[TrainingJob]:
    """Return the data sets and trainings in a training folder, the newest first.

    launches: the processes that this Blender has started, by folder. known: jobs that were read before; a job among
    them that is not active is read again only if its status file has changed. A folder that does not exist holds none.
    Raises OSError.
    """
    launches, known = launches or {}, known or {}
    found = []
    for path, kind in _candidates(folder):
        launch, before = launches.get(path), known.get(path)
        found.append(read_job(path, kind, launch, before))
    return sorted((job for job in found if job is not None), key=lambda job: (-job.begun, job.name))[:MOST_JOBS]


def read_job(
    folder: Path, kind: str, launch: Launch | None = None, before: TrainingJob | None = None
) -> TrainingJob | None:
    """Read one job; return None if the folder holds none. `kind` is used if the folder does not name its own kind.

    before: the job as it was read before. It is returned again if it was not active and its status has not changed.
    """
    running = is_running(folder)
    if before and not before.active and not running and launch is None:
        updated = _modified(folder / STATUS_FILE)
        if updated and updated == before.status.updated:
            return before
    status = read_status(folder)
    if status is None:
        if launch is None and not _last_words(folder):
            return _unwatched(folder, kind)
        status = Status(job=kind, state="starting")
    else:
        kind = status.job if status.job in _MARKS.values() else kind
    # The file's time, so that the next look can see whether it has changed; a clock on another machine may be wrong.
    said_since = launch is not None and status.updated >= launch.since
    status = _cleaned(status, _modified(folder / STATUS_FILE))
    state, problem = _state(folder, status, running, launch, said_since)
    if state is JobState.FAILED and not problem:
        problem = _open_end(status.message or _last_words(folder))
        problem = f"{problem}." if problem else ""
    picture, stamp = _picture(folder, status.picture)
    resumable = kind == "training" and _is_marked(folder, kind)
    return TrainingJob(
        folder, kind, state, status, _begun(folder), _snapshots(folder, kind), picture, stamp, problem, resumable
    )


def holds_nothing(folder: Path) -> bool:
    """Return whether nothing was made in the folder yet: at most, a job in it failed at once."""
    try:
        return set(os.listdir(folder)) <= {LOG_FILE, LOCK_FILE, STATUS_FILE, STOP_FILE} and not is_running(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False


def last_words(log: Path, start: int = 0) -> str:
    """Return the last line that a process has printed to its log after byte `start`, "" if there is none."""
    try:
        with log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(start, end - _TAIL))
            text = file.read(_TAIL).decode("utf-8", "replace")
    except OSError:
        return ""
    # A progress bar returns to the start of its line again and again; only its last state is kept.
    lines = [_ESCAPES.sub("", line).strip() for line in re.split(r"[\r\n]+", text)]
    return next((line for line in reversed(lines) if line), "")


def _candidates(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield folders that may be a job, with the kind of job."""
    for path in _folders(folder):
        kind = _kind(path)
        if kind:
            yield path, kind
            continue
        inherited = {DATA_SETS: "dataset", RUNS: "training"}.get(path.name, "")
        with contextlib.suppress(OSError):
            for inner in _folders(path):
                kind = _kind(inner) or inherited
                if kind:
                    yield inner, kind


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            folders = (Path(entry.path) for entry in entries if entry.is_dir() and not entry.name.startswith("."))
            return list(itertools.islice(folders, 4 * MOST_JOBS))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_marked(folder: Path, kind: str) -> bool:
    return any((folder / mark).is_file() for mark, of in _MARKS.items() if of == kind)


def _kind(folder: Path) -> str:
    for mark, kind in _MARKS.items():
        if (folder / mark).is_file():
            return kind
    status = read_status(folder)
    return status.job if status and status.job in _MARKS.values() else ""


def _state(
    folder: Path, status: Status, running: bool, launch: Launch | None, said_since: bool
) -> tuple[JobState, str]:
    """Return the job's state, and its problem if the process that this Blender started has reported one, else ""."""
    if running:
        if (folder / STOP_FILE).exists():
            return JobState.STOPPING, ""
        return (JobState.STARTING if status.state == "starting" else JobState.WORKING), ""
    if launch is not None and not said_since:
        if launch.alive:
            return JobState.STARTING, ""
        if launch.words:
            return JobState.FAILED, launch.words
    if status.state in ("starting", "working"):
        if launch is not None and launch.spoke:  # but it could not write its status: the disk may be full
            return JobState.FAILED, launch.words
        # A process that ended before it wrote a status may have printed the reason to its log.
        return (JobState.INTERRUPTED if status.updated else JobState.FAILED), ""
    return JobState[status.state.upper()], ""


def _unwatched(folder: Path, kind: str) -> TrainingJob | None:
    """Return a data set or run that has no status, because it was copied or made by hand; None if it is neither."""
    if not any((folder / mark).is_file() for mark in _MARKS):
        return None
    picture, stamp = _picture(folder, "contact_sheet.png" if kind == "dataset" else "")
    status = Status(job=kind, state="finished")
    resumable = _is_marked(folder, "training")
    return TrainingJob(
        folder,
        kind,
        JobState.FINISHED,
        status,
        _begun(folder),
        _snapshots(folder, kind),
        picture,
        stamp,
        resumable=resumable,
    )


def _cleaned(status: Status, updated: float) -> Status:
    """Return the status with numbers that can be shown: a status file may hold infinities and negative numbers."""
    numbers = {
        name: value if math.isfinite(value) and 0 <= value < 1e12 else 0.0
        for name, value in (("rate", status.rate), ("seconds", status.seconds), ("seconds_left", status.seconds_left))
    }
    return replace(status, **numbers, done=max(0, status.done), total=max(0, status.total), updated=updated)


def _picture(folder: Path, name: str) -> tuple[Path | None, int]:
    """Return the picture that a status names, if it is in the folder, and its stamp; else None and 0."""
    parts = PurePosixPath(name.replace("\\", "/"))
    if not name or parts.is_absolute() or ".." in parts.parts or ":" in name:
        return None, 0
    path = folder / parts
    try:
        return path, path.stat().st_mtime_ns
    except OSError:
        return None, 0


def _begun(folder: Path) -> float:
    """Return when work in the folder began: the lock file is made then and never written to. 0 if unknown."""
    times = (_modified(folder / name) for name in (LOCK_FILE, *_MARKS, LOG_FILE))
    return next((time for time in times if time), 0.0)


def _snapshots(folder: Path, kind: str) -> int:
    if kind != "training":
        return 0
    try:
        return sum(1 for name in os.listdir(folder) if _SNAPSHOT.fullmatch(name))
    except OSError:
        return 0


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _last_words(folder: Path) -> str:
    return last_words(folder / LOG_FILE)


def _open_end(text: str) -> str:
    return text.rstrip(" .")
