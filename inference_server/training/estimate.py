"""How fast a training will be and how much memory it needs, found by trying a few steps before it starts."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace

import torch

from ..datasets.reading import Dataset
from ..terminal.jobs import Job, JobError, duration
from .distributed import Group
from .settings import Settings, growth_sides, stages
from .trainer import Trainer

TRIED_STEPS = 3
TRIED_SECONDS = 10.0
"""No further step is tried after this time."""
GROWTH_SHARES = {1: (1.0,), 2: (0.5, 0.5), 3: (0.35, 0.25, 0.4)}
"""Shares of the time for each size of growing pictures, by the number of sizes; there are three sizes at most."""
LONG = 2**40
"""A number of images that no training reaches."""


@dataclass(frozen=True)
class Estimate:
    """What was found.

    Attributes:
        rates: images in a second at each stage, by the pictures' smaller side.
        memory: bytes of the GPU, or else of this process, at the largest stage; 0 if that cannot be measured.
        seconds: for all images of the settings.
    """

    rates: dict[int, float]
    memory: int
    seconds: float


class Trials:
    """Tries steps of a training, each kind once, on networks that are thrown away.

    Args:
        dataset: its pictures are read, so that the time for reading is counted.
        device: where the training will be.
        job: shows what is tried.
    """

    def __init__(self, dataset: Dataset, device: torch.device, job: Job) -> None:
        self._dataset, self._device, self._job = dataset, device, job
        self._found: dict[tuple[Settings, int], tuple[float, int]] = {}

    def choose_precision(self, settings: Settings) -> Settings:
        """Return the settings with bfloat16 if the device computes faster with it, else with float32."""
        device = self._device
        if device.type == "cuda":
            good = torch.cuda.is_bf16_supported(including_emulation=False)
            return replace(settings, precision="bfloat16" if good else "float32")
        if device.type != "cpu" or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return replace(settings, precision="float32")
        side = growth_sides(settings.kind, self._dataset.size)[0]
        either = [replace(settings, precision=precision) for precision in ("float32", "bfloat16")]
        return max(either, key=lambda one: self._rate(one, side)[0])

    def fit_memory(self, settings: Settings) -> Settings:
        """Return the settings with micro-batches that fit into the GPU's memory.

        Raises JobError if not even 4 pictures fit.
        """
        while self._device.type == "cuda":
            try:
                self._rate(settings, min(self._dataset.size))
                break
            except torch.cuda.OutOfMemoryError:
                torch.cuda.empty_cache()
                size = (settings.micro_batch or settings.batch) // 2
                if size < 4 or settings.batch % size:
                    raise self._too_small() from None
                settings = replace(settings, micro_batch=size)
                print(f"The GPU's memory is small: {size} pictures at once, {settings.batch} in a step.")
        return settings

    def spend(self, settings: Settings, hours: float, grow: bool) -> Settings:
        """Return the settings with as many images as fit into the hours.

        If ``grow``, the pictures grow in stages that share the time. If the settings say how they grow, these stages
        stay, and the full size gets the time that they leave.

        Raises JobError if they leave none.
        """
        size = self._dataset.size
        if settings.grow:
            return self._spend_rest(settings, hours * 3600)
        sides = growth_sides(settings.kind, size)[-len(GROWTH_SHARES) :] if grow else (min(size),)
        until = 0
        steps = []
        for side, share in zip(sides, GROWTH_SHARES[len(sides)], strict=True):
            rate, _ = self._rate(settings, side)
            batches = max(1, round(hours * 3600 * share * rate / settings.batch))
            until += batches * settings.batch
            steps.append((side, until))
        return replace(settings, images=until, grow=tuple(steps[:-1]))

    def _spend_rest(self, settings: Settings, seconds: float) -> Settings:
        """Return the settings with as many images of the full size as the stages before it leave time for."""
        grown = settings.grow[-1][1]
        small = sum(
            (end - start) / self._rate(settings, side)[0]
            for side, start, end in stages(replace(settings, images=grown), self._dataset.size)
        )
        rate, _ = self._rate(settings, min(self._dataset.size))
        batches = int((seconds - small) * rate / settings.batch)
        if batches < 1:
            raise JobError(
                f"The stages in --grow take {duration(small)}, and --hours gives {duration(seconds)}. So no time is "
                "left for the full size. Give more hours, or let the pictures grow earlier."
            )
        return replace(settings, images=grown + batches * settings.batch)

    def estimate(self, settings: Settings) -> Estimate:
        """Return how long the training will take, stage by stage."""
        rates, memory = {}, 0
        all_stages = stages(settings, self._dataset.size)
        for side, _, _ in all_stages:
            rates[side], memory = self._rate(settings, side)
        return Estimate(rates, memory, sum((end - start) / rates[side] for side, start, end in all_stages))

    def _rate(self, settings: Settings, side: int) -> tuple[float, int]:
        """Return images a second, and bytes of memory, of a training at one size, with R1 and path lengths."""
        grow = () if side == min(self._dataset.size) else ((side, LONG),)
        augment = "0.3" if settings.augment == "adaptive" else settings.augment
        settings = replace(settings, grow=grow, images=LONG, warm_up=0, d_first=0, augment=augment)
        if (settings, side) not in self._found:
            self._job.tell(message=f"Trying a few steps with pictures of side {side}, {settings.precision}")
            self._found[settings, side] = self._try(settings)
        return self._found[settings, side]

    def _try(self, settings: Settings) -> tuple[float, int]:
        device = self._device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        trainer = Trainer(settings, self._dataset, device, Group(), memory=0)
        try:
            began = time.perf_counter()
            trainer.step()  # the first step also makes what is made only once
            plain = []
            while not plain or (len(plain) < TRIED_STEPS and time.perf_counter() - began < TRIED_SECONDS):
                plain.append(_seconds_of(trainer))
            trainer.seen = 0  # so that the next step has R1 and path lengths, which are not in every step
            extra = max(0.0, _seconds_of(trainer) - min(plain))
        finally:
            trainer.batches.close()
        memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _resident_bytes()
        return settings.batch / (min(plain) + extra / settings.r1_interval), memory

    def _too_small(self) -> JobError:
        free, whole = torch.cuda.mem_get_info(self._device)
        height, width = self._dataset.size
        return JobError(
            f"The GPU has {free / 2**30:.1f} of {whole / 2**30:.1f} GiB free, too little for pictures of "
            f"{width} x {height} with this network. Close other programs that use it, make the data set smaller, or "
            "choose a smaller --capacity."
        )


def _seconds_of(trainer: Trainer) -> float:
    started = time.perf_counter()
    trainer.step()
    trainer.take_report()  # waits for a GPU
    return time.perf_counter() - started


def _resident_bytes() -> int:
    """Return the most memory that this process has had; 0 on Windows."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
