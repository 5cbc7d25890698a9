"""What can be told of a set-up: its state, its plan, and what a check found out."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

from .builds import Build
from .pythons import Python


class SetupState(enum.Enum):
    """Where a private environment stands."""

    NOT_SET_UP = "not set up"
    INSTALLING = "installing"
    REMOVING = "removing"
    READY = "ready"
    OUTDATED = "outdated"
    """It is whole, but was filled from other pins than those of this version: to be set up again."""
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class SetupStatus:
    """A snapshot of a set-up.

    message: why it is broken, why the last set-up failed, or what else there is to know: sentences; "" when all is
    well. A READY one may have a message, too: that the last repair failed and the environment from before is kept.
    elsewhere: another Blender is installing it; there is nothing to cancel here.
    leftovers: an interrupted set-up has left something behind; the next one, or a removal, cleans it.
    step, steps, doing, fraction: 1 to steps, words such as "Installing PyTorch", and 0 to 1 of the whole, while
    INSTALLING; the fraction never goes back. detail: "Downloading torch, 120 of 192 MB", often "".
    python: the environment's interpreter, when READY or OUTDATED.
    base: the Python it was made from, "Python 3.11.9, /usr/bin/python3.11". build: "NVIDIA, CUDA 13.0".
    torch: "2.13.0+cpu". device: "NVIDIA GeForce RTX 4090", "this machine's processors".
    size: bytes on disk, 0 if unknown. free: bytes free on the disk of the folder, at the last look.
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
    source: from where, for a person: "download.pytorch.org and pypi.org", "the folder /x", "your own package index".
    passed_over: a sentence for each Python that was found and is not used.
    download, disk: bytes, about. free: bytes free on the disk of the folder.
    needs_network: False with a folder of wheels.
    problem: why it cannot be done, a sentence; "" if it can. Without a Python `python` is None, and there is a problem.
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
    """What running `inference_server check` with some Python has found out.

    python: the interpreter that was asked. problem: why it cannot be used, sentences; "" if it can.
    remarks: what is missing for training alone, and the like. device: "cuda", "mps", "cpu"; device_name for a person.
    forward_ms: how long one picture took a small generator, warm.
    """

    python: Path
    problem: str = ""
    remarks: tuple[str, ...] = ()
    version: str = ""
    torch: str = ""
    device: str = ""
    device_name: str = ""
    forward_ms: float = 0.0
