"""How fast a training will be and what memory it needs, found by trying it before it starts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from inference_server.datasets.reading import Dataset
from inference_server.jobs import JobError

from .distributed import Group
from .settings import Settings, growth_sides, stages
from .trainer import Trainer

TRIED_STEPS = 4
GROWTH_SHARES = {1: (1.0,), 2: (0.5, 0.5), 3: (0.35, 0.25, 0.4)}
"""Of the time, for each size of growing pictures; more sizes than three share what the last three leave of nothing."""


@dataclass(frozen=True)
class Estimate:
    """What was found.

    Attributes:
        rates: images in a second at each stage, by the pictures' smaller side.
        memory: bytes of the GPU, or else of this process, at the largest stage; 0 where that cannot be told.
        seconds: for all images of the settings.
    """

    rates: dict[int, float]
    memory: int
    seconds: float


def choose_precision(settings: Settings, dataset: Dataset, device: torch.device) -> str:
    """bfloat16 where the device computes with it faster, else float32."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type != "cpu" or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return "float32"
    side = growth_sides(dataset.size)[0]
    rates = {
        precision: _rate(replace(settings, precision=precision), dataset, device, side)[0]
        for precision in ("float32", "bfloat16")
    }
    return max(rates, key=lambda precision: rates[precision])


def fit_memory(settings: Settings, dataset: Dataset, device: torch.device, tell: Callable[[str], None]) -> Settings:
    """The settings with micro-batches that the GPU has memory for. Raises JobError where it has none even for 4."""
    while device.type == "cuda":
        try:
            _rate(settings, dataset, device, min(dataset.size))
            break
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            size = (settings.micro_batch or settings.batch) // 2
            if size < 4 or settings.batch % size:
                free, whole = torch.cuda.mem_get_info(device)
                raise JobError(
                    f"The GPU has {free / 2**30:.1f} of {whole / 2**30:.1f} GiB free, too little for "
                    f"pictures of {dataset.size[1]} x {dataset.size[0]} with this network. Close what else uses it, "
                    "make the data set smaller, or choose a smaller --capacity."
                ) from None
            settings = replace(settings, micro_batch=size)
            tell(f"The GPU's memory is small: {size} pictures at once, {settings.batch} in a step")
    return settings


def estimate(settings: Settings, dataset: Dataset, device: torch.device) -> Estimate:
    """Try a few steps at each size. The pictures come of the data set, so reading them is counted."""
    rates, memory = {}, 0
    for side, _, _ in stages(settings, dataset.size):
        rates[side], memory = _rate(settings, dataset, device, side)
    seconds = sum((end - start) / rates[side] for side, start, end in stages(settings, dataset.size))
    return Estimate(rates, memory, seconds)


def spend(settings: Settings, dataset: Dataset, device: torch.device, hours: float, grow: bool) -> Settings:
    """The settings with as many images as fit into so many hours, and with growth that shares the time."""
    sides = growth_sides(dataset.size)[-3:] if grow else (min(dataset.size),)
    until = 0
    steps = []
    for side, share in zip(sides, GROWTH_SHARES[len(sides)], strict=True):
        rate, _ = _rate(settings, dataset, device, side)
        batches = max(1, round(hours * 3600 * share * rate / settings.batch))
        until += batches * settings.batch
        steps.append((side, until))
    return replace(settings, images=until, grow=tuple(steps[:-1]))


def _rate(settings: Settings, dataset: Dataset, device: torch.device, side: int) -> tuple[float, int]:
    """Images in a second, and bytes of memory, of a training at one size, R1 and path lengths counted in."""
    grow = () if side == min(dataset.size) else ((side, 2**40),)
    trainer = Trainer(
        replace(settings, grow=grow, images=2**40, warm_up=0, d_first=0, augment=_tried(settings.augment)),
        dataset,
        device,
        Group(),
        memory=0,
    )
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        trainer.step()  # with R1 and path lengths, which come every so many steps
        seconds = []
        for _ in range(TRIED_STEPS - 1):
            started = time.perf_counter()
            trainer.step()
            trainer.take_report()
            seconds.append(time.perf_counter() - started)
        plain = min(seconds)
        trainer.seen = 0
        started = time.perf_counter()
        trainer.step()
        trainer.take_report()
        extra = max(0.0, time.perf_counter() - started - plain)
    finally:
        trainer.batches.close()
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _resident_bytes()
    return settings.batch / (plain + extra / settings.r1_interval), memory


def _resident_bytes() -> int:
    """The most memory that this process has had."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _tried(augment: str) -> str:
    return "0.3" if augment == "adaptive" else augment
