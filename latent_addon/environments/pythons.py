"""Find the Pythons of this machine: named, running now, on PATH, where installers put them, in pyenv, or from uv."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .children import output_of

KNOWN = ("3.11", "3.12", "3.13", "3.14")
"""The versions for which every pinned package has wheels."""

# It prints the base executable, because an environment made from another environment's Python breaks when that
# environment is deleted. It is simple enough that Python 2 can run it.
PROBE = """
import json, sys, sysconfig
unfit = ""
if sys.version_info >= (3, 4):
    import importlib.util
    ensurepip = importlib.util.find_spec("ensurepip") is not None and importlib.util.find_spec("venv") is not None
    if sys.implementation.name != "cpython":
        unfit = "is " + sys.implementation.name + ", not CPython"
    elif sysconfig.get_config_var("Py_GIL_DISABLED"):
        unfit = "is the free-threaded kind"
else:
    ensurepip = False
if sys.maxsize <= 2**32:
    unfit = "is a 32-bit program"
print(json.dumps([getattr(sys, "_base_executable", "") or sys.executable, sys.version.split()[0], ensurepip, unfit]))
"""


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter on this machine.

    executable: the base executable, never that of an environment. version: "3.11". release: "3.11.9".
    unfit: why it cannot be used, "is the free-threaded kind"; "" if it can be used.
    """

    executable: Path
    version: str
    can_make_environments: bool
    release: str = ""
    unfit: str = ""

    def __str__(self) -> str:
        return f"Python {self.release or self.version}, {self.executable}"


def find(version: str, named: tuple[str, ...]) -> Python | None:
    """Return a Python of `version` ("3.13"), if possible one that can make environments; None if there is none."""
    fitting = [python for python in search(named) if python.version == version]
    return next((python for python in fitting if python.can_make_environments), fitting[0] if fitting else None)


def search(named: tuple[str, ...]) -> tuple[Python, ...]:
    """Return every usable Python: first those in `named`, then the one that runs this program, then the others."""
    return tuple(python for python in survey((*named, sys.executable)) if not python.unfit)


@functools.cache
def survey(named: tuple[str, ...]) -> tuple[Python, ...]:
    """Return every Python that is found, fit or not, those in `named` first. Runs each of them: up to some seconds."""
    found: dict[Path, Python] = {}
    seen: set[str] = set()
    for path in _candidates(named):
        real = os.path.realpath(path)
        if real in seen and str(path) not in named:
            continue
        seen.add(real)
        python = probe(path)
        if python is not None:
            found.setdefault(Path(os.path.realpath(python.executable)), python)
    return tuple(found.values())


def probe(path: Path) -> Python | None:
    """Run the program at `path` and return the Python that it is, None if it is not a Python."""
    answer = output_of([str(path), "-I", "-c", PROBE])
    try:
        executable, release, can_make_environments, unfit = json.loads(answer)
    except ValueError:
        # Python 2 and the first versions of Python 3 do not know -I.
        try:
            executable, release, can_make_environments, unfit = json.loads(output_of([str(path), "-c", PROBE]))
        except ValueError:
            return None
    version = ".".join(release.split(".")[:2])
    if version not in KNOWN and not unfit:
        unfit = f"is not one of {', '.join(KNOWN)}"
    return Python(Path(executable), version, can_make_environments, release, unfit)


def _candidates(named: tuple[str, ...]) -> Iterator[Path]:
    yield from map(Path, named)
    names = (*(f"python{version}" for version in reversed(KNOWN)), "python3", "python")
    suffix = ".exe" if sys.platform == "win32" else ""
    for folder in _program_folders():
        for name in names:
            # Unlike Path.is_file, os.path.isfile does not raise an error for a folder that may not be read.
            if os.path.isfile(folder / (name + suffix)):
                yield folder / (name + suffix)
    if sys.platform == "win32":
        # "py -0p" prints lines such as " -V:3.13 *        C:\...\python.exe".
        for line in output_of(["py", "-0p"]).splitlines():
            at = line.find(":\\")
            if at > 0:
                yield Path(line[at - 1 :].strip())
    home = Path.home()
    root = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    for version in reversed(KNOWN):
        yield from sorted(root.glob(f"versions/{version}.*/bin/python"), reverse=True)
        yield from sorted(root.glob(f"pyenv-win/versions/{version}.*/python.exe"), reverse=True)
        yield from sorted(home.glob(f".local/share/uv/python/cpython-{version}.*/bin/python{version}"), reverse=True)


def _program_folders() -> Iterator[Path]:
    folders = [Path(folder) for folder in os.get_exec_path()]
    if sys.platform == "darwin":
        # Programs started from the Dock have a minimal PATH. The Python in /usr/bin is only a stub that asks to install
        # Xcode.
        folders = [folder for folder in folders if folder != Path("/usr/bin")]
        folders += [Path("/opt/homebrew/bin"), Path("/usr/local/bin")]
        framework = Path("/Library/Frameworks/Python.framework/Versions")
        folders += [framework / version / "bin" for version in reversed(KNOWN)]
    elif sys.platform == "win32":
        names = [f"Python{version.replace('.', '')}" for version in reversed(KNOWN)]
        local = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "Programs" / "Python"
        everyone = Path(os.environ.get("PROGRAMFILES") or r"C:\Program Files")
        folders += [base / name for base in (local, everyone) for name in names]
    yield from dict.fromkeys(folders)
