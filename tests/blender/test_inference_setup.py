"""Set Up Inference as a person sees it: states, questions, buttons and their reasons; nothing starts without a click.

The installation is tested in tests/core/test_environments*.py. Here it is a fake, except in the last tests.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest

from fake_setup import FakeSetup
from latent_lantern.latent_addon import handlers
from latent_lantern.latent_addon.environments.builds import AUTOMATIC
from latent_lantern.latent_addon.environments.installation import Checked, SetupState, SetupStatus
from latent_lantern.latent_addon.session.runtime import runtime
from latent_lantern.latent_addon.session.session import session
from latent_lantern.latent_addon.setup.panels import size_text
from latent_lantern.latent_addon.shot import strip_panel as strip_ui
from latent_lantern.latent_addon.training import panels as training_ui
from latent_lantern.latent_addon.training.training import training
from layout import Layout, drawn, drawn_preferences

READY = {
    "python": None,
    "torch": "2.13.0+cpu",
    "build": "Processors",
    "device": "this machine's processors",
    "base": "Python 3.11.9, /usr/bin/python3.11",
    "size": 1_250_000_000,
    "free": 120_000_000_000,
}


@pytest.fixture
def setup(stage, tmp_path):
    """A machine on which inference is not set up, and Blender may go online."""
    stage.good_python = stage.preferences.server_python
    stage.preferences.server_python = ""
    bpy.context.preferences.system.use_online_access = True
    yield FakeSetup(tmp_path / "user folder" / "inference")
    bpy.context.preferences.system.use_online_access = False
    runtime.close()


def buttons(layout: Layout) -> set[str]:
    return {name for name, _ in layout.operators}


def said(layout: Layout) -> str:
    return " ".join(" ".join(layout.texts).split())


def click(name: str) -> None:
    """Press a button as a person does. Background Blender does not call `invoke`, so it is called here."""
    assert getattr(bpy.ops.lantern, name).poll()
    kind = getattr(bpy.types, f"LANTERN_OT_{name}")
    pressed = SimpleNamespace(report=lambda kinds, text: pytest.fail(text))
    pressed._unused = lambda: kind._unused(pressed)
    press = kind.invoke(pressed, bpy.context, None) if "invoke" in vars(kind) else kind.execute(pressed, bpy.context)
    assert press == {"FINISHED"}
    handlers.timer()


def refusal(name: str) -> str:
    """Why a button is greyed out."""
    with pytest.raises(RuntimeError) as caught:
        getattr(bpy.ops.lantern, name)("INVOKE_DEFAULT")
    assert "poll()" in str(caught.value)
    return str(caught.value)


def answer(setup: FakeSetup) -> None:
    """Let the tasks that were begun end, and let Blender's timer run."""
    setup.wait()
    handlers.timer()


@pytest.mark.parametrize(
    ("status", "words", "button", "absent"),
    [
        (SetupStatus(SetupState.NOT_SET_UP), "Inference: not set up", "set_up_inference", "remove_inference"),
        (
            SetupStatus(SetupState.NOT_SET_UP, "The last set-up was interrupted."),
            "The last set-up was interrupted.",
            "set_up_inference",
            "remove_inference",
        ),
        (
            SetupStatus(SetupState.INSTALLING, step=2, steps=5, doing="Installing PyTorch", fraction=0.456),
            "Inference: installing, step 2 of 5 Installing PyTorch, 46%",
            "cancel_set_up",
            "set_up_inference",
        ),
        (
            SetupStatus(SetupState.INSTALLING, "Another Blender is setting up inference.", elsewhere=True),
            "Inference: being set up elsewhere Another Blender is setting up inference.",
            "",
            "cancel_set_up",
        ),
        (SetupStatus(SetupState.REMOVING), "being removed", "", "remove_inference"),
        (
            SetupStatus(SetupState.READY, **READY),
            "Inference: ready on this machine's processors",
            "remove_inference",
            "",
        ),
        (
            SetupStatus(SetupState.OUTDATED),
            "which needed other packages. Set Up Again",
            "set_up_inference",
            "",
        ),
        (
            SetupStatus(SetupState.BROKEN, "Its Python is gone."),
            "Inference: broken Its Python is gone. Repair",
            "remove_inference",
            "",
        ),
    ],
)
def test_each_state_is_shown_with_the_next_thing_to_do(setup, preferences, status, words, button, absent):
    setup.status = status
    shown = drawn_preferences(preferences)
    assert words in said(shown)
    assert not button or f"lantern.{button}" in buttons(shown)
    assert f"lantern.{absent}" not in buttons(shown)


def test_ready_says_what_there_is(setup, preferences):
    setup.stands(SetupState.READY, **READY)
    words = said(drawn_preferences(preferences))
    assert "2.13.0+cpu (Processors)" in words and "Python 3.11.9, /usr/bin/python3.11" in words
    assert "1.2 GB; 120 GB are free" in words
    assert str(setup.folder).replace(" ", "") in words.replace(" ", "")


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 MB"), (210_400_000, "210 MB"), (2.94e9, "2.9 GB"), (123.4e9, "123 GB")]
)
def test_sizes_in_words(size, words):
    assert size_text(size) == words


def test_choices_and_log_fold_out(setup, preferences):
    setup.log.extend(["Collecting torch==2.13.0", "Downloading torch"])
    closed = drawn_preferences(preferences)
    assert not {"setup_build", "setup_python", "wheels_folder"} & set(closed.props)
    assert "Collecting torch==2.13.0" not in closed.texts
    preferences.show_choices = preferences.show_setup_log = True
    shown = drawn_preferences(preferences)
    assert {"setup_build", "setup_python", "wheels_folder"} <= set(shown.props)
    assert "Collecting torch==2.13.0" in shown.texts and "lantern.copy_set_up_log" in buttons(shown)
    assert "lantern.use_own_python" in buttons(shown)
    bpy.ops.lantern.copy_set_up_log()


def test_the_tab_shows_it_only_where_it_stands_in_the_way(setup, stage):
    panel = drawn(strip_ui.StripPanel)
    assert {"lantern.set_up_inference", "preferences.addon_show"} <= buttons(panel)
    setup.stands(SetupState.INSTALLING, step=3, steps=5, doing="Installing PyTorch", fraction=0.5)
    assert "Installing PyTorch, 50%" in drawn(strip_ui.StripPanel).texts
    setup.stands(SetupState.READY, **READY)
    assert "lantern.set_up_inference" not in buttons(drawn(strip_ui.StripPanel))
    setup.stands(SetupState.NOT_SET_UP)
    stage.preferences.server_python = stage.good_python
    assert "lantern.set_up_inference" not in buttons(drawn(strip_ui.StripPanel))


def test_before_anything_is_downloaded_it_is_said_what_and_how_much(setup, preferences):
    click("set_up_inference")
    assert setup.asked[-1] == "plan" and runtime.planning
    assert "looking at this machine" in said(drawn_preferences(preferences))
    answer(setup)
    shown = drawn_preferences(preferences)
    words = said(shown)
    for part in (
        "PyTorch for Processors",
        "No card was found",
        "Python 3.11",
        "About 320 MB from download.pytorch.org and pypi.org",
        "About 1.3 GB; 120 GB are free",
    ):
        assert part in words
    assert "start" not in setup.asked
    click("install_inference")
    assert setup.asked[-1] == "start" and setup.status.state is SetupState.INSTALLING
    assert runtime.plan is None


def test_without_online_access_nothing_is_downloaded_and_the_way_out_is_shown(setup, preferences):
    bpy.context.preferences.system.use_online_access = False
    click("set_up_inference")
    answer(setup)
    shown = drawn_preferences(preferences)
    assert "Blender may not go online" in said(shown) and "lantern.show_network_settings" in buttons(shown)
    assert "may not go online" in refusal("install_inference")
    with pytest.raises(RuntimeError, match="may not go online"):
        bpy.ops.lantern.set_up_inference()
    bpy.context.preferences.system.use_online_access = True
    click("set_up_inference")
    answer(setup)
    click("install_inference")
    assert setup.asked.count("start") == 1


def test_a_folder_of_wheels_needs_no_online_access(setup, preferences, tmp_path):
    bpy.context.preferences.system.use_online_access = False
    preferences.wheels_folder = str(tmp_path)
    source = f"the folder {tmp_path}"
    setup.wants = dataclasses.replace(setup.wants, needs_network=False, wheels=tmp_path, source=source)
    click("set_up_inference")
    answer(setup)
    assert setup.choices == (AUTOMATIC, tmp_path, None)
    shown = drawn_preferences(preferences)
    assert "Install" in shown.texts and "Download and Install" not in shown.texts
    click("install_inference")
    assert setup.asked[-1] == "start"


def test_a_plan_that_cannot_be_says_why(setup, preferences):
    setup.wants = dataclasses.replace(setup.wants, python=None, problem="No Python 3.11 to 3.14 was found.")
    click("set_up_inference")
    answer(setup)
    assert "No Python 3.11 to 3.14 was found." in said(drawn_preferences(preferences))
    assert "No Python 3.11 to 3.14 was found" in refusal("install_inference")
    with pytest.raises(RuntimeError, match=r"No Python 3\.11 to 3\.14 was found"):
        bpy.ops.lantern.set_up_inference()


def test_another_choice_is_another_question(setup, preferences, tmp_path):
    handlers.timer()
    preferences.setup_build = "cpu"
    handlers.timer()
    assert "plan" not in setup.asked  # nobody has asked for it yet
    click("set_up_inference")
    assert setup.choices == ("cpu", None, None)
    answer(setup)
    preferences.setup_python = str(tmp_path / "python3")
    handlers.timer()
    assert runtime.planning and setup.choices == ("cpu", None, tmp_path / "python3")


def test_cancelled_at_each_moment(setup, preferences):
    click("set_up_inference")
    click("cancel_set_up")
    answer(setup)
    assert runtime.plan is None and not runtime.planning
    click("set_up_inference")
    answer(setup)
    click("cancel_set_up")
    assert "not set up" in said(drawn_preferences(preferences))
    assert "start" not in setup.asked and "cancel" not in setup.asked
    click("set_up_inference")
    answer(setup)
    click("install_inference")
    click("cancel_set_up")
    assert setup.asked[-1] == "cancel"
    answer(setup)
    assert "not set up" in said(drawn_preferences(preferences))
    assert "Nothing is being set up here" in refusal("cancel_set_up")


def test_without_a_window_it_waits_and_says_how_it_ended(setup, capfd):
    setup.outcome = SetupStatus(SetupState.READY, **READY)
    assert bpy.ops.lantern.set_up_inference() == {"FINISHED"}
    assert "Inference is ready: this machine's processors, PyTorch 2.13.0+cpu" in capfd.readouterr().out
    setup.outcome = SetupStatus(SetupState.BROKEN, "The disk is full.")
    with pytest.raises(RuntimeError, match="The disk is full"):
        bpy.ops.lantern.set_up_inference()


def test_what_is_set_up_can_be_removed(setup, preferences):
    assert "Nothing is set up" in refusal("remove_inference")
    setup.stands(SetupState.READY, **READY)
    assert bpy.ops.lantern.remove_inference() == {"FINISHED"}
    assert setup.asked[-1] == "remove"
    assert "not set up" in said(drawn_preferences(preferences))


@pytest.mark.parametrize("name", ["set_up_inference", "remove_inference"])
def test_while_something_runs_nothing_else_begins(setup, name):
    setup.stands(SetupState.INSTALLING, step=1, steps=5, doing="Looking for a Python")
    assert "being changed already" in refusal(name)


def test_a_training_keeps_what_it_runs_on(setup, preferences, tmp_path, monkeypatch):
    setup.stands(SetupState.READY, **READY)
    monkeypatch.setattr(type(training), "working", True)
    assert "A training uses it" in refusal("remove_inference")
    monkeypatch.setattr(type(training), "working", False)
    monkeypatch.setattr(training, "at_work", lambda: tmp_path / "Runs" / "Cats")  # of another Blender
    with pytest.raises(RuntimeError, match="Cats"):
        bpy.ops.lantern.remove_inference()
    assert "remove" not in setup.asked


def test_frames_that_wait_begin_by_themselves(setup, stage):
    stage.preferences.server_python = stage.good_python
    strip = stage.keyed_strip(length=6)
    session.client.stop()
    stage.preferences.server_python = ""
    setup.stands(SetupState.INSTALLING, step=1, steps=5, doing="Installing PyTorch")
    stage.key(3, 77)
    stage.settle()
    assert stage.missing() and "being set up" in session.problem(strip)
    panel = drawn(strip_ui.StripPanel)
    assert "Installing PyTorch, 0%" in panel.texts and "ERROR" not in said(panel)
    setup.outcome = SetupStatus(SetupState.READY, **{**READY, "python": stage.good_python})
    answer(setup)
    assert session.wait(lambda: not stage.missing(), 60), session.problem(strip)


def test_an_opened_file_starts_nothing_when_inference_becomes_ready(setup, stage, tmp_path):
    stage.preferences.server_python = stage.good_python
    stage.keyed_strip(length=6)
    session.client.stop()
    stage.preferences.server_python = ""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    for frame in (tmp_path / "latent_lantern" / "frames").glob("*.png"):
        frame.unlink()
    setup.stands(SetupState.NOT_SET_UP)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "film.blend"))
    handlers.timer()
    setup.stands(SetupState.READY, **{**READY, "python": stage.good_python})
    handlers.timer()
    handlers.timer()
    assert session.client.pid is None and stage.missing()


def test_an_environment_that_cannot_run_the_server_is_offered_a_repair(setup, stage, tmp_path, preferences):
    torn = tmp_path / "torn"
    torn.write_text("#!/bin/sh\necho 'This Python has no torch.' >&2\nexit 3\n")
    torn.chmod(0o755)
    setup.stands(SetupState.READY, **{**READY, "python": str(torn)})
    with pytest.raises(RuntimeError, match="has no torch"):
        stage.add_strip(3)
    for shown in (drawn(strip_ui.StripPanel), drawn_preferences(preferences)):
        assert "Inference: broken This Python has no torch. Repair" in said(shown)
        assert "lantern.set_up_inference" in buttons(shown)
    setup.outcome = SetupStatus(SetupState.READY, **{**READY, "python": stage.good_python})
    click("set_up_inference")
    answer(setup)
    click("install_inference")
    answer(setup)
    assert "broken" not in said(drawn_preferences(preferences))
    stage.add_strip(3)
    stage.fill()


def test_what_another_blender_has_set_up_is_noticed(setup, stage, monkeypatch):
    monkeypatch.setattr("latent_lantern.latent_addon.session.runtime._LOOK_AGAIN", 0.0)
    setup.stands(SetupState.INSTALLING, message="Another Blender is setting up inference.", elsewhere=True)
    with pytest.raises(RuntimeError, match="Another Blender is setting up"):
        stage.add_strip(3)
    runtime._seen = float("-inf")  # the panel is no longer drawn
    setup.found = SetupStatus(SetupState.READY, **{**READY, "python": stage.good_python})
    handlers.timer()
    assert runtime.python == stage.good_python and not session.halted


def test_progress_is_shown_a_few_times_a_second(setup):
    setup.stands(SetupState.INSTALLING, step=1, steps=4, doing="Installing PyTorch")
    assert runtime.tick() and not runtime.tick()
    changes = 0
    for percent in range(100):
        setup.stands(SetupState.INSTALLING, step=1, steps=4, doing="Installing PyTorch", fraction=percent / 100)
        changes += runtime.tick()
    assert changes < 50
    setup.stands(SetupState.INSTALLING, step=2, steps=4, doing="Trying it", fraction=1.0)
    assert runtime.tick()


def test_a_training_says_the_same_until_it_is_set_up(setup, stage, tmp_path):
    film = tmp_path / "film"
    film.mkdir()
    (film / "a.png").write_bytes(b"")
    form = stage.scene.latent_lantern_training
    form.source, form.pictures = "FOLDER", str(film)
    with pytest.raises(RuntimeError, match="not set up"):
        bpy.ops.lantern.make_data_set()
    panel = drawn(training_ui.TrainingPanel)
    assert "lantern.set_up_inference" in buttons(panel)
    setup.stands(SetupState.READY, **{**READY, "python": stage.good_python})
    handlers.timer()
    assert training.problem == "" and drawn(training_ui.TrainingPanel).texts == []


def test_an_own_python_is_tried_and_shown(setup, stage, preferences):
    good = stage.good_python
    setup.finds = Checked(
        python=Path(good),
        version="3.12.4",
        torch="2.13.0+cu130",
        device="cuda",
        device_name="NVIDIA H200",
        forward_ms=4.2,
        remarks=("For training, av is missing.",),
    )
    bpy.context.preferences.is_dirty = False
    assert bpy.ops.lantern.use_own_python(filepath=good) == {"FINISHED"}
    assert bpy.context.preferences.is_dirty  # or Blender would forget it when it ends
    assert preferences.server_python == good and setup.asked[-1] == "check"
    words = said(drawn_preferences(preferences))
    for part in ("ready on NVIDIA H200", "2.13.0+cu130", "3.12.4", "4 ms", "For training, av is missing."):
        assert part in words
    assert "Your own Python is used" in refusal("set_up_inference")
    assert bpy.ops.lantern.stop_using_own_python() == {"FINISHED"}
    assert preferences.server_python == "" and "not set up" in said(drawn_preferences(preferences))
    assert "No Python of your own" in refusal("try_own_python")


def test_an_own_python_that_cannot_be_used_says_why(setup, stage, preferences, tmp_path):
    with pytest.raises(RuntimeError, match="no Python at"):
        bpy.ops.lantern.use_own_python(filepath=str(tmp_path / "gone"))
    assert "cannot be used" in said(drawn_preferences(preferences))
    setup.finds = Checked(python=Path(stage.good_python), problem="It has no torch.")
    with pytest.raises(RuntimeError, match="It has no torch"):
        bpy.ops.lantern.use_own_python(filepath=stage.good_python)
    assert "cannot be used It has no torch." in said(drawn_preferences(preferences))
    preferences.server_python = str(tmp_path)  # the result belongs to a different Python
    assert "is a folder" in said(drawn_preferences(preferences)).replace("  ", " ")
    preferences.server_python = __file__.replace("test_inference_setup", "gone")
    assert "It has no torch" not in said(drawn_preferences(preferences))


def test_an_environment_is_chosen_by_its_folder(setup, stage, preferences, tmp_path):
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    python = tmp_path / "venv" / "bin" / "python3"
    python.symlink_to(stage.good_python)
    setup.finds = Checked(python=python, device_name="a fake", torch="0")
    assert bpy.ops.lantern.use_own_python(filepath=str(tmp_path / "venv")) == {"FINISHED"}
    assert preferences.server_python == str(python)


def test_another_python_is_used_from_the_next_frame_on(setup, stage):
    stage.preferences.server_python = stage.good_python
    stage.keyed_strip(length=4)
    first = session.client.pid
    assert first
    setup.finds = Checked(python=Path(stage.good_python), device_name="a fake", torch="0")
    bpy.ops.lantern.use_own_python(filepath=stage.good_python)
    assert session.client.pid is None
    stage.key(2, 99)
    stage.fill()
    assert session.client.pid not in (None, first)


def test_a_server_of_another_version_is_offered_a_repair(root, tmp_path):
    command = [sys.executable, root / "tools" / "run_in_blender.py", root / "tests" / "blender" / "other_version.py"]
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path / "resources")}
    other = subprocess.run([*command, tmp_path], env=environment, capture_output=True, text=True, timeout=120)
    assert "It was repaired." in other.stdout and other.returncode == 0, other.stdout + other.stderr
