"""Data sets that are stopped, killed and continued, and folders that hold something else."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from dataset_sources import COMMAND, drawn, entries, folder_of, make, moving, pictures, save, write_film
from inference_server.datasets import making
from inference_server.datasets.reading import Dataset
from lantern_protocol.job_folder import is_running, read_status


def test_a_killed_one_goes_on_to_the_same_pictures(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "source", 40, (400, 400))
    for copy in (5, 20):  # near-duplicates, on both sides of the kill
        save(source / f"{copy:03d} again.png", drawn(copy, (400, 400)))
    (source / "007 bad.png").write_text("no")
    make(source, tmp_path / "whole", "--size", 96)
    out = tmp_path / "set"
    process = subprocess.Popen(
        [*COMMAND, str(source), str(out), "--size", "96"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    journal = out / "sources.jsonl"
    while process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") >= 8):
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert not is_running(out) and 7 <= len(Dataset(out)) <= 40
    with journal.open("ab") as file:
        file.write(b'{"source": "0')  # as after a kill in the middle of a line
    assert make(source, out, "--size", 96) == 0
    assert pictures(out) == pictures(tmp_path / "whole")
    assert entries(out) == entries(tmp_path / "whole")
    assert (out / "skipped.txt").read_text() == (tmp_path / "whole" / "skipped.txt").read_text()


def test_a_film_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = write_film(tmp_path / "film.mp4", [*moving(1, 20), *moving(2, 20)])
    make(film, tmp_path / "whole", "--size", 64, "--crop", "smart")
    out = tmp_path / "set"
    with monkeypatch.context() as patch:
        add = making.Making._add

        def add_and_stop(self: making.Making, *rest: object) -> None:
            add(self, *rest)
            if self._next == 7:
                (out / "stop").touch()
                time.sleep(0.6)

        patch.setattr(making.Making, "_add", add_and_stop)
        assert make(film, out, "--size", 64, "--crop", "smart") == 0
    assert read_status(out).state == "stopped" and 7 <= len(Dataset(out)) < 35
    assert (out / "contact_sheet.png").exists() and not json.loads((out / "dataset.json").read_text())["complete"]
    assert make(film, out, "--size", 64, "--crop", "smart") == 0
    assert pictures(out) == pictures(tmp_path / "whole") and read_status(out).state == "finished"


def test_once_more_changes_nothing_and_new_pictures_are_added(tmp_path: Path) -> None:
    source, out = folder_of(tmp_path / "source", 4), tmp_path / "set"
    make(source, out, "--size", 64)
    (out / "pictures" / "000002.png").unlink()  # somebody does not want it
    before = pictures(out)
    assert make(source, out, "--size", 64) == 0 and pictures(out) == before
    save(source / "000 new.png", drawn(77))
    assert make(source, out, "--size", 64) == 0
    assert sorted(pictures(out)) == ["000000.png", "000001.png", "000003.png", "000004.png"]


def test_other_settings_or_another_source_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = folder_of(tmp_path / "source", 3), tmp_path / "set"
    make(source, out, "--size", "96x64", "--crop", "fit")
    before, status = pictures(out), (out / "status.json").read_bytes()
    for words, said in (
        ([source, out, "--size", 64, "--crop", "fit"], "--size 96x64"),
        ([source, out, "--size", "96x64"], "--crop fit"),
        ([source, out, "--size", "96x64", "--crop", "fit", "--mirror"], "--mirror off"),
        ([folder_of(tmp_path / "other", 2), out, "--size", "96x64", "--crop", "fit"], f"from {source}"),
    ):
        assert make(*words) == 1
        assert said in capsys.readouterr().err
    assert pictures(out) == before and (out / "status.json").read_bytes() == status


def test_folders_of_others_are_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = folder_of(tmp_path / "source", 2)
    folder_of(tmp_path / "mine" / "pictures", 2)
    for given, out in ((source, tmp_path / "mine"), (tmp_path / "mine", tmp_path / "mine")):
        assert make(given, out, "--size", 64) == 1
        assert "Choose another folder" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["pictures"]
    (tmp_path / "file").write_text("a file")
    assert make(source, tmp_path / "file", "--size", 64) == 1
    assert "file" in capsys.readouterr().err


def test_a_data_set_within_its_source_is_not_read_back(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "source", 3)
    for _ in range(2):
        assert make(source, source / "set", "--size", 64, "--duplicates", 0) == 0
        assert len(Dataset(source / "set")) == 3


def test_a_full_disk_is_a_sentence_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = folder_of(tmp_path / "source", 6), tmp_path / "set"
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name.startswith("000003"):
            raise OSError(28, "No space left on device")
        return write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        assert make(source, out, "--size", 64) == 1
    error = capsys.readouterr().err
    assert "No space left on device" in error and "continues where it stopped" in error
    assert read_status(out).state == "failed" and len(Dataset(out)) == 3
    assert make(source, out, "--size", 64) == 0 and len(Dataset(out)) == 6


def test_latents_follow_when_a_killed_one_goes_on(tmp_path: Path) -> None:
    source, out = folder_of(tmp_path / "source", 5), tmp_path / "set"
    np.save(source / "latents.npy", np.arange(5, dtype=np.float32)[:, None])
    make(source, out, "--size", 64)
    lines = (out / "sources.jsonl").read_bytes().splitlines(keepends=True)
    (out / "sources.jsonl").write_bytes(b"".join(lines[:3]))
    (out / "pictures" / "000001.png").unlink()  # somebody does not want it
    assert make(source, out, "--size", 64) == 0
    assert Dataset(out).latents[:, 0].tolist() == [0, 2, 3, 4]
