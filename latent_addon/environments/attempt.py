"""One attempt at making the inference server's environment, from the lock to the record of what was made."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import making
from .builds import Build
from .checking import run_check
from .children import Children, Stopped
from .failures import Failed, forbidden, full
from .locks import Busy, held
from .pip_settings import own_sources
from .pip_settings import read as read_pip_settings
from .progress import PipProgress, Progress, Step
from .states import SetupPlan

RECORD = "ready.json"
"""Names the environment that is whole; written last. Whatever else lies there was left unfinished."""

LOCK = "setup.lock"
LOG = "setup.log"
DOWNLOADS = "downloads"
ENVIRONMENT = re.compile(r"[0-9a-f]{8}(-\d+)?")
"""The names of environments: short, because Windows counts the letters of a path."""

STEPS = (
    Step("Making the environment", 0.05),
    Step("Installing PyTorch", 0.72),
    Step("Installing the other packages", 0.15),
    Step("Trying it", 0.08),
)
PATIENCE = 1.0
"""Seconds to wait for a lock that another Blender may hold for an instant, to see whether anybody does."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of the environment that is whole.

    environment: its folder's name. pins: the hash of what it was filled from. base: the interpreter it was made from.
    size: bytes on disk.
    """

    environment: str
    pins: str
    build: str
    build_name: str
    version: str
    release: str
    base: str
    torch: str
    device: str
    size: int


def read_record(folder: Path) -> Record | None:
    """Return the record in `folder`, None if there is none. Raises ValueError if it is damaged."""
    try:
        values = json.loads((folder / RECORD).read_text("utf-8"))
        record = Record(**values)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{folder / RECORD} cannot be read: {error}") from None
    types = Record.__annotations__
    whole = all(isinstance(value, int if types[name] == "int" else str) for name, value in asdict(record).items())
    if not whole or not ENVIRONMENT.fullmatch(record.environment):
        raise ValueError(f"{folder / RECORD} does not hold what it should")
    return record


def leftovers(folder: Path, record: Record | None) -> list[Path]:
    """Return what unfinished attempts have left in `folder`: nothing that is not of our making."""
    kept = record.environment if record else ""
    try:
        entries = [entry for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    names = [entry.name for entry in entries if entry.name == DOWNLOADS or ENVIRONMENT.fullmatch(entry.name)]
    return [folder / name for name in sorted(names) if name != kept]


def pins_of(server_root: Path, build: Build, version: str) -> str:
    """Return the hash of what an environment of a build and a Python ("3.11") is filled from."""
    return making.pins_digest(requirements(server_root, build), version, build.key)


def requirements(server_root: Path, build: Build) -> tuple[Path, Path]:
    """Return the pin files of a build: of torch, and of the rest."""
    folder = server_root / "inference_server" / "requirements"
    return folder / build.requirements, folder / "common.txt"


class Attempt:
    """Makes what was planned. `run` does it, in whatever thread; `children.stop()` ends it.

    say: takes every line of the log. keep_unfinished: leave what is half made where it is, for the process is ending.
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

    def run(self) -> Record:
        """Make the environment; return the record of it. Raises Failed, Stopped."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with held(self.folder / LOCK, PATIENCE):
                return self._run_alone()
        except Busy as busy:
            who = f" (process {busy.holder})" if busy.holder else ""
            raise Failed(f"Another Blender{who} is setting up inference. Wait for it, or cancel it there.") from None
        except PermissionError as error:
            raise Failed(forbidden(error.filename or self.folder)) from None
        except OSError as error:
            raise Failed(_of_os_error(error, self.folder)) from None

    def _run_alone(self) -> Record:
        old = None
        with contextlib.suppress(ValueError):
            old = read_record(self.folder)
        for path in leftovers(self.folder, old):
            if path.name != DOWNLOADS:
                shutil.rmtree(path, ignore_errors=True)
        free = shutil.disk_usage(self.folder).free
        if free < self.plan.disk:
            raise Failed(too_little_room(self.folder, self.plan.disk, free))
        environment = self._new_folder()
        finished = False
        try:
            record = self._fill(environment)
            write_record(self.folder, record)
            finished = True
        except Stopped:
            self._say("Cancelled.")
            if not self.keep_unfinished:
                shutil.rmtree(self.folder / DOWNLOADS, ignore_errors=True)
            raise
        except Failed as failed:
            if not failed.downloads_are_good:
                shutil.rmtree(self.folder / DOWNLOADS, ignore_errors=True)
            raise
        finally:
            if not finished and not self.keep_unfinished:
                shutil.rmtree(environment, ignore_errors=True)
        for path in leftovers(self.folder, record):
            shutil.rmtree(path, ignore_errors=True)
        return record

    def _new_folder(self) -> Path:
        name = pins_of(self.server_root, self.plan.build, self.python.version)[:8]
        number = 1
        while (self.folder / (name if number == 1 else f"{name}-{number}")).exists():
            number += 1
        return self.folder / (name if number == 1 else f"{name}-{number}")

    def _fill(self, environment: Path) -> Record:
        plan, python, progress = self.plan, self.python, self.progress
        self._say(f"{python}")
        self._say(f"{plan.build.name}. {plan.why}")
        settings = read_pip_settings()
        own = own_sources(settings)
        if own and plan.wheels is None:
            self._say(f"Packages come from where your own pip settings say ({', '.join(own)}).")
        progress.begin()
        making.make(self.children, python, environment, self._say)
        torch, common = requirements(self.server_root, plan.build)
        for pins, index, share in ((torch, "" if own else plan.build.index, 0.75), (common, "", 0.25)):
            progress.begin()
            pip = PipProgress(progress, environment, int(plan.download * share), int(plan.disk * share))
            making.install(
                self.children,
                python,
                environment,
                pins,
                self._say,
                doing=progress.doing,
                index=index,
                wheels=plan.wheels,
                cache=None if "cache-dir" in settings or "no-cache-dir" in settings else self.folder / DOWNLOADS,
                progress=pip,
            )
        progress.begin()
        checked = run_check(self.children, making.interpreter(environment), self.server_root, self._say)
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


def too_little_room(folder: Path, needed: int, free: int) -> str:
    """Return the sentence of a disk that has not enough room; sizes in bytes."""
    return (
        f"About {needed / 1e9:.1f} GB are needed on the disk of {folder}, and {free / 1e9:.1f} GB are free. "
        "Free some room on it, then try again."
    )


def size_of(folder: Path) -> int:
    """Return the bytes that the files below `folder` take on disk."""
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                about = os.lstat(os.path.join(path, name))
                size += getattr(about, "st_blocks", -(-about.st_size // 512)) * 512
    return size


def write_record(folder: Path, record: Record) -> None:
    """Write the record, whole or not at all, and onto the disk before anything older is deleted."""
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=RECORD)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            values: dict[str, Any] = asdict(record)
            json.dump(values, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / RECORD)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _of_os_error(error: OSError, folder: Path) -> str:
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return full(folder)
    if error.errno == errno.EROFS:
        return forbidden(error.filename or folder)
    return f"{error.filename or folder} cannot be written: {error.strerror or error}."
