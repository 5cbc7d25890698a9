"""Fixtures for the server's tests: small checkpoints, and one server, shared by the tests that do not harm it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import driving

torch.set_num_threads(1)  # these networks are too small to divide between threads


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache folder, for this process and the processes it starts. It is never the user's."""
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
    """A generator of 256 x 256 pixels, one frame per batch: slow enough to be interrupted."""
    return driving.make_checkpoint(tmp_path_factory.mktemp("slow") / "slow.safetensors", **driving.SLOW)


@pytest.fixture(scope="session")
def shared_server() -> Iterator[driving.Server]:
    with driving.Server() as server:
        yield server


@pytest.fixture
def server(shared_server: driving.Server) -> driving.Server:
    """A greeted server that other tests may have used before. Its list of notifications is empty."""
    shared_server.notes.clear()
    assert shared_server.process.poll() is None
    return shared_server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for frames. It does not exist yet."""
    return tmp_path / "frames"
