"""The library: generators in folders, cards with thumbnails, latents of other programs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import driving
from driving import Server, jobs, plain_frames, unpacked
from inference_server.pixels.encoding import read_png
from inference_server.rendering import library
from inference_server.rendering.batches import Frames
from inference_server.rendering.library import list_library
from inference_server.rendering.renderer import Renderer
from inference_server.rendering.thumbnails import thumbnail_of
from lantern_protocol import errors, versions
from lantern_protocol.errors import ProtocolError
from lantern_protocol.orders import RenderSettings

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def shelf(tmp_path: Path, tiny: dict) -> Path:
    """Two files, a run of three, a file two levels below, one that is too deep, and things that are no checkpoints."""
    root = tmp_path / "shelf"
    for folder in ("run", "a/b", "a/b/c", ".hidden"):
        (root / folder).mkdir(parents=True)
    shutil.copy(tiny["path"], root / "tiny.safetensors")
    shutil.copy(FIXTURES / "ada_skip.pkl", root / "faces.pkl")
    for kimg in (1, 2, 10):
        driving.make_checkpoint(root / "run" / f"snap-{kimg}.safetensors", kimg)
    for folder in ("a/b", "a/b/c", ".hidden"):
        shutil.copy(tiny["path"], root / folder / "deep.safetensors")
    (root / "page.pkl").write_bytes(b"<!DOCTYPE html>")
    (root / "empty.pt").touch()
    (root / "readme.txt").write_text("hello")
    return root


def test_generators_are_found_two_levels_deep(shelf: Path) -> None:
    listed = list_library([shelf, shelf / "a"])
    assert listed.problems == ()
    found = {str(Path(entry.path).relative_to(shelf)): entry.snapshots for entry in listed.entries}
    assert found == {"faces.pkl": 0, "tiny.safetensors": 0, "run": 3, str(Path("a/b/deep.safetensors")): 0}
    size = sum(path.stat().st_size for path in (shelf / "run").iterdir())
    assert next(entry for entry in listed.entries if entry.snapshots).bytes == size
    assert len(list_library([shelf / "a"]).entries) == 2  # from there on, the deepest is two levels down


def test_folders_that_cannot_be_read_are_told_of(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = list_library([shelf / "gone", shelf])
    assert len(listed.entries) == 4 and len(listed.problems) == 1 and "gone cannot be read" in listed.problems[0]
    (shelf / "a" / "loop").symlink_to(shelf, target_is_directory=True)
    assert len(list_library([shelf]).entries) == 4
    monkeypatch.setattr(library, "MOST_ENTRIES", 2)
    listed = list_library([shelf])
    assert len(listed.entries) == 2 and "Only 2 generators" in listed.problems[0]


def test_the_library_is_asked_for_over_the_pipe(server: Server, shelf: Path) -> None:
    answer = server.ask("library/list", folders=[str(shelf)])
    assert answer["problems"] == [] and len(answer["entries"]) == 4
    for folders in ([3], [""], "x"):
        with pytest.raises(ProtocolError) as caught:
            server.ask("library/list", folders=folders)
        assert caught.value.code == errors.INVALID_PARAMS


def test_cards(server: Server, shelf: Path, cache: Path) -> None:
    for path in (shelf / "faces.pkl", shelf / "run", None):
        path = None if path is None else str(path)
        card = server.ask("library/card", path=path, thumbnail=True)
        assert Path(card.pop("thumbnail")) == cache / "thumbnails" / f"{card['sha256']}-p{versions.PIXEL_REVISION}.png"
        assert card == server.ask("generator/describe", path=path)
    assert len(server.ask("library/card", path=str(shelf / "run"), thumbnail=False)["snapshots"]) == 3
    assert server.ask("library/card", path=str(shelf / "tiny.safetensors"))["thumbnail"] == ""
    for path in ("page.pkl", "empty.pt", "gone.pkl"):
        with pytest.raises(ProtocolError, match=path) as caught:
            server.ask("library/card", path=str(shelf / path), thumbnail=True)
        assert caught.value.code == errors.CHECKPOINT_UNREADABLE
    assert server.ask("ping") == {}


def test_cards_wait_until_no_frame_is_wanted(server: Server, slow: dict, shelf: Path, folder: Path) -> None:
    job = next(jobs)
    frames = server.generate(job, folder, slow, np.zeros((8, 8)), plain_frames(8))
    server.until(lambda: server.made(job))
    card = server.send("library/card", path=str(shelf / "faces.pkl"), thumbnail=True)
    server.answer(frames)
    made = len(server.made(job))
    server.answer(card)
    assert made == 8


@pytest.fixture
def renderer() -> Renderer:
    return Renderer("cpu")


def test_a_thumbnail_is_seed_0_truncated(renderer: Renderer, tmp_path: Path) -> None:
    """Larger pictures are scaled down, smaller ones are not; a conditional generator shows its first class."""
    made = driving.make_checkpoint(
        tmp_path / "wide.safetensors", z_dim=8, w_dim=12, channels=(8, 8, 8, 8, 8), base_size=(8, 16), num_classes=2
    )
    path = thumbnail_of(renderer, made["path"], made["sha256"])
    z = np.random.RandomState(0).randn(1, 8).astype(np.float32)
    frames = Frames.of("z", z, RenderSettings(0.7, classes=(1.0, 0.0)))
    full = renderer.render(renderer.open(made["path"], None), frames)[0].pixels()
    assert full.shape == (128, 256, 3)
    mean = full.reshape(64, 2, 128, 2, 3).mean(axis=(1, 3))
    small = read_png(path)
    assert small.shape == (64, 128, 3) and np.abs(small - mean).max() <= 1
    before = path.stat().st_mtime_ns
    assert thumbnail_of(renderer, made["path"], made["sha256"]).stat().st_mtime_ns == before
    gray = FIXTURES / "ada_gray_nonoise.pkl"
    sha256 = driving.generator_of(gray)["sha256"]
    assert read_png(thumbnail_of(renderer, str(gray), sha256)).shape == (32, 32, 1)


def test_a_card_lets_no_generator_go(renderer: Renderer, tiny: dict, tmp_path: Path) -> None:
    kept = renderer.open(tiny["path"], None)
    made = driving.make_checkpoint(tmp_path / "new.safetensors", 77)
    thumbnail_of(renderer, made["path"], made["sha256"])
    assert renderer.open(tiny["path"], None) is kept
    assert renderer.release() == kept.weight_bytes


def test_a_thumbnail_that_cannot_be_written_is_none(
    tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "blocked").write_text("a file where the folder would be")
    with Server(env={"LATENT_LANTERN_CACHE": str(tmp_path / "blocked")}) as server:
        card = server.ask("library/card", path=tiny["path"], thumbnail=True)
        assert card["thumbnail"] == "" and card["sha256"] == tiny["sha256"]
        assert "no thumbnail of tiny.safetensors" in server.noted("log")[-1]["text"]


def test_latents_are_imported(server: Server, tiny: dict, tmp_path: Path) -> None:
    w = np.random.RandomState(1).randn(3, 8, 12).astype(np.float32)
    np.savez(tmp_path / "projected.npz", w=w)
    np.save(tmp_path / "source.npy", w[:, 0, :8])
    answer = server.ask("latents/import", path=str(tmp_path / "projected.npz"), generator=tiny)
    assert answer["space"] == "w+" and np.array_equal(unpacked(answer["latents"]), w)
    answer = server.ask("latents/import", path=str(tmp_path / "source.npy"), generator=tiny)
    assert answer["space"] == "z" and np.array_equal(unpacked(answer["latents"]), w[:, 0, :8])
    np.save(tmp_path / "long.npy", np.zeros((1, 512)))
    for name, words in (("long.npy", "neither z of 8"), ("gone.npy", "gone.npy")):
        with pytest.raises(ProtocolError, match=words) as caught:
            server.ask("latents/import", path=str(tmp_path / name), generator=tiny)
        assert caught.value.code == errors.LATENT_MISMATCH
    with pytest.raises(ProtocolError, match="must name a file"):
        server.ask("latents/import", path=None, generator=tiny)


def test_w_plus_is_drawn_as_imported(server: Server, tiny: dict, folder: Path) -> None:
    w = np.random.RandomState(1).randn(1, 8, 12).astype(np.float32)
    request = server.generate(next(jobs), folder, tiny, w, plain_frames(1), space="w")
    assert server.answer(request)["made"] == 1
    renderer = Renderer("cpu")
    frames = Frames.of("w", w, RenderSettings())
    expected = renderer.render(renderer.open(tiny["path"], None), frames)[0].pixels()
    assert np.abs(read_png(folder / "f0000.png").astype(int) - expected).max() <= 1
    assert os.listdir(folder) == ["f0000.png"]
