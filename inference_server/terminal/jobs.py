"""A job of the command line, which works in a folder for minutes or days: its lock, its status, how it is stopped."""

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
    """The job cannot continue. The text is for a person: what happened, to which file, what to do."""


class Job:
    """The one job that works in a folder; used as a context manager.

    When the context ends, the status gets the way in which the job ended: "finished"; "stopped" if it was asked to
    stop; "failed" with the error's text. Ctrl+C and SIGTERM ask it to stop, as the file ``stop`` does.

    Args:
        folder: made if it is missing.
        kind: "dataset" or "training".
        unit: what is counted, for example "images".
        quiet: print nothing. For the second and later processes of one job.

    Raises:
        JobError: if another process works in the folder, or the folder cannot be written to.
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
            except ValueError:  # only the main thread may set a handler
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
        """Change fields of the status. If state, message or picture has changed, the status is written at once;
        otherwise, it is written every two seconds. If it cannot be written, the work continues."""
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
        # If stderr is a file, one line for each change is enough. The command line prints once why a job failed.
        if not self._quiet and self.status.state != "failed" and (news or sys.stderr.isatty()):
            self._print()

    def stop_asked(self) -> bool:
        """Return whether the job was asked to stop. It is fast enough to be called in every step."""
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
