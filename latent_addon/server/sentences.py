"""The sentences that the panel shows when the server is not running: what happened, and what to do next."""

from __future__ import annotations

import signal

from ...lantern_protocol import errors, versions

NOT_RUNNING = "The inference server is not running."
STOPPED = "The inference server was stopped."
_NEXT_CLICK = "The next click starts it again."
_OTHER_PYTHON = "Repair inference, or choose another Python, in the preferences."
KILLED = -9
"""SIGKILL, as Popen has it."""
_MISSING_PART = 3
"""The server's exit code when its last line on stderr is already a sentence for the user, e.g. if torch is missing."""


def not_startable(program: str, error: Exception) -> str:
    """Return the sentence for a program that the system refused to start."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"'{program}' could not be started: {reason}. {_OTHER_PYTHON}"


def not_greeted(error: errors.ProtocolError) -> str:
    """Return the sentence for a server that answered `initialize` with an error."""
    return f"The inference server could not start: {_open_end(str(error))}. {_OTHER_PYTHON}"


def mismatched(server: object) -> str:
    """Return the sentence for a server of a different release. server: the version that it gave, None if none."""
    version = errors.readable(str(server or "unknown"))[:40]
    return (
        f"The inference server is version {version} and this add-on needs {versions.SERVER_VERSION}: "
        "they must come from one release. Press Repair in the Lantern tab, or restart Blender."
    )


def silent(starting: bool, seconds: float) -> str:
    """Return the sentence for a server that sent nothing for so long that it was stopped."""
    deed = "started" if starting else "answered"
    return f"The inference server has not {deed} for {seconds:g} s and was stopped. {_NEXT_CLICK}"


def unintelligible(count: int) -> str:
    """Return the sentence for a server whose output is not messages."""
    return (
        f"The inference server sent {count} things in a row that are no messages, and was stopped. "
        f"The log shows them. {_OTHER_PYTHON}"
    )


def useless(error: Exception) -> str:
    """The server's answer is not what was asked for."""
    text = errors.readable(str(error))[:200]
    return f"The inference server's answer is of no use ({type(error).__name__}: {text}). Try again."


def ended(starting: bool, code: int | None, last_line: str) -> str:
    """Return the sentence for a server that ended on its own.

    code: as Popen has it, None if only its output closed. last_line: the last line of its stderr.
    """
    if code is None:
        return f"The inference server closed its output and was stopped. {_NEXT_CLICK}"
    last_line = _open_end(last_line)
    if starting and code == _MISSING_PART and last_line:
        return f"{last_line}."
    words = f": {last_line}" if last_line and code > 0 else ""
    if starting:
        if code == KILLED:
            return (
                "The inference server was killed while starting. The system ends programs like this when memory runs "
                "out. Close other programs, then try again."
            )
        return f"The inference server stopped while starting ({_ending(code)}){words}. {_OTHER_PYTHON}"
    return f"The inference server stopped ({_ending(code)}){words}. {_NEXT_CLICK}"


def job_ended(code: int, last_line: str) -> str:
    """Return the sentence for a job that ended with an error. code: as Popen has it; last_line: the last it printed."""
    last_line = _open_end(last_line)
    if last_line and code > 0:
        return f"{last_line}."
    return f"The process ended ({_ending(code)}){': ' + last_line if last_line else ' without a word'}."


def _open_end(text: str) -> str:
    return text.rstrip(" .")


def _ending(code: int) -> str:
    if code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    return (
        f"exit code {code}" if code < 1 << 16 else f"exit code {code:#010X}"
    )  # Windows reports faults as large numbers
