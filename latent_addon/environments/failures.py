"""Explain the failures of pip and venv to a person: what happened, and what to do."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .pythons import Python

_NO_WAY = re.compile(
    r"Failed to establish a new connection|Name or service not known|name resolution|getaddrinfo failed|nodename nor "
    r"servname|Network is unreachable|No route to host|Connection refused|ConnectTimeoutError|ProxyError|"
    r"Tunnel connection failed|NameResolutionError",
    re.IGNORECASE,
)
_BROKE_OFF = re.compile(
    r"Connection broken|IncompleteRead|ReadTimeoutError|Connection aborted|Connection reset|Read timed out|"
    r"ProtocolError|incomplete-download|Download failed",
    re.IGNORECASE,
)
_HOST = re.compile(r"host='([^']+)'")
_NOT_FOUND = re.compile(r"No matching distribution found for ([^\s;(]+)")
_HTTP = re.compile(r"(?:HTTP error |Error: )?\b(4\d\d|5\d\d) (?:Client|Server) Error[^\n]*?(?:for url: (\S+))?$", re.M)
_FULL = re.compile(r"No space left on device|\[Errno 28\]|not enough space on the disk|WinError 112|\[Errno 122\]")
_FORBIDDEN = re.compile(r"Permission denied|Access is denied|\[Errno 13\]|\[WinError 5\]")
_FORBIDDEN_PATH = re.compile(r"(?:Permission|Access is) denied: '([^']+)'")
_CHANGED = re.compile(r"DO NOT MATCH THE HASHES|Hash mismatch", re.IGNORECASE)
_DAMAGED = re.compile(r"Wheel '([^']+)'[^\n]* is invalid|has an invalid wheel|BadZipFile|Bad CRC-32|not a zip file")
_NO_ENSUREPIP = re.compile(r"ensurepip is not available|No module named '?(?:ensurepip|venv)")


class Failed(Exception):
    """Raised when a step of a set-up has failed; the text is sentences for a person.

    downloads_are_good: the files that were downloaded before are complete, and are kept for the next time.
    """

    def __init__(self, text: str, downloads_are_good: bool = False):
        super().__init__(text)
        self.downloads_are_good = downloads_are_good


@dataclass(frozen=True, slots=True)
class Context:
    """What was tried: with which Python, into which folder, from which folder of wheels (None: from an index)."""

    python: Python
    folder: Path
    wheels: Path | None = None


def explain(lines: Sequence[str], status: int, doing: str, context: Context) -> Failed:
    """Return the reason why a program failed, from the `lines` that it printed and its exit status `status`."""
    text = "\n".join(lines)
    if found := _of_this_machine(text, context) or _of_what_came(text, context):
        return Failed(found)
    if found := _of_the_network(text):
        return Failed(found, downloads_are_good=True)
    if found := _of_what_there_is(text, context):
        return Failed(found)
    if status < 0 or status == 137:
        signal = -status if status < 0 else 9
        return Failed(f"{doing} was ended from outside (signal {signal}), perhaps because memory ran out.", True)
    errors = [line for line in lines if line.startswith("ERROR:")] or list(lines)
    last = errors[-1].removeprefix("ERROR:").strip() if errors else "it said nothing"
    return Failed(f"{doing} failed with exit status {status}: {last}")


def full(folder: Path) -> str:
    """Return the sentence for a full disk."""
    return f"The disk of {folder} is full. Free some room on it, then try again."


def forbidden(path: Path | str) -> str:
    """Return the sentence for a folder that the user may not write to."""
    return f"{path} may not be written. Give yourself the right to write there, then try again."


def no_environments(python: Python) -> str:
    """Return the sentence for a Python that cannot make environments, because it lacks ensurepip."""
    words = f"{python} cannot make environments, because it lacks ensurepip."
    if sys.platform.startswith("linux") and str(python.executable).startswith("/usr/bin"):
        return f"{words} On Debian and Ubuntu: sudo apt install python{python.version}-venv."
    return f"{words} Choose another Python, or install one from python.org."


def _of_this_machine(text: str, context: Context) -> str:
    if _FULL.search(text):
        return full(context.folder)
    if "Long Path support" in text or "[WinError 206]" in text:
        return (
            f"A path in {context.folder} became too long for Windows. An administrator can allow long paths: "
            "https://pip.pypa.io/warnings/enable-long-paths."
        )
    if "Read-only file system" in text:
        return forbidden(context.folder)
    if _FORBIDDEN.search(text):
        path = _FORBIDDEN_PATH.search(text)
        return forbidden(path[1] if path else context.folder)
    if _NO_ENSUREPIP.search(text):
        return no_environments(context.python)
    if "MemoryError" in text:
        return "This machine has run out of memory. Close other programs, then try again."
    return ""


def _of_the_network(text: str) -> str:
    host = _HOST.search(text)
    where = host[1] if host else "the package index"
    if "CERTIFICATE_VERIFY_FAILED" in text or "SSLError" in text or "SSL: " in text:
        return (
            f"The connection to {where} is not trusted: its certificate was not accepted. Where a network reads "
            "connections, as in some companies, pip has to know its certificate: pip config set global.cert FILE."
        )
    if _NO_WAY.search(text):
        return f"There is no connection to {where}. Check the network, or install from a folder of wheels."
    if found := _HTTP.search(text):
        return f"The package index answered with error {found[1]}{f' for {found[2]}' if found[2] else ''}. Try later."
    if _BROKE_OFF.search(text):
        return f"The connection to {where} broke off. Try again: what has come is kept."
    return ""


def _of_what_came(text: str, context: Context) -> str:
    if _CHANGED.search(text):
        return "What was downloaded is not what was announced: its hash is different. Try again."
    if found := _DAMAGED.search(text):
        which = f"The wheel {found[1]}" if found[1] else "A wheel"
        return f"{which} is damaged. " + ("Copy it again." if context.wheels is not None else "Try again.")
    return ""


def _of_what_there_is(text: str, context: Context) -> str:
    if found := _NOT_FOUND.search(text):
        machine = f"Python {context.python.version} on {platform.system()} {platform.machine()}"
        if context.wheels is not None:
            return f"The folder {context.wheels} has no wheel of {found[1]} for {machine}."
        return f"The package index has no {found[1]} for {machine}. Choose another Python or another build."
    if "ResolutionImpossible" in text or "conflicting dependencies" in text:
        return "The package index has versions that do not fit together. The log says which."
    return ""
