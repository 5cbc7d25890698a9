"""info, generate, and the command line's messages about bad input."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import driving
from inference_server.checkpoints import load_generator
from inference_server.commands import cli


def run(capsys: pytest.CaptureFixture, *arguments: object) -> tuple[int, str, str]:
    """Run a command here; return its exit code, stdout and stderr."""
    try:
        code = cli.main([str(argument) for argument in arguments])
    except SystemExit as exit_:
        code = exit_.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def generate(capsys: pytest.CaptureFixture, out: Path, generator: dict, *arguments: object) -> np.ndarray:
    checkpoint = ["--checkpoint", generator["path"], "--out", out, "--device", "cpu"]
    code, _, errors = run(capsys, "generate", *checkpoint, *arguments)
    assert code == 0, errors
    return np.load(out)


def test_info(capsys: pytest.CaptureFixture, tiny: dict) -> None:
    code, text, _ = run(capsys, "info", tiny["path"], "--json")
    about = json.loads(text)
    assert code == 0
    assert about["sha256"] == tiny["sha256"] and about["bytes"] == Path(tiny["path"]).stat().st_size
    assert (about["width"], about["z_dim"], about["num_classes"], about["licence"]) == (32, 8, 0, "")
    code, text, _ = run(capsys, "info", tiny["path"])
    assert code == 0 and "size           32 x 32, 3 channels" in text and tiny["sha256"] in text
    assert "num classes    0" in text and "has noise      yes" in text


def test_generate_is_the_generator_before_eight_bits(capsys: pytest.CaptureFixture, tmp_path: Path, tiny: dict) -> None:
    generator = load_generator(tiny["path"])
    z = np.random.RandomState(0).randn(5, 8)
    np.save(tmp_path / "z.npy", z)
    with torch.inference_mode():
        w = generator.map(torch.from_numpy(z.astype(np.float32)))
        ws = generator.truncate(generator.broadcast(w), 0.6, 3)
        expected = generator.synthesize(ws, 7).numpy()
    np.save(tmp_path / "w.npy", w.numpy())
    np.save(tmp_path / "ws.npy", generator.broadcast(w).numpy())
    settings = ["--psi", 0.6, "--cutoff", 3, "--noise", 7]
    for name, space in (("z", "z"), ("w", "w"), ("ws", "w")):
        latents = ["--latents", tmp_path / f"{name}.npy", "--space", space]
        pictures = generate(capsys, tmp_path / "x.npy", tiny, *latents, *settings)
        assert pictures.dtype == np.float32 and pictures.shape == (5, 3, 32, 32)
        assert np.allclose(pictures, expected, atol=1e-4)
    in_twos = generate(capsys, tmp_path / "x.npy", tiny, *latents, *settings, "--batch", 2)
    assert np.allclose(in_twos, expected, atol=1e-4)


def test_seeds_are_numpys(capsys: pytest.CaptureFixture, tmp_path: Path, tiny: dict) -> None:
    z = np.concatenate([np.random.RandomState(seed).randn(1, 8) for seed in (3, 10, 11, 12)])
    np.save(tmp_path / "z.npy", z)
    first = generate(capsys, tmp_path / "a.npy", tiny, "--seeds", "3,10-12")
    second = generate(capsys, tmp_path / "b.npy", tiny, "--latents", tmp_path / "z.npy")
    assert np.array_equal(first, second) and len(first) == 4


def test_classes(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    generator = driving.make_checkpoint(tmp_path / "c.safetensors", **driving.TINY, num_classes=2)
    for name, classes in (("one", np.array([0.0, 1.0])), ("each", np.array([[0.0, 1.0]] * 3))):
        np.save(tmp_path / f"{name}.npy", classes)
    one, each = (
        generate(capsys, tmp_path / "x.npy", generator, "--seeds", "1-3", "--classes", tmp_path / f"{name}.npy")
        for name in ("one", "each")
    )
    assert np.array_equal(one, each)
    arguments = ["generate", "--checkpoint", generator["path"], "--seeds", "1", "--out", tmp_path / "x.npy"]
    code, _, errors = run(capsys, *arguments)
    assert code == 1 and "takes 2 class weights" in errors


def test_bad_input_is_one_line(capsys: pytest.CaptureFixture, tmp_path: Path, tiny: dict) -> None:
    np.save(tmp_path / "wrong.npy", np.zeros((2, 512)))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    np.save(tmp_path / "words.npy", np.array(["a"]))
    (tmp_path / "text.npy").write_text("not an array")
    (tmp_path / "broken.safetensors").write_bytes(b"\0" * 100)
    out, good = ["--out", tmp_path / "x.npy"], ["generate", "--checkpoint", tiny["path"]]
    for arguments, code, words in (
        (["info", tmp_path / "nowhere.pkl"], 1, "nowhere.pkl is not there"),
        (["info", tmp_path / "broken.safetensors"], 1, "broken.safetensors"),
        (["info", tmp_path], 1, str(tmp_path)),
        ([*good, *out, "--latents", tmp_path / "wrong.npy"], 1, "has 512 values"),
        ([*good, *out, "--latents", tmp_path / "objects.npy"], 2, "objects.npy cannot be imported"),
        ([*good, *out, "--latents", tmp_path / "words.npy"], 2, "array of numbers"),
        ([*good, *out, "--latents", tmp_path / "text.npy"], 2, "text.npy cannot be read"),
        ([*good, *out, "--latents", tmp_path / "missing.npy"], 2, "missing.npy"),
        ([*good, *out, "--seeds", "1", "--batch", "0"], 2, "--batch"),
        ([*good, *out, "--seeds", "1", "--device", "abacus"], 2, "abacus"),
        ([*good, "--seeds", "1", "--out", tmp_path / "no" / "x.npy"], 1, "x.npy"),
    ):
        found, text, errors = run(capsys, *arguments)
        assert found == code, errors
        assert words in errors and errors.count("\n") == 1 and text == ""
    for arguments, words in (
        ([*good, *out], "--latents --seeds"),
        ([*good, *out, "--seeds", "5-2"], "5-2"),
        ([*good, *out, "--seeds", "a"], "1,2,5-8"),
        ([*good, *out, "--seeds", "1", "--noise", "loud"], "loud"),
        (["dance"], "dance"),
        ([], "command"),
    ):
        found, _, errors = run(capsys, *arguments)
        assert found == 2 and words in errors and "Traceback" not in errors
    assert not (tmp_path / "x.npy").exists()


def test_missing_packages_are_named(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("torch", "PIL") else find_spec(name))
    code, _, errors = run(capsys, "info")
    assert code == 3 and f"The Python at {sys.executable} has no torch, pillow." in errors
    assert errors.endswith("-m pip install torch pillow\n")


def test_an_old_python_is_told_so() -> None:
    code = """
import runpy, sys
sys.version_info = (3, 8, 1)
runpy.run_module("inference_server", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=driving.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 3 and "needs 3.11 or newer" in done.stderr and "Traceback" not in done.stderr


def test_a_device_that_is_not_there_ends_serve_with_a_line() -> None:
    command = [sys.executable, "-m", "inference_server", "serve", "--device", "abacus"]
    environment = os.environ | {"PYTHONPATH": str(driving.ROOT)}
    pipe = subprocess.PIPE
    # stdin stays open: its end would end the server too.
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, cwd=driving.ROOT) as process:
        said = process.stderr.read()
        assert process.wait(driving.PATIENCE) == 1 and process.stdout.read() == b""
    assert b"The device abacus cannot be used" in said and b"Traceback" not in said
