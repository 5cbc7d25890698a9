"""A whole set-up, with tiny wheels in real environments: made, cancelled, killed, repaired, removed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import fake_wheels
from latent_lantern.latent_addon.environments import attempt
from latent_lantern.latent_addon.environments.installation import Setup, SetupPlan, SetupState
from latent_lantern.latent_addon.environments.standing import INTERRUPTED

HERE = "{}.{}".format(*sys.version_info[:2])
PATIENCE = 120.0


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A server, wheels, and a place for the environment. Its path has characters that often cause errors."""
    monkeypatch.setenv("PYTHONPATH", str(_poison(tmp_path / "poison")))
    monkeypatch.setenv("PYTHONHOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PIP_REQUIRE_HASHES", "1")
    yield Scene(tmp_path)


class Scene:
    def __init__(self, folder: Path):
        self.elsewhere = folder / "elsewhere"
        self.server = fake_wheels.write_server(folder / "server")
        self.control = self.server / "inference_server"
        self.wheels = fake_wheels.write_wheels(folder / "wheels of a friend")
        self.folder = folder / "Ordner für Ünsinn" / "inference"

    def setup(self) -> Setup:
        setup = Setup(self.folder, self.server)
        setup.look()
        return setup

    def plan(self, setup: Setup) -> SetupPlan:
        plan = setup.plan(wheels=self.wheels, python=Path(sys.executable))
        return replace(plan, disk=10**6)  # as little as these wheels need

    def left(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()} - {"setup.log", "setup.lock"}


def _poison(folder: Path) -> Path:
    """A folder that breaks every Python that has this folder on its path."""
    folder.mkdir()
    for module in ("sitecustomize", "torch", "numpy", "pip", "venv", "json"):
        (folder / f"{module}.py").write_text("raise SystemExit('poisoned')\n")
    return folder


def _until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_an_environment_is_made_kept_when_a_repair_fails_repaired_and_removed(scene: Scene) -> None:
    setup = scene.setup()
    assert setup.status.state is SetupState.NOT_SET_UP
    plan = scene.plan(setup)
    assert plan.problem == ""
    assert not scene.folder.exists(), "looking and planning write nothing"
    fractions, steps = [], set()
    setup.start(plan)
    while not setup.wait(0.01):
        status = setup.status
        if status.state is SetupState.INSTALLING:
            fractions.append(status.fraction)
            steps.add((status.step, status.steps, status.doing))
    ready = setup.status
    assert (ready.state, ready.message) == (SetupState.READY, "")
    assert (ready.torch, ready.device) == ("2.13.0", "a pocket calculator")
    assert ready.base.startswith(f"Python {sys.version.split()[0]}, ")
    assert ready.size > 10**6
    assert fractions == sorted(fractions)
    assert {step for step, _, _ in steps} <= {1, 2, 3, 4}
    assert "Installing collected packages: torch" in setup.log_file.read_text("utf-8")
    assert not scene.elsewhere.exists(), "pip's settings of where to install are not followed"
    assert scene.left() == {"ready.json", ready.python.parent.parent.name}
    first = ready.python
    assert subprocess.run([first, "-I", "-c", "import torch, numpy"], check=False).returncode == 0
    assert replace(scene.setup().status, free=ready.free) == ready, "another Blender finds the same"

    (scene.control / "fail").write_text("The card has melted.")
    setup.start(scene.plan(setup))
    assert setup.wait(PATIENCE)
    assert setup.status.state is SetupState.READY
    assert setup.status.python == first
    assert setup.status.message.endswith("The card has melted.")
    assert setup.look().message.endswith("The card has melted."), "it is still said after another look"
    assert scene.left() == {"ready.json", first.parent.parent.name}

    (scene.control / "fail").unlink()
    setup.start(scene.plan(setup))
    assert setup.wait(PATIENCE)
    assert (setup.status.state, setup.status.message) == (SetupState.READY, "")
    assert setup.status.python != first
    assert not first.exists()

    setup.remove()
    assert setup.wait(PATIENCE)
    assert setup.status.state is SetupState.NOT_SET_UP
    assert not scene.folder.exists()


def test_two_blenders_do_not_install_at_once_and_cancelling_leaves_nothing(scene: Scene) -> None:
    (scene.control / "wait").touch()
    setup, other = scene.setup(), scene.setup()
    setup.start(scene.plan(setup))
    _until((scene.control / "waiting").exists)
    assert setup.status.step == 4
    pid = int((scene.control / "waiting").read_text())
    with pytest.raises(ValueError, match="running already"):
        setup.start(scene.plan(setup))
    with pytest.raises(ValueError, match="running already"):
        setup.remove()

    seen = other.look()
    assert (seen.state, seen.elsewhere) == (SetupState.INSTALLING, True)
    assert f"process {os.getpid()}" in seen.message
    other.start(scene.plan(other))
    assert other.wait(PATIENCE)
    other.remove()
    assert other.wait(PATIENCE)
    assert setup.status.state is SetupState.INSTALLING, "the other one did not disturb it"
    assert "waiting" in setup.log_file.read_text("utf-8").splitlines()

    setup.cancel()
    assert setup.wait(PATIENCE)
    assert (setup.status.state, setup.status.message) == (SetupState.NOT_SET_UP, "")
    assert scene.left() == set()
    assert not _lives(pid)
    assert (other.look().state, other.status.message) == (SetupState.NOT_SET_UP, "")
    assert setup.log_file.read_text("utf-8").splitlines()[-1] == "Cancelled."


def test_a_killed_set_up_leaves_no_process_and_the_next_one_cleans_up(scene: Scene, root: Path) -> None:
    (scene.control / "wait").touch()
    script = (
        "import sys; from pathlib import Path; from dataclasses import replace\n"
        "from latent_addon.environments.installation import Setup\n"
        "setup = Setup(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "setup.start(replace(setup.plan(wheels=Path(sys.argv[3]), python=Path(sys.executable)), disk=1, problem=''))\n"
        "setup.wait()"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    command = [sys.executable, "-c", script, scene.folder, scene.server, scene.wheels]
    with subprocess.Popen(command, env=environment, cwd=root) as blender:
        _until(lambda: (scene.control / "waiting").exists() or blender.poll() is not None)
        pid = int((scene.control / "waiting").read_text())
        assert _lives(pid)
        blender.send_signal(signal.SIGKILL)
    _until(lambda: not _lives(pid))
    half = scene.left()
    assert len(half) == 1
    setup = scene.setup()
    status = setup.status
    assert (status.state, status.message, status.leftovers) == (SetupState.NOT_SET_UP, INTERRUPTED, True)

    # The next set-up replaces it. Blender closes in the middle of that: the half-made environment is left again.
    (scene.control / "waiting").unlink()
    setup.start(scene.plan(setup))
    _until((scene.control / "waiting").exists)
    pid = int((scene.control / "waiting").read_text())
    assert len(scene.left()) == 1, "what was left before is deleted"
    setup.close()
    assert setup.wait(PATIENCE)
    assert not _lives(pid)
    again = scene.setup().status
    assert (again.state, again.message, again.leftovers) == (SetupState.NOT_SET_UP, INTERRUPTED, True)
    setup.remove()
    assert setup.wait(PATIENCE)
    assert not scene.folder.exists()


def test_the_users_own_index_is_used_and_what_it_has_not_is_named(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_wheels.write_wheel(scene.wheels, "torch", "2.13.0", requires=["filelock"])
    index = fake_wheels.write_index(tmp_path / "index", scene.wheels)
    monkeypatch.setenv("PIP_INDEX_URL", index)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    setup = scene.setup()
    plan = replace(setup.plan(python=Path(sys.executable)), disk=10**6, problem="")
    assert plan.build.index == "" or "index-url" in plan.source
    setup.start(plan)
    assert setup.wait(PATIENCE)
    assert setup.status.state is SetupState.NOT_SET_UP
    assert "has no filelock" in setup.status.message
    assert f"Looking in indexes: {index}" in setup.log, "no other index is asked"
    assert scene.left() <= {"downloads"}


def test_own_python_is_tried_and_what_is_no_python_is_said_to_be_none(scene: Scene, tmp_path: Path) -> None:
    setup = scene.setup()
    setup.check(Path(sys.executable))
    assert setup.wait(PATIENCE)
    # The fake server needs any version of torch and numpy: the tests' own Python has both.
    assert setup.checked is not None
    assert (setup.checked.problem, setup.checked.device_name) == ("", "a pocket calculator")
    nonsense = tmp_path / "python"
    nonsense.write_text("not a program")
    setup.check(nonsense)
    assert setup.wait(PATIENCE)
    assert setup.checked.problem == f"{nonsense} is no Python that can be run."
    assert not scene.folder.exists()


def test_a_folder_that_cannot_be_made_and_a_full_disk_are_said(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    setup = scene.setup()
    plan = scene.plan(setup)
    scene.folder.parent.parent.mkdir(exist_ok=True)
    scene.folder.parent.write_text("a file where the folder should be")
    setup.start(plan)
    assert setup.wait(PATIENCE)
    assert str(scene.folder) in setup.status.message
    scene.folder.parent.unlink()

    def forbidden(path: Path, patience: float) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(attempt, "held", forbidden)
        setup.start(plan)
        assert setup.wait(PATIENCE)
    assert setup.status.message.startswith(f"{scene.folder / 'setup.lock'} may not be written.")

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(attempt.shutil, "disk_usage", lambda path: usage._replace(free=5 * 10**8))
    assert "GB are free" in setup.plan(wheels=scene.wheels, python=Path(sys.executable)).problem
    setup.start(replace(plan, disk=10**9))
    assert setup.wait(PATIENCE)
    assert "1.0 GB are needed" in setup.status.message
    assert "0.5 GB are free" in setup.status.message


def test_what_others_have_put_into_the_folder_stays(scene: Scene) -> None:
    (scene.folder / "my wheels").mkdir(parents=True)
    (scene.folder / "0123abcd").mkdir()
    (scene.folder / "0123abcd" / "half").touch()
    setup = scene.setup()
    setup.remove()
    assert setup.wait(PATIENCE)
    assert scene.left() == {"my wheels"}
