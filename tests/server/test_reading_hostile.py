"""Files that try to do harm: nothing in them runs, only the file itself is touched, little memory and time are used."""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import pytest
import torch

import hostile
from inference_server.checkpoints import CheckpointError, load_generator
from inference_server.checkpoints.latents import read_latents
from inference_server.checkpoints.reading import read_file
from watching import watched

MEBIBYTE = 1 << 10  # of what getrusage counts


@pytest.fixture(scope="module", autouse=True)
def warm(tmp_path_factory):
    """Let Python and torch import what they need at the first use, so that the tests do not see it."""
    folder = tmp_path_factory.mktemp("warm")
    for zipped in (True, False):
        torch.save({"weight": torch.ones(2)}, folder / "warm.pt", _use_new_zipfile_serialization=zipped)
        for load in (load_generator, lambda path: read_latents(path, 2, 2, 1)):
            with pytest.raises(CheckpointError):
                load(folder / "warm.pt")


def reads(path) -> list[str]:
    """The error of each way of loading a file; none if it returns a value."""
    said = []
    for load in (read_file, load_generator, lambda path: read_latents(path, 4, 4, 1)):
        try:
            load(path)
        except CheckpointError as error:
            said.append(str(error))
    return said


@pytest.mark.parametrize("way", hostile.running(hostile.Path("sentinel")))
def test_nothing_runs(way, tmp_path):
    sentinel = tmp_path / "sentinel"
    path = tmp_path / "weights.pkl"
    path.write_bytes(hostile.running(sentinel)[way])
    before = sorted(tmp_path.iterdir())
    with watched(path) as noted:
        said = reads(path)
    assert noted == []
    assert not sentinel.exists()
    assert sorted(tmp_path.iterdir()) == before
    assert len(said) >= 2, "there is no generator in it, and no latent"
    assert all("weights.pkl" in words and "\n" not in words and len(words) < 500 for words in said)


def test_the_files_would_run_elsewhere(tmp_path):
    # Otherwise the test above would prove nothing.
    for way in ("GLOBAL, REDUCE", "STACK_GLOBAL", "INST", "OBJ", "protocol 0", "protocol 5", "eval", "subprocess"):
        sentinel = tmp_path / "sentinel"
        path = tmp_path / "weights.pkl"
        path.write_bytes(hostile.running(sentinel)[way])
        subprocess.run([sys.executable, "-c", f"import pickle; pickle.load(open({str(path)!r}, 'rb'))"], check=False)
        for _ in range(100):
            if sentinel.exists():
                break
            time.sleep(0.05)
        assert sentinel.exists(), way
        sentinel.unlink()


BOMBS = hostile.bombs()


@pytest.mark.parametrize("bomb", BOMBS)
def test_nothing_grows(bomb, tmp_path):
    path = tmp_path / "weights.pkl"
    path.write_bytes(BOMBS[bomb])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    with watched(path) as noted:
        said = reads(path)
    assert noted == []
    assert time.process_time() - start < 30, "three loads, of ten seconds at most"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512 * MEBIBYTE
    assert len(said) >= 2
    assert all("weights.pkl" in words and "\n" not in words and len(words) < 500 for words in said)
