"""One attempt to make the inference server's environment, from the lock to the record of what was made."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO

from . import making
from .checking import run_check
from .children import Children, Stopped
from .failures import Failed, forbidden, full
from .locks import held
from .pip_settings import own_sources
from .pip_settings import read as read_pip_settings
from .progress import PipProgress, Progress, Step
from .record import DOWNLOADS, LOCK, LOG, Record, leftovers, pins_of, read_record, requirements, write_record
from .standing import too_little_room
from .states import SetupPlan

STEPS = (
    Step("Making the environment", 0.05),
    Step("Installing PyTorch", 0.72),
    Step("Installing the other packages", 0.15),
    Step("Trying it", 0.08),
)
PATIENCE = 1.0
"""Seconds to wait for the lock. Another Blender may hold it for an instant, to see whether anybody holds it."""


class Attempt:
    """Makes the environment that was planned. `run` does it, in any thread; `children.stop()` ends it.

    say: is called with every line of the log. keep_unfinished: leave a half-made environment where it is, because the
    process is ending.
    """

    def __init__(self, folder: Path, server_root: Path, plan: SetupPlan, say: Callable[[str], None]):
        assert plan.python is not None
        self.folder = folder
        self.server_root = server_root
        self.plan = plan
        self.python = plan.python
        self.children = Children()
        self.progress = Progress(STEPS)
        self.keep_unfinished = False
        self._say = say
        self._log: IO[str] | None = None

    def run(self) -> Record:
        """Make the environment and return its record. Raises Failed, Stopped, and Busy if another Blender makes it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with held(self.folder / LOCK, PATIENCE), open(self.folder / LOG, "w", encoding="utf-8") as self._log:
                return self._run_alone()
        except PermissionError as error:
            raise Failed(forbidden(error.filename or self.folder)) from None
        except OSError as error:
            raise Failed(_of_os_error(error, self.folder)) from None
        finally:
            self._log = None

    def _run_alone(self) -> Record:
        old = None
        with contextlib.suppress(ValueError):
            old = read_record(self.folder)
        for path in leftovers(self.folder, old):
            if path.name != DOWNLOADS:
                shutil.rmtree(path, ignore_errors=True)
        environment = self._new_folder()
        try:
            record = self._fill(environment)
            write_record(self.folder, record)
        except BaseException as error:
            self._tell("Cancelled." if isinstance(error, Stopped) else str(error))
            if not self.keep_unfinished:
                shutil.rmtree(environment, ignore_errors=True)
                if not (isinstance(error, Failed) and error.downloads_are_good):
                    shutil.rmtree(self.folder / DOWNLOADS, ignore_errors=True)
            raise
        for path in leftovers(self.folder, record):
            shutil.rmtree(path, ignore_errors=True)
        return record

    def _tell(self, line: str) -> None:
        self._say(line)
        if self._log is not None:
            with contextlib.suppress(OSError, ValueError):
                self._log.write(f"{line}\n")
                self._log.flush()

    def _new_folder(self) -> Path:
        name = pins_of(self.server_root, self.plan.build, self.python.version)[:8]
        number = 1
        while (self.folder / (name if number == 1 else f"{name}-{number}")).exists():
            number += 1
        return self.folder / (name if number == 1 else f"{name}-{number}")

    def _fill(self, environment: Path) -> Record:
        plan, python, progress = self.plan, self.python, self.progress
        free = shutil.disk_usage(self.folder).free
        if free < plan.disk:
            raise Failed(too_little_room(self.folder, plan.disk, free))
        self._tell(f"{python}")
        self._tell(f"{plan.build.name}. {plan.why}")
        settings = read_pip_settings()
        own = own_sources(settings)
        if own and plan.wheels is None:
            self._tell(f"Packages come from where your own pip settings say ({', '.join(own)}).")
        progress.begin()
        making.make(self.children, python, environment, self._tell)
        torch, common = requirements(self.server_root, plan.build)
        for pins, index, share in ((torch, "" if own else plan.build.index, 0.75), (common, "", 0.25)):
            progress.begin()
            pip = PipProgress(progress, environment, int(plan.download * share), int(plan.disk * share))
            making.install(
                self.children,
                python,
                environment,
                pins,
                self._tell,
                doing=progress.doing,
                index=index,
                wheels=plan.wheels,
                cache=None if "cache-dir" in settings or "no-cache-dir" in settings else self.folder / DOWNLOADS,
                progress=pip,
            )
        progress.begin()
        checked = run_check(self.children, making.interpreter(environment), self.server_root, self._tell)
        if checked.problem:
            raise Failed(f"Everything is installed, but it does not work: {checked.problem}")
        progress.advance(1.0)
        return Record(
            environment=environment.name,
            pins=pins_of(self.server_root, plan.build, python.version),
            build=plan.build.key,
            build_name=plan.build.name,
            version=python.version,
            release=python.release,
            base=str(python.executable),
            torch=checked.torch,
            device=checked.device_name,
            size=size_of(environment),
        )


def size_of(folder: Path) -> int:
    """Return how many bytes the files below `folder` take on disk."""
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                about = os.lstat(os.path.join(path, name))
                size += getattr(about, "st_blocks", -(-about.st_size // 512)) * 512
    return size


def _of_os_error(error: OSError, folder: Path) -> str:
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return full(folder)
    if error.errno == errno.EROFS:
        return forbidden(error.filename or folder)
    return f"{error.filename or folder} cannot be written: {error.strerror or error}."
