"""Fixtures for the server's tests: small checkpoints, and one server for the tests that leave it well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import driving

torch.set_num_threads(1)  # the networks here are too small to share out


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of conversions, for this process and those it starts: never the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LATENT_LANTERN_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A generator of 32 x 32 pixels: milliseconds for a batch of 32."""
    return driving.make_checkpoint(tmp_path_factory.mktemp("tiny") / "tiny.safetensors")


@pytest.fixture(scope="session")
def slow(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A generator of 256 x 256 pixels, one frame a batch: time enough to interrupt it."""
    return driving.make_checkpoint(tmp_path_factory.mktemp("slow") / "slow.safetensors", **driving.SLOW)


@pytest.fixture(scope="session")
def shared_server() -> Iterator[driving.Server]:
    with driving.Server() as server:
        yield server


@pytest.fixture
def server(shared_server: driving.Server) -> driving.Server:
    """A greeted server that other tests have used before, with nothing noted yet."""
    shared_server.notes.clear()
    assert shared_server.process.poll() is None
    return shared_server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for frames, not made yet."""
    return tmp_path / "frames"
