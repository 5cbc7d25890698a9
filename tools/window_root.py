"""A Blender with a window for machines that have none: Debian's own build, unpacked into a folder, never installed.

Debian's unstable suite contains a current Blender. apt finds out which packages it needs on an empty system and
downloads them. They are unpacked into a folder of the cache, and the two programs in it (Blender and its Python) are
told where their libraries are. So no administrator is needed, nothing in the system changes, and Blender runs like any
other program of the user: it sees the machine's own paths, and a server that it starts is the machine's own Python.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tools import system_libraries
from tools.console import Problem, clean_environment, lock, run_step, say
from tools.environments import Missing, cache_folder

SUITE = "sid"
PACKAGES = (
    "blender",
    "libgl1-mesa-dri",
    "libegl-mesa0",
    "libgl1",
    "libegl1",
    "libglx-mesa0",
    "patchelf",
    "python3-numpy",
    "python3-requests",
    "python3-venv",  # the Blender of blender.org has it too
    "python3-cattr",  # without it the extensions add-on does not load
    "python3-zstandard",
    "xkb-data",
)
APT_FOLDER = Path("/etc/apt")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR_VARIABLE = "LANTERN_DEBIAN_MIRROR"
BLENDER_VARIABLE = "LANTERN_BLENDER"
TOOLS = {"Xvfb": "xvfb", "xdotool": "xdotool", "apt-get": "apt", "dpkg-deb": "dpkg"}
# The launcher sets the paths that Debian has compiled in as /usr/share/.... It asks for drawing by the processor,
# because graphics cards would make different pictures on every machine. The cache of shaders is separate, because a
# cache that another release of Mesa writes at the same time makes the process end.
LAUNCHER = """#!/bin/sh
root={root}
export BLENDER_SYSTEM_RESOURCES="$root/usr/share/blender" BLENDER_SYSTEM_PYTHON="$root/usr"
export LIBGL_ALWAYS_SOFTWARE=1 LIBGL_DRIVERS_PATH="{libraries}/dri" __GLX_VENDOR_LIBRARY_NAME=mesa
export __EGL_VENDOR_LIBRARY_DIRS="$root/usr/share/glvnd/egl_vendor.d"
export MESA_SHADER_CACHE_DIR="$root/shaders"
export XKB_CONFIG_ROOT="$root/usr/share/X11/xkb" XLOCALEDIR="$root/usr/share/X11/locale"
exec "$root/usr/bin/blender" "$@"
"""
# Python is not a position-independent program, and does not work after it was patched. So a script with its name starts
# it. The name must stay, because environments find themselves by it.
PYTHON = """#!/bin/sh
exec {loader} --library-path {libraries} --argv0 "$0" {program} "$@"
"""


def blender() -> Path:
    """Return a Blender that can open a window, and make sure that a screen is available.

    It is the one of `LANTERN_BLENDER`, or else Debian's, which is made if it does not exist yet. Raises `Missing` if
    neither is possible.
    """
    if not sys.platform.startswith("linux"):
        raise Missing("the window tests move the pointer of an X server, which this system does not have.")
    given = os.environ.get(BLENDER_VARIABLE, "")
    if given and not os.access(given, os.X_OK):
        raise Problem(f"{BLENDER_VARIABLE} names {given}, which is no program that can be run.")
    _ensure_tools(("Xvfb", "xdotool") if given else tuple(TOOLS))
    return Path(given) if given else _made()


def _ensure_tools(names: tuple[str, ...]) -> None:
    lacking = [TOOLS[name] for name in names if shutil.which(name) is None]
    if len(names) == len(TOOLS) and not KEYRING.is_file():
        lacking.append("debian-archive-keyring")
    if lacking:
        try:
            system_libraries.install(lacking)
        except Problem as problem:
            raise Missing(f"the window tests need {', '.join(lacking)}; {problem}") from problem


def _made() -> Path:
    root = cache_folder() / "window" / f"{SUITE}-{_recipe()}"
    launcher, finished = root / "blender", root / "finished.txt"
    with lock(root.with_name(f"{root.name}.lock"), "Blender with a window"):
        if finished.is_file():
            say(f"reusing {finished.read_text('utf-8').strip()} in {root}")
            return launcher
        if root.exists():
            say("Blender with a window was left unfinished; making it again")
            shutil.rmtree(root)
        mirror = _mirror()
        say(f"making Blender with a window in {root} (this downloads 300 MB and takes 1.2 GB)")
        _unpack(_download(root, mirror), root)
        _link_libraries(root)
        libraries = _libraries(root)[0]
        launcher.write_text(LAUNCHER.format(root=_quoted(root), libraries=libraries), "utf-8")
        launcher.chmod(0o755)
        finished.write_text(_version(launcher) + "\n", "utf-8")
    return launcher


def _recipe() -> str:
    return hashlib.sha256("\n".join([SUITE, *PACKAGES, LAUNCHER, PYTHON]).encode()).hexdigest()[:10]


def _mirror() -> str:
    """Return the Debian mirror that the user names, or else the one of this machine's apt."""
    named = os.environ.get(MIRROR_VARIABLE, "")
    found = [named] if named else [address for address in _apt_addresses() if _is_debian(address)]
    if not found:
        raise Missing(
            f"this machine's apt knows no Debian mirror. Name one in {MIRROR_VARIABLE}, or a Blender in "
            f"{BLENDER_VARIABLE}."
        )
    return found[0]


def _is_debian(address: str) -> bool:
    return address.rstrip("/").rpartition("/")[2] == "debian"


def _apt_addresses() -> Iterator[str]:
    for path in (APT_FOLDER / "sources.list", *sorted((APT_FOLDER / "sources.list.d").glob("*"))):
        if path.suffix not in (".list", ".sources") or not path.is_file():
            continue
        for line in path.read_text("utf-8", "replace").splitlines():
            if line.startswith(("deb ", "URIs:")):
                yield from re.findall(r"\bhttps?://\S+", line)


def _download(root: Path, mirror: str) -> list[Path]:
    """Let apt download the packages that Blender needs on a system that has none; return their files."""
    apt = root / "apt"
    for folder in ("state/lists/partial", "cache/archives/partial", "parts"):
        (apt / folder).mkdir(parents=True)
    (apt / "status").touch()
    (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} {SUITE} main\n", "utf-8")
    own = {
        "Dir::State": apt / "state",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
        "Dir::Etc::SourceList": apt / "sources.list",
        "Dir::Etc::SourceParts": apt / "parts",
        "Dir::Etc::Parts": apt / "parts",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Check-Valid-Until": "false",  # because a mirror may be a frozen copy
        "Acquire::Check-Date": "false",
    }
    settings = [*_network_settings(), *(f'{name} "{value}";' for name, value in own.items())]
    (apt / "apt.conf").write_text("\n".join(settings) + "\n", "utf-8")
    get = ["env", f"APT_CONFIG={apt / 'apt.conf'}", "apt-get", "-y", "-q"]
    run_step([*get, "update"], f"Reading {mirror}", quietly=True)
    run_step([*get, "install", "--download-only", *PACKAGES], "Downloading Blender", quietly=True)
    return sorted((apt / "cache" / "archives").glob("*.deb"))


def _network_settings() -> list[str]:
    """Return the settings with which this machine's apt reaches its mirrors (proxies, certificates), without hooks."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return [line for line in dump.splitlines() if re.match(r"Acquire::(https?|ftp|Retries|ForceIPv4)\b", line)]


def _unpack(archives: list[Path], root: Path) -> None:
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for archive in archives:
        run_step(["dpkg-deb", "-x", archive, root], f"Unpacking {archive.name}", quietly=True)
    shutil.rmtree(root / "apt")


def _libraries(root: Path) -> list[Path]:
    """Return the folders with the root's shared libraries, the main one first."""
    main = next(root.glob("usr/lib/*-linux-gnu*/libc.so.6")).parent
    return [main, main / "blas", main / "lapack", main / "pulseaudio", root / "usr" / "lib"]


def _link_libraries(root: Path) -> None:
    """Write into Blender and its Python where their loader and libraries are."""
    folders = _libraries(root)
    loader = next(folders[0].glob("ld-linux*.so.*"))
    path = ":".join(map(str, folders))
    patch = [loader, "--library-path", path, root / "usr" / "bin" / "patchelf"]
    there = ["--set-interpreter", loader, "--force-rpath", "--set-rpath", path]
    run_step([*patch, *there, root / "usr/bin/blender"], "Linking Blender", quietly=True)
    python = (root / "usr/bin/python3").resolve()
    program = python.rename(python.with_name(f"{python.name}.bin"))
    python.write_text(PYTHON.format(loader=_quoted(loader), libraries=_quoted(path), program=_quoted(program)), "utf-8")
    python.chmod(0o755)
    # A library that has its own path does not use the program's path.
    for library in folders[0].rglob("lib*.so*"):
        if not library.is_symlink() and _own_path([*patch, "--print-rpath", library]).strip():
            run_step([*patch, "--remove-rpath", library], f"Linking {library.name}", quietly=True)


def _own_path(command: list[str | Path]) -> bytes:
    return subprocess.run(command, capture_output=True, check=False).stdout


def _version(launcher: Path) -> str:
    done = subprocess.run([launcher, "--version"], env=clean_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise Problem(f"Debian's Blender does not run on this machine: {(done.stderr or done.stdout).strip()}")
    return done.stdout.splitlines()[0]


def _quoted(path: Path | str) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"
