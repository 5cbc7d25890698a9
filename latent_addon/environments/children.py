"""Start other Pythons so that the user's settings do not disturb them, and so that they end with this process."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

PIP_SETTINGS_KEPT = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_NO_INDEX",
    "PIP_TRUSTED_HOST",
    "PIP_CERT",
    "PIP_CLIENT_CERT",
    "PIP_PROXY",
    "PIP_TIMEOUT",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_RETRIES",
    "PIP_CACHE_DIR",
    "PIP_NO_CACHE_DIR",
    "PIP_CONFIG_FILE",
    "PIP_KEYRING_PROVIDER",
    "PIP_USE_FEATURE",
    "PIP_DISABLE_PIP_VERSION_CHECK",
)
"""The user may set from where and how packages come, but not where they are installed."""

GUARD = """
import atexit, os, runpy, signal, sys, threading, traceback
def watch():
    try:
        while os.read(0, 1):
            pass
    except OSError:
        pass
    if os.name == "posix":
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
threading.Thread(target=watch, daemon=True).start()
del sys.argv[0]
code = None
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
except SystemExit as end:
    code = end.code
except BaseException:
    traceback.print_exc()
    code = 1
if code is not None and not isinstance(code, int):
    print(code, file=sys.stderr)
    code = 1
atexit._run_exitfuncs()
sys.stdout.flush()
sys.stderr.flush()
os._exit(code or 0)
"""
"""Runs a module as "python -m" does, and ends with its whole process group when stdin closes.

Stdin closes when the process that started it ends. The program exits without the interpreter's normal shutdown, which
on Windows would wait for the thread that reads stdin.
"""

IDLE_SECONDS = 0.25
_END = object()


class Stopped(Exception):
    """`Children.stop` was called."""


def clean_environment(**extra: str) -> dict[str, str]:
    """Return this process's environment variables and `extra`, without those that disturb other Pythons or Blenders."""
    kept = {name: value for name, value in os.environ.items() if not _is_stray(name.upper())}
    return kept | {"PYTHONNOUSERSITE": "1"} | extra


def output_of(command: Sequence[str]) -> str:
    """Run a program and return what it prints, "" if it cannot be run, fails, or takes longer than 30 seconds."""
    try:
        return subprocess.run(
            list(command),
            env=clean_environment(),
            cwd=tempfile.gettempdir(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=30,
            check=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _is_stray(name: str) -> bool:
    if name.startswith("PIP_"):
        return name not in PIP_SETTINGS_KEPT
    return name.startswith(("PYTHON", "BLENDER_")) or name in ("VIRTUAL_ENV", "CONDA_PREFIX", "__PYVENV_LAUNCHER__")


class Children:
    """Runs Python modules, one at a time. After `stop` it has ended the module that ran, and cannot be used again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self.stopped = False
        """Whether `stop` was called."""

    def run(
        self,
        python: Path,
        module: Sequence[str | Path],
        on_line: Callable[[str], None],
        *,
        flags: Sequence[str] = ("-I",),
        on_idle: Callable[[], None] = lambda: None,
        **extra: str,
    ) -> int:
        """Run ``python -m module ...`` to its end and return its exit status.

        on_line gets every line of stdout and stderr. on_idle is called when there is no line for a quarter of a second.
        Both are called in the calling thread. `extra`: additional environment variables.
        Raises Stopped, before or while it runs, and OSError if `python` cannot be started.
        """
        command = [str(python), *flags, "-u", "-X", "utf8", "-c", GUARD, *map(str, module)]
        with self._lock:
            if self.stopped:
                raise Stopped
            child = self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=clean_environment(**extra),
                cwd=tempfile.gettempdir(),  # Windows locks the working folder of a process
                start_new_session=os.name == "posix",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        lines: queue.SimpleQueue[object] = queue.SimpleQueue()
        reader = threading.Thread(target=_read_lines, args=(child, lines), name="lantern-setup-reader", daemon=True)
        reader.start()
        patience = 0.0
        try:
            while True:
                try:
                    line = lines.get(timeout=IDLE_SECONDS)
                except queue.Empty:
                    on_idle()
                    continue
                if line is _END:
                    break
                on_line(str(line))
            # After the end of its output it has a moment to end on its own, because its exit status is useful.
            patience = 2.0
        finally:
            # Also when on_line has raised: nothing else will end it.
            self._end(child, patience)
            reader.join()
        if self.stopped:
            raise Stopped
        return child.returncode

    def stop(self) -> None:
        """End the module that runs, at once; from then on `run` raises Stopped. Any thread may call this."""
        with self._lock:
            self.stopped = True
            if self._child is not None:
                _kill(self._child)

    def check(self) -> None:
        """Raise Stopped if `stop` was called."""
        if self.stopped:
            raise Stopped

    def _end(self, child: subprocess.Popen[bytes], patience: float) -> None:
        # From here on `stop` does not touch it: after it has been waited for, another process may get its number.
        with self._lock:
            self._child = None
        try:
            child.wait(patience)
        except subprocess.TimeoutExpired:
            _kill(child)
            child.wait()
        assert child.stdin is not None
        with contextlib.suppress(OSError):
            child.stdin.close()


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End a child and its children; the process group may live longer than its leader."""
    if os.name != "posix":
        child.kill()
        return
    # The group may be empty already; macOS raises "not permitted" when only a zombie is left in it.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def _read_lines(child: subprocess.Popen[bytes], lines: queue.SimpleQueue[object]) -> None:
    assert child.stdout is not None
    try:
        with child.stdout as stream:
            while line := stream.readline(8192):
                # A progress bar returns to the start of its line again and again; only its last state is kept.
                text = line.decode("utf-8", "replace").rstrip().rpartition("\r")[2]
                if text:
                    lines.put(text)
    finally:
        lines.put(_END)
