"""Images a second of the training loop, compared with the bare passes of its networks and with the original's step.

    python benchmarks/training.py [--kinds stylegan2 dcgan] [--sizes 64 128 256] [--capacity small] [--batch 16]
                                  [--precisions float32 bfloat16] [--augment 0 0.6] [--path] [--turns 6]
                                  [--original CHECKOUT] [--device cuda] [--limit]

The loop is what the command train runs: pictures read from PNG files, adaptive augmentation at a probability, both
networks' updates, averages, status and log; only snapshots are left out. The bare passes are the same forward and
backward passes and Adam updates of the same networks on ready tensors. Each runs in its own process (training_pass.py).
They take turns of a few steps, so that other work of the machine slows all of them.

To save time, R1 is taken in every fourth step (and path lengths in every second). Each step is timed alone, and the
times are then weighted as if the intervals were the usual ones, 16 and 8. Ratios are medians over turns.

CHECKOUT is a clone of NVlabs/stylegan2-ada-pytorch, whose packages must be importable. --limit counts operations and
bytes instead of measuring times.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image
from serving import ENVIRONMENT  # and it puts the project on the path

from inference_server.datasets.reading import Dataset
from inference_server.training.settings import CAPACITIES, KINDS, Settings

HERE = Path(__file__).resolve().parent
PICTURES = 256
R1_EVERY, PATH_EVERY = 4, 2
"""Steps between regularisations here; a turn is R1_EVERY steps."""


@dataclass
class Side:
    """One process, and its answers: a weighted time of a step for each turn, in seconds."""

    name: str
    process: subprocess.Popen
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    bytes: int = 0
    trouble: str = ""

    @classmethod
    def start(cls, name: str, who: str, spec: dict) -> Side:
        """Start the process; it makes its networks before it answers."""
        command = [sys.executable, str(HERE / "training_pass.py"), who, json.dumps(spec)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=os.environ | ENVIRONMENT)
        return cls(name, process)

    def turn(self, path: bool, count: bool = True) -> None:
        """Make R1_EVERY steps, the first of them with every regularisation."""
        if self.trouble:
            return
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(json.dumps({"steps": R1_EVERY}) + "\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline() or '{"error": "it ended"}')
        except OSError as error:
            answer = {"error": str(error)}
        if "error" in answer:
            self.trouble = answer["error"]
        elif count:
            self.bytes = answer["bytes"]
            self.seconds.append(weighed(answer["seconds"], path))
            self.processor.append(weighed(answer["processor"], path))

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


def weighed(steps: Sequence[float], path: bool) -> float:
    """Return the mean time of sixteen steps, from the times of the four steps of a turn.

    One of the sixteen has R1; with `path`, two of them have path lengths.
    """
    if not path:
        return (steps[0] + 15 * float(np.mean(steps[1:]))) / 16
    return (steps[0] + steps[2] + 14 * (steps[1] + steps[3]) / 2) / 16


def write_pictures(folder: Path, size: int) -> Path:
    """Write a data set of soft shapes with grain, which take as long to read as frames of a film; return its folder."""
    random = np.random.default_rng(0)
    (folder / "pictures").mkdir(parents=True)
    for index in range(PICTURES):
        shapes = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).resize((size, size), Image.BICUBIC)
        grain = random.normal(0, 4, (size, size, 3))
        Image.fromarray((np.asarray(shapes) + grain).clip(0, 255).astype(np.uint8)).save(
            folder / "pictures" / f"{index:04d}.png"
        )
    about = {"format": "latent-lantern-dataset", "version": 1, "width": size, "height": size, "channels": 3}
    (folder / "dataset.json").write_text(json.dumps(about))
    return folder


def settings_of(kind: str, size: int, precision: str, options: argparse.Namespace) -> Settings:
    """Return the settings that train would choose for a data set without latents, with this benchmark's intervals."""
    large = options.capacity != "small" and kind == "stylegan2"
    network = {"z_dim": 512, "w_dim": 512, "mapping_layers": 8, "mapping_lr": 0.01} if large else {}
    return Settings(
        kind=kind,
        capacity=options.capacity,
        batch=options.batch,
        precision=precision,
        gamma=max(0.2, 0.0002 * size * size / 32),
        path_weight=2.0 if options.path and kind == "stylegan2" else 0.0,
        r1_interval=R1_EVERY,
        path_interval=PATH_EVERY,
        **network,
    )


def measure(settings: Settings, dataset: Path, options: argparse.Namespace) -> None:
    """Let all sides of one configuration take turns, and print a line for each."""
    spec = {
        "settings": asdict(settings),
        "dataset": str(dataset),
        "device": options.device,
        "threads": options.threads,
        "heap": not options.plain_heap,
    }
    sides = [Side.start("bare passes", "bare", spec)]
    for probability in options.augment:
        sides.append(Side.start(f"loop, augmented {probability:g}", "loop", spec | {"probability": probability}))
    if options.original and settings.kind == "stylegan2" and settings.precision == "float32":
        sides.append(Side.start("original", "original", spec | {"checkout": str(options.original)}))
    path = bool(settings.path_weight)
    for turn in range(options.turns + 1):
        for side in sides:
            side.turn(path, count=turn > 0)
    size = Dataset(dataset).size[0]
    for side in sides:
        side.close()
        name = f"{settings.kind:9} {size:4} {settings.precision:8} {side.name:19}"
        if side.trouble or sides[0].trouble:
            print(f"{name} {side.trouble[:90]}", flush=True)
            continue
        ratios = sorted(base / own for base, own in zip(sides[0].seconds, side.seconds, strict=True))
        of_processor = median(base / own for base, own in zip(sides[0].processor, side.processor, strict=True))
        print(
            f"{name} {settings.batch / median(side.seconds):8.1f} "
            f"{median(side.processor) / settings.batch * 1e3:8.1f}   "
            f"{median(ratios):6.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}) {of_processor:6.3f} "
            f"{side.bytes / 2**30:6.2f}",
            flush=True,
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 128, 256])
    parser.add_argument("--capacity", choices=CAPACITIES, default="small")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--augment", nargs="+", type=float, default=[0.0, 0.6], help="probabilities")
    parser.add_argument("--path", action="store_true", help="with path length regularisation")
    parser.add_argument("--original", type=Path, help="checkout of NVlabs/stylegan2-ada-pytorch")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--plain-heap", action="store_true", help="leave the C library's heap as it is")
    parser.add_argument("--limit", action="store_true", help="count operations and bytes instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if not options.limit:
            print(
                "images a second, processor ms a picture; ratio to the bare passes by the clock, by processor; peak GiB"
            )
        for size in options.sizes:
            dataset = write_pictures(Path(name) / str(size), size)
            for kind in options.kinds:
                if options.limit:
                    from training_limit import count

                    count(settings_of(kind, size, "float32", options), Dataset(dataset), options.original)
                    continue
                for precision in options.precisions:
                    measure(settings_of(kind, size, precision, options), dataset, options)


if __name__ == "__main__":
    main()
