"""A set-up that installs nothing: tests set its state, and see what it was asked for."""

from __future__ import annotations

import dataclasses
from collections import deque
from pathlib import Path
from typing import Any

from latent_lantern.latent_addon.environments.builds import CPU_LINUX
from latent_lantern.latent_addon.environments.installation import (
    Checked,
    Python,
    SetupPlan,
    SetupState,
    SetupStatus,
)
from latent_lantern.latent_addon.session.runtime import runtime


class FakeSetup:
    """Stands for `environments.installation.Setup`. asked: what was called, in order. wants: the plan that it makes."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.log: deque[str] = deque()
        self.asked: list[str] = []
        self.status = SetupStatus(SetupState.NOT_SET_UP)
        self.wants = SetupPlan(
            build=CPU_LINUX,
            why="No card was found that PyTorch can use.",
            python=Python(Path("/usr/bin/python3.11"), "3.11", True),
            passed_over=(),
            source="download.pytorch.org and pypi.org",
            download=320_000_000,
            disk=1_300_000_000,
            free=120_000_000_000,
            needs_network=True,
        )
        self.outcome = SetupStatus(SetupState.READY)
        """The status after the present task has ended."""
        self.planned: SetupPlan | None = None
        self.planning = self.checking = False
        self.checked: Checked | None = None
        self.finds: Checked | None = None
        self.choices: tuple[Any, ...] = ()
        self.found: SetupStatus | None = None
        """The status that the next look at the disk finds."""
        runtime._setup = self

    def stands(self, state: SetupState, **facts: Any) -> None:
        """Set the status."""
        self.status = SetupStatus(state, **facts)

    def look(self) -> SetupStatus:
        self.status, self.found = self.found or self.status, None
        return self.status

    def begin_planning(self, *choices: Any) -> None:
        self.asked.append("plan")
        self.choices, self.planned, self.planning = choices, None, True

    def start(self, plan: SetupPlan) -> None:
        self.asked.append("start")
        self.stands(SetupState.INSTALLING, step=1, steps=5, doing="Installing PyTorch", fraction=0.25)

    def cancel(self) -> None:
        self.asked.append("cancel")
        self.outcome = dataclasses.replace(self.outcome, state=SetupState.NOT_SET_UP)

    def remove(self) -> None:
        self.asked.append("remove")
        self.outcome = SetupStatus(SetupState.NOT_SET_UP)
        self.stands(SetupState.REMOVING)

    def check(self, python: Path) -> None:
        self.asked.append("check")
        self.checking = True

    def wait(self, timeout: float | None = None) -> bool:
        """Let every task that was begun end."""
        if self.planning:
            self.planning, self.planned = False, self.wants
        if self.checking:
            self.checking, self.checked = False, self.finds
        if self.status.state in (SetupState.INSTALLING, SetupState.REMOVING):
            self.status = self.outcome
        return True

    def close(self) -> None:
        self.asked.append("close")
