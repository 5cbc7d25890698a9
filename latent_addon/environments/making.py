"""Make an environment and fill it. For Blender's set-up, and for dev.py."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from .children import Children
from .failures import Context, Failed, explain, no_environments
from .progress import PipProgress
from .pythons import Python

RAW_PROGRESS = (24, 1)
"""Since when pip can tell its progress in numbers."""

CACHE_ON_DISK = (23, 3)
"""Since when pip's cache does not hold whole wheels in memory."""

_LINES_KEPT = 400


def pinned(requirements: Path) -> list[str]:
    """Return the lines of a pin file that are neither empty nor comments."""
    return [line for line in requirements.read_text("utf-8").splitlines() if line and line[0] != "#"]


def pins_digest(requirements: Iterable[Path], *others: str) -> str:
    """Return a hash, hexadecimal, of all pins in order, of what else an environment depends on, and of the machine."""
    pins = "\n".join(line for path in requirements for line in pinned(path))
    version, *rest = others
    return hashlib.sha256("\n".join([pins, version, platform.machine(), *rest]).encode()).hexdigest()


def interpreter(environment: Path) -> Path:
    """Return the interpreter of an environment, made or not."""
    return environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def site_packages(environment: Path, version: str) -> Path:
    """Return where the packages of an environment of Python `version` lie."""
    return environment / ("Lib" if sys.platform == "win32" else f"lib/python{version}") / "site-packages"


def make(children: Children, python: Python, folder: Path, say: Callable[[str], None]) -> None:
    """Make an empty environment with pip. Raises Failed and Stopped."""
    if not python.can_make_environments:
        raise Failed(no_environments(python))
    doing, context = "Making the environment", Context(python, folder)
    with _own_temporary_folder(folder) as settings:
        # In two steps, for venv does not tell why it could not install pip.
        _run(children, python.executable, ["venv", "--without-pip", folder], doing, context, say, settings)
        pip = ["ensurepip", "--upgrade", "--default-pip"]
        _run(children, interpreter(folder), pip, doing, context, say, settings)


def install(
    children: Children,
    python: Python,
    folder: Path,
    requirements: Path,
    say: Callable[[str], None],
    *,
    doing: str = "Installing",
    index: str = "",
    wheels: Path | None = None,
    cache: Path | None = None,
    progress: PipProgress | None = None,
) -> None:
    """Install the wheels that `requirements` pins in the environment `folder`, which was made from `python`.

    Nothing is compiled, and nothing of what is installed is run.

    index: the only package index to install from, "" for pip's own settings. wheels: a folder to install from without
    a network, instead. cache: where pip keeps what it downloads, None for where it always does.
    Raises Failed and Stopped.
    """
    pip = _pip_version(folder, python.version)
    if progress is not None:
        progress.tells_numbers = pip >= RAW_PROGRESS
    arguments = ["pip", "install", "--no-input", "--disable-pip-version-check", "--no-user"]
    arguments += ["--only-binary", ":all:", "--progress-bar", "raw" if progress and progress.tells_numbers else "off"]
    settings = {}
    if wheels is not None:
        arguments += ["--no-index", "--find-links", str(wheels)]
        settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": "", "PIP_INDEX_URL": ""}
    elif index:
        arguments += ["--index-url", index]
    if wheels is not None or (cache is not None and pip < CACHE_ON_DISK):
        arguments.append("--no-cache-dir")
    elif cache is not None:
        arguments += ["--cache-dir", str(cache)]

    def line(text: str) -> None:
        if progress is None or progress.line(text):
            say(text)

    context = Context(python, folder, wheels)
    command = [*arguments, "-r", str(requirements)]
    idle = progress.idle if progress else lambda: None
    with _own_temporary_folder(folder) as temporary:
        _run(children, interpreter(folder), command, doing, context, line, settings | temporary, idle)


@contextlib.contextmanager
def _own_temporary_folder(environment: Path) -> Iterator[dict[str, str]]:
    """Let what is unpacked on the way lie with the environment: on a disk whose room is known, and cleaned with it."""
    temporary = environment / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    try:
        yield dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _run(
    children: Children,
    python: Path,
    module: Sequence[str | Path],
    doing: str,
    context: Context,
    say: Callable[[str], None],
    settings: Mapping[str, str],
    idle: Callable[[], None] = lambda: None,
) -> None:
    """Run a module; raise Failed with the reason if it fails."""
    lines: deque[str] = deque(maxlen=_LINES_KEPT)

    def line(text: str) -> None:
        lines.append(text)
        say(text)

    try:
        status = children.run(python, module, line, on_idle=idle, **settings)
    except OSError as error:
        raise Failed(f"{python} cannot be started: {error.strerror or error}.") from None
    if status:
        raise explain(lines, status, doing, context)


def _pip_version(environment: Path, version: str) -> tuple[int, ...]:
    for path in site_packages(environment, version).glob("pip-*.dist-info"):
        numbers = path.name.removesuffix(".dist-info").partition("-")[2].split(".")
        return tuple(int(number) for number in numbers[:2] if number.isdecimal())
    return (0,)
