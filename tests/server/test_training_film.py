"""The film of a training: its frames, its file, and the command's messages about bad input."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import driving
from inference_server.commands import cli
from inference_server.pixels.encoding import read_png
from inference_server.pixels.shadow import make_shadow
from inference_server.training import film, film_writing
from inference_server.training.film import Look, best_columns, images_seen, lay_out, places_of
from lantern_protocol.orders import ShadowSettings

SEEN = (0, 100, 1000)
LIGHT = np.array([0.2126, 0.7152, 0.0722])
"""Of red, green and blue (ITU-R BT.709)."""


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three snapshots of 32 x 32, and the latents of four previews."""
    folder = tmp_path_factory.mktemp("run")
    for seed, seen in enumerate(SEEN):
        driving.make_checkpoint(folder / f"snapshot-{seen:09d}.safetensors", seed)
    np.save(folder / "preview_latents.npy", np.random.RandomState(5).randn(4, 8).astype(np.float32))
    (folder / "resume.state").write_bytes(b"not a snapshot")
    return folder


def made(run: Path, out: Path, *options: object) -> Path:
    arguments = ["film", str(run), "--out", str(out), "--device", "cpu", *map(str, options)]
    assert cli.main(arguments) == 0
    return out


def refused(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    """The command's message on stderr when it refuses."""
    assert cli.main(["film", *map(str, arguments), "--device", "cpu"]) in (1, 2)
    return capsys.readouterr().err


def frames_in(folder: Path) -> list[np.ndarray]:
    assert all(name.startswith("frame_") for name in os.listdir(folder))
    return [read_png(path) for path in sorted(folder.iterdir())]


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def own_pictures(run: Path, seen: int, tmp_path: Path, *options: object) -> np.ndarray:
    """The grid, 2 x 2, of a snapshot's own pictures, made with the command generate."""
    out = tmp_path / f"own{seen}"
    checkpoint = ["--checkpoint", run / f"snapshot-{seen:09d}.safetensors", "--latents", run / "preview_latents.npy"]
    out.parent.mkdir(exist_ok=True)
    assert cli.main(["generate", *map(str, [*checkpoint, "--out", out, "--device", "cpu", *options])]) == 0
    a, b, c, d = frames_in(out)
    return np.block([[[a], [b]], [[c], [d]]])


def test_snapshots_are_shown_as_they_are_and_blended_between(run_folder: Path, tmp_path: Path) -> None:
    frames = frames_in(made(run_folder, tmp_path / "out", "--columns", 2, "--hold", 4, "--linger", 0))
    assert len(frames) == 9
    for index, seen in zip((0, 4, 8), SEEN, strict=True):
        np.testing.assert_array_equal(frames[index], own_pictures(run_folder, seen, tmp_path))
    other = ["--toward", run_folder / "snapshot-000000100.safetensors", "--mix", 0.25]
    np.testing.assert_array_equal(frames[1], own_pictures(run_folder, 0, tmp_path / "blend", *other))


def test_cuts_show_each_snapshot_as_long(run_folder: Path, tmp_path: Path) -> None:
    frames = frames_in(made(run_folder, tmp_path / "out", "--cut", "--hold", 2, "--linger", 0.125, "--fps", 8))
    assert len(frames) == 7
    kinds = [next(i for i, frame in enumerate(frames) if np.array_equal(frame, one)) for one in frames]
    assert kinds == [0, 0, 2, 2, 4, 4, 4]


def test_a_film_holds_the_frames_and_says_how_fast_they_pass(run_folder: Path, tmp_path: Path) -> None:
    settings = ["--seconds", 1, "--fps", 12, "--linger", 0.5, "--seeds", "1-3", "--columns", 3, "--psi", 0.5]
    path = made(run_folder, tmp_path / "a.mp4", *settings)
    pngs = frames_in(made(run_folder, tmp_path / "pngs", *settings))
    frames = decoded(path)
    assert len(frames) == len(pngs) == 18 and frames[0].shape == (32, 96, 3)
    for frame, png in zip(frames, pngs, strict=True):
        # Only brightness: a film has colours at half the resolution, and these pictures are noise.
        assert np.abs(frame @ LIGHT - png @ LIGHT).mean() < 6
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == 12 and stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p" and stream.codec_context.colorspace == 1
    # The frames are the same each time; the encoder's result may differ a little.
    again = frames_in(made(run_folder, tmp_path / "again", *settings))
    assert all(np.array_equal(one, other) for one, other in zip(pngs, again, strict=True))
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "again", "pngs"]


def test_odd_sizes_are_made_even(tmp_path: Path) -> None:
    with film_writing.open_sink(tmp_path / "odd.mkv", Fraction(24)) as sink:
        for _ in range(3):
            sink.write(np.full((33, 51, 3), (200, 60, 30), np.uint8))
    frames = decoded(tmp_path / "odd.mkv")
    assert len(frames) == 3 and frames[0].shape == (34, 52, 3)
    np.testing.assert_allclose(frames[0].reshape(-1, 3), np.full((34 * 52, 3), (200, 60, 30)), atol=4)


def test_shadows_and_labels(run_folder: Path, tmp_path: Path) -> None:
    plain = ["--columns", 2, "--hold", 1, "--linger", 0]
    colour = frames_in(made(run_folder, tmp_path / "colour", *plain))
    shadow = frames_in(made(run_folder, tmp_path / "shadow", *plain, "--shadow", "--label"))
    assert colour[0].shape == (64, 64, 3) and shadow[0].shape == (80, 64, 3)
    expected = make_shadow(colour[2][:32, :32], ShadowSettings())
    np.testing.assert_array_equal(shadow[2][:32, :32], np.broadcast_to(expected, (32, 32, 3)))
    labels = [frame[64:] for frame in shadow]
    assert all(label.min() < 64 and label.max() == 255 for label in labels)
    assert len({label.tobytes() for label in labels}) == 3  # the number grows


def test_empty_places_and_transparent_pictures_show_the_ground() -> None:
    half = np.full((4, 4, 4), (200, 100, 50, 128), np.uint8)
    grid = lay_out([half] * 3, Look(2, shadow=False, label=False))
    assert grid.shape == (8, 8, 3)
    assert grid[0, 0].tolist() == [100, 50, 25] and grid[7, 7].tolist() == [0, 0, 0]
    grey = np.full((4, 4, 1), 90, np.uint8)
    grid = lay_out([grey] * 3, Look(2, shadow=True, label=False))
    assert grid[0, 0].tolist() == [0, 0, 0] and grid[7, 7].tolist() == [255, 255, 255]


def test_pace() -> None:
    assert places_of(5, 3, None, False).tolist() == [0, 0.5, 1, 1.5, 2]
    assert places_of(5, 3, None, True).tolist() == [0, 0, 1, 1, 2]
    np.testing.assert_allclose(places_of(5, 3, [0, 100, 400], False), [0, 1, 4 / 3, 5 / 3, 2])
    assert places_of(5, 3, [0, 100, 400], True).tolist() == [0, 1, 1, 1, 2]
    for frames in (7, 49, 100):
        places = places_of(6 * frames + 1, 7, None, False)
        assert places[::frames].tolist() == list(range(7))  # the snapshots themselves, not blends near them


def test_grids_are_a_little_wide() -> None:
    assert [best_columns(count, 64, 64) for count in (1, 2, 4, 16, 24)] == [1, 2, 2, 4, 6]
    assert best_columns(6, 256, 64) < best_columns(6, 64, 256)


def test_numbers_in_names() -> None:
    assert images_seen([Path("snapshot-000000000.safetensors"), Path("snapshot-000012345.safetensors")]) == [0, 12345]
    assert images_seen([Path("network-snapshot-000200.pkl"), Path("network-snapshot-010000.pkl")]) == [200, 10000]
    assert images_seen([Path("run2-1.pkl"), Path("run2-final.pkl")]) is None
    assert images_seen([Path("alice.pkl"), Path("bob.pkl")]) is None


def test_nothing_that_is_there_is_overwritten_unless_asked(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    film_file = tmp_path / "film.mp4"
    film_file.write_bytes(b"somebody's")
    assert "is there already" in refused(capsys, run_folder, "--out", film_file)
    assert film_file.read_bytes() == b"somebody's"
    short = ["--hold", 1, "--linger", 0]
    made(run_folder, film_file, "--overwrite", *short)
    assert len(decoded(film_file)) == 3
    folder = tmp_path / "frames"
    made(run_folder, folder, "--hold", 2, "--linger", 0)
    (folder / "notes.txt").write_text("mine")
    assert "frame_0000.png is there already" in refused(capsys, run_folder, "--out", folder)
    made(run_folder, folder, "--overwrite", *short)
    assert sorted(os.listdir(folder)) == ["frame_0000.png", "frame_0001.png", "frame_0002.png", "notes.txt"]


@pytest.mark.parametrize("name", ["film.mp4", "frames"])
def test_stopped_in_the_middle_nothing_is_left(
    run_folder: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def stop(made: int, count: int) -> None:
        if made == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(film, "show_progress", stop)
    assert "Stopped." in refused(capsys, run_folder, "--out", tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_bad_input_is_said_in_a_sentence(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = ["--out", tmp_path / "x.mp4"]
    (tmp_path / "none").mkdir()
    assert "no checkpoint in the folder" in refused(capsys, tmp_path / "none", *out)
    assert "is not a folder" in refused(capsys, tmp_path / "missing", *out)
    np.save(tmp_path / "wide.npy", np.zeros((2, 9), np.float32))
    said = refused(capsys, run_folder, *out, "--latents", tmp_path / "wide.npy")
    assert "wide.npy holds 2 x 9 numbers" in said and "needs 8 finite numbers in each row" in said
    assert "end it in .mp4" in refused(capsys, run_folder, "--out", tmp_path / "x.gif")
    assert "is not there" in refused(capsys, run_folder, "--out", tmp_path / "no" / "x.mp4")
    for option, value in (("--fps", 0), ("--hold", 0), ("--seconds", 0), ("--linger", -1), ("--columns", 0)):
        assert f"{option} must be" in refused(capsys, run_folder, *out, option, value).replace("lie", "be")
    assert "too many" in refused(capsys, run_folder, *out, "--seeds", "1-2000")
    assert "must be a finite number" in refused(capsys, run_folder, *out, "--psi", "nan")


def test_one_snapshot_makes_no_film(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    driving.make_checkpoint(tmp_path / "snapshot-000000100.safetensors")
    assert "holds one snapshot only" in refused(capsys, tmp_path, "--out", tmp_path / "x.mp4")


def test_names_without_numbers_have_no_pace_by_images(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for seed, name in enumerate(("net_best", "net_final")):
        driving.make_checkpoint(tmp_path / f"{name}.safetensors", seed)
    assert "leave --by out" in refused(capsys, tmp_path, "--out", tmp_path / "x.mp4", "--by", "images")
    out = made(tmp_path, tmp_path / "x.mp4", "--label", "--hold", 1, "--seeds", "1")  # labelled with the names
    assert len(decoded(out)) == 2 + 24


def test_a_broken_snapshot_is_named(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for path in run_folder.glob("*.safetensors"):
        (folder / path.name).write_bytes(path.read_bytes())
    last = folder / "snapshot-000001000.safetensors"
    last.write_bytes(last.read_bytes()[:-500])
    said = refused(capsys, folder, "--out", tmp_path / "x.mp4", "--hold", 1, "--seeds", "1")
    assert "snapshot-000001000.safetensors" in said
    assert os.listdir(tmp_path) == ["run"]


def test_the_label_is_legible() -> None:
    grid = lay_out([np.zeros((256, 256, 3), np.uint8)] * 6, Look(3, shadow=False, label=True), "1,234 images")
    line = grid[512:]
    assert line.shape[0] >= 24
    lit = np.argwhere(line[..., 0] > 128)
    assert lit[:, 0].min() > 2 and lit[:, 0].max() < line.shape[0] - 2 and lit[:, 1].max() < 256
