"""One side of training.py in its own process: a line of JSON in, some steps of training, a line of JSON out.

WHO is "loop" (the training loop as the command train runs it), "bare" (the same passes over the same networks on ready
tensors, and nothing else) or "original" (a step with the networks, loss and phases of the checkout).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import TextIO

import torch
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from inference_server.datasets.reading import Dataset  # noqa: E402
from inference_server.rendering.heap import keep_freed_memory  # noqa: E402
from inference_server.terminal.jobs import Job  # noqa: E402
from inference_server.training.distributed import Group  # noqa: E402
from inference_server.training.estimate import Estimate  # noqa: E402
from inference_server.training.networks import training_latents, training_pictures  # noqa: E402
from inference_server.training.running import Run  # noqa: E402
from inference_server.training.settings import Settings  # noqa: E402
from inference_server.training.trainer import Trainer  # noqa: E402

ENDLESS = 2**40
Step = Callable[[int], None]
"""Makes the step with a number; the number decides which regularisation is taken."""


@dataclass
class Slices:
    """Reads questions, each for some steps; answers with the seconds of each step, by the clock and of processor time.

    Attributes:
        number: of the next step.
    """

    device: torch.device
    out: TextIO
    number: int = 0
    _left: int = 0
    _started: float = 0.0
    _processor: float = 0.0
    _steps: list[tuple[float, float]] = field(default_factory=list)

    def next(self) -> bool:
        """Call this before every step: note the step before, and wait for a question if the last one is answered.

        Returns False when there are no more questions.
        """
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        if self._left:
            self._steps.append((time.perf_counter() - self._started, time.process_time() - self._processor))
            self._left -= 1
            self.number += 1
        if not self._left:
            if self._steps:
                seconds, processor = zip(*self._steps, strict=True)
                answer = {"seconds": seconds, "processor": processor, "bytes": peak_bytes(self.device)}
                print(json.dumps(answer), file=self.out, flush=True)
                self._steps = []
            line = sys.stdin.readline()
            if not line:
                return False
            self._left = json.loads(line)["steps"]
        self._started, self._processor = time.perf_counter(), time.process_time()
        return True


class SlicedJob(Job):
    """A job that waits between any two steps until the next one is asked for."""

    def __init__(self, folder: Path, slices: Slices) -> None:
        super().__init__(folder, "training", "images", quiet=True)
        self._slices = slices

    def stop_asked(self) -> bool:
        """Do the same as in ``Job``; return when the next step is asked for."""
        if not self._slices.next():
            os._exit(0)  # a run that is stopped would write its state, which is not needed here
        return super().stop_asked()


def peak_bytes(device: torch.device) -> int:
    """Return the most memory that was in use: of the device if it has its own memory, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def loop(settings: Settings, dataset: Dataset, device: torch.device, slices: Slices, probability: float) -> None:
    """Train as the command does. Every picture is read from its file, because no memory is given to keep pictures."""
    trainer = Trainer(settings, dataset, device, Group(), memory=0)
    trainer.probability = probability  # it adapts from here, by about a thousandth during a benchmark
    with tempfile.TemporaryDirectory() as name, SlicedJob(Path(name) / "run", slices) as job:
        Run(trainer, job.folder, job, Estimate({}, 0, 0.0), None).train()


def bare(settings: Settings, dataset: Dataset, device: torch.device) -> Step:
    """Return the passes of a step: the generator once, the discriminator for it and for itself, Adam's updates."""
    trainer = Trainer(settings, dataset, device, Group(), memory=0)
    trainer.batches.close()
    g, d, dtype = trainer.generator, trainer.discriminator, getattr(torch, settings.precision)
    random = torch.Generator(device).manual_seed(0)
    reals = torch.randn(settings.batch, dataset.channels, *dataset.size, generator=random, device=device).clamp(-1, 1)
    z = torch.randn(settings.batch, settings.z_dim, generator=random, device=device)
    noise = None
    if settings.kind == "stylegan2" and settings.use_noise:
        sizes = [layer.size for layer in g.synthesis.layers]
        noise = [torch.randn(settings.batch, 1, *size, generator=random, device=device) for size in sizes]

    def pictures(ws: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        if settings.kind == "dcgan":
            return training_pictures(g, ws, trainer.top, dtype, random)
        maps = noise and [one[: len(ws)] for one in noise]
        return g.synthesis(ws, maps, [dtype] * (trainer.top + 1))

    def step(number: int) -> None:
        d.requires_grad_(False)
        trainer.g_adam.zero_grad(set_to_none=True)
        fakes = pictures(training_latents(g, z, 0.0, random), dtype)
        F.softplus(-d(fakes, dtype)).mean().backward()
        if settings.path_weight and number % settings.path_interval == 0:
            ws = training_latents(g, z[: settings.batch // 2], 0.0, random)
            images = pictures(ws, torch.float32)
            directions = reals[: len(ws)] / sqrt(images[0, 0].numel())
            gradient = torch.autograd.grad((images * directions).sum(), ws, create_graph=True)[0]
            gradient.square().sum(dim=2).mean(dim=1).sqrt().var().backward()
        trainer.g_adam.step()
        d.requires_grad_(True)
        trainer.d_adam.zero_grad(set_to_none=True)
        (F.softplus(-d(reals, dtype)).mean() + F.softplus(d(fakes.detach(), dtype)).mean()).backward()
        if number % settings.r1_interval == 0:
            seen = reals.detach().requires_grad_()
            gradient = torch.autograd.grad(d(seen).sum(), seen, create_graph=True)[0]
            gradient.square().sum(dim=(1, 2, 3)).mean().backward()
        trainer.d_adam.step()

    return step


def main(who: str, spec: str) -> None:
    """Answer questions until stdin ends. ``spec`` is JSON: settings, dataset, device, checkout, threads."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the original prints while it builds
    about = json.loads(spec)
    device = torch.device(about["device"])
    if about["threads"]:
        torch.set_num_threads(about["threads"])
    if about["heap"] and device.type == "cpu":
        keep_freed_memory()
    # The command train sets them in the same way.
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    settings = Settings.from_dict(about["settings"] | {"images": ENDLESS, "snapshot_every": ENDLESS})
    dataset, slices = Dataset(Path(about["dataset"])), Slices(device, out)
    try:
        if who == "loop":
            loop(settings, dataset, device, slices, about["probability"])
        elif who == "original":
            from training_original import original

            step = original(settings, dataset, device, about["checkout"])
        else:
            step = bare(settings, dataset, device)
        while slices.next():
            step(slices.number)
    except Exception as error:
        words = str(error).splitlines()[:1]
        print(json.dumps({"error": f"{type(error).__name__}: {''.join(words)}"}), file=out, flush=True)
        raise


if __name__ == "__main__":
    main(*sys.argv[1:])
