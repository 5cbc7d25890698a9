"""Plan what a set-up would do on this machine: from which Python, which build of PyTorch, from where, how large."""

from __future__ import annotations

from pathlib import Path

from . import builds, machine, making, pip_settings, pythons, wheels
from .builds import Build
from .failures import no_environments
from .pythons import Python
from .record import requirements
from .standing import free_room, too_little_room
from .states import SetupPlan

PREFERRED = ("3.13", "3.12", "3.11", "3.14")
"""Python versions, the preferred one first. Used when nothing else decides."""

NO_PYTHON = f"No Python {', '.join(pythons.KNOWN[:-1])} or {pythons.KNOWN[-1]} was found. Install one from python.org."


def make_plan(
    folder: Path,
    server_root: Path,
    blender_python: Path | None,
    key: str = builds.AUTOMATIC,
    wheels_folder: Path | None = None,
    named: Path | None = None,
) -> SetupPlan:
    """Return what a set-up would do; see `installation.Setup.plan`. Runs Pythons and the driver's tool."""
    here = machine.look()
    problem = ""
    try:
        build, why = builds.choose(here, key)
    except LookupError as error:
        build, why, problem = builds.CPU, "", str(error)
    torch, common = requirements(server_root, build)
    settings = pip_settings.read()
    own = pip_settings.own_sources(settings)
    source = "pypi.org" if not build.index else "download.pytorch.org and pypi.org"
    pins: list[str] = []
    searched: list[Path] = []
    if wheels_folder is not None:
        source = f"the folder {wheels_folder}"
        pins, searched = [*making.pinned(torch), *making.pinned(common)], [wheels_folder]
        if not wheels_folder.is_dir():
            problem = problem or f"There is no folder {wheels_folder}."
            searched = []
    elif own:
        source = f"your own package index (pip's {', '.join(own)})"
        pins, searched = making.pinned(torch), pip_settings.folders_of_wheels(settings)
    pythons.survey.cache_clear()
    python, passed_over = choose_python(_found(named, blender_python), blender_python, pins, searched)
    if python is None or python.unfit:
        problem = problem or (f"{python}: it {python.unfit}. Choose another Python." if python else NO_PYTHON)
    elif not python.can_make_environments:
        problem = problem or no_environments(python)
    elif wheels_folder is not None and (lacking := _lacking(python, pins, searched)):
        problem = problem or f"The folder {wheels_folder} lacks {', '.join(lacking)} for Python {python.version}."
    free = free_room(folder)
    download = 0 if wheels_folder is not None else build.download
    # Downloads are kept until everything is installed, in pip's cache and next to it.
    needed = build.disk + 2 * download
    if free < needed:
        problem = problem or too_little_room(folder, needed, free)
    return SetupPlan(
        build=build,
        why=why,
        python=python,
        passed_over=passed_over,
        source=source,
        download=download,
        disk=build.disk,
        free=free,
        needs_network=wheels_folder is None,
        wheels=wheels_folder,
        problem=problem,
    )


def choose_python(
    found: list[Python], last: Path | None, pins: list[str], searched: list[Path]
) -> tuple[Python | None, tuple[str, ...]]:
    """Return which of the found Pythons to use, and a sentence for each of the others.

    last: the interpreter that is used only if no other fits as well. pins, searched: the Python with the most wheels
    of `pins` in the folders `searched` is preferred. An unfit Python is returned only if it is the only one.
    """
    if len(found) == 1:
        return found[0], ()
    base = last and next((python.executable for python in found if _same(python.executable, last)), None)

    def rank(python: Python) -> tuple[int, bool, bool, int]:
        return (
            len(_lacking(python, pins, searched)),
            not python.can_make_environments,
            python.executable == base,
            PREFERRED.index(python.version),
        )

    fit = sorted((python for python in found if not python.unfit), key=rank)
    best = fit[0] if fit else None
    reasons = []
    for python in (*fit[1:], *(python for python in found if python.unfit)):
        if python.unfit:
            reasons.append(f"{python}: {python.unfit}.")
        elif not python.can_make_environments:
            reasons.append(f"{python}: cannot make environments, because it lacks ensurepip.")
        elif lacking := _lacking(python, pins, searched):
            reasons.append(f"{python}: there is no wheel of {', '.join(lacking)} for it.")
        elif python.executable == base:
            reasons.append(f"{python}: belongs to Blender, and is deleted with Blender.")
        else:
            reasons.append(f"{python}: can be used, too.")
    return best, tuple(reasons)


def build_choices() -> tuple[Build, ...]:
    """Return the builds that exist for this kind of machine. Starts no process."""
    return builds.available(machine.kind())


def _found(named: Path | None, blender_python: Path | None) -> list[Python]:
    if named is not None:
        python = pythons.probe(named)
        return [python or Python(named, "", False, "", "is no Python that can be run")]
    found = list(pythons.survey(()))
    own = pythons.probe(blender_python) if blender_python else None
    if own and all(python.executable != own.executable for python in found):
        found.append(own)
    return found


def _lacking(python: Python, pins: list[str], folders: list[Path]) -> list[str]:
    """Return the pins for which no folder has a wheel; an empty list if there are no folders."""
    lacking = pins if folders else []
    for folder in folders:
        try:
            lacking = wheels.missing(folder, lacking, python.version)
        except OSError:
            continue
    return lacking


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
