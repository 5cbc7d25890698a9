"""The renderer: batches, memory, and requests that do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import MethodType

import numpy as np
import pytest
import torch

import driving
from inference_server.generators.base import GeneratorInfo
from inference_server.rendering import residents
from inference_server.rendering.batches import Frames, Pictures, batch_size
from inference_server.rendering.renderer import Renderer
from inference_server.rendering.residents import Loaded
from inference_server.terminal.log import log_goes_to
from lantern_protocol.errors import NOT_A_PICTURE, OUT_OF_MEMORY, ProtocolError
from lantern_protocol.orders import RenderSettings


class Log(list):
    def __call__(self, level: str, text: str) -> None:
        self.append((level, text))


@pytest.fixture
def log() -> Iterator[Log]:
    said = Log()
    with log_goes_to(said):
        yield said


@pytest.fixture
def renderer() -> Renderer:
    return Renderer("cpu")


def some_frames(count: int) -> Frames:
    z = np.random.RandomState(0).randn(count, 8).astype(np.float32)
    return Frames.of("z", z, RenderSettings(0.7))


def pixels(renderer: Renderer, loaded: Loaded, frames: Frames) -> list[np.ndarray]:
    return [picture.pixels() for picture in renderer.render(loaded, frames)]


def out_of_memory_above(loaded: Loaded, limit: int, error: Callable[[], Exception]) -> list[int]:
    """Let the generator run out of memory for batches above `limit`; return the list of batches tried."""
    synthesize, tried = loaded.generator.synthesize, []

    def greedy(self: torch.nn.Module, ws: torch.Tensor, noise: str | int, transform: object) -> torch.Tensor:
        tried.append(len(ws))
        if len(ws) > limit:
            raise error()
        return synthesize(ws, noise, transform)

    loaded.generator.synthesize = MethodType(greedy, loaded.generator)
    return tried


@pytest.mark.parametrize(
    "error",
    [
        lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: ..."),
        lambda: RuntimeError("MPS backend out of memory (MPS allocated: 5.00 GB)"),
        MemoryError,
    ],
)
def test_lack_of_memory_halves_the_batch_for_good(renderer: Renderer, log: Log, tiny: dict, error: Callable) -> None:
    loaded = renderer.open(tiny["path"], tiny["sha256"])
    expected = pixels(renderer, loaded, some_frames(10))
    loaded.batch = 8
    tried = out_of_memory_above(loaded, 2, error)
    frames = pixels(renderer, loaded, some_frames(10))
    assert tried == [8, 4, 2, 2, 2, 2, 2] and loaded.batch == 2
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(frames, expected, strict=True))
    assert [level for level, _ in log] == ["warning"] * 2
    assert "shared with Blender: frames are made 2 at a time" in log[-1][1]


def test_too_little_memory_for_one_frame_is_said_in_words(renderer: Renderer, tiny: dict) -> None:
    loaded = renderer.open(tiny["path"], None)
    loaded.batch = 4
    out_of_memory_above(loaded, 0, torch.OutOfMemoryError)
    with pytest.raises(ProtocolError, match=r"one frame of 'tiny' \(32 x 32\)") as caught:
        renderer.render(loaded, some_frames(4))
    assert caught.value.code == OUT_OF_MEMORY


def test_other_generators_go_before_the_batch_shrinks(renderer: Renderer, log: Log, tiny: dict, tmp_path: Path) -> None:
    renderer.open(driving.make_checkpoint(tmp_path / "other.safetensors", seed=3)["path"], None)
    loaded = renderer.open(tiny["path"], None)
    loaded.batch = 4
    tried = out_of_memory_above(loaded, 4, torch.OutOfMemoryError)
    synthesize = loaded.generator.synthesize
    failures = iter([torch.OutOfMemoryError()])

    def once(self: torch.nn.Module, ws: torch.Tensor, noise: str | int, transform: object) -> torch.Tensor:
        for failure in failures:
            raise failure
        return synthesize(ws, noise, transform)

    loaded.generator.synthesize = MethodType(once, loaded.generator)
    assert len(renderer.render(loaded, some_frames(4))) == 4
    assert tried == [4] and loaded.batch == 4
    assert "other generators were unloaded" in log[0][1]


def test_other_errors_are_not_taken_for_lack_of_memory(renderer: Renderer, tiny: dict) -> None:
    loaded = renderer.open(tiny["path"], None)
    tried = out_of_memory_above(loaded, 0, lambda: RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes"):
        renderer.render(loaded, some_frames(2))
    assert len(tried) == 1


def test_generators_are_kept_by_their_contents_within_the_budget(
    renderer: Renderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [driving.make_checkpoint(tmp_path / f"{seed}.safetensors", seed=seed)["path"] for seed in range(3)]
    first = renderer.open(paths[0], None)
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(Path(paths[0]).read_bytes())
    assert renderer.open(str(copy), None) is first
    monkeypatch.setattr(residents, "MEMORY_BUDGET_BYTES", int(2.5 * first.weight_bytes))
    second = renderer.open(paths[1], None)
    assert renderer.open(paths[0], None) is first  # most recently used: so the second one will be unloaded
    renderer.open(paths[2], None)
    assert renderer.open(paths[0], None) is first
    assert renderer.open(paths[1], None) is not second
    assert renderer.release() == 2 * first.weight_bytes
    assert not renderer.holds_generators


def test_a_frame_does_not_depend_on_its_batch(renderer: Renderer, tiny: dict) -> None:
    loaded = renderer.open(tiny["path"], None)
    frames = some_frames(9)
    loaded.batch = 9
    together = pixels(renderer, loaded, frames)
    loaded.batch = 1
    for a, b in zip(together, pixels(renderer, loaded, frames), strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1
    loaded.batch = 3
    backwards = Frames("z", frames.latents[::-1].copy(), frames.settings)
    threes = pixels(renderer, loaded, frames)
    # In batches of the same size, even rounding does not depend on the other frames.
    for a, b in zip(threes, pixels(renderer, loaded, backwards)[::-1], strict=True):
        assert np.array_equal(a, b)


INFO = GeneratorInfo("stylegan2", "net", 8, 8, 2, 4, 1, 1, 0, ("z", "w"), False)


def test_pixels_are_rounded_down_and_clamped() -> None:
    values = [-1.5, -1.0, -0.9999, 0.0, 0.0039, 0.99, 1.0, 40.0]
    images = torch.tensor(values).reshape(2, 1, 1, 4)
    pictures = Pictures(images, INFO)
    values = np.concatenate([pictures.frame(0), pictures.frame(1)]).ravel()
    assert values.tolist() == [0, 0, 0, 128, 128, 254, 255, 255]
    assert values.dtype == np.uint8


def test_pictures_that_are_none_become_errors() -> None:
    images = torch.zeros(4, 1, 1, 4)
    images[1, 0, 0, 2] = float("nan")
    images[3, 0, 0, 0] = float("inf")
    pictures = Pictures(images, INFO)
    for index in (0, 2):
        assert (pictures.frame(index) == 128).all()
    for index in (1, 3):
        with pytest.raises(ProtocolError, match="not numbers") as caught:
            pictures.frame(index)
        assert caught.value.code == NOT_A_PICTURE


@pytest.mark.parametrize(
    ("size", "device", "batch"),
    [(32, "cpu", 32), (128, "cpu", 4), (1024, "cpu", 1), (256, "cuda", 32), (512, "cuda", 8), (1024, "mps", 2)],
)
def test_batches_suit_the_device(size: int, device: str, batch: int) -> None:
    info = GeneratorInfo("stylegan2", "net", 8, 8, 2, size, size, 3, 0, ("z",), False)
    assert batch_size(info, device) == batch
