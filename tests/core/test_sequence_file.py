"""Sequence files: reading returns what was written, and errors name what is wrong."""

from __future__ import annotations

import array
import json
import os
from pathlib import Path
from typing import Any

import pytest

from lantern_protocol.orders import RenderSettings, ShadowSettings
from lantern_protocol.sequence_file import SequenceFile, SequenceFileError, SequenceFrame, SequenceGenerator

LATENTS = array.array("f", [0.5, -1.0, 2.0, 3.0, 4.0, 5.0]).tobytes()
FRAMES = (
    SequenceFrame(10, 0),
    SequenceFrame(
        11,
        1,
        RenderSettings(-0.5, 4, 99, (0.25, 0.75), 0.5, tuple(range(9))),
        0,
        1,
        ShadowSettings(60, 2.5, figure=(9, 8, 7, 255)),
    ),
    SequenceFrame(-3, 1, RenderSettings(noise="none")),
)
GENERATORS = (SequenceGenerator("nets/a.pkl", "ab" * 32, "anatomy"), SequenceGenerator(None, "cd" * 32, "later"))
SEQUENCE = SequenceFile("Scène 3", 23.976, GENERATORS, "z", LATENTS, (2, 3), FRAMES)


def test_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "shot.lantern.json"
    SEQUENCE.write(path)
    assert SequenceFile.read(path) == SEQUENCE
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_path_is_written_with_slashes(tmp_path: Path) -> None:
    path = tmp_path / "shot.lantern.json"
    generator = SequenceGenerator(os.path.join("..", "nets", "a.pkl"), "ab" * 32, "g")
    sequence = SequenceFile("a", 12, (generator,), "w", LATENTS, (1, 2, 3), FRAMES[:1])
    sequence.write(path)
    assert json.loads(path.read_text(encoding="utf-8"))["generators"][0]["path"] == "../nets/a.pkl"
    assert SequenceFile.read(path).shape == (1, 2, 3)


def test_version_1_had_one_generator(tmp_path: Path) -> None:
    path = tmp_path / "shot.lantern.json"
    SEQUENCE.write(path)
    value = json.loads(path.read_text(encoding="utf-8"))
    value |= {"version": 1, "generator": value.pop("generators")[0]}
    value["frames"] = [{"frame": 10, "row": 0}]
    path.write_text(json.dumps(value))
    read = SequenceFile.read(path)
    assert read.generators == GENERATORS[:1]
    assert read.frames == FRAMES[:1]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "shot.lantern.json"
    path.write_text("old")
    broken = SequenceFile("a", float("nan"), GENERATORS, "z", LATENTS, (2, 3), ())
    with pytest.raises(SequenceFileError, match=r"shot\.lantern\.json was not written"):
        broken.write(path)
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(OSError, match="nowhere"):
        SEQUENCE.write(tmp_path / "nowhere" / "shot.lantern.json")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"format": "png"}, "format"),
        ({"version": 3}, "version"),
        ({"fps": 0}, "fps"),
        ({"fps": True}, "fps"),
        ({"fps": None}, "fps"),
        ({"name": 5}, "name"),
        ({"space": "s"}, "space"),
        ({"space": "w", "latents": {"dtype": "float32", "shape": [6], "data": ""}}, "latents"),
        ({"latents": None}, "latents"),
        ({"generators": None}, "generators"),
        ({"generators": []}, "generators"),
        ({"generators": [5]}, "generator"),
        ({"generators": [{"path": None, "sha256": "ab", "name": ""}]}, "sha256"),
        ({"generators": [{"path": 5, "sha256": "ab" * 32, "name": ""}]}, "path"),
        ({"version": 1}, "generator"),
        ({"frames": {}}, "frames"),
        ({"frames": [{"frame": 1, "row": 0}, {"frame": 1, "row": 1}]}, "same number"),
        ({"frames": [{"frame": 1, "row": 0}, {"frame": 2, "row": 2}]}, r"frames\[1\].*row"),
        ({"frames": [{"frame": 1.5, "row": 0}]}, r"frames\[0\].*frame"),
        ({"frames": [{"frame": 1, "row": 0, "psy": 1}]}, "psy"),
        ({"frames": [{"frame": 1, "row": 0, "psi": None}]}, "psi"),
        ({"frames": [{"frame": 1, "row": 0, "shadow": {"mix": 2}}]}, "mix"),
        ({"frames": [{"frame": 1, "row": 0, "generator": 2}]}, "generator"),
        ({"frames": [{"frame": 1, "row": 0, "toward": -1}]}, "toward"),
        ({"frames": [{"frame": 1, "row": 0, "mix": 0.5}]}, "toward"),
        ({"frames": [{"frame": 1, "row": 0, "transform": [1, 0]}]}, "transform"),
        ({"frames": [5]}, "object"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path: Path, change: dict[str, Any], word: str) -> None:
    path = tmp_path / "shot.lantern.json"
    SEQUENCE.write(path)
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change))
    with pytest.raises(SequenceFileError, match=word) as caught:
        SequenceFile.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("contents", [None, b"", b"{", b"[]", b"\xff\xff", b"[" * 100000, b"null"])
def test_other_files_are_refused(tmp_path: Path, contents: bytes | None) -> None:
    path = tmp_path / "shot.lantern.json"
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(SequenceFileError, match=r"shot\.lantern\.json"):
        SequenceFile.read(path)
