"""Find the Pythons of this machine: named, running now, on PATH, known to the Windows launcher, or in pyenv."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .children import clean_environment

KNOWN = ("3.11", "3.12", "3.13", "3.14")
# The base executable, because an environment made from another environment's Python breaks when that one is deleted.
PROBE = """
import importlib.util, json, sys, sysconfig
whole = sys.implementation.name == "cpython" and sys.maxsize > 2**32 and not sysconfig.get_config_var("Py_GIL_DISABLED")
print(json.dumps([getattr(sys, "_base_executable", "") or sys.executable, "%d.%d" % sys.version_info[:2], whole,
                  importlib.util.find_spec("ensurepip") is not None]))
"""


@dataclass(frozen=True)
class Python:
    """An interpreter on this machine."""

    executable: Path
    version: str
    can_make_environments: bool


def find(version: str, named: tuple[str, ...]) -> Python | None:
    """Return a Python of `version` ("3.13"), one that can make environments if there is such a one."""
    fitting = [python for python in search(named) if python.version == version]
    return next((python for python in fitting if python.can_make_environments), fitting[0] if fitting else None)


@functools.cache
def search(named: tuple[str, ...]) -> tuple[Python, ...]:
    """Return every usable Python, the ones in `named` first, then the one running this program."""
    found: dict[Path, Python] = {}
    for path in _candidates(named):
        python = _probe(path)
        if python is not None:
            found.setdefault(python.executable, python)
    return tuple(found.values())


def _candidates(named: tuple[str, ...]) -> Iterator[Path]:
    yield from map(Path, named)
    yield Path(sys.executable)
    suffix = ".exe" if sys.platform == "win32" else ""
    for folder in map(Path, os.get_exec_path()):
        for name in (*(f"python{version}" for version in reversed(KNOWN)), "python3", "python"):
            if os.path.isfile(
                folder / (name + suffix)
            ):  # unlike Path.is_file, this bears a folder that may not be read
                yield folder / (name + suffix)
    if sys.platform == "win32":
        # "py -0p" prints lines such as " -V:3.13 *        C:\...\python.exe".
        for line in _output(["py", "-0p"]).splitlines():
            at = line.find(":\\")
            if at > 0:
                yield Path(line[at - 1 :].strip())
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for version in reversed(KNOWN):
        yield from sorted(root.glob(f"versions/{version}.*/bin/python"), reverse=True)
        yield from sorted(root.glob(f"pyenv-win/versions/{version}.*/python.exe"), reverse=True)


def _probe(path: Path) -> Python | None:
    answer = _output([str(path), "-I", "-c", PROBE])
    try:
        executable, version, whole, can_make_environments = json.loads(answer)
    except ValueError:
        return None
    return Python(Path(executable), version, can_make_environments) if whole and version in KNOWN else None


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(
            command, env=clean_environment(), capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
