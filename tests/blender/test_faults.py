"""Faults outside the add-on: one clear message, nothing is lost, and work continues when the cause is gone."""

import functools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bpy
import pytest

from latent_lantern.latent_addon.scene.properties import settings_of
from latent_lantern.latent_addon.scene.strip import latent_strips
from latent_lantern.latent_addon.server.client import ServerState
from latent_lantern.latent_addon.session.session import session
from stage import kill_server, planned, shown

SEEDS = (1, 2, 3)
SMALL_GENERATORS = """
import sys, torch
from inference_server.checkpoints import save_generator
from inference_server.generators.stylegan2 import StyleGAN2, StyleGAN2Config
config = StyleGAN2Config(z_dim=6, w_dim=5, channels=(8, 8, 8), mapping_layers=2)
for seed in map(int, sys.argv[1:]):
    torch.manual_seed(seed)
    save_generator(StyleGAN2(config, name="small"), f"{seed}.safetensors", {}, torch.float32)
"""


@pytest.fixture
def checkpoint(stage, server_python, root, tmp_path):
    """A small generator in the native format, and the real server to run it."""
    session.client.stop()
    stage.preferences.server_python = server_python
    path = tmp_path / "small.safetensors"
    write_checkpoint(server_python, root, path, 1)
    return path


def write_checkpoint(python, root, path, seed):
    """Write a generator with the random weights of one of `SEEDS`."""
    path.write_bytes(small_generators(python, root)[seed])


@functools.cache
def small_generators(python, root):
    """Generators by their seeds. They are made once, and all by one process: it has to import torch first."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {"PYTHONPATH": str(root), "PATH": os.environ["PATH"]}
        command = [python, "-c", SMALL_GENERATORS, *map(str, SEEDS)]
        subprocess.run(command, check=True, env=environment, cwd=folder)
        return {seed: Path(folder, f"{seed}.safetensors").read_bytes() for seed in SEEDS}


def refused(stage, **properties):
    """The message with which adding a strip is refused; the panel shows the same one."""
    with pytest.raises(RuntimeError) as caught:
        stage.add_strip(**properties)
    assert session.halted in str(caught.value) and session.halted
    return session.halted


def works_again(stage):
    """Change something, and check that frames are made."""
    strips = latent_strips(stage.scene)
    strip = strips[0] if strips else stage.add_strip()
    settings_of(strip).psi += 0.0625
    stage.fill()
    assert shown(strip) == planned(strip)
    assert session.problem(strip) == ""


@pytest.mark.parametrize(
    ("python", "words"),
    [
        ("", "not set up"),
        ("/nowhere/bin/python", "no Python at '/nowhere/bin/python'"),
        ("{folder}", "is a folder"),
        ("{file}", "not a program"),
    ],
)
def test_a_missing_python(stage, tmp_path, python, words):
    good = stage.preferences.server_python
    plain = tmp_path / "plain.txt"
    plain.write_text("hello")
    stage.preferences.server_python = python.format(folder=tmp_path, file=plain)
    message = refused(stage)
    assert words in message and "preferences" in message
    stage.preferences.server_python = good
    works_again(stage)


def test_a_foreign_python(stage):
    good = stage.preferences.server_python
    stage.preferences.server_python = sys.executable  # Blender's own, which has no torch
    message = refused(stage)
    assert "torch" in message and sys.executable in message
    stage.preferences.server_python = good
    works_again(stage)


@pytest.mark.parametrize("what", ["protocol", "pixels", "refuse"])
def test_a_server_of_another_version(stage, what):
    stage.use_fake_server("--wrong-version", what)
    assert "version" in refused(stage).lower()
    assert session.client.pid is None
    stage.use_fake_server()
    works_again(stage)


def test_a_checkpoint_that_is_gone_and_comes_back(stage, checkpoint):
    strip = stage.add_strip(6, generator=str(checkpoint))
    stage.fill()
    pictures = shown(strip)
    session.client.stop()
    checkpoint.rename(checkpoint.with_suffix(".away"))
    settings_of(strip).psi = 0.25
    assert not session.fill(timeout=60)
    assert checkpoint.name in session.problem(strip)
    settings_of(strip).psi = 0.7  # the frames that were made still exist
    session.replan()
    assert shown(strip) == pictures
    checkpoint.with_suffix(".away").rename(checkpoint)
    works_again(stage)


def test_a_checkpoint_that_was_replaced(stage, checkpoint, server_python, root):
    strip = stage.add_strip(6, generator=str(checkpoint))
    stage.fill()
    before = planned(strip)
    write_checkpoint(server_python, root, checkpoint, 2)
    settings_of(strip).psi = 0.25
    assert not session.fill(timeout=60)
    assert checkpoint.name in session.problem(strip) and "changed" in session.problem(strip)
    assert bpy.ops.lantern.reload_generator() == {"FINISHED"}
    works_again(stage)
    assert not set(before) & set(planned(strip))


@pytest.mark.parametrize("kind", ["truncated", "empty", "unknown", "page"])
def test_a_checkpoint_that_cannot_be_read(stage, checkpoint, kind):
    good = checkpoint.read_bytes()
    content = {
        "truncated": good[: len(good) // 2],
        "empty": b"",
        "unknown": b"\x80\x04weights",
        "page": b"<!DOCTYPE html>",
    }
    checkpoint.write_bytes(content[kind])
    assert checkpoint.name in refused(stage, generator=str(checkpoint))
    assert not latent_strips(stage.scene)
    checkpoint.write_bytes(good)
    stage.add_strip(3, generator=str(checkpoint))
    stage.fill()


def test_choosing_another_generator_keeps_the_keys(stage, checkpoint, server_python, root, tmp_path):
    strip = stage.add_strip(6, generator=str(checkpoint))
    stage.key(1, 1)
    stage.key(6, 2)
    stage.fill()
    other = tmp_path / "other.safetensors"
    write_checkpoint(server_python, root, other, 3)
    assert bpy.ops.lantern.choose_generator(filepath=str(other)) == {"FINISHED"}
    stage.fill()
    assert settings_of(strip).generator == str(other)
    assert len(set(shown(strip))) == 6


def test_a_latent_of_the_wrong_length(stage):
    strip = stage.keyed_strip()
    pictures = shown(strip)
    latent = strip["latent"][:]
    strip["latent"] = [0.5] * 5
    session.replan()
    problem = session.problem(strip)
    assert "5 numbers" in problem and "takes 8" in problem and strip.name in problem
    assert shown(strip) == pictures
    strip["latent"] = latent
    session.replan()
    assert session.problem(strip) == ""
    strip["latent"] = [0.5] * 5
    assert bpy.ops.lantern.fit_latent() == {"FINISHED"}
    assert len(strip["latent"]) == 8
    works_again(stage)


def test_a_latent_that_is_no_vector(stage):
    strip = stage.keyed_strip()
    strip["latent"] = 1.0
    session.replan()
    assert "1 numbers" in session.problem(strip)


def test_a_folder_that_cannot_be_written(stage, tmp_path):
    strip = stage.keyed_strip()
    (tmp_path / "file").write_text("in the way")
    stage.preferences.frame_folder = str(tmp_path / "file" / "frames")
    started = time.monotonic()
    assert not session.fill(timeout=600)
    assert time.monotonic() - started < 60  # nobody waits for what cannot come
    assert str(tmp_path / "file") in session.problem(strip) and "preferences" in session.problem(strip)
    stage.preferences.frame_folder = "//latent_lantern/frames"
    works_again(stage)


def test_a_full_disk(stage, tmp_path):
    strip = stage.keyed_strip()
    pictures = shown(strip)
    stage.use_fake_server("--fail-writes", "--once", tmp_path / "full")
    settings_of(strip).psi = 0.25
    assert not session.fill(timeout=20)
    assert session.problem(strip)
    session.wait(lambda: False, 0.3)
    assert not session.feeder.busy  # it does not try again and again on its own
    settings_of(strip).psi = 0.7
    session.replan()
    assert shown(strip) == pictures
    stage.use_fake_server()
    works_again(stage)


def test_a_server_killed_in_the_middle_of_a_job(stage):
    strip = stage.keyed_strip()
    stage.use_fake_server("--slow", 0.02)
    settings_of(strip).psi = 0.25
    stage.settle()
    assert session.wait(lambda: session.plans.progress(strip)[0] > 3, 30)
    made = session.plans.store.names() & set(planned(strip))
    kill_server()
    stage.fill()
    assert made <= session.plans.store.names()
    assert stage.methods().count("initialize") == 3
    assert shown(strip) == planned(strip)


def test_a_server_that_dies_at_once_every_time(stage):
    strip = stage.keyed_strip()
    stage.use_fake_server("--crash-after", 0)
    settings_of(strip).psi = 0.25
    assert not session.fill(timeout=60)
    assert "stopped" in session.problem(strip)
    assert stage.methods().count("initialize") < 6
    session.wait(lambda: False, 0.3)
    assert session.client.state is ServerState.FAILED  # it waits for a click
    stage.use_fake_server()
    works_again(stage)


@pytest.mark.parametrize("fault", ["--hang-after", "--stop-self-after"])
def test_a_server_that_hangs(stage, monkeypatch, fault, tmp_path):
    strip = stage.keyed_strip()
    monkeypatch.setattr(session.client, "_patience", 1.0)
    stage.use_fake_server(fault, 2, "--once", tmp_path / "hung")
    settings_of(strip).psi = 0.25
    assert session.fill(timeout=60) or "not answered" in session.problem(strip)
    works_again(stage)


def test_a_server_that_lies(stage, tmp_path):
    strip = stage.keyed_strip()
    stage.use_fake_server("--lie", "--once", tmp_path / "lied")
    settings_of(strip).psi = 0.25
    assert not session.fill(timeout=20)
    assert "not in" in session.problem(strip)
    assert set(shown(strip)) == {"placeholder_16x16.png"}
    stage.use_fake_server()
    works_again(stage)


@pytest.mark.parametrize("habit", ["--dribble", "--noise"])
def test_a_server_with_bad_manners(stage, habit):
    stage.use_fake_server(habit)
    stage.keyed_strip()


def test_garbled_messages(stage, tmp_path):
    strip = stage.keyed_strip()
    stage.use_fake_server("--garble-after", 3, "--once", tmp_path / "garbled")
    settings_of(strip).psi = 0.25
    session.fill(timeout=60)
    works_again(stage)


def test_disabling_in_the_middle_of_a_job_ends_the_server(stage):
    strip = stage.keyed_strip()
    stage.use_fake_server("--slow", 0.05)
    settings_of(strip).psi = 0.25
    stage.settle()
    assert session.wait(lambda: session.feeder.busy, 30)
    pid = session.client.pid
    session.shut_down()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert Path(stage.preferences.server_python).exists()
