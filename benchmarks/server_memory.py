"""Memory of the server while many frames are made: it must stay flat, because finished frames are not kept in memory.

python benchmarks/server_memory.py [--frames 10000] [--size 32] [--device cpu]        (Linux: it reads /proc)
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from serving import Server, random_checkpoint

from lantern_protocol.orders import ShadowSettings


def resident_mib(pid: int) -> float:
    """Return the memory a process occupies, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"Process {pid} has no VmRSS.")


def main() -> None:
    """Measure and print a table with a row for each tenth of the frames."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=10000)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--device")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = random_checkpoint(folder, options.size, 8)
        latents = np.random.RandomState(0).randn(options.frames, 128).astype(np.float32)
        server = Server(options.device)
        samples: list[tuple[int, float]] = []
        made = 0

        def heard(note: dict) -> None:
            nonlocal made
            made += len(note["names"]) // 2
            samples.append((made, resident_mib(server.process.pid)))

        start = time.perf_counter()
        server.generate(1, folder / "frames", checkpoint, latents, ShadowSettings(softness=1), heard)
        seconds = time.perf_counter() - start
        for tenth in range(10):
            low, high = tenth * options.frames // 10, (tenth + 1) * options.frames // 10
            part = [memory for count, memory in samples if low < count <= high]
            print(f"frames {low + 1:6} to {high:6}: {min(part):7.1f} to {max(part):7.1f} MiB")
        print(f"{options.frames} frames with shadows in {seconds:.1f} s; after all: {samples[-1][1]:.1f} MiB")
        server.close()


if __name__ == "__main__":
    main()
