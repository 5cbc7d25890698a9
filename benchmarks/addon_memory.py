"""Memory of Blender with the add-on, and of the server, while many small frames are made: it should stay flat.

python3 dev.py blender benchmarks/addon_memory.py [--frames 10000] [--size 32]                  (Linux: it reads /proc)

The real server with a tiny generator with random weights; one strip, every frame a different picture.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import staging
from staging import resident_mib, session


def main() -> None:
    """Fill the strip and print a row for each tenth of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=10000)
    parser.add_argument("--size", type=int, default=32)
    options = parser.parse_args()
    staging.heading(f"Memory, {options.frames} frames of {options.size} x {options.size}")
    with staging.scratch() as folder:
        checkpoint = staging.random_checkpoint(Path(folder), options.size, 8)
        strip = staging.add_strip(options.frames, [1, options.frames], checkpoint)
        session.make_missing()
        print(f"{'frames made':>12} {'Blender MiB':>12} {'server MiB':>11} {'frames/s':>9} {'longest tick ms':>16}")
        start, made_before, longest = time.perf_counter(), 0, 0.0
        step = max(1, options.frames // 10)
        while True:
            begun = time.perf_counter()
            session.tick()
            longest = max(longest, time.perf_counter() - begun)
            made, total = session.plans.progress(strip)
            if session.halted:
                raise SystemExit(session.halted)
            if made >= made_before + step or made == total:
                now = time.perf_counter()
                rate = (made - made_before) / (now - start)
                print(
                    f"{made:12} {resident_mib(os.getpid()):12.1f} {resident_mib(session.client.pid):11.1f} {rate:9.1f}"
                    f" {1e3 * longest:16.1f}",
                    flush=True,
                )
                start, made_before, longest = now, made, 0.0
                if made == total:
                    break
            time.sleep(0.04 if session.working else 0.25)
        session.client.stop()


if __name__ == "__main__":
    main()
