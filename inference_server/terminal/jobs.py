"""A job of the command line that works in a folder for minutes or days: its lock, its status, how it is stopped."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from lantern_protocol.job_folder import STOP_FILE, FolderLock, JobBusy, Status, duration, write_status

WRITE_SECONDS = 2.0
LOOK_SECONDS = 0.5


class JobError(Exception):
    """The job cannot go on. The text is for a person: what happened, to which file, what to do."""


class Job:
    """The one job that works in a folder; used as a context.

    Leaving the context says in the status how the job ended: "finished", "stopped" if it was asked to, "failed" with
    the error's text. Ctrl+C and SIGTERM ask it to stop, like the file ``stop``.

    Args:
        folder: made if it is missing.
        kind: "dataset" or "training".
        unit: what is counted, for example "images".
        quiet: print nothing; for the further processes of one job.

    Raises:
        JobError: another process works in the folder, or it cannot be written to.
    """

    def __init__(self, folder: Path, kind: str, unit: str, quiet: bool = False) -> None:
        self.folder = folder
        self.status = Status(job=kind, state="starting", unit=unit, pid=os.getpid())
        self._quiet = quiet
        self._stop = False
        self._looked = self._written = 0.0
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Job:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(self.folder)
            (self.folder / STOP_FILE).unlink(missing_ok=True)
            write_status(self.folder, replace(self.status, updated=time.time()))
        except JobBusy as error:
            raise JobError(str(error)) from None
        except OSError as error:
            raise JobError(f"{self.folder} cannot be written to: {error.strerror or error}.") from error
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._handlers[number] = signal.signal(number, self._asked_by_signal)
            except ValueError:  # only the main thread may
                break
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        state, message = ("stopped" if self._stop else "finished"), self.status.message
        if error is not None:
            state, message = "failed", str(error) or type(error).__name__
        try:
            self.tell(state=state, message=message, seconds_left=0.0)
        finally:
            self._lock.release()
            if not self._quiet and sys.stderr.isatty():
                print(file=sys.stderr)

    def tell(self, **changes: Any) -> None:
        """Change fields of the status. They are written at once where state, message or picture changed, else every two
        seconds. A status that cannot be written does not stop the work."""
        old, self.status = self.status, replace(self.status, **changes)
        now = time.time()
        news = any(getattr(old, name) != getattr(self.status, name) for name in ("state", "message", "picture"))
        if not news and now - self._written < WRITE_SECONDS:
            return
        self._written = now
        try:
            write_status(self.folder, replace(self.status, updated=now))
        except OSError as error:
            print(f"\nThe status in {self.folder} cannot be written: {error.strerror or error}.", file=sys.stderr)
        # In a file, a line for each piece of news is enough; why a job failed the command line says, once.
        if not self._quiet and self.status.state != "failed" and (news or sys.stderr.isatty()):
            self._print()

    def stop_asked(self) -> bool:
        """Whether somebody wants the job to end; cheap enough for every step."""
        now = time.monotonic()
        if not self._stop and now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._stop = (self.folder / STOP_FILE).exists()
        return self._stop

    def _asked_by_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop = True

    def _print(self) -> None:
        status = self.status
        words = [status.message or status.state]
        if status.total:
            words.append(f"{status.done} of {status.total} {status.unit}")
        if status.rate:
            words.append(f"{status.rate:.1f} a second")
        if status.seconds_left:
            words.append(f"{duration(status.seconds_left)} left")
        start, end = ("\r\033[K", "") if sys.stderr.isatty() else ("", "\n")
        print(start + ", ".join(words), end=end, file=sys.stderr, flush=True)
