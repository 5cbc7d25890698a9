"""Data sets of folders, lists and data sets."""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset_sources import drawn, entries, first, folder_of, make, save
from inference_server.datasets import pictures as opening
from inference_server.datasets.reading import Dataset
from inference_server.datasets.sources import natural
from lantern_protocol.job_folder import read_status


def test_a_folder_becomes_a_data_set_that_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = folder_of(tmp_path / "source", 12)
    assert make(source, tmp_path / "set", "--size", 64) == 0
    data = Dataset(tmp_path / "set")
    assert len(data) == 12 and data.size == (64, 64) and data.channels == 3 and not data.mirror
    expected = np.asarray(Image.fromarray(drawn(3)).resize((64, 64), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(data.picture(3).astype(int) - expected).max() <= 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "12 pictures kept, 0 skipped, 0 near-duplicates left out."
    assert "Only 12 pictures" in lines[0] and "contact_sheet.png" in lines[1]
    status = read_status(tmp_path / "set")
    assert status.state == "finished" and (status.done, status.total) == (12, 12)
    assert status.picture == "contact_sheet.png" and status.facts["kept"] == 12
    with Image.open(tmp_path / "set" / "contact_sheet.png") as sheet:
        assert sheet.width <= 1280


def test_bad_files_are_skipped_and_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder_of(tmp_path / "source", 3)
    save(source / "tiny.png", drawn(8)[:1, :1])
    (source / "empty.jpg").touch()
    (source / "text.png").write_text("this is no picture")
    photo = save(source / "cut off.jpg", drawn(9, (200, 200)), quality=95).read_bytes()
    (source / "cut off.jpg").write_bytes(photo[: len(photo) // 2])
    whole = save(source / "half.png", drawn(10, (200, 200))).read_bytes()
    (source / "half.png").write_bytes(whole[: len(whole) // 2])
    (source / "folder.png").mkdir()
    save(source / "folder.png" / "inner.png", drawn(11))
    (source / "phone.heic").write_bytes(b"ftypheic")
    (source / ".hidden.png").write_bytes(b"no picture")
    (source / "notes.txt").write_text("no picture")
    (source / "lost.png").symlink_to(source / "nowhere.png")
    monkeypatch.setattr(opening, "MOST_PIXELS", 300 * 300)
    save(source / "huge.png", np.zeros((301, 300), np.uint8))
    out = tmp_path / "set"
    assert make(source, out, "--size", 64) == 0
    assert len(Dataset(out)) == 4
    reasons = dict(line.split(": ", 1) for line in (out / "skipped.txt").read_text().splitlines())
    bad = {"tiny.png", "empty.jpg", "text.png", "cut off.jpg", "half.png", "phone.heic", "lost.png", "huge.png"}
    assert set(reasons) == {*bad, "notes.txt"}
    assert "too small" in reasons["tiny.png"] and "300 x 301" in reasons["huge.png"] and "PNG" in reasons["phone.heic"]
    assert any(one["source"] == "folder.png/inner.png" and "picture" in one for one in entries(out))


def test_a_picture_of_900_million_pixels_is_not_decoded(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "source", 1)
    ok = save(tmp_path / "one.png", np.zeros((1, 1), np.uint8)).read_bytes()
    header = struct.pack(">II", 30_000, 30_000) + ok[24:29]
    (source / "huge.png").write_bytes(ok[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + ok[33:])
    assert make(source, tmp_path / "set", "--size", 64) == 0
    assert "huge.png: it is far too large" in (tmp_path / "set" / "skipped.txt").read_text()


def test_nothing_usable_is_an_error_with_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert make(tmp_path / "empty", tmp_path / "a", "--size", 64) == 1
    assert "holds no pictures" in capsys.readouterr().err
    (tmp_path / "empty" / "bad.png").write_text("no")
    assert make(tmp_path / "empty", tmp_path / "b", "--size", 64) == 1
    assert "None of the pictures" in capsys.readouterr().err
    assert read_status(tmp_path / "b").state == "failed"
    assert make(tmp_path / "missing", tmp_path / "c", "--size", 64) == 1
    assert "There is no" in capsys.readouterr().err and not (tmp_path / "c").exists()
    picture = save(tmp_path / "single.png", drawn(1))
    assert make(picture, tmp_path / "d", "--size", 64) == 1
    assert "single picture" in capsys.readouterr().err


def test_numbered_files_are_in_their_natural_order(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        save(tmp_path / "source" / f"frame {number}.png", drawn(number))
    make(tmp_path / "source", tmp_path / "set", "--size", 64)
    assert [one["source"] for one in entries(tmp_path / "set")] == ["frame 1.png", "frame 2.png", "frame 10.png"]
    assert sorted(["b", "a10", "a2", "10", "9", "²"], key=natural) == ["9", "10", "a2", "a10", "b", "²"]


def test_links_that_go_round_and_names_of_all_kinds(tmp_path: Path) -> None:
    source = tmp_path / "quelle ü 日本"
    save(source / "größe 猫.png", drawn(1))
    (source / "round").symlink_to(source, target_is_directory=True)
    strange = os.fsencode(source) + b"/caf\xe9.png"
    try:
        with open(strange, "wb") as file:
            Image.fromarray(drawn(2)).save(file, format="PNG")
        with open(strange[:-8] + b"b\xe9d.png", "wb") as file:
            file.write(b"no")
        count = 2
    except OSError:  # a file system that accepts only Unicode names
        count = 1
    assert make(source, tmp_path / "set", "--size", 64) == 0
    assert len(Dataset(tmp_path / "set")) == count
    assert json.loads((tmp_path / "set" / "dataset.json").read_text(encoding="utf-8"))["source"] == str(source)


def test_a_list_of_paths_uses_each_once(tmp_path: Path) -> None:
    folder_of(tmp_path / "source", 3)
    (tmp_path / "source" / "a folder.png").mkdir()
    rows = ["source/002.png", str(tmp_path / "source" / "000.png"), "source/002.png", "", "source/gone.png"]
    (tmp_path / "frames.txt").write_text("\n".join([*rows, "source/a folder.png"]), encoding="utf-8")
    assert make(tmp_path / "frames.txt", tmp_path / "set", "--size", 64) == 0
    assert [one.get("picture") for one in entries(tmp_path / "set")] == ["000000.png", "000001.png", None, None]
    assert "a folder.png: it is a folder" in (tmp_path / "set" / "skipped.txt").read_text()


def test_a_data_set_is_made_in_another_size(tmp_path: Path) -> None:
    folder_of(tmp_path / "source", 5)
    make(tmp_path / "source", tmp_path / "large", "--size", 96, "--mirror")
    assert Dataset(tmp_path / "large").mirror
    assert make(tmp_path / "large", tmp_path / "small", "--size", "96x64") == 0
    data = Dataset(tmp_path / "small")
    assert len(data) == 5 and data.size == (64, 96) and data.mirror


def test_latents_stay_with_their_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "source"
    for number in (1, 10, 2, 3):
        save(source / "pictures" / f"{number}.png", drawn(4))  # all are the same: none is dropped
    (source / "pictures" / "3.png").write_bytes(b"broken")
    np.save(source / "latents.npy", np.arange(8, dtype=np.float32).reshape(4, 2))
    for given, name in ((source, "a"), (source / "pictures", "b")):
        assert make(given, tmp_path / name, "--size", 64) == 0
        data = Dataset(tmp_path / name)
        assert [one["source"][-6:] for one in entries(tmp_path / name)][-1].endswith("3.png")
        assert data.latents.tolist() == [[0, 1], [2, 3], [4, 5]]  # of 1, 10 and 2
    assert make(tmp_path / "a", tmp_path / "again", "--size", 96) == 0
    assert Dataset(tmp_path / "again").latents.tolist() == [[0, 1], [2, 3], [4, 5]]
    for refused in (["--mirror"], ["--crop", "smart"], ["--trim"]):
        assert make(source, tmp_path / "c", "--size", 64, *refused) == 1
        assert " ".join(refused) in capsys.readouterr().err and not (tmp_path / "c").exists()
    np.save(source / "latents.npy", np.zeros((3, 2), np.float32))
    assert make(source, tmp_path / "d", "--size", 64) == 1
    assert "there are 4 pictures" in capsys.readouterr().err


def test_sizes_that_cannot_be_trained_on_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for size, near in (("250", "256 x 256"), ("2048x16", "1024 x 64"), ("512x200", "512 x 192")):
        assert make(tmp_path, tmp_path / "set", "--size", size) == 2
        assert f"{near} is near" in capsys.readouterr().err
    assert make(tmp_path, tmp_path / "set", "--size", "big") == 2


def test_the_picture_fills_mirror_and_channels_as_asked(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "source", 2, (128, 96))
    make(source, tmp_path / "grey", "--size", "64x96", "--colour", "grey", "--mirror")
    assert Dataset(tmp_path / "grey").channels == 1 and first(tmp_path / "grey").shape == (96, 64, 1)
    assert Dataset(tmp_path / "grey").mirror and len(Dataset(tmp_path / "grey")) == 2
    make(source, tmp_path / "alpha", "--size", "128", "--crop", "fit", "--alpha")
    alpha = first(tmp_path / "alpha")[..., 3]
    assert alpha[:15].max() == 0 and alpha[17:111].min() == 255 and alpha[113:].max() == 0
    assert make(source, tmp_path / "x", "--alpha", "--colour", "grey") == 1
