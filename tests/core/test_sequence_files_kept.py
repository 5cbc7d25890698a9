"""Sequence files of earlier versions are read correctly, and written again without a change."""

from __future__ import annotations

import array
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from lantern_protocol.sequence_file import SequenceFile, SequenceFrame

KEPT = Path(__file__).resolve().parent.parent / "fixtures" / "kept"
FILES = sorted(path.relative_to(KEPT).as_posix() for path in KEPT.rglob("*.lantern.json"))
VALUES: dict[str, Any] = json.loads((KEPT / "sequences.json").read_text(encoding="utf-8"))


def plain(sequence: SequenceFile) -> dict[str, Any]:
    """The values of a sequence as JSON values. Only this function knows how the classes are made."""

    def plain_frame(frame: SequenceFrame) -> dict[str, Any]:
        return {
            "frame": frame.frame,
            "row": frame.row,
            "psi": frame.settings.psi,
            "cutoff": frame.settings.cutoff,
            "noise": frame.settings.noise,
            "classes": list(frame.settings.classes),
            "generator": frame.generator,
            "toward": frame.toward,
            "mix": frame.settings.mix,
            "transform": list(frame.settings.transform),
            "shadow": frame.shadow and frame.shadow.to_json(),
        }

    return {
        "name": sequence.name,
        "fps": sequence.fps,
        "generators": [list(dataclasses.astuple(generator)) for generator in sequence.generators],
        "space": sequence.space,
        "latents": array.array("f", sequence.latents).tolist(),
        "shape": list(sequence.shape),
        "frames": [plain_frame(frame) for frame in sequence.frames],
    }


def exactly(value: Any) -> str:
    """A text that differs for 1 and 1.0, and for 0.0 and -0.0."""
    return json.dumps(value, sort_keys=True)


def test_values_are_kept_of_every_file() -> None:
    assert sorted(VALUES) == FILES and len(FILES) >= 6


@pytest.mark.parametrize("file", FILES)
def test_a_kept_file_has_the_values_that_it_had(file: str) -> None:
    assert exactly(plain(SequenceFile.read(KEPT / file))) == exactly(VALUES[file])


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("shot/")])
def test_a_kept_file_is_written_again_to_the_byte(file: str, tmp_path: Path) -> None:
    SequenceFile.read(KEPT / file).write(tmp_path / "again.lantern.json")
    assert (tmp_path / "again.lantern.json").read_bytes() == (KEPT / file).read_bytes()


def test_a_file_of_version_1_is_written_as_it_was_when_version_2_came(tmp_path: Path) -> None:
    SequenceFile.read(KEPT / "version_1.lantern.json").write(tmp_path / "again.lantern.json")
    written = (KEPT / "version_1_written.lantern.json").read_bytes()
    assert (tmp_path / "again.lantern.json").read_bytes() == written
