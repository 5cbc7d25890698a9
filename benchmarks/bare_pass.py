"""The bare forward pass, for server_throughput.py: for every line on stdin, one timed pass over all latents.

It is a separate process, so that it has the device to itself, as the server has: same threads, same settings.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from inference_server.rendering.renderer import Renderer


def main(checkpoint: str, frames: str, device: str) -> None:
    """Answer each line with the seconds that mapping, truncation and synthesis take. The pictures are thrown away."""
    renderer = Renderer(device or None)
    loaded = renderer.open(checkpoint, None)
    generator, batch = loaded.generator, loaded.batch
    latents = np.random.RandomState(0).randn(int(frames), loaded.info.z_dim).astype(np.float32)
    z = torch.from_numpy(latents).to(renderer.device)
    for _ in sys.stdin:
        start = time.perf_counter()
        with torch.inference_mode():
            for first in range(0, len(z), batch):
                ws = generator.broadcast(generator.map(z[first : first + batch]))
                generator.synthesize(generator.truncate(ws, 0.7, None), "const")
        if renderer.device.type == "cuda":
            torch.cuda.synchronize()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
