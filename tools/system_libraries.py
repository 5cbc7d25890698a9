"""Check for the shared libraries that the bpy wheel needs on Linux; install them where that is allowed."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from latent_addon.environments.children import clean_environment
from tools.console import STDERR, Problem, lock, run, say

LOCK = Path("/run/latent-lantern-apt.lock")
"""apt-get refuses to run twice at once. Only root comes here, and only root may write into this folder."""

DEBIAN_PACKAGES = {
    "libX11.so.6": "libx11-6",
    "libXext.so.6": "libxext6",
    "libXfixes.so.3": "libxfixes3",
    "libXi.so.6": "libxi6",
    "libXrender.so.1": "libxrender1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "an EGL driver": "libegl-mesa0 libgl1-mesa-dri",
}
# Run in a process of its own, because without a working EGL driver the process may die instead of raising.
PROBE = """
import ctypes, sys
for name in sys.argv[1:]:
    try:
        ctypes.CDLL(name)
    except OSError:
        print(name)
try:
    egl = ctypes.CDLL("libEGL.so.1")
except OSError:
    sys.exit("no EGL")
pointer, DEVICE, SURFACELESS = ctypes.c_void_p, 0x313F, 0x31DD
for function in egl.eglGetDisplay, egl.eglGetPlatformDisplay, egl.eglGetProcAddress:
    function.restype = pointer
egl.eglGetPlatformDisplay.argtypes = [ctypes.c_int, pointer, pointer]
egl.eglInitialize.argtypes = [pointer] * 3
displays = [egl.eglGetDisplay(None), egl.eglGetPlatformDisplay(SURFACELESS, None, None)]
if query := egl.eglGetProcAddress(b"eglQueryDevicesEXT"):
    device, count = pointer(), ctypes.c_int()
    query = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, pointer, pointer)(query)
    query(1, ctypes.addressof(device), ctypes.addressof(count))
    displays.append(egl.eglGetPlatformDisplay(DEVICE, device, None))
sys.exit(0 if any(display and egl.eglInitialize(display, None, None) for display in displays) else "no EGL driver")
"""


@functools.cache
def missing() -> list[str]:
    """Return which libraries of `DEBIAN_PACKAGES` are missing; on macOS and Windows, none ever are."""
    if not sys.platform.startswith("linux"):
        return []
    names = [name for name in DEBIAN_PACKAGES if ".so." in name]
    probe = subprocess.run(
        [sys.executable, "-I", "-c", PROBE, *names],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return probe.stdout.split() + (["an EGL driver"] if probe.returncode else [])


def ensure(libraries: bool, packages: list[str]) -> None:
    """Install Debian `packages` and the `libraries` that Blender lacks, or raise a `Problem` that names them all."""
    lacking = missing() if libraries else []
    if not lacking and not packages:
        return
    say(f"this system lacks {', '.join([*lacking, *packages])}")
    install(" ".join([*(DEBIAN_PACKAGES[name] for name in lacking), *packages]).split())
    missing.cache_clear()
    if libraries and (still := missing()):
        raise Problem(f"the packages are installed, but Blender still cannot find {', '.join(still)} on this system.")


def install(packages: list[str]) -> None:
    """Install Debian packages when root on Debian or Ubuntu; otherwise raise a `Problem` with the line to copy."""
    may_install = shutil.which("apt-get") is not None and hasattr(os, "geteuid") and os.geteuid() == 0
    if not may_install:
        raise Problem(
            "an administrator has to install that. On Debian or Ubuntu copy this line, then try again:\n"
            f"  sudo apt-get update && sudo apt-get install -y --no-install-recommends {' '.join(packages)}"
        )
    command = ["apt-get", "install", "-y", "--no-install-recommends", "-q", *packages]
    say(f"installing {' '.join(packages)}")
    with lock(LOCK, "apt-get"):
        failed = _apt(command) and (_apt(["apt-get", "update", "-q"]) or _apt(command))
    if failed:
        raise Problem(f"apt-get could not install {' '.join(packages)}; the reason is printed above.")


def _apt(command: list[str]) -> int:
    return run(command, stdout=STDERR, DEBIAN_FRONTEND="noninteractive")
