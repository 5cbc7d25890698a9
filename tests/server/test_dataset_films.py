"""Data sets of films: scenes, frames, time, rotation, broken files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dataset_sources import drawn, entries, first, make, moving, write_film
from inference_server.datasets.films import Scene, choose
from inference_server.datasets.reading import Dataset
from inference_server.datasets.settings import Settings, parse_time
from lantern_protocol.job_folder import read_status


def frames_of(out: Path) -> list[int]:
    """The frames that are in a data set."""
    return [int(one["source"].split()[1]) for one in entries(out) if "picture" in one]


def scenes_of(out: Path) -> list[list[int]]:
    return [scene["frames"] for scene in json.loads((out / "dataset.json").read_text())["scenes"]]


def test_cuts_fades_and_blank_frames_part_the_scenes(tmp_path: Path) -> None:
    one, two, three, four = (moving(seed, 20) for seed in (1, 2, 3, 4))
    fade = [(two[-1] * (1 - k / 13) + three[0] * (k / 13)).astype(np.uint8) for k in range(1, 13)]
    out_fade = [(three[-1] * (1 - k / 12)).astype(np.uint8) for k in range(1, 13)]
    blank = [np.zeros_like(one[0])] * 5
    film = write_film(tmp_path / "film.mp4", [*one, *two, *fade, *three, *out_fade, *blank, *four])
    assert make(film, tmp_path / "set", "--size", "64", "--duplicates", 0) == 0
    (a, b, c, d) = scenes_of(tmp_path / "set")
    assert (a, d) == ([0, 20], [89, 109])
    assert b[0] == 20 and abs(b[1] - 40) <= 1 and abs(c[0] - 52) <= 1 and abs(c[1] - 72) <= 1
    assert len(frames_of(tmp_path / "set")) == sum(end - start for start, end in (a, b, c, d))


def test_movement_flashes_and_held_poses_are_no_cuts(tmp_path: Path) -> None:
    flash = moving(1, 30, step=4)
    flash[15] = np.full_like(flash[15], 200)
    make(write_film(tmp_path / "flash.mp4", flash), tmp_path / "flash", "--size", 64)
    assert sum(end - start for start, end in scenes_of(tmp_path / "flash")) >= 29
    fast = moving(2, 30, step=25)
    make(write_film(tmp_path / "fast.mp4", fast), tmp_path / "fast", "--size", 64)
    assert scenes_of(tmp_path / "fast") == [[0, 30]]


def test_near_duplicates_of_a_still_shot_are_dropped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0)
    still = [drawn(1, (128, 96))] * 10
    still = [np.clip(one + noise.normal(0, 3, one.shape), 0, 255).astype(np.uint8) for one in still]
    film = write_film(tmp_path / "film.mp4", [*still, *moving(2, 4, step=20), *still])
    make(film, tmp_path / "set", "--size", 64)
    assert frames_of(tmp_path / "set") == [0, 10, 11, 12, 13]
    assert "5 pictures kept, 0 skipped, 19 near-duplicates left out." in capsys.readouterr().out
    make(film, tmp_path / "all", "--size", 64, "--duplicates", 0)
    assert len(Dataset(tmp_path / "all")) == 24


def test_which_frames_are_taken(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", [*moving(1, 24, step=3), *moving(2, 24, step=3)])
    for words, expected in (
        (["--every", 6], list(range(0, 48, 6))),
        (["--rate", 6], list(range(0, 48, 4))),
        (["--scenes", 2], [6, 18, 30, 42]),
        (["--start", "0:00.5", "--end", 1.5, "--every", 6], [0, 6, 12, 18]),
    ):
        out = tmp_path / "-".join(str(word).strip("-").replace(":", "") for word in words)
        assert make(film, out, "--size", 64, "--duplicates", 0, *words) == 0
        assert frames_of(out) == expected, words
    # At half a second there is the 13th frame.
    make(film, tmp_path / "whole", "--size", 64, "--duplicates", 0)
    part = tmp_path / "start-000.5-end-1.5-every-6"
    assert np.abs(first(part).astype(int) - first(tmp_path / "whole", 12).astype(int)).mean() < 2


def test_a_rate_follows_time_where_the_frame_rate_varies(tmp_path: Path) -> None:
    times = [*range(0, 24, 2), *range(24, 96, 8)]
    film = write_film(tmp_path / "film.mkv", moving(1, len(times), step=8), times=times)
    make(film, tmp_path / "set", "--size", 64, "--rate", 3, "--duplicates", 0)
    assert [times[frame] for frame in frames_of(tmp_path / "set")] == [0, 8, 16, *range(24, 96, 8)]


def test_scenes_shorter_than_the_step_still_give_a_frame() -> None:
    scenes = [Scene(0, 10, 0, 1, 0.5), Scene(11, 13, 1, 1.2, 0.5), Scene(13, 40, 1.2, 4, 0.5)]
    times = [frame / 10 for frame in range(40)]
    assert choose(scenes, times, Settings(every=20, scenes=3)) == [(0, 0), (12, 1), (20, 2)]
    assert choose(scenes, times, Settings(every=20)) == [(0, 0), (20, 2)]


def test_a_turned_film_is_set_upright(tmp_path: Path) -> None:
    frame = np.zeros((96, 128, 3), np.uint8)
    frame[:, :32] = (250, 30, 30)  # red on the left
    frame[40:60, 60:90] = 255
    film = write_film(tmp_path / "film.mp4", [frame] * 4)
    data = bytearray(film.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # the matrix, after the fields of version 0
    turned = (0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)  # 90 degrees clockwise
    data[at : at + 36] = b"".join(number.to_bytes(4, "big", signed=True) for number in turned)
    film.write_bytes(data)
    assert make(film, tmp_path / "set", "--size", "96x128") == 0
    picture = first(tmp_path / "set").astype(int)
    assert picture[4:24, :, 0].min() > 150 and picture[40:, :20].max() < 90  # red on top


def test_smart_windows_stay_in_place_in_a_scene(tmp_path: Path) -> None:
    def frame(left: int) -> np.ndarray:
        picture = np.full((96, 256, 3), 60, np.uint8)
        picture[:, left : left + 80] = drawn(3, (80, 96))
        return picture

    film = write_film(tmp_path / "film.mp4", [*(frame(4 + k) for k in range(12)), *(frame(170 - k) for k in range(12))])
    make(film, tmp_path / "set", "--size", "96", "--crop", "smart", "--duplicates", 0)
    scenes = json.loads((tmp_path / "set" / "film.json").read_text())["scenes"]
    assert len(scenes) == 2 and scenes[0][4] < 0.2 and scenes[1][4] > 0.8
    ground = np.abs(first(tmp_path / "set", 0).astype(int) - 60).max(axis=-1) < 20
    later = np.abs(first(tmp_path / "set", 11).astype(int) - 60).max(axis=-1) < 20
    assert ground[:, -4:].all() or not np.array_equal(ground, later)  # the figure moves in a window that does not


@pytest.mark.parametrize("content", [b"", b"no film at all" * 100, b"\0\0\0\x18ftypmp42" + bytes(200)])
def test_what_is_no_film_is_one_sentence(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "film.mp4").write_bytes(content)
    assert make(tmp_path / "film.mp4", tmp_path / "set", "--size", 64) == 1
    error = capsys.readouterr().err
    assert str(tmp_path / "film.mp4") in error and "Traceback" not in error
    assert read_status(tmp_path / "set").state == "failed"
    # A different source may use the folder: nothing was made in it.
    film = write_film(tmp_path / "real.mp4", moving(1, 3))
    assert make(film, tmp_path / "set", "--size", 64) == 0


def test_a_film_of_nothing_but_black_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = write_film(tmp_path / "film.mp4", [np.zeros((96, 128, 3), np.uint8)] * 4)
    assert make(film, tmp_path / "set", "--size", 64) == 1
    assert "only blank frames" in capsys.readouterr().err
    assert make(film, tmp_path / "set", "--size", 64, "--start", 90) == 1
    assert "no frames that can be read from --start" in capsys.readouterr().err


def test_a_film_that_is_cut_off_gives_the_frames_it_has(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", moving(1, 40, step=8))
    data = film.read_bytes()
    film.write_bytes(data[: len(data) // 2])
    assert make(film, tmp_path / "set", "--size", 64, "--duplicates", 0) == 0
    assert 10 <= len(Dataset(tmp_path / "set")) < 40


def test_a_film_that_changed_is_not_gone_on_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = write_film(tmp_path / "film.mp4", moving(1, 4))
    make(film, tmp_path / "set", "--size", 64)
    write_film(film, moving(2, 9))
    assert make(film, tmp_path / "set", "--size", 64) == 1
    assert "has changed" in capsys.readouterr().err


def test_times_are_read_as_people_write_them() -> None:
    assert [parse_time(text) for text in ("5", "1:05", "1:00:00.5")] == [5, 65, 3600.5]
    for text in ("", "1:", "a", "-4", "1:2:3:4"):
        with pytest.raises(ValueError, match="not a time"):
            parse_time(text)
