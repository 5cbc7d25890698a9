"""Snapshots of a training: which files they are, in what order, and the blends between two of them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import driving
from driving import Server, jobs, plain_frames
from inference_server.checkpoints import CheckpointError, load_generator
from inference_server.checkpoints.snapshots import find_snapshots, group_runs, list_checkpoints
from inference_server.pixels.encoding import read_png
from inference_server.rendering import renderer as renderer_module
from inference_server.rendering import residents
from inference_server.rendering.batches import Frames
from inference_server.rendering.renderer import Renderer
from lantern_protocol.errors import CHECKPOINT_CHANGED, ProtocolError
from lantern_protocol.orders import FrameOrder, RenderSettings


def pretend(folder: Path, *names: str, size: int = 1000) -> None:
    """Files whose names and first bytes look like checkpoints."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"\x80\x04" + bytes(size - 2))


@pytest.mark.parametrize(
    "names",
    [
        ["network-snapshot-000000.pkl", "network-snapshot-000200.pkl", "network-snapshot-010000.pkl"],
        ["snap-2.pt", "snap-10.pt", "snap-100.pt"],
        ["9.pth", "10.pth", "010000.pth"],
        ["run2-kimg5.pkl", "run2-kimg10.pkl", "run2-final.pkl"],
        ["net_best.pt", "net_latest.pt", "net_final.pt"],
        ["g-1.pkl", "g-2.pkl", "g-last.pkl", "g-ema.pkl"],
        ["stylegan2-512x512-1.pkl", "stylegan2-512x512-2.pkl"],
        ["alice.pkl", "bob.pkl"],
    ],
)
def test_the_order_is_that_of_training(tmp_path: Path, names: list[str]) -> None:
    pretend(tmp_path, *reversed(names))
    assert [path.name for path in find_snapshots(tmp_path)] == names


def test_only_generators_of_one_training_are_taken(tmp_path: Path) -> None:
    wanted = ["netG_epoch_1.pth", "netG_epoch_2.pth", "netG_epoch_10.pth"]
    pretend(tmp_path, *wanted, "netD_epoch_1.pth", "netD_epoch_2.pth", "optimizer_1.pth", "d_1.pth", ".hidden_1.pth")
    pretend(tmp_path, "netG_epoch_3.pth", size=2000)
    pretend(tmp_path, "ffhq-512x512.pkl", "log.txt", "fakes000001.png")
    (tmp_path / "netG_epoch_4.pth").write_bytes(b"<!DOCTYPE html>".ljust(1000))
    (tmp_path / "netG_epoch_5.pth").mkdir()
    assert [path.name for path in find_snapshots(tmp_path)] == wanted
    grouped = [[item.path.name for item in run] for run in group_runs(list_checkpoints(tmp_path))]
    assert wanted in grouped and ["ffhq-512x512.pkl"] in grouped and ["netG_epoch_3.pth"] in grouped


def test_other_sizes_of_picture_are_other_generators(tmp_path: Path) -> None:
    pretend(tmp_path, "t-ffhq-256x256.pkl", "t-ffhq-1024x1024.pkl", "t-metfaces-1024x1024.pkl")
    assert [len(run) for run in group_runs(list_checkpoints(tmp_path))] == [1, 1, 1]


def test_a_folder_without_any_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint in the folder"):
        find_snapshots(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        find_snapshots(tmp_path / "gone")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """Three snapshots of one make, and next to them a network of a different make."""
    folder = tmp_path_factory.mktemp("run")
    others = {"z_dim": 8, "w_dim": 12, "channels": (8, 8, 8, 7), "base_size": (4, 4)}
    driving.make_checkpoint(folder / "snap-3.safetensors", 3, **others)
    return [driving.make_checkpoint(folder / f"snap-{seed}.safetensors", seed) for seed in (1, 2, 10)]


def test_a_folder_is_described_by_its_last_snapshot(server: Server, run: list[dict]) -> None:
    folder = str(Path(run[0]["path"]).parent)
    about = server.ask("generator/describe", path=folder)
    assert [(item["name"], item["path"], item["sha256"]) for item in about["snapshots"]] == [
        (Path(item["path"]).stem, item["path"], item["sha256"]) for item in run
    ]
    assert all(item["bytes"] == os.path.getsize(item["path"]) for item in about["snapshots"])
    assert (about["path"], about["name"], about["sha256"]) == (folder, "snap-10", run[2]["sha256"])
    assert "of a different make: snap-3" in server.noted("log")[-1]["text"]
    assert server.ask("generator/describe", path=run[0]["path"])["snapshots"] == []
    with pytest.raises(ProtocolError, match="no checkpoint in the folder"):
        server.ask("generator/describe", path=os.path.dirname(os.__file__))


def test_frames_between_snapshots(server: Server, run: list[dict], folder: Path) -> None:
    z = np.random.RandomState(0).randn(1, 8).astype(np.float32)
    frames = [FrameOrder(f"{mix}.png", 0, RenderSettings(mix=mix)) for mix in (0.0, 0.25, 0.5, 1.0)]
    again = [FrameOrder(f"again-{mix}.png", 0, RenderSettings(mix=mix)) for mix in (0.5, 0.25)]
    request = server.generate(next(jobs), folder, run[0], z, frames + again, toward=run[1])
    assert server.answer(request)["made"] == 6
    ends = [load_generator(item["path"]) for item in run[:2]]
    for mix in (0.0, 0.25, 0.5, 1.0):
        between = load_generator(run[0]["path"])
        with torch.inference_mode():
            for value, low, high in zip(*(net.state_dict().values() for net in (between, *ends)), strict=True):
                value.copy_(low + mix * (high - low))
            between.weights_changed()
            image = between.synthesize(between.broadcast(between.map(torch.from_numpy(z))), "const")[0].numpy()
        expected = np.floor(np.clip(image * 127.5 + 128, 0, 255)).transpose(1, 2, 0)
        assert np.abs(read_png(folder / f"{mix}.png") - expected).max() <= 1
    for mix in (0.25, 0.5):  # equal bit by bit, independent of what was made in between
        assert np.array_equal(read_png(folder / f"again-{mix}.png"), read_png(folder / f"{mix}.png"))
    alone = server.generate(next(jobs), folder, run[1], z, plain_frames(1))
    server.answer(alone)
    assert np.array_equal(read_png(folder / "f0000.png"), read_png(folder / "1.0.png"))


def test_what_cannot_be_mixed(server: Server, run: list[dict], tiny: dict, folder: Path) -> None:
    z, half = np.zeros((1, 8)), [FrameOrder("half.png", 0, RenderSettings(mix=0.5))]
    other = driving.generator_of(Path(run[0]["path"]).with_name("snap-3.safetensors"))
    for toward, words in ((other, "different makes"), (None, "no 'toward'")):
        with pytest.raises(ProtocolError, match=words):
            server.answer(server.generate(next(jobs), folder, run[0], z, half, toward=toward))
    stale = {"path": run[1]["path"], "sha256": "0" * 64}
    with pytest.raises(ProtocolError) as caught:
        server.answer(server.generate(next(jobs), folder, run[0], z, half, toward=stale))
    assert caught.value.code == CHECKPOINT_CHANGED
    assert not list(folder.glob("*.png"))


@pytest.fixture
def renderer() -> Renderer:
    return Renderer("cpu")


def between(renderer: Renderer, run: list[dict], low: int, high: int, mix: float) -> residents.Loaded:
    toward = (run[high]["path"], run[high]["sha256"])
    return renderer.open_between(run[low]["path"], run[low]["sha256"], toward, mix)


def test_the_ends_are_the_snapshots_themselves(renderer: Renderer, run: list[dict]) -> None:
    first, second = (renderer.open(item["path"], None) for item in run[:2])
    assert between(renderer, run, 0, 1, 0.0) is first
    assert between(renderer, run, 0, 1, 1.0) is second
    before = {key: value.clone() for key, value in first.generator.state_dict().items()}
    assert between(renderer, run, 0, 1, 0.5) not in (first, second)
    assert all(torch.equal(before[key], value) for key, value in first.generator.state_dict().items())


def test_one_network_serves_all_pairs_within_the_budget(
    renderer: Renderer, run: list[dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = renderer.open(run[0]["path"], None).weight_bytes
    blend = between(renderer, run, 0, 1, 0.5)
    assert between(renderer, run, 1, 2, 0.25) is blend
    monkeypatch.setattr(residents, "MEMORY_BUDGET_BYTES", int(3.5 * size))
    renderer.release()
    for low, high, mix in ((0, 1, 0.5), (1, 2, 0.5), (0, 2, 0.1), (0, 1, 0.5)):
        loaded = between(renderer, run, low, high, mix)
        ends = [renderer.open(run[index]["path"], None) for index in (low, high)]
        for value, first, second in zip(*(net.generator.state_dict().values() for net in (loaded, *ends)), strict=True):
            assert torch.equal(value, torch.lerp(first, second, mix))
    assert renderer.release() <= int(3.5 * size)


def test_a_budget_for_less_than_a_pair_still_mixes(
    renderer: Renderer, run: list[dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = between(renderer, run, 0, 1, 0.5).generator.state_dict()
    expected = {key: value.clone() for key, value in expected.items()}
    renderer.release()
    monkeypatch.setattr(residents, "MEMORY_BUDGET_BYTES", 1)
    found = between(renderer, run, 0, 1, 0.5).generator.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in found.items())


def test_a_blend_forgets_what_was_computed_from_other_weights(renderer: Renderer, run: list[dict]) -> None:
    """The same mix gives the same bits after a different mix was made, in the same process and in a new one."""
    z = np.random.RandomState(0).randn(2, 8).astype(np.float32)
    frames = Frames.of("z", z, RenderSettings())

    def drawn(renderer: Renderer, mix: float) -> np.ndarray:
        with torch.inference_mode():
            return renderer.images(between(renderer, run, 0, 1, mix), frames).numpy().copy()

    first, other = drawn(renderer, 0.3), drawn(renderer, 0.8)
    assert np.abs(first - other).max() > 0.01
    assert np.array_equal(drawn(renderer, 0.3), first)
    assert np.array_equal(drawn(Renderer("cpu"), 0.8), other)


def test_snapshots_of_the_built_in_generator_are_known_by_their_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [driving.make_checkpoint(tmp_path / f"snapshot-{number}.safetensors", seed=number) for number in (1, 2)]
    monkeypatch.setattr(renderer_module, "BUILTIN_RUN", tmp_path)
    renderer = Renderer("cpu")
    for snapshot in made:
        assert renderer.open(None, snapshot["sha256"]).sha256 == snapshot["sha256"]
    assert renderer.open(None, None).sha256 == made[-1]["sha256"]
    with pytest.raises(ProtocolError, match="has changed") as caught:
        renderer.open(None, "ab" * 32)
    assert caught.value.code == CHECKPOINT_CHANGED
    half = renderer.open_between(None, made[0]["sha256"], (None, made[1]["sha256"]), 0.5)
    assert half.info.name == "snapshot-1"
    monkeypatch.setattr(renderer_module, "BUILTIN_RUN", tmp_path / "none")
    with pytest.raises(ProtocolError, match="cannot be read"):
        renderer.open(None, None)
