"""What is known about a set-up: its state, its plan, and the result of a check."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

from .builds import Build
from .pythons import Python


class SetupState(enum.Enum):
    """The states of a private environment."""

    NOT_SET_UP = "not set up"
    INSTALLING = "installing"
    REMOVING = "removing"
    READY = "ready"
    OUTDATED = "outdated"
    """It is complete, but was filled from different pins than those of this version, and must be set up again."""
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class SetupStatus:
    """A snapshot of a set-up.

    message: sentences that say why it is broken, why the last set-up failed, or what else the user must know; "" when
    there is no problem. A READY environment may have a message, too: that the last repair failed and the environment
    from before is kept.
    elsewhere: another Blender is installing it; there is nothing to cancel here.
    leftovers: an interrupted set-up has left files; the next set-up, or a removal, deletes them.
    step, steps, doing, fraction, while INSTALLING: the step's number, from 1 to `steps`; words such as "Installing
    PyTorch"; the part of the whole that is done, 0 to 1, which never goes back.
    detail: "Downloading torch, 120 of 192 MB", often "".
    python: the environment's interpreter, when READY or OUTDATED.
    base: the Python it was made from, "Python 3.11.9, /usr/bin/python3.11". build: "NVIDIA, CUDA 13.0".
    torch: "2.13.0+cpu". device: "NVIDIA GeForce RTX 4090", "this machine's processors".
    size: bytes on disk, 0 if unknown. free: bytes free on the folder's disk, at the last look.
    """

    state: SetupState
    message: str = ""
    elsewhere: bool = False
    leftovers: bool = False
    step: int = 0
    steps: int = 0
    doing: str = ""
    detail: str = ""
    fraction: float = 0.0
    python: Path | None = None
    base: str = ""
    build: str = ""
    torch: str = ""
    device: str = ""
    size: int = 0
    free: int = 0


@dataclass(frozen=True, slots=True)
class SetupPlan:
    """What a set-up would do.

    why: how the build was chosen, "The NVIDIA driver 580.65 runs CUDA 13.0.".
    source: where the packages come from, in words: "download.pytorch.org and pypi.org", "the folder /x", "your own
    package index". passed_over: a sentence for each Python that was found and is not used.
    download, disk: approximate bytes. free: bytes free on the folder's disk.
    needs_network: False with a folder of wheels.
    problem: a sentence that says why it cannot be done; "" if it can. If no Python was found, `python` is None, and
    there is a problem.
    """

    build: Build
    why: str
    python: Python | None
    passed_over: tuple[str, ...]
    source: str
    download: int
    disk: int
    free: int
    needs_network: bool
    wheels: Path | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of running `inference_server check` with a Python.

    python: the interpreter that was checked. problem: sentences that say why it cannot be used; "" if it can.
    remarks: smaller points, for example what is missing for training alone. device: "cuda", "mps", "cpu".
    device_name: the device in words for people. forward_ms: milliseconds that a small generator takes for one picture
    when it is warm.
    """

    python: Path
    problem: str = ""
    remarks: tuple[str, ...] = ()
    version: str = ""
    torch: str = ""
    device: str = ""
    device_name: str = ""
    forward_ms: float = 0.0
