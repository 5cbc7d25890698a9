"""Read the user's own pip settings: from which index packages come."""

from __future__ import annotations

import configparser
import os
import sys
from pathlib import Path

SOURCES = ("index-url", "extra-index-url", "find-links", "no-index")
"""Settings that say where packages come from. If one is set, the add-on adds no index."""

_SECTIONS = ("global", "install")


def read() -> dict[str, str]:
    """Return pip's settings by name ("index-url"), from its configuration files and from PIP_* variables.

    Where pip looks: https://pip.pypa.io/en/stable/topics/configuration/. A file that cannot be read is skipped: pip
    itself reports it.
    """
    found: dict[str, str] = {}
    for path in _files():
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, "utf-8")
        except (OSError, configparser.Error, UnicodeDecodeError):
            continue
        for section in _SECTIONS:
            if parser.has_section(section):
                found |= {_plain(name): value for name, value in parser.items(section) if value}
    return found | {_plain(name[4:]): value for name, value in os.environ.items() if name[:4] == "PIP_" and value}


def own_sources(settings: dict[str, str]) -> list[str]:
    """Return the names of the settings that say where packages come from."""
    return [name for name in SOURCES if settings.get(name)]


def folders_of_wheels(settings: dict[str, str]) -> list[Path]:
    """Return the folders on this machine that `find-links` names."""
    named = [Path(link.removeprefix("file://")) for link in settings.get("find-links", "").split()]
    return [folder for folder in named if folder.is_dir()]


def _plain(name: str) -> str:
    return name.strip("-").lower().replace("_", "-")


def _files() -> list[Path]:
    named = os.environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    home = Path.home()
    if sys.platform == "win32":
        everyone = [Path(os.environ.get("PROGRAMDATA", r"C:\ProgramData")) / "pip" / "pip.ini"]
        own = [home / "pip" / "pip.ini", Path(os.environ.get("APPDATA") or home) / "pip" / "pip.ini"]
    else:
        config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
        everyone = [Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf")]
        own = [home / ".pip" / "pip.conf", config / "pip" / "pip.conf"]
        if sys.platform == "darwin":
            everyone = [Path("/Library/Application Support/pip/pip.conf")]
            own.append(home / "Library" / "Application Support" / "pip" / "pip.conf")
    return [*everyone, *own, *([Path(named)] if named else [])]
