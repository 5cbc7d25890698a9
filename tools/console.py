"""Talk to the person at the terminal, start other programs, and let one dev.py wait for another."""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from latent_addon.environments import locks
from latent_addon.environments.children import clean_environment

STDERR = 2


class Problem(Exception):
    """A problem that the person can solve; the message says what is wrong and what to do."""


def say(message: str) -> None:
    """Print a line of progress on stderr, because stdout belongs to the program that dev.py starts."""
    print(f"dev.py: {message}", file=sys.stderr, flush=True)


def run(command: Sequence[str | Path], *, stdout: int | None = None, quietly: bool = False, **extra: str) -> int:
    """Run a program to its end and return its exit status. With `quietly`, stderr goes to where `stdout` goes."""
    parts = [str(part) for part in command]
    stderr = subprocess.STDOUT if quietly else None
    return subprocess.run(parts, env=clean_environment(**extra), stdout=stdout, stderr=stderr, check=False).returncode


def run_step(command: Sequence[str | Path], doing: str, *, quietly: bool = False) -> None:
    """Run one step of a set-up. Its output is on stderr; with `quietly`, it is shown only if the step fails.

    Raises `Problem` if the step fails.
    """
    with tempfile.TemporaryFile() as output:
        status = run(command, stdout=output.fileno() if quietly else STDERR, quietly=quietly)
        if status and quietly:
            output.seek(0)
            sys.stderr.write(output.read().decode(errors="replace"))
    if status:
        line = " ".join(map(str, command))
        raise Problem(f"{doing} failed (exit status {status}); the reason is printed above. Command: {line}")


@contextlib.contextmanager
def lock(path: Path, waiting_for: str) -> Iterator[None]:
    """Hold the lock file `path`; the operating system releases it even if this process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if locks.holder(path) is not None:
        say(f"waiting for another dev.py, which is busy with {waiting_for}")
    with locks.held(path, patience=math.inf):
        yield
