"""The private environment of the inference server: looked at, planned, made, repaired, removed."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

from .builds import Build
from .pythons import Python
from .states import Checked, SetupPlan, SetupState, SetupStatus

__all__ = ["Build", "Checked", "Python", "Setup", "SetupPlan", "SetupState", "SetupStatus"]

LOG_LINES = 1000


class Setup:
    """The private environment in `folder`. Nothing waits, and nothing starts a process, unless it says so.

    folder: where the environment and what belongs to it lie; made by `start`, never before.
    server_root: the folder that holds `inference_server`, with its pins in `inference_server/requirements`.
    blender_python: Blender's own interpreter, the last choice to make the environment from; None leaves it out.
    """

    def __init__(self, folder: Path, server_root: Path, blender_python: Path | None = None):
        self.folder = folder
        self.server_root = server_root
        self.blender_python = blender_python
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        """The newest lines of what the set-up says; also kept in `log_file`."""

    @property
    def log_file(self) -> Path:
        """The log of the last set-up as a file; there is none before the first."""
        return self.folder / "setup.log"

    @property
    def status(self) -> SetupStatus:
        """How things stand, as of the last `look`, or of a set-up that runs. Any thread may ask."""
        raise NotImplementedError

    @property
    def busy(self) -> bool:
        """Whether a set-up or a removal runs in this process."""
        raise NotImplementedError

    def look(self) -> SetupStatus:
        """Read the disk again (milliseconds) and return the status. Does nothing while `busy`."""
        raise NotImplementedError

    def builds(self) -> Sequence[Build]:
        """Return the builds that this kind of machine can have, for a choice; the first is for processors alone."""
        raise NotImplementedError

    def plan(self, build: str = "", wheels: Path | None = None, python: Path | None = None) -> SetupPlan:
        """Return what `start` would do. Runs the Pythons of this machine and the driver's tool: may take seconds.

        build: the key of one, "" lets the machine decide. wheels: a folder to install from, instead of the network.
        python: the one to make the environment from, None lets it be found.
        """
        raise NotImplementedError

    def begin_planning(self, build: str = "", wheels: Path | None = None, python: Path | None = None) -> None:
        """Do the same in a thread; `planned` has the result. A newer call replaces an older one."""
        raise NotImplementedError

    @property
    def planning(self) -> bool:
        """Whether a plan is being made."""
        raise NotImplementedError

    @property
    def planned(self) -> SetupPlan | None:
        """The newest plan; None while there is none yet."""
        raise NotImplementedError

    def start(self, plan: SetupPlan) -> None:
        """Make the environment in a thread; `status` tells. An environment that is there stays until the new is ready.

        Repairing and setting up again are the same. Raises ValueError if the plan has a problem or if `busy`.
        """
        raise NotImplementedError

    def cancel(self) -> None:
        """Stop what runs and take back what it has made; an environment from before stays. Does not wait."""
        raise NotImplementedError

    def remove(self) -> None:
        """Delete the environment and all that belongs to it, in a thread. Raises ValueError if `busy`."""
        raise NotImplementedError

    def check(self, python: Path) -> None:
        """Run `python -m inference_server check` of the user's own Python in a thread; `checked` has the result."""
        raise NotImplementedError

    @property
    def checking(self) -> bool:
        """Whether a Python is being tried."""
        raise NotImplementedError

    @property
    def checked(self) -> Checked | None:
        """What the newest check has found out; None while there is none yet."""
        raise NotImplementedError

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for what runs in threads; return whether all has ended. For tests, background Blender and dev.py."""
        raise NotImplementedError

    def close(self) -> None:
        """End the children at once, Blender is closing; what is half made is left, and cleaned by the next set-up."""
        raise NotImplementedError
