"""Blender ends in the middle of its work, in every possible way: nothing is left running, nothing is lost.

LANTERN_KILLS=50 in the environment kills it at 50 different moments.
"""

from __future__ import annotations

import os
import pty
import random
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy
import pytest

import fake_pictures
import stage as staging
from latent_lantern.lantern_protocol.frame_files import is_frame
from latent_lantern.latent_addon.scene.strip import latent_strips
from latent_lantern.latent_addon.session.session import session
from processes import naming

SCRIPT = Path(__file__).with_name("second_blender.py")
PATIENCE = 60.0
NEWEST = bpy.app.version >= (5, 2)
SIGNALS = [(number, "fake") for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGHUP)]
SIGNALS.append((signal.SIGKILL, "real"))


class Second:
    """Another Blender with the same extension, and a fake server of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.blend = folder / "project" / "shot.blend"
        self.blend.parent.mkdir(exist_ok=True)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, deed: str, slow: float = 0.01, stdin: int = subprocess.DEVNULL, server: str = "") -> None:
        """Start it; `server` is the Python of a real server instead of the fake one."""
        if not server:
            server = str(self.folder / "second_python")
            command = [sys.executable, str(staging.FAKE_SERVER), "--slow", str(slow)]
            Path(server).write_text(f"#!/bin/sh\nexec {shlex.join(command)} --once {self.folder}/never\n")
            Path(server).chmod(0o755)
        command = [sys.executable, str(SCRIPT), deed, str(self.blend), server]
        self.processes.append(
            subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, bufsize=0, start_new_session=True)
        )

    def hear(self) -> str:
        """Return its next line; "" if it has ended, or prints nothing for too long."""
        end = time.monotonic() + PATIENCE
        stdout = self.processes[-1].stdout
        while select.select([stdout], [], [], max(0.0, end - time.monotonic()))[0]:
            line = stdout.readline()
            if line.startswith(b"> "):
                return line[2:].decode().strip()
            if not line:
                break
        return ""

    def end(self, number: int) -> None:
        """End it by a signal."""
        self.processes[-1].send_signal(number)
        self.processes[-1].wait(PATIENCE)

    def close(self) -> None:
        """End all of them."""
        for process in self.processes:
            process.kill()
            process.communicate()


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Second]:
    second = Second(tmp_path)
    yield second
    second.close()


def eventually(happened: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def check_file(stage: staging.Stage, blend: Path) -> None:
    """Open the file that a different Blender has left: its frames have the right contents, and work continues."""
    if not blend.exists():  # Blender renames the old file, then the new one: it ended in between
        blend.with_suffix(".blend1").rename(blend)
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    session.tick()
    folder = session.plans.folder.path
    (strip,) = latent_strips(bpy.context.scene)
    for path in folder.glob("[cs]_*.png"):
        assert is_frame(path, path.name, thoroughly=True)
        fake_pictures.decode_png(path.read_bytes())
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("[cs]_*.png")}
    strip.latent_lantern.psi += 0.0625
    stage.fill()
    assert staging.shown(strip) == staging.planned(strip)
    assert {path.name: path.stat().st_mtime_ns for path in folder.glob("[cs]_*.png") if path.name in before} == before
    assert not [path.name for path in folder.iterdir() if "part" in path.name]
    session.client.stop()


@pytest.mark.parametrize(("number", "server"), SIGNALS if NEWEST else SIGNALS[:1])
def test_a_signal_ends_blender_and_its_server(second: Second, number: int, server: str, server_python: str) -> None:
    second.start("wait", slow=0.05, server=server_python if server == "real" else "")
    pid = int(second.hear().removeprefix("server "))
    assert is_running(pid)
    second.end(number)
    assert eventually(lambda: not is_running(pid))
    assert eventually(lambda: not naming(str(second.folder)))


def test_a_closed_terminal_ends_blender_and_its_server(second: Second) -> None:
    ours, theirs = pty.openpty()
    second.start("wait", slow=0.05, stdin=theirs)
    os.close(theirs)
    pid = int(second.hear().removeprefix("server "))
    os.close(ours)
    assert second.processes[-1].wait(PATIENCE) == -signal.SIGHUP
    assert eventually(lambda: not is_running(pid) and not naming(str(second.folder)))


def test_quitting_in_the_middle_of_a_job(second: Second) -> None:
    second.start("exit", slow=0.05)
    pid = int(second.hear().removeprefix("server "))
    assert second.processes[-1].wait(PATIENCE) == 0
    assert eventually(lambda: not is_running(pid) and not naming(str(second.folder)))


def test_disabling_in_the_middle_of_a_job_leaves_blender_alone(second: Second) -> None:
    second.start("disable", slow=0.05)
    pid = int(second.hear().removeprefix("server "))
    assert second.hear() == "disabled"
    assert not is_running(pid)
    assert second.processes[-1].poll() is None


@pytest.mark.parametrize("seed", range(int(os.environ.get("LANTERN_KILLS", 6 if NEWEST else 1))))
def test_blender_killed_while_it_makes_frames_and_saves(stage: staging.Stage, second: Second, seed: int) -> None:
    """A kill at any moment: the file that is opened afterwards is whole, and existing frames are not made again."""
    second.start("work", slow=0.002)
    pid = int(second.hear().removeprefix("server "))
    time.sleep(random.Random(seed).uniform(0.0, 1.0))
    second.end(signal.SIGKILL)
    assert eventually(lambda: not is_running(pid))
    check_file(stage, second.blend)


def test_two_blenders_on_one_folder(stage: staging.Stage, second: Second) -> None:
    """Both make the same frames at the same time."""
    second.start("wait", slow=0.0)
    second.hear()
    second.end(signal.SIGKILL)
    second.start("fill", slow=0.01)
    bpy.ops.wm.open_mainfile(filepath=str(second.blend))
    stage.use_fake_server("--slow", 0.01)
    (strip,) = latent_strips(bpy.context.scene)
    for truncation in (0.25, 0.5, 0.75):
        strip.latent_lantern.psi = truncation
        stage.fill()
    assert [second.hear().strip() for _ in range(3)] == ["filled True"] * 3
    assert second.processes[-1].wait(PATIENCE) == 0
    check_file(stage, second.blend)
