"""The Python environments of the project: one per Blender, one for the inference server, one for checks.

They are in the user's cache folder. An environment's name contains a hash of its pins. So another clone with the same
pins shares it, and a changed pin makes a new one. A file that is written last marks a finished environment; without it,
the making was interrupted. (An environment does not work after it was moved, so it cannot be made elsewhere first.)
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from latent_addon.environments import builds, machine, making, pip_settings, pythons
from latent_addon.environments.builds import Build
from latent_addon.environments.children import Children
from latent_addon.environments.failures import Failed
from latent_addon.environments.pythons import Python
from tools import system_libraries
from tools.console import Problem, lock, run_step, say

ROOT = Path(__file__).resolve().parent.parent
BLENDER_PYTHONS = {"5.2": "3.13", "5.1": "3.13", "5.0": "3.11", "4.5": "3.11"}
TESTED_BLENDERS = ("4.5", "5.0", "5.1", "5.2")
RENDER_PROBE = """
import bpy, sys, tempfile, os
bpy.ops.wm.read_homefile(use_factory_startup=True)
render = bpy.context.scene.render
render.engine, render.resolution_x, render.resolution_y = "BLENDER_WORKBENCH", 16, 16
with tempfile.TemporaryDirectory() as folder:
    render.filepath = os.path.join(folder, "probe.png")
    bpy.ops.render.render(write_still=True)
    assert os.path.exists(render.filepath)
sys.stdout.flush()
os._exit(0)
"""


class Missing(Problem):
    """Something that this machine does not have, such as a Python of some version."""


def cache_folder() -> Path:
    """Return the folder for files that can be made again, in the usual place of this platform."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        return base / "latent-lantern" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "latent-lantern"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latent-lantern"


@dataclass(frozen=True)
class Environment:
    """One environment: what it is for, which Python it is made from, and the pin files it is filled from.

    build: of PyTorch, whose pins come first; None if there is no torch, or if pip's own settings say where it is from.
    """

    label: str
    version: str
    pins: tuple[Path, ...]
    on_top_of: Environment | None = None
    build: Build | None = None

    @property
    def folder(self) -> Path:
        """The folder where it is or will be."""
        base = self.on_top_of.folder.name if self.on_top_of else ""
        build = [self.build.key] if self.build else []
        digest = making.pins_digest(self.pins, self.version, base, *build)
        return cache_folder() / "environments" / f"{self.label}-py{self.version}-{digest[:10]}"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return making.interpreter(self.folder)

    @property
    def site_packages(self) -> Path:
        """The folder with its packages."""
        return making.site_packages(self.folder, self.version)

    @property
    def finished_mark(self) -> Path:
        """The file that exists only once everything is installed."""
        return self.folder / "finished.txt"

    @property
    def ready(self) -> bool:
        """Whether it is finished, and the Python that it was made from still exists."""
        return self.finished_mark.is_file() and self.python.exists()


def blender(version: str) -> Environment:
    """Return the environment of a Blender version ("5.2")."""
    return Environment(f"blender-{version}", BLENDER_PYTHONS[version], (_pins(f"blender-{version}"),))


def newest_blender(named: tuple[str, ...]) -> Environment:
    """Return the newest Blender that is already set up, or that has a fitting Python on this machine.

    Raises `Missing` if there is none.
    """
    return blender(newest_blender_version(named))


def newest_blender_version(named: tuple[str, ...]) -> str:
    """Return the version ("5.2") of `newest_blender`."""
    for version in BLENDER_PYTHONS:
        environment = blender(version)
        if wheel_exists(version) and (environment.ready or pythons.find(environment.version, named)):
            return version
    raise Missing(_no_python(tuple(dict.fromkeys(BLENDER_PYTHONS.values()))))


def wheel_exists(version: str) -> bool:
    """Return whether Blender publishes this version as a Python module for this kind of machine."""
    intel = platform.machine().lower() in ("x86_64", "amd64")
    if sys.platform.startswith("linux"):
        return intel
    return sys.platform != "darwin" or not intel or version == "4.5"


def server(named: tuple[str, ...]) -> Environment:
    """Return the inference server's environment: one that is ready, or else one for the first Python found.

    Raises `Missing` if no build of PyTorch or no Python fits this machine.
    """
    current = "{}.{}".format(*sys.version_info[:2])
    versions = [current, *(version for version in pythons.KNOWN if version != current)]
    choices = [choice for build in _builds() for choice in _servers(versions, build)]
    ready = next((choice for choice in choices if choice.ready), None)
    if ready:
        return ready
    try:
        build = None if None in _builds() else builds.choose(machine.look())[0]
    except LookupError as error:
        raise Missing(str(error)) from None
    fitting = (choice for choice in _servers(versions, build) if pythons.find(choice.version, named))
    found = next(fitting, None)
    if found is None:
        raise Missing(_no_python(pythons.KNOWN))
    return found


def _builds() -> tuple[Build | None, ...]:
    """Return the builds of PyTorch that are possible here; None if pip's own settings say where it comes from."""
    own = pip_settings.own_sources(pip_settings.read())
    return (None,) if own else builds.available(machine.kind())


def _servers(versions: list[str], build: Build | None) -> list[Environment]:
    folder = ROOT / "inference_server" / "requirements"
    pins = (folder / (build or builds.CPU).requirements, folder / "common.txt")
    return [Environment("server", version, pins, build=build) for version in versions if version in pythons.KNOWN]


def checks(named: tuple[str, ...]) -> Environment:
    """Return the environment of lint and the plain tests, which also sees the server's packages."""
    base = server(named)
    return Environment("checks", base.version, (_pins("checks"),), on_top_of=base)


def ensure(environment: Environment, named: tuple[str, ...]) -> Environment:
    """Make the environment unless it exists, and return it. Raises `Missing` or another `Problem` if that fails."""
    if environment.on_top_of:
        ensure(environment.on_top_of, named)
    is_blender = environment.label.startswith("blender-")
    python = None if environment.ready else _base_python(environment, named)
    venv_packages = [f"python{python.version}-venv"] if python and not python.can_make_environments else []
    system_libraries.ensure(libraries=is_blender, packages=venv_packages)
    if venv_packages:
        pythons.survey.cache_clear()
    folder = environment.folder
    if python is None:
        say(f"reusing {environment.label} in {folder}")
        return environment
    with lock(folder.with_name(f"{folder.name}.lock"), environment.label):
        if environment.ready:
            return environment
        if folder.exists():
            say(f"{environment.label} was left unfinished; making it again")
            shutil.rmtree(folder)
        _make(environment, python)
        if is_blender:
            say(f"trying {environment.label}: a first picture of 16 by 16 pixels")
            run_step([environment.python, "-c", RENDER_PROBE], f"Rendering in {environment.label}", quietly=True)
        pins = "".join(path.read_text("utf-8") for path in environment.pins)
        environment.finished_mark.write_text(pins, "utf-8")
    return environment


def _base_python(environment: Environment, named: tuple[str, ...]) -> Python:
    python = pythons.find(environment.version, named)
    if python is None:
        raise Missing(_no_python((environment.version,)))
    return python


def _make(environment: Environment, python: Python) -> None:
    size = f", about {environment.build.download / 1e6:.0f} MB" if environment.build else ""
    say(f"making {environment.label} in {environment.folder} (this downloads what it needs{size})")
    children = Children()
    try:
        making.make(children, python, environment.folder, _tell)
        if environment.on_top_of:
            link = environment.site_packages / "server_packages.pth"
            link.write_text(f"{environment.on_top_of.site_packages}\n", "utf-8")
        index = environment.build.index if environment.build else ""
        for pins in environment.pins:
            doing = f"Installing {pins.name}"
            making.install(children, python, environment.folder, pins, _tell, doing=doing, index=index)
            index = ""  # the index is only for torch
    except Failed as failed:
        raise Problem(str(failed)) from None


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _pins(name: str) -> Path:
    return ROOT / "requirements" / f"{name}.txt"


def _no_python(versions: tuple[str, ...]) -> str:
    return (
        f"no Python {' or '.join(versions)} was found on this machine. Install one (python.org, your system's "
        "packages, or pyenv), or name one that dev.py did not find:\n  python3 dev.py --python /path/to/python ..."
    )
