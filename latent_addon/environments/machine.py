"""Find out what this machine can compute on: NVIDIA's driver, AMD's, Apple's, or its processors alone."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from .children import output_of

KFD = Path("/dev/kfd")
_KFD_NODES = Path("/sys/class/kfd/kfd/topology/nodes")
_NVIDIA_VERSION = Path("/proc/driver/nvidia/version")
_NVIDIA_SMI = (
    r"C:\Windows\System32\nvidia-smi.exe",
    r"C:\Program Files\NVIDIA Corporation\NVSMI\nvidia-smi.exe",
    "/usr/lib/wsl/lib/nvidia-smi",
)


@dataclass(frozen=True, slots=True)
class Nvidia:
    """NVIDIA cards. driver: "580.65.06". capability: the newest card's compute capability, None if unknown."""

    driver: str
    name: str = ""
    capability: tuple[int, int] | None = None

    @property
    def driver_branch(self) -> int:
        """The driver's first number, 580."""
        return int(self.driver.partition(".")[0])


@dataclass(frozen=True, slots=True)
class Amd:
    """AMD cards on Linux. targets: the compiler's names for them, "gfx1100". usable: whether this user may use them."""

    targets: tuple[str, ...]
    usable: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of machine and its cards. system: "Linux", "Windows" or "Darwin". processor: "x86_64" or "arm64"."""

    system: str
    processor: str
    nvidia: Nvidia | None = None
    amd: Amd | None = None


def kind() -> Machine:
    """Return the system and processor of this machine, without its cards."""
    processor = {"amd64": "x86_64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine().lower())
    return Machine({"darwin": "Darwin", "win32": "Windows"}.get(sys.platform, "Linux"), processor)


def look() -> Machine:
    """Return this machine with its cards. Runs NVIDIA's tool if it is installed, which may take a second."""
    machine = kind()
    if machine.system == "Darwin":
        return machine
    return replace(machine, nvidia=_nvidia(), amd=_amd() if machine.system == "Linux" else None)


def parse_nvidia(text: str) -> Nvidia | None:
    """Read the lines "driver_version, compute_cap, name" of nvidia-smi; compute_cap may be missing."""
    found = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if not re.fullmatch(r"\d+(\.\d+)+", parts[0]):
            continue
        capability = re.fullmatch(r"(\d+)\.(\d+)", parts[1]) if len(parts) > 1 else None
        pair = (int(capability[1]), int(capability[2])) if capability else None
        found.append(Nvidia(parts[0], parts[-1] if len(parts) > 1 else "", pair))
    return max(found, key=lambda card: card.capability or (0, 0), default=None)


def parse_kernel_module(text: str) -> Nvidia | None:
    """Read /proc/driver/nvidia/version: "... Kernel Module for x86_64  580.65.06  Release Build ..."."""
    version = re.search(r"Kernel Module.*?\s(\d{3,}(?:\.\d+)+)\s", text)
    return Nvidia(version[1]) if version else None


def gfx_target(version: int) -> str:
    """Return the compiler's name for a target that the kernel writes as a number.

    90010 is "gfx90a", 110001 is "gfx1101".
    """
    major, minor, step = version // 10000, version // 100 % 100, version % 100
    return f"gfx{major}{minor:x}{step:x}"


def _nvidia() -> Nvidia | None:
    tool = shutil.which("nvidia-smi") or next((path for path in _NVIDIA_SMI if os.path.isfile(path)), None)
    if tool:
        # An old driver's tool does not know compute_cap.
        for fields in ("driver_version,compute_cap,name", "driver_version,name"):
            found = parse_nvidia(output_of([tool, f"--query-gpu={fields}", "--format=csv,noheader"]))
            if found:
                return found
    try:
        return parse_kernel_module(_NVIDIA_VERSION.read_text("utf-8", "replace"))
    except OSError:
        return None


def _amd() -> Amd | None:
    targets = []
    for path in sorted(_KFD_NODES.glob("*/properties")):
        try:
            version = re.search(r"^gfx_target_version (\d+)$", path.read_text("ascii", "replace"), re.MULTILINE)
        except OSError:
            continue
        if version and int(version[1]):  # 0: a processor
            targets.append(gfx_target(int(version[1])))
    return Amd(tuple(targets), os.access(KFD, os.R_OK | os.W_OK)) if targets else None
