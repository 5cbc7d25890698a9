"""A screen in memory, a Blender on it, and a person who uses it."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from PIL import Image, ImageGrab

from tools.console import clean_environment

SIZE = (1600, 1000)
"""The screen in pixels: as small as a person's work allows, because the processor draws it."""

PATIENCE = 180.0
"""Seconds that a test waits for an event. They are many, because the machine may have other work."""
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)  # loaded here, because it must not happen between fork and exec

DRIVER = Path(__file__).with_name("driver.py")


class WindowError(AssertionError):
    """The awaited event has not come, or Blender has ended."""


class Screen:
    """An X server that keeps its picture in memory."""

    def __init__(self, log: Path, size: tuple[int, int] = SIZE):
        self.width, self.height = size
        reading, writing = os.pipe()
        depth = f"{self.width}x{self.height}x24"
        command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", depth, "-nolisten", "tcp", "-ac"]
        with log.open("wb") as output:
            self._process = start(command, clean_environment(), output, [writing])
        os.close(writing)
        with os.fdopen(reading) as pipe:
            number = pipe.readline().strip()
        if not number:
            raise WindowError(f"Xvfb did not start: {log.read_text('utf-8', 'replace')}")
        self.display = f":{number}"

    def picture(self) -> Image.Image:
        """What the screen shows, RGB."""
        return ImageGrab.grab(xdisplay=self.display)

    def xdotool(self, *arguments: object) -> None:
        """Move the pointer, press a key."""
        environment = clean_environment(DISPLAY=self.display)
        subprocess.run(["xdotool", *map(str, arguments)], env=environment, check=True, capture_output=True)

    def close(self) -> None:
        """End the X server."""
        end(self._process)


class BlenderWindow:
    """A Blender with a window over the whole screen, and a way to run scripts on its main thread."""

    def __init__(self, screen: Screen, folder: Path, arguments: tuple[str | Path, ...] = (), **environment: str):
        self.screen = screen
        self.folder = folder
        self.console = folder / "console.txt"
        self._driver = folder / "driver"
        shutil.rmtree(self._driver, ignore_errors=True)
        self._driver.mkdir(parents=True)
        self._numbers = itertools.count(1)
        temporary = folder / "temporary"  # where Blender keeps unsaved work
        temporary.mkdir(exist_ok=True)
        size = ["--window-geometry", "0", "0", str(screen.width), str(screen.height)]
        command = [os.environ["LANTERN_BLENDER"], *size, "--python-exit-code", "3", *map(str, arguments)]
        command += ["--python", str(DRIVER)]
        own = clean_environment(
            DISPLAY=screen.display,
            BLENDER_USER_RESOURCES=str(folder / "resources"),
            LANTERN_DRIVER=str(self._driver),
            TMPDIR=str(temporary),
            PYTHONWARNINGS="default",
            **environment,
        )
        own.pop("WAYLAND_DISPLAY", None)
        with self.console.open("ab") as output:
            self._before = output.tell()
            self.process = start(command, own, output)
        self.run("")

    def run(self, code: str, patience: float = PATIENCE) -> Any:
        """Run Python in Blender's main thread; return what it has put into `value` (plain data)."""
        answer = self.begin(code)
        self._wait(answer.exists, f"an answer to {code!r}", patience)
        told = json.loads(answer.read_text("utf-8"))
        answer.unlink()
        if "error" in told:
            raise WindowError(f"In Blender: {told['error']}\nwhile running:\n{code}")
        return told["value"]

    def begin(self, code: str) -> Path:
        """Run a script without waiting for it; return the file that will hold the answer."""
        number = next(self._numbers)
        unfinished = self._driver / f"{number:06}.unfinished"
        unfinished.write_text(code, "utf-8")
        unfinished.rename(unfinished.with_suffix(".py"))
        return unfinished.with_suffix(".json")

    def look(self, expression: str) -> Any:
        """Return the value of an expression in Blender."""
        return self.run(f"value = {expression}")

    def until(self, expression: str, patience: float = PATIENCE) -> Any:
        """Wait until an expression in Blender is true, and return its value."""
        found: list[Any] = []

        def true() -> bool:
            found[:] = [self.look(expression)]
            return bool(found[0])

        self._wait(true, expression, patience)
        return found[0]

    def _wait(self, condition: Callable[[], bool], what: str, patience: float) -> None:
        end = time.monotonic() + patience
        while not condition():
            if self.process.poll() is not None:
                raise WindowError(f"Blender has ended with status {self.process.returncode}; waited for {what}")
            if time.monotonic() > end:
                raise WindowError(f"waited {patience:.0f} s for {what}")
            time.sleep(0.01)

    def said(self) -> str:
        """The text that this Blender has printed so far."""
        return self.console.read_bytes()[self._before :].decode("utf-8", "replace")

    def quit(self) -> int:
        """Quit as with Ctrl+Q, and return the exit status."""
        self.begin("bpy.ops.wm.quit_blender()")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE)
        self.close()
        return self.process.returncode

    def close(self) -> None:
        """End Blender, in any state."""
        end(self.process)


def start(
    command: list[str], environment: dict[str, str], output: IO[bytes], passed: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a program in its own session, so that only the tests get Ctrl+C; they then end the program properly.

    If the tests are killed, the kernel ends the program.
    """
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=passed,
        start_new_session=True,
        preexec_fn=_end_with_parent,  # safe, because the tests have no threads
    )


def _end_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and wait for it; kill it if it does not end."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def window(
    folder: Path, *arguments: str | Path, size: tuple[int, int] = SIZE, **environment: str
) -> Iterator[BlenderWindow]:
    """A Blender on its own screen. Both end with the `with` block, even after an error."""
    folder.mkdir(parents=True, exist_ok=True)
    screen = Screen(folder / "screen.txt", size)
    try:
        blender = BlenderWindow(screen, folder, arguments, **environment)
        try:
            yield blender
        finally:
            blender.close()
    finally:
        screen.close()
