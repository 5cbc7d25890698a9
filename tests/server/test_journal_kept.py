"""A render that was stopped before an upgrade continues after it: the hashes in the journal stay the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from inference_server.commands.render import look_of
from inference_server.rendering.journal import request_hash
from lantern_protocol.sequence_file import SequenceFile

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
HASHES: dict[str, dict[str, list[str]]] = json.loads((FIXTURES / "names" / "journal.json").read_text(encoding="utf-8"))
LOOKS = {"as the frames say": (False, False), "--colour": (True, False), "--shadow": (False, True)}


def hashes_of(file: str, colour: bool, shadow: bool) -> list[str]:
    """The journal's entries for every frame of a sequence file."""
    sequence = SequenceFile.read(FIXTURES / "kept" / file)
    latents = np.frombuffer(sequence.latents, dtype=np.float32).reshape(sequence.shape)
    return [
        request_hash(sequence, latents[frame.row], frame, look_of(frame, colour, shadow)) for frame in sequence.frames
    ]


@pytest.mark.parametrize("file", HASHES)
@pytest.mark.parametrize("look", LOOKS)
def test_the_journal_names_frames_as_it_did(file: str, look: str) -> None:
    assert hashes_of(file, *LOOKS[look]) == HASHES[file][look]
