"""What the person who makes the demo sees: lines of progress, and nothing of what Blender prints."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_screen = sys.stdout


def say(text: str) -> None:
    """Print a line."""
    print(f"\r\033[K{text}" if _screen.isatty() else text, file=_screen, flush=True)


def progress(text: str) -> None:
    """Print over the last line, on a terminal; elsewhere print nothing."""
    if _screen.isatty():
        print(f"\r\033[K{text}", end="", file=_screen, flush=True)


@contextmanager
def counted(text: Callable[[], str]) -> Iterator[None]:
    """Show `text()` again and again while something else runs."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.3):
            progress(text())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


@contextmanager
def quiet(log: Path) -> Iterator[None]:
    """Send what Blender prints, a line for each frame and more, to a file. A failure is still shown on the screen."""
    global _screen
    sys.stdout.flush()
    sys.stderr.flush()
    out, err = os.dup(1), os.dup(2)
    _screen = os.fdopen(os.dup(out), "w", encoding="utf-8", errors="replace")
    with log.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    except BaseException:
        say(f"failed; what Blender said is in {log}")
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.close(out)
        os.close(err)
