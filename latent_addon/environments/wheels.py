"""Read which wheels are in a folder, for installing without a network."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable
from pathlib import Path


def missing(folder: Path, pins: Iterable[str], version: str) -> list[str]:
    """Return the pins ("numpy==2.4.6") for which the folder has no wheel that fits Python `version` on this machine.

    The packages that the pinned packages need are not checked; pip reports them if they are missing. Raises OSError.
    """
    names = [path.name for path in folder.iterdir() if path.suffix == ".whl"]
    have = {release for name in names if (release := _release(name, version))}
    return [pin for pin in pins if _pin(pin) not in have]


def _pin(pin: str) -> tuple[str, str]:
    name, _, version = pin.partition("==")
    return _plain(name), version.strip()


def _release(filename: str, version: str) -> tuple[str, str] | None:
    """Return a wheel's name and version, without "+cpu"; None if it does not fit Python `version` or this machine."""
    parts = filename.removesuffix(".whl").split("-")
    if len(parts) not in (5, 6):  # https://packaging.python.org/en/latest/specifications/binary-distribution-format/
        return None
    pythons, abis, platforms = parts[-3:]
    if not _fits_python(pythons.split("."), abis, version) or not any(map(_fits_machine, platforms.split("."))):
        return None
    return _plain(parts[0]), parts[1].partition("+")[0]


def _fits_python(tags: list[str], abi: str, version: str) -> bool:
    minor = int(version.partition(".")[2])
    if {"py3", "py2.py3", f"cp3{minor}", f"py3{minor}"} & set(tags):
        return True
    stable = [re.fullmatch(r"cp3(\d+)", tag) for tag in tags] if abi == "abi3" else []
    return any(match is not None and int(match[1]) <= minor for match in stable)


def _fits_machine(tag: str) -> bool:
    if tag == "any":
        return True
    processor = platform.machine().lower()
    if sys.platform == "win32":
        return tag == f"win_{processor}"
    if sys.platform == "darwin":
        return tag.startswith("macosx") and tag.endswith((processor, "universal2"))
    return "linux" in tag and tag.endswith(processor)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).strip().lower()
