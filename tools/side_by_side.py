"""Run several programs at once, each with its output kept until its end, so that two never mix."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tools.console import clean_environment

PAUSE = 0.05
"""Seconds between two looks at what runs."""

PATIENCE = 10.0
"""Seconds in which a program must end when it is stopped; then it is killed."""


@dataclass(frozen=True)
class Started:
    """A program has started. running: the names of all that run now."""

    name: str
    running: tuple[str, ...]


@dataclass(frozen=True)
class Ended:
    """A program has ended. seconds: how long it ran. output: its stdout and stderr. running: what still runs."""

    name: str
    status: int
    seconds: float
    output: bytes
    running: tuple[str, ...]


@dataclass(frozen=True)
class _Running:
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    start: float


def run_all(commands: Mapping[str, Sequence[str | Path]], at_once: int) -> Generator[Started | Ended, None, None]:
    """Run named commands in their order, `at_once` at a time, and yield what happens as it happens.

    When the generator is closed, or Ctrl+C or SIGTERM interrupts it, everything that still runs is ended first.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    waiting = list(commands)
    running: dict[str, _Running] = {}
    with contextlib.ExitStack() as files:
        try:
            while waiting or running:
                if waiting and len(running) < at_once:
                    name = waiting.pop(0)
                    output = files.enter_context(tempfile.TemporaryFile())
                    running[name] = _start(commands[name], output)
                    yield Started(name, tuple(running))
                    continue
                ended = [name for name, job in running.items() if job.process.poll() is not None]
                for name in ended:
                    job = running.pop(name)
                    seconds = time.monotonic() - job.start
                    job.output.seek(0)
                    yield Ended(name, job.process.returncode, seconds, job.output.read(), tuple(running))
                if not ended:
                    time.sleep(PAUSE)
        finally:
            _stop([job.process for job in running.values()])
            signal.signal(signal.SIGTERM, before)


def _start(command: Sequence[str | Path], output: IO[bytes]) -> _Running:
    process = subprocess.Popen(
        list(map(str, command)),
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
    )
    return _Running(process, output, time.monotonic())


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """End what runs as Ctrl+C does. In a terminal, Ctrl+C has reached it already, so first it gets a second to end."""
    if _all_ended(processes, 1.0):
        return
    for process in processes:
        if process.poll() is None:
            process.terminate() if sys.platform == "win32" else process.send_signal(signal.SIGINT)
    if not _all_ended(processes, PATIENCE):
        for process in processes:
            process.kill()
            process.wait()


def _all_ended(processes: list[subprocess.Popen[bytes]], patience: float) -> bool:
    end = time.monotonic() + patience
    while any(process.poll() is None for process in processes):
        if time.monotonic() > end:
            return False
        time.sleep(PAUSE)
    return True
