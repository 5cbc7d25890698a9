"""Make an environment and install packages in it. For Blender's set-up, and for dev.py."""

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
"""The first pip version that can print its progress in numbers."""

CACHE_ON_DISK = (23, 3)
"""The first pip version whose cache does not hold whole wheels in memory."""

_LINES_KEPT = 400


def pinned(requirements: Path) -> list[str]:
    """Return the lines of a pin file that are neither empty nor comments."""
    return [line for line in requirements.read_text("utf-8").splitlines() if line and line[0] != "#"]


def pins_digest(requirements: Iterable[Path], *others: str) -> str:
    """Return a hexadecimal hash of all pins in order, and of what else decides: `others`, the processor's type."""
    pins = "\n".join(line for path in requirements for line in pinned(path))
    version, *rest = others
    return hashlib.sha256("\n".join([pins, version, platform.machine(), *rest]).encode()).hexdigest()


def interpreter(environment: Path) -> Path:
    """Return the path of an environment's interpreter, whether the environment exists or not."""
    return environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def site_packages(environment: Path, version: str) -> Path:
    """Return the folder of the packages in an environment of Python `version`."""
    return environment / ("Lib" if sys.platform == "win32" else f"lib/python{version}") / "site-packages"


def make(children: Children, python: Python, folder: Path, say: Callable[[str], None]) -> None:
    """Make an empty environment with pip. Raises Failed and Stopped."""
    if not python.can_make_environments:
        raise Failed(no_environments(python))
    doing, context = "Making the environment", Context(python, folder)
    with _own_temporary_folder(folder) as settings:
        # In two steps, because venv does not print why it could not install pip.
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

    Nothing is compiled, and none of the installed packages is run.

    index: the only package index to install from, "" for pip's own settings. wheels: a folder to install from instead,
    without a network. cache: where pip keeps its downloads, None for pip's usual folder.
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
    """Yield variables that put temporary files in a folder inside the environment, and delete that folder at the end.

    So they are on a disk whose free room is known, and a leftover is deleted with the environment.
    """
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
