"""Faster ways to run a network: they make the same pictures, and the plain way is used after any error."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import driving
from inference_server.checkpoints import load_generator
from inference_server.generators.base import Generator
from inference_server.generators.stylegan3 import StyleGAN3
from inference_server.rendering import acceleration
from inference_server.rendering.acceleration import (
    MOST_GRAPHS,
    PLAIN_PASSES,
    Compiled,
    Graphed,
    KeepInputs,
    accelerate,
)
from inference_server.terminal.log import log_goes_to

CPU = torch.device("cpu")


class Log(list):
    def __call__(self, level: str, text: str) -> None:
        self.append(text)


@pytest.fixture
def log() -> Iterator[Log]:
    said = Log()
    with log_goes_to(said):
        yield said


@pytest.fixture
def generator(tiny: dict) -> Generator:
    return load_generator(tiny["path"])


def some_ws(generator: Generator, count: int = 2) -> torch.Tensor:
    z = np.random.RandomState(count).randn(count, generator.info.z_dim).astype(np.float32)
    with torch.inference_mode():
        return generator.broadcast(generator.map(torch.from_numpy(z))).clone()


class Recorded:
    """Imitates a CUDA graph: runs the recorded pass again with new inputs."""

    made = 0

    def __init__(self, inner: Generator, ws: torch.Tensor, noise: str, transform: torch.Tensor | None):
        Recorded.made += 1
        self._inner, self._noise, self._shape, self.replays = inner, noise, ws.shape, 0

    def __call__(self, ws: torch.Tensor, transform: torch.Tensor | None) -> torch.Tensor:
        assert ws.shape == self._shape
        return self._inner.synthesize(ws, self._noise, transform)


def test_nothing_stands_before_a_generator_on_a_cpu(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(acceleration.COMPILE_SWITCH, raising=False)
    assert accelerate(generator, CPU) is generator
    assert isinstance(accelerate(generator, CPU, compiled=True), Compiled)
    assert isinstance(accelerate(generator, torch.device("cuda")), Graphed)
    monkeypatch.setenv(acceleration.COMPILE_SWITCH, "1")
    assert isinstance(accelerate(generator, CPU), Compiled)
    assert accelerate(generator, CPU, compiled=False) is generator


def test_what_cannot_be_compiled_as_a_whole_is_not(
    generator: Generator, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(generator), "compiles", False)
    assert accelerate(generator, CPU, compiled=True) is generator
    assert len(log) == 1 and "not compiled" in log[0]
    assert not StyleGAN3.compiles


def test_passes_of_one_shape_are_recorded_once(generator: Generator) -> None:
    Recorded.made = 0
    graphed = Graphed(generator, "net", Recorded)
    with torch.inference_mode():
        for count in (2, 3, 2, 3, 2, 2, 3):
            ws = some_ws(generator, count)
            for noise in ("const", "none", 7):
                expected = generator.synthesize(ws, noise)
                assert torch.equal(graphed.synthesize(ws, noise), expected)
    assert Recorded.made == 4  # two shapes, two kinds of noise; never with a seed


def test_few_recordings_are_kept(generator: Generator) -> None:
    Recorded.made = 0
    graphed = Graphed(generator, "net", Recorded)
    with torch.inference_mode():
        for count in range(1, MOST_GRAPHS + 2):
            for _ in range(PLAIN_PASSES + 2):
                graphed.synthesize(some_ws(generator, count), "const")
        assert Recorded.made == MOST_GRAPHS + 1
        graphed.synthesize(some_ws(generator, 2), "const")
        assert Recorded.made == MOST_GRAPHS + 1  # still there
        for _ in range(PLAIN_PASSES + 1):
            graphed.synthesize(some_ws(generator, 1), "const")  # the oldest was dropped
        assert Recorded.made == MOST_GRAPHS + 2


def test_without_graphs_it_goes_on_and_says_so_once(generator: Generator, log: Log) -> None:

    def fails(*arguments: object) -> None:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore lines")

    graphed = Graphed(generator, "net", fails)
    ws = some_ws(generator)
    with torch.inference_mode():
        expected = generator.synthesize(ws, "const")
        for _ in range(PLAIN_PASSES + 5):
            assert torch.equal(graphed.synthesize(ws, "const"), expected)
    assert len(log) == 1 and "'net' is made without CUDA graphs" in log[0] and "\n" not in log[0]


def test_what_a_pass_reads_is_kept_alive(generator: Generator) -> None:
    """The weights, tensors that a generator computes from them and keeps, and the input; nothing made by the pass."""
    ws = some_ws(generator)
    with torch.inference_mode():
        for _ in range(PLAIN_PASSES):
            generator.synthesize(ws, "const")
        with KeepInputs() as kept:
            generator.synthesize(ws, "const")
    alive = {storage.data_ptr() for storage in kept.tensors}
    assert ws.untyped_storage().data_ptr() in alive
    noises = [buffer for name, buffer in generator.named_buffers() if name.endswith("noise_const")]
    assert noises and all(noise.untyped_storage().data_ptr() in alive for noise in noises)
    assert sum(storage.nbytes() for storage in kept.tensors) < 20 * sum(p.nbytes for p in generator.parameters())


def test_a_compiler_that_fails_is_given_up(generator: Generator, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def compiling(function: object, **options: object) -> object:
        def fails(*arguments: object) -> None:
            calls.append(arguments)
            raise RuntimeError("No working C++ compiler found")

        return fails

    monkeypatch.setattr(torch, "compile", compiling)
    compiled = accelerate(generator, CPU, compiled=True)
    ws = some_ws(generator)
    with torch.inference_mode():
        for _ in range(3):
            assert torch.equal(compiled.synthesize(ws, "const"), generator.synthesize(ws, "const"))
    assert len(calls) == 1 and len(log) == 2
    assert "Compiling 'tiny'" in log[0] and "Compiling failed" in log[1] and "C++ compiler" in log[1]


def test_lack_of_memory_is_not_taken_for_a_compilers_failure(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiling(function: object, **options: object) -> object:
        def fails(*arguments: object) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

        return fails

    monkeypatch.setattr(torch, "compile", compiling)
    compiled = accelerate(generator, CPU, compiled=True)
    for _ in range(2):
        with pytest.raises(torch.OutOfMemoryError):
            compiled.synthesize(some_ws(generator), "const")


HAS_COMPILER = bool(shutil.which("g++")) and Path(sysconfig.get_path("include"), "Python.h").exists()


def test_a_real_compiler_gives_the_same_pictures_or_is_given_up(cache: Path) -> None:
    """With a C++ compiler, the compiled network is used; without one, the plain network, after a line in the log."""
    code = """
import types
import torch
from inference_server.rendering.acceleration import accelerate
from inference_server.terminal.log import log_goes_to

class Waves:
    info = types.SimpleNamespace(name="waves")
    compiles = True
    def synthesize(self, ws, noise, transform=None):
        return torch.sin(ws * 3) + ws.mean()

log = []
compiled = accelerate(Waves(), torch.device("cpu"), compiled=True)
ws = torch.linspace(-1, 1, 64).reshape(2, 4, 8)
with torch.inference_mode(), log_goes_to(lambda level, text: log.append(text)):
    for noise in ("const", 5):
        assert torch.allclose(compiled.synthesize(ws, noise), Waves().synthesize(ws, noise), atol=1e-6)
print(len(log), *log, sep="\\n")
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=driving.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count, *lines = done.stdout.splitlines()
    assert "Compiling 'waves'" in lines[0]
    if int(count) == 1:
        assert (cache / "compiled").exists()
    else:
        assert not HAS_COMPILER and "Compiling failed" in lines[1]
