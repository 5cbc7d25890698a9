"""Seconds a frame, peak memory and difference from float32 of each kind of generator; with its original if given.

    python benchmarks/generators.py [--kinds stylegan2 stylegan3-t] [--sizes 256 512 1024] [--batches 1 8]
                                    [--original CHECKOUT] [--device cuda] [--turns 5]

CHECKOUT is a clone of NVlabs/stylegan3 or NVlabs/stylegan2-ada-pytorch. If it is given, the original makes the
checkpoint, and both networks read that file. They take turns in one run, each in its own process (generator_pass.py),
so that other work of the machine slows both. Weights are random, because times do not depend on them. Only synthesis is
timed: from w on the device to float32 pictures on the device.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from serving import ENVIRONMENT

HERE = Path(__file__).resolve().parent
KINDS = ("stylegan2", "stylegan3-t", "stylegan3-r", "stylegan1", "dcgan")
OURS = {
    "cpu": ("float32", "bfloat16", "compiled"),
    "other": ("float32", "float16", "accelerated", "compiled"),
}
ORIGINALS = {"cpu": ("float32",), "other": ("as it comes", "float32", "no compiler")}


@dataclass
class Side:
    """One network in its own process: "ours" (Latent Lantern's) or the "original", in one way of running."""

    who: str
    mode: str
    process: subprocess.Popen
    trouble: str = ""

    @classmethod
    def start(cls, who: str, mode: str, checkpoint: Path, device: str, checkout: Path | None) -> Side:
        """Start the process. It loads the network before its first answer."""
        command = [sys.executable, HERE / "generator_pass.py", who, mode, checkpoint, device, checkout or ""]
        pipe = subprocess.PIPE
        return cls(
            who, mode, subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=os.environ | ENVIRONMENT)
        )

    def ask(self, **question: object) -> dict | None:
        """Return one answer; None after the process has failed, and then `trouble` says why."""
        if not self.trouble:
            try:
                self.process.stdin.write(json.dumps(question) + "\n")
                self.process.stdin.flush()
                answer = json.loads(self.process.stdout.readline() or '{"error": "it ended"}')
            except OSError as error:
                answer = {"error": str(error)}
            if "error" not in answer:
                return answer
            self.trouble = answer["error"]
        return None

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


def measure(kind: str, size: int, options: argparse.Namespace, folder: Path) -> None:
    """Measure one network in every way of running and print its lines."""
    checkout = options.original if kind.startswith(("stylegan2", "stylegan3")) else None
    where = "cpu" if options.device == "cpu" else "other"
    checkpoint = folder / (f"{kind}-{size}.pkl" if checkout else f"{kind}-{size}.safetensors")
    make = [sys.executable, HERE / "generator_weights.py", kind, str(size), checkpoint, checkout or ""]
    if subprocess.run(make, stdout=subprocess.DEVNULL, env=os.environ | ENVIRONMENT).returncode:
        print(f"{kind:12} {size:5}  no weights could be made")
        return
    for batch in options.batches:
        sides = [Side.start("ours", mode, checkpoint, options.device, None) for mode in options.modes or OURS[where]]
        if checkout:
            sides += [Side.start("original", mode, checkpoint, options.device, checkout) for mode in ORIGINALS[where]]
        for side in sides:
            side.ask(batch=batch, out=str(folder / f"{side.who}-{side.mode}.npy"))
        times: dict[int, list[float]] = {id(side): [] for side in sides}
        for _ in range(options.turns):
            for side in sides:
                answer = side.ask(batch=batch)
                if answer:
                    times[id(side)].append(answer["seconds"] / batch)
        exact = np.load(folder / "ours-float32.npy")
        base = next((s for s in sides if s.who == "original" and s.mode in ("no compiler", "float32")), sides[0])
        for side in sides:
            peak = side.ask(peak=True)
            if side.trouble or peak is None:
                print(f"{kind:12} {size:5} {batch:3}  {side.who:9} {side.mode:12} {side.trouble[:70]}")
                continue
            ratio = median(times[id(base)]) / median(times[id(side)]) if times[id(base)] else float("nan")
            made = np.load(folder / f"{side.who}-{side.mode}.npy")
            print(
                f"{kind:12} {size:5} {batch:3}  {side.who:9} {side.mode:12} {min(times[id(side)]):8.4f} "
                f"{median(times[id(side)]):8.4f} {ratio:6.2f}x {peak['bytes'] / 2**30:6.2f}  "
                f"{np.abs(made - exact).max():.1e} of {np.abs(exact).max():.1f}",
                flush=True,
            )
        for side in sides:
            side.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 512, 1024])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--modes", nargs="+", help="ways of running our network; float32 must be one of them")
    parser.add_argument("--original", type=Path, help="checkout of NVlabs/stylegan3 or NVlabs/stylegan2-ada-pytorch")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    print("kind          size batch          way of running   least  median   times  peak GiB  largest difference")
    with tempfile.TemporaryDirectory() as name:
        for kind in options.kinds:
            for size in options.sizes if kind != "dcgan" else [128]:
                measure(kind, size, options, Path(name))


if __name__ == "__main__":
    main()
