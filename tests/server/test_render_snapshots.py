"""Sequences of several snapshots, moved pictures, and canvases."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import driving
from driving import Server, jobs
from inference_server.checkpoints import load_generator, save_generator
from inference_server.commands import cli
from inference_server.pixels.encoding import read_png
from lantern_protocol.errors import INVALID_PARAMS, ProtocolError
from lantern_protocol.orders import FrameOrder, RenderSettings
from lantern_protocol.sequence_file import SequenceFile, SequenceFrame, SequenceGenerator

FIXTURES = Path(__file__).parent / "fixtures"
TURN = (0.8, -0.6, 0.1, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


def sequence_of(path: Path, checkpoints: list[Path], z: np.ndarray, frames: list[SequenceFrame]) -> Path:
    generators = tuple(
        SequenceGenerator(str(checkpoint), driving.generator_of(checkpoint)["sha256"], checkpoint.stem)
        for checkpoint in checkpoints
    )
    SequenceFile("shot", 12, generators, "z", z.tobytes(), z.shape, tuple(frames)).write(path)
    return path


def rendered(sequence: Path, out: Path, *options: object) -> int:
    return cli.main(["render", str(sequence), "--out", str(out), "--device", "cpu", *map(str, options)])


@pytest.fixture
def training(tmp_path: Path) -> list[Path]:
    """Three snapshots of one training."""
    folder = tmp_path / "training"
    folder.mkdir()
    return [Path(driving.make_checkpoint(folder / f"snap-{seed}.safetensors", seed)["path"]) for seed in (1, 2, 3)]


def test_training_is_scrubbed_as_the_server_makes_it(
    server: Server, training: list[Path], tmp_path: Path, folder: Path
) -> None:
    """Six frames from the first to the third snapshot, by the command line and over the pipe: the same files."""
    z = np.random.RandomState(0).randn(1, 8).astype(np.float32)
    times = (0.0, 0.4, 0.8, 1.0, 1.5, 2.0)
    frames = [
        SequenceFrame(
            i, 0, RenderSettings(mix=time % 1), generator=min(int(time), 2), toward=int(time) + 1 if time % 1 else None
        )
        for i, time in enumerate(times)
    ]
    sequence = sequence_of(tmp_path / "s.lantern.json", training, z, frames)
    assert rendered(sequence, tmp_path / "out") == 0
    for i, frame in enumerate(frames):
        order = [FrameOrder(f"{i}.png", 0, RenderSettings(mix=frame.settings.mix))]
        toward = None if frame.toward is None else driving.generator_of(training[frame.toward])
        request = server.generate(
            next(jobs), folder, driving.generator_of(training[frame.generator]), z, order, toward=toward
        )
        assert server.answer(request)["made"] == 1
        # Compare pixels, because a frame's file holds its own name.
        assert (read_png(folder / f"{i}.png") == read_png(tmp_path / "out" / f"frame_{i:04}.png")).all()
    hashes = {hashlib.sha256(read_png(path).tobytes()).hexdigest() for path in (tmp_path / "out").glob("*.png")}
    assert len(hashes) == len(times)


def test_snapshots_are_found_in_a_folder_by_their_contents(
    training: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    z = np.zeros((1, 8), dtype=np.float32)
    frames = [SequenceFrame(0, 0, RenderSettings(mix=0.5), toward=1), SequenceFrame(1, 0, generator=2)]
    sequence = sequence_of(tmp_path / "s.lantern.json", training, z, frames)
    training[0].parent.rename(tmp_path / "moved")
    assert rendered(sequence, tmp_path / "out") == 1
    assert "needs the checkpoint 'snap-1'" in capsys.readouterr().err
    assert rendered(sequence, tmp_path / "out", "--checkpoint", tmp_path / "moved") == 0
    (tmp_path / "moved" / "snap-2.safetensors").unlink()
    assert rendered(sequence, tmp_path / "more", "--checkpoint", tmp_path / "moved") == 1
    assert "needs the checkpoint 'snap-2'" in capsys.readouterr().err


def test_what_decides_a_frame_is_in_the_journal(training: list[Path], tmp_path: Path) -> None:
    """With a different mix, target or transform, the picture is different: an existing file is not taken for it."""
    z = np.zeros((1, 8), dtype=np.float32)
    sequence = sequence_of(
        tmp_path / "s.lantern.json", training, z, [SequenceFrame(0, 0, RenderSettings(mix=0.5), toward=1)]
    )
    assert rendered(sequence, tmp_path / "out") == 0
    value = json.loads(sequence.read_text())
    for change in ({"mix": 0.25}, {"toward": 2}, {"generator": 2}):
        sequence.write_text(json.dumps(value | {"frames": [value["frames"][0] | change]}))
        assert rendered(sequence, tmp_path / "out") == 1
        assert rendered(sequence, tmp_path / "out", "--overwrite") == 0


def test_pictures_are_moved(server: Server, tmp_path: Path, folder: Path) -> None:
    """Frames with and without a transform in one job, by the command line and over the pipe."""
    generator = load_generator(FIXTURES / "sg3t.pkl")
    z = np.load(FIXTURES / "sg3t.npz")["z"]
    # Its picture is so even that a move would not show in eight bits: raise the contrast around grey.
    last = generator.synthesis.layers[-1]
    last.weight.mul_(100)
    with torch.inference_mode():
        image = generator.synthesize(generator.broadcast(generator.map(torch.from_numpy(z[:1]))), "const")
        last.bias -= image.mean(dim=(0, 2, 3)) / generator.config.output_scale
    checkpoint = tmp_path / "sg3t.safetensors"
    save_generator(generator, checkpoint, {}, torch.float32)
    moves = [(), TURN, tuple(np.load(FIXTURES / "sg3t.npz")["transform"].ravel().tolist())]
    frames = [SequenceFrame(i, 0, RenderSettings(transform=move)) for i, move in enumerate(moves)]
    assert rendered(sequence_of(tmp_path / "s.lantern.json", [checkpoint], z, frames), tmp_path / "out") == 0
    orders = [FrameOrder(f"{i}.png", 0, RenderSettings(transform=move)) for i, move in enumerate(moves)]
    request = server.generate(next(jobs), folder, driving.generator_of(checkpoint), z, orders)
    assert server.answer(request)["made"] == 3
    generator = load_generator(checkpoint)
    with torch.inference_mode():
        ws = generator.broadcast(generator.map(torch.from_numpy(z[:1])))
        images = [
            generator.synthesize(ws, "const", torch.tensor(move).reshape(1, 3, 3) if move else None)[0].numpy()
            for move in moves
        ]
    pictures = [np.floor(np.clip(image * 127.5 + 128, 0, 255)).transpose(1, 2, 0) for image in images]
    for i, picture in enumerate(pictures):
        for file in (folder / f"{i}.png", tmp_path / "out" / f"frame_{i:04}.png"):
            assert np.abs(read_png(file) - picture).max() <= 1
        assert np.abs(picture - pictures[i - 1]).max() > 20


def test_what_cannot_be_moved_says_so(server: Server, tiny: dict, folder: Path) -> None:
    request = server.generate(
        next(jobs), folder, tiny, np.zeros((1, 8)), [FrameOrder("a.png", 0, RenderSettings(transform=TURN))]
    )
    assert server.answer(request) == {"made": 0, "failed": 1, "dropped": 0}
    error = server.noted("frames/failed")[-1]["error"]
    assert error["code"] == INVALID_PARAMS and "only StyleGAN3" in error["message"]


def test_a_sequence_of_no_snapshots_is_refused_before_anything_is_written(
    training: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    z = np.zeros((1, 8), dtype=np.float32)
    sequence = sequence_of(tmp_path / "s.lantern.json", training, z, [SequenceFrame(0, 0)])
    shutil.rmtree(training[0].parent)
    assert rendered(sequence, tmp_path / "out") == 1
    assert "snap-1.safetensors is not there" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_toward_is_read_with_care(server: Server, tiny: dict, folder: Path) -> None:
    for toward in (3, {"path": 5}, {"path": tiny["path"], "sha256": "short"}):
        with pytest.raises(ProtocolError) as caught:
            server.answer(server.generate(next(jobs), folder, tiny, np.zeros((1, 8)), [], toward=toward))
        assert caught.value.code == INVALID_PARAMS
