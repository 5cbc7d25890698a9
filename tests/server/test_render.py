"""Render a sequence file: the same bytes every time, even if it was stopped and continued."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import driving
from inference_server.commands import cli
from inference_server.pixels.encoding import encode_png, read_png
from inference_server.pixels.shadow import make_shadow
from inference_server.rendering import journal, sequences
from lantern_protocol.orders import RenderSettings, ShadowSettings
from lantern_protocol.sequence_file import SequenceFile, SequenceFrame, SequenceGenerator

SOFT = ShadowSettings(120, 2, figure=(30, 0, 60, 255))


@pytest.fixture
def sequence(tmp_path: Path, tiny: dict) -> Path:
    """Forty frames, every third one a shadow, with noise that changes once; the checkpoint is next to the file."""
    shutil.copy(tiny["path"], tmp_path / "net.safetensors")
    z = np.random.RandomState(0).randn(20, 8).astype(np.float32)
    frames = tuple(
        SequenceFrame(
            101 + i,
            i % 20,
            RenderSettings(psi=0.5 + i / 100, cutoff=None if i % 2 else 4, noise="const" if i < 36 else 5),
            shadow=None if i % 3 else SOFT,
        )
        for i in range(40)
    )
    path = tmp_path / "shot.lantern.json"
    generators = (SequenceGenerator("net.safetensors", tiny["sha256"], "tiny"),)
    SequenceFile("shot", 12, generators, "z", z.tobytes(), z.shape, frames).write(path)
    return path


Rendered = Callable[..., tuple[int, str]]


@pytest.fixture
def rendered(capsys: pytest.CaptureFixture, sequence: Path) -> Rendered:
    """Run `render` on the sequence; return the exit code and its output."""

    def run(out: Path, *options: object) -> tuple[int, str]:
        code = cli.main(["render", str(sequence), "--out", str(out), "--device", "cpu", *map(str, options)])
        return code, capsys.readouterr().err

    return run


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("frame_*")}


def test_the_same_bytes_twice_in_parts_and_in_another_process(
    rendered: Rendered, tmp_path: Path, sequence: Path
) -> None:
    assert rendered(tmp_path / "a")[0] == 0
    whole = hashes(tmp_path / "a")
    assert sorted(whole) == [f"frame_{number:04}.png" for number in range(101, 141)]
    for part in ("139", "105-110,131", "101-140"):
        code, said = rendered(tmp_path / "b", "--frames", part)
        assert code == 0
    assert "32 frames to make, 8 there already" in said
    assert hashes(tmp_path / "b") == whole
    command = [sys.executable, "-m", "inference_server", "render", sequence, "--out", tmp_path / "c", "--device", "cpu"]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}  # as in the other renders; more may round differently
    subprocess.run(command, cwd=driving.ROOT, check=True, capture_output=True, env=one_thread)
    assert hashes(tmp_path / "c") == whole


def test_frames_are_what_the_sequence_says_or_what_was_insisted_on(rendered: Rendered, tmp_path: Path) -> None:
    for folder, option in (("own", None), ("colour", "--colour"), ("marrow", "--shadow")):
        assert rendered(tmp_path / folder, *([option] if option else []))[0] == 0
    for number in range(101, 141):
        name = f"frame_{number:04}.png"
        colour = read_png(tmp_path / "colour" / name)
        assert colour.shape == (32, 32, 3)
        expected = colour if (number - 101) % 3 else make_shadow(colour, SOFT)
        assert (tmp_path / "own" / name).read_bytes() == encode_png(expected)
        assert np.array_equal(read_png(tmp_path / "marrow" / name), make_shadow(colour, ShadowSettings()))


def test_it_goes_on_after_a_kill(sequence: Path, rendered: Rendered, tmp_path: Path) -> None:
    value = json.loads(sequence.read_text(encoding="utf-8"))
    value["frames"] = [value["frames"][i % 36] | {"frame": i} for i in range(6000)]
    sequence.write_text(json.dumps(value))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "inference_server", "render", sequence, "--out", out, "--device", "cpu"]
    with subprocess.Popen(command, cwd=driving.ROOT, stderr=subprocess.PIPE) as process:
        said = b""
        while b"100 of 6000" not in said:
            said += process.stderr.read1()
        process.send_signal(signal.SIGKILL)
    with open(out / journal.JOURNAL, "ab") as lines:
        lines.write(b'\n{"name": "frame_0')  # as if cut off in the middle of a line
    there = hashes(out)
    assert 100 <= len(there) < 6000
    last = max(int(name[6:10]) for name in there) + 1
    code, said = rendered(out, "--frames", f"0-{last}")
    assert code == 0 and f"{last + 1 - len(there)} frames to make, {len(there)} there already" in said
    assert not list(out.glob(".part-*"))
    assert rendered(out, "--frames", f"0-{last}")[1].startswith("0 frames to make")
    assert there.items() <= hashes(out).items()


def test_other_files_are_not_replaced_unasked(rendered: Rendered, tmp_path: Path) -> None:
    out = tmp_path / "out"
    rendered(out, "--frames", "101-105")
    before = hashes(out)
    (out / "frame_0103.png").write_bytes(b"drawn over")
    for options in (["--frames", "101-105"], ["--frames", "103-104", "--colour"], ["--colour"]):
        code, said = rendered(out, *options)
        assert code == 1 and "--overwrite" in said and str(out / "frame_010") in said
    assert (out / "frame_0103.png").read_bytes() == b"drawn over"
    code, said = rendered(out, "--frames", "101-105", "--overwrite")
    assert code == 0 and said.startswith("1 frames to make, 4 there already")
    assert hashes(out) == before


def test_the_checkpoint_is_found_by_its_contents(rendered: Rendered, tmp_path: Path, tiny: dict) -> None:
    net = tmp_path / "net.safetensors"
    moved = tmp_path / "moved.safetensors"
    net.rename(moved)
    code, said = rendered(tmp_path / "out")
    assert code == 1 and "needs the checkpoint 'tiny'" in said and "net.safetensors is not there" in said
    driving.make_checkpoint(net, seed=9)
    code, said = rendered(tmp_path / "out")
    assert code == 1 and "net.safetensors is a different checkpoint" in said and "--checkpoint" in said
    code, said = rendered(tmp_path / "out", "--checkpoint", net)
    assert code == 1
    assert not (tmp_path / "out").exists()
    assert rendered(tmp_path / "out", "--checkpoint", moved)[0] == 0


def test_the_built_in_generator_is_taken_when_it_is_the_one(
    rendered: Rendered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "builtin").mkdir()
    (tmp_path / "net.safetensors").rename(tmp_path / "builtin" / "snapshot-1.safetensors")
    driving.make_checkpoint(tmp_path / "builtin" / "snapshot-2.safetensors", seed=9)
    monkeypatch.setattr(sequences, "BUILTIN_RUN", tmp_path / "builtin")
    assert rendered(tmp_path / "out", "--frames", "101")[0] == 0


def test_errors_are_one_line(rendered: Rendered, tmp_path: Path, sequence: Path) -> None:
    code, said = rendered(tmp_path / "out", "--frames", "100-101")
    assert code == 2 and "no frame 100" in said
    code, said = rendered(tmp_path / "no" / "out")
    assert code == 1 and "Could not write" in said
    value = json.loads(sequence.read_text(encoding="utf-8"))
    sequence.write_text(json.dumps(value | {"fps": -1}))
    code, said = rendered(tmp_path / "out")
    assert code == 2 and "shot.lantern.json: 'fps'" in said and said.count("\n") == 1


def test_a_frame_that_is_not_a_picture_is_named(tmp_path: Path, tiny: dict, capsys: pytest.CaptureFixture) -> None:
    w = np.zeros((3, 12), dtype=np.float32)
    w[1] = 3e38
    frames = tuple(SequenceFrame(i, i) for i in range(3))
    path = tmp_path / "w.lantern.json"
    generators = (SequenceGenerator(tiny["path"], tiny["sha256"], "tiny"),)
    SequenceFile("w", 12, generators, "w", w.tobytes(), w.shape, frames).write(path)
    assert cli.main(["render", str(path), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 1
    assert "Frame 1: 'tiny' gave values that are not numbers" in capsys.readouterr().err
