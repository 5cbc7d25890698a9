"""The Python that inference runs on: the private environment, or the user's own Python. Connects both to Blender.

The environment is in the extension's user folder, which stays when the extension is upgraded. Its state is read while a
panel shows it; it is planned, made and removed only after a click. Blender's timer calls `tick`; operators without a
window call `wait`.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import bpy

from ..environments import builds
from ..environments.installation import Checked, Setup, SetupPlan, SetupState, SetupStatus
from ..preferences import AUTOMATIC, ROOT_PACKAGE, preferences
from ..server.launch import check_python

SERVER_ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds the packages `inference_server` and `lantern_protocol`."""

OFFLINE = (
    "Blender may not go online, and this has to be downloaded. Allow Online Access in the preferences, under System, "
    "or choose a folder of wheels under Choices."
)
NEEDS_PLAN = "First look at what would be installed: press Set Up Inference"

_SEEN = 5.0
"""Seconds after the state was last drawn in which it is kept up to date."""

_LOOK_AGAIN = 2.0
"""Seconds between looks at the disk in that time, because another Blender may have set up the environment."""


_PROGRESS = 0.4
"""Seconds between two changes that are only progress, because each one redraws the editors."""


class User(Protocol):
    """Something that may run on the Python of inference."""

    @property
    def working(self) -> bool:
        """Whether it is running, as far as is known. Cheap enough to ask while a button is drawn."""
        ...

    def at_work(self) -> Path | None:
        """Return the folder in which it is running, None if it is not. Reads the disk, so only after a click."""
        ...


class Runtime:
    """The private environment and the user's own Python. One for each Blender; call it from the main thread only.

    plan: what a set-up would do, while the user is asked about it. users: what runs on the Python, such as
    trainings, and would fail if it were replaced. They add themselves, because this module does not know them.
    """

    def __init__(self) -> None:
        self.users: list[User] = []
        self._forget()

    def _forget(self) -> None:
        self._setup: Setup | None = None
        self.plan: SetupPlan | None = None
        self._asked: tuple[object, ...] | None = None
        """The choices for which a plan was asked; None while none is asked for."""
        self._seen = self._looked = float("-inf")
        self._known: tuple[object, ...] = ()
        self._told: SetupStatus | None = None
        self._told_at = float("-inf")

    @property
    def setup(self) -> Setup:
        """The private environment. Asking for it only reads its marker."""
        if self._setup is None:
            folder = Path(bpy.utils.extension_path_user(ROOT_PACKAGE, path="inference"))
            self._setup = Setup(folder, SERVER_ROOT, Path(sys.executable))
            self.look()
        return self._setup

    @property
    def status(self) -> SetupStatus:
        """The state of the private environment."""
        return self.setup.status

    @property
    def own(self) -> str:
        """The user's own Python as a path, "" if the private environment is used."""
        chosen = preferences().server_python.strip()
        return bpy.path.abspath(chosen) if chosen else ""

    @property
    def checked(self) -> Checked | None:
        """What was found out by trying the own Python; None if it was not tried."""
        checked = self._setup.checked if self._setup else None
        return checked if checked and str(checked.python) == self.own else None

    @property
    def checking(self) -> bool:
        """Whether the own Python is being tried."""
        return self._setup is not None and self._setup.checking

    @property
    def planning(self) -> bool:
        """Whether a set-up is being planned."""
        return self._asked is not None and self.plan is None

    @property
    def changing(self) -> bool:
        """Whether the private environment is being made or removed."""
        return self.status.state in (SetupState.INSTALLING, SetupState.REMOVING)

    @property
    def python(self) -> str:
        """The Python to run the server and trainings with, "" while there is none."""
        if self.own:
            return "" if check_python(self.own) else self.own
        ready = self.status.state is SetupState.READY and self.status.python is not None
        return str(self.status.python) if ready else ""

    @property
    def problem(self) -> str:
        """A sentence that says why there is no Python to run anything with, and what to do; "" if there is one."""
        if self.own:
            return check_python(self.own)
        status = self.status
        if status.state is SetupState.READY:
            return ""
        if status.state is SetupState.INSTALLING:
            if status.elsewhere:
                return status.message
            return "Inference is being set up. Work that waits for it begins when it is ready."
        if status.state is SetupState.REMOVING:
            return "Inference is being removed."
        if status.state is SetupState.OUTDATED:
            return "Inference was set up for another version of Latent Lantern. Press Set Up Again in the preferences."
        if status.state is SetupState.BROKEN:
            return f"{status.message or 'Inference is broken.'} Press Repair in the preferences."
        return "Inference is not set up. Press Set Up Inference in the preferences."

    def seen(self) -> None:
        """Note that the state is being drawn, so that it is kept up to date."""
        self._seen = time.monotonic()

    def look(self) -> None:
        """Read the disk again, unless this Blender is changing the environment."""
        self._looked = time.monotonic()
        if self._setup is not None:
            self._setup.look()

    def tick(self) -> bool:
        """Take the results of planning, making and trying; return whether anything has changed."""
        now = time.monotonic()
        setup = self._setup
        if setup is None:
            return False
        wanted = now - self._seen < _SEEN or setup.status.elsewhere
        if wanted and now - self._looked > _LOOK_AGAIN:
            self.look()
        if self._asked is not None and self._asked != _choices():
            self.ask()  # what was found out with other choices is no longer true
        if self.planning and not setup.planning:
            self.plan = setup.planned
        status = setup.status
        known = (
            dataclasses.replace(status, fraction=0.0, detail=""),
            *(self.plan, setup.planning, setup.checking, setup.checked, self.own),
        )
        if known == self._known and (status == self._told or now - self._told_at < _PROGRESS):
            return False
        self._known, self._told, self._told_at = known, status, now
        return True

    def wait(self, timeout: float, told: Callable[[str], None] = lambda _: None) -> bool:
        """Wait until nothing is running; return whether that happened within `timeout` seconds.

        `told` receives the words for each step as it begins. For operators without a window.
        """
        end = time.monotonic() + timeout
        doing = ""
        while not self.setup.wait(0.2):
            status = self.status
            if status.doing and status.doing != doing:
                doing = status.doing
                told(f"Step {status.step} of {status.steps}: {doing}")
            if time.monotonic() > end:
                return False
        self.tick()
        return True

    def ask(self) -> None:
        """Begin to plan a set-up; `plan` holds the result when it is known."""
        self.plan = None
        self._asked = _choices()
        self.setup.begin_planning(*self._asked)

    @property
    def hindrance(self) -> str:
        """A sentence that says why the plan cannot be carried out; "" if it can."""
        if self.plan is None:
            return NEEDS_PLAN
        if self.plan.problem:
            return self.plan.problem
        return OFFLINE if self.plan.needs_network and not bpy.app.online_access else ""

    def install(self) -> None:
        """Begin to carry out the plan. Raises ValueError if there is a `hindrance`, or while something runs."""
        if self.hindrance or self.plan is None:
            raise ValueError(self.hindrance)
        self.setup.start(self.plan)
        self.plan = self._asked = None

    def cancel(self) -> None:
        """Stop planning or making. An environment that was ready before stays."""
        self.plan = self._asked = None
        if self.status.state is SetupState.INSTALLING:
            self.setup.cancel()

    def remove(self) -> None:
        """Begin to delete the private environment. Raises ValueError while something runs."""
        self.setup.remove()

    def check_own(self) -> None:
        """Begin to try the own Python."""
        self.setup.check(Path(self.own))

    def close(self) -> None:
        """End what runs: Blender closes, or the add-on is disabled. The next set-up removes what is half made."""
        if self._setup is not None:
            self._setup.close()
        self._forget()


def _choices() -> tuple[str, Path | None, Path | None]:
    """Return the build's key, the folder of wheels and the Python that are chosen in the preferences."""
    chosen = preferences()
    build = builds.AUTOMATIC if chosen.setup_build == AUTOMATIC else chosen.setup_build
    return build, _path(chosen.wheels_folder), _path(chosen.setup_python)


def _path(text: str) -> Path | None:
    return Path(os.path.abspath(bpy.path.abspath(text))) if text.strip() else None


runtime = Runtime()
"""What this Blender's server and trainings run on."""
