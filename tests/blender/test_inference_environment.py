"""Set Up Inference with the real engine: tiny wheels from a folder, installed into the extension's user folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import bpy
import pytest

from latent_lantern.latent_addon import handlers
from latent_lantern.latent_addon.environments.installation import Setup, SetupState
from latent_lantern.latent_addon.panels import CONTENTS
from latent_lantern.latent_addon.preferences import ROOT_PACKAGE
from latent_lantern.latent_addon.session.runtime import runtime
from layout import drawn, drawn_preferences
from tests.fake_wheels import write_server, write_wheels
from tools import blender_session

ROOT = Path(__file__).resolve().parents[2]
USER_FOLDER = Path(bpy.utils.extension_path_user(ROOT_PACKAGE, path="inference"))


def use_tiny_server(tmp_path: Path) -> Setup:
    """Let the engine install for a server that needs only tiny packages."""
    runtime._setup = Setup(USER_FOLDER, write_server(tmp_path / "server"), Path(sys.executable))
    runtime.look()
    return runtime._setup


def own_preferences() -> bpy.types.AddonPreferences:
    """The extension's preferences: a new object after it was disabled and enabled."""
    return bpy.context.preferences.addons[blender_session.EXTENSION].preferences


def choose(wheels: Path) -> None:
    """Choose the wheels to install, and this Python as the base: searching the whole machine takes time."""
    own_preferences().server_python = ""
    own_preferences().setup_python = sys.executable
    own_preferences().wheels_folder = str(wheels)


@pytest.fixture
def setup(tmp_path) -> Iterator[Setup]:
    """A machine without a network, with a folder of wheels and nothing set up."""
    choose(write_wheels(tmp_path / "wheels"))
    yield use_tiny_server(tmp_path)
    runtime.cancel()
    runtime.wait(60)
    if USER_FOLDER.exists():
        runtime.remove()
        runtime.wait(60)
    runtime.close()


def packages_of_blender() -> list[str]:
    """The packages that are installed for Blender's own Python."""
    return sorted(os.listdir(sysconfig.get_path("purelib")))


def test_nothing_is_made_or_started_without_a_click(setup, tmp_path):
    preferences = own_preferences()
    preferences.show_choices = preferences.show_setup_log = True
    for content in CONTENTS:
        drawn(content)
    drawn_preferences(preferences)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "film.blend"))
    for _ in range(3):
        handlers.timer()
    assert runtime.status.state is SetupState.NOT_SET_UP
    assert not USER_FOLDER.exists()


AFTER_AN_UPGRADE = """
import importlib, os, pathlib, sys
sys.path[:0] = {path!r}
from tools import blender_session
blender_session.install_extension(pathlib.Path(os.environ["LANTERN_ZIP"]), "")
def module(name):
    return importlib.import_module(blender_session.EXTENSION + ".latent_addon." + name)
runtime = module("session.runtime").runtime
assert runtime.setup.status.state.name == "OUTDATED", runtime.setup.status  # the real server needs other packages
runtime._setup = module("environments.installation").Setup(runtime.setup.folder, pathlib.Path({server!r}))
runtime.look()
print("It is", runtime.status.state.name, runtime.python, flush=True)
blender_session.leave(0)
"""


def test_what_lacks_is_named_before_anything_is_made(setup, tmp_path):
    next((tmp_path / "wheels").glob("numpy*")).unlink()
    with pytest.raises(RuntimeError, match=r"lacks numpy==2\.4\.6"):
        bpy.ops.lantern.set_up_inference()
    assert not USER_FOLDER.exists()


def test_interrupted_set_up_kept_and_removed(setup, tmp_path, capfd):
    """One long test, because each set-up takes seconds."""
    packages = packages_of_blender()
    root = tmp_path / "server"
    _begin_and_disable(setup, root / "inference_server")
    bpy.ops.preferences.addon_enable(module=blender_session.EXTENSION)
    choose(tmp_path / "wheels")
    use_tiny_server(tmp_path)
    assert "interrupted" in " ".join(drawn_preferences(own_preferences()).texts)

    assert bpy.ops.lantern.set_up_inference() == {"FINISHED"}
    said = capfd.readouterr().out
    assert "Step 1 of" in said and "Inference is ready: a pocket calculator, PyTorch 2.13.0" in said
    python = runtime.python
    assert Path(python).is_relative_to(USER_FOLDER)
    assert subprocess.check_output([python, "-c", "import torch; print(torch.__version__)"], text=True) == "2.13.0\n"
    assert packages_of_blender() == packages
    shown = " ".join(drawn_preferences(own_preferences()).texts)
    assert "ready on a pocket calculator" in shown and "PyTorch 2.13.0" in shown

    script = AFTER_AN_UPGRADE.format(path=[str(ROOT)], server=str(root))
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert f"It is READY {python}" in other.stdout, other.stdout + other.stderr

    assert bpy.ops.lantern.remove_inference() == {"FINISHED"}
    assert not USER_FOLDER.exists()


def _begin_and_disable(setup: Setup, server: Path) -> None:
    """Disable the extension at the last step of a set-up; its child ends."""
    (server / "wait").touch()
    runtime.ask()
    runtime.wait(60)
    runtime.install()
    child = server / "waiting"
    while not child.exists():
        assert runtime.status.state is SetupState.INSTALLING, runtime.status.message
        time.sleep(0.05)
    bpy.ops.preferences.addon_disable(module=blender_session.EXTENSION)
    assert setup.wait(30)
    with pytest.raises(ProcessLookupError):
        os.kill(int(child.read_text()), 0)
    (server / "wait").unlink()
