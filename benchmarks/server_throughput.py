"""Frames a second from request to files on disk, compared with a bare forward pass (same network, batch and device).

    python benchmarks/server_throughput.py [--checkpoint FILE | --size 256 --width 32] [--frames 96] [--device cpu]

Server and bare pass take turns, so that other work of the machine slows both. The aim is a ratio of 0.95. On a CPU the
encoders share the processors with the network; then the best possible ratio is the ratio of processor time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from serving import ENVIRONMENT, Server, processor_seconds, random_checkpoint

from lantern_protocol.orders import ShadowSettings

LOOKS = {
    "colour": None,
    "colour and Marrow's shadow": ShadowSettings(),
    "colour and a soft, clean shadow": ShadowSettings(softness=2, fill_holes=64, min_area=64),
}


class BarePass:
    """bare_pass.py in its own process."""

    def __init__(self, checkpoint: Path, frames: int, device: str | None) -> None:
        command = [sys.executable, str(Path(__file__).with_name("bare_pass.py")), checkpoint, str(frames), device or ""]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | ENVIRONMENT
        )

    def seconds(self) -> float:
        """Return how long one pass over all latents takes."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def timed(process: subprocess.Popen, work: Callable[[], float]) -> tuple[float, float]:
    """Return the seconds that `work` returns, and the processor time of the process that did the work."""
    before = processor_seconds(process.pid)
    seconds = work()
    return seconds, processor_seconds(process.pid) - before


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="instead of random weights")
    parser.add_argument("--size", type=int, default=256, help="pixels a side of the random generator")
    parser.add_argument("--width", type=int, default=32, help="its channels at full size")
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--device")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = options.checkpoint or random_checkpoint(folder, options.size, options.width)
        server = Server(options.device)
        about = server.ask("generator/describe", path=str(checkpoint))
        latents = np.random.RandomState(0).randn(options.frames, about["z_dim"]).astype(np.float32)
        bare_pass = BarePass(checkpoint, options.frames, options.device)
        print(f"{about['name']}, {about['width']} x {about['height']}, {server.greeting['device']['name']}")
        job = 0
        for look, settings in LOOKS.items():
            turns = []
            for _ in range(options.turns + 1):
                job += 1

                def served(job: int = job, settings: ShadowSettings | None = settings) -> float:
                    start = time.perf_counter()
                    server.generate(job, folder / "frames", checkpoint, latents, settings)
                    return time.perf_counter() - start

                turns.append((*timed(bare_pass.process, bare_pass.seconds), *timed(server.process, served)))
                shutil.rmtree(folder / "frames")
            bare, bare_work, ours, our_work = np.array(turns[1:]).T  # the first turn loads and warms up
            ratios = bare / ours
            print(
                f"{look}: {options.frames / np.median(ours):.1f} frames a second, bare pass "
                f"{options.frames / np.median(bare):.1f}; ratio {np.median(ratios):.3f} "
                f"({ratios.min():.3f} to {ratios.max():.3f}), of the best turns {bare.min() / ours.min():.3f}; "
                f"of processor time {bare_work.min() / our_work.min():.3f}"
            )
        bare_pass.close()
        server.close()


if __name__ == "__main__":
    main()
