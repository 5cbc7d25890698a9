"""A server process to measure: start it, order frames, wait. The benchmarks of the server use it."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from inference_server.checkpoints import save_generator  # noqa: E402
from inference_server.generators.stylegan2 import StyleGAN2, StyleGAN2Config  # noqa: E402
from lantern_protocol import framing, orders, vectors, versions  # noqa: E402


def processor_seconds(pid: int) -> float:
    """Return the processor time a process has used, all threads together; 0 where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


ENVIRONMENT = {"OMP_WAIT_POLICY": "passive"}
"""The server sets this for itself. Processes that it is compared with must have it too."""


def random_checkpoint(folder: Path, size: int, width: int) -> Path:
    """Write a generator with random weights; return its path.

    Its pictures have sides of `size` pixels, a power of 2; it has `width` channels at full size.
    """
    blocks = size.bit_length() - 2
    channels = tuple(min(512, width << (blocks - 1 - index)) for index in range(blocks))
    path = folder / f"random_{size}.safetensors"
    torch.manual_seed(0)
    generator = StyleGAN2(StyleGAN2Config(z_dim=128, w_dim=128, channels=channels), name=path.stem)
    save_generator(generator, path, {}, torch.float32)
    return path


class Server:
    """A `serve` process that has answered "initialize"."""

    def __init__(self, device: str | None) -> None:
        command = [sys.executable, "-m", "inference_server", "serve", *(["--device", device] if device else [])]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._messages = framing.read_messages(self.process.stdout)
        self._ids = itertools.count(1)
        spoken = {"protocol": versions.PROTOCOL_VERSION, "pixel_revision": versions.PIXEL_REVISION}
        self.greeting = self.ask("initialize", **spoken)

    def ask(self, method: str, heard: Callable[[dict], None] = lambda note: None, **params: Any) -> dict[str, Any]:
        """Send a request; return its result. `heard` gets the params of each frames/made that comes before it."""
        identity = next(self._ids)
        self.process.stdin.write(framing.encode_message(framing.request(identity, method, params)))
        self.process.stdin.flush()
        for message in self._messages:
            if message.get("id") == identity:
                if "error" in message:
                    raise SystemExit(message["error"]["message"])
                return message["result"]
            if message.get("method") == "frames/made":
                heard(message["params"])
        raise SystemExit("The server ended.")

    def generate(
        self,
        job: int,
        folder: Path,
        checkpoint: Path,
        latents: np.ndarray,
        shadow: orders.ShadowSettings | None,
        heard: Callable[[dict], None] = lambda note: None,
    ) -> None:
        """Have a frame made from each row of z, each with a shadow if settings for it are given."""
        ordered = []
        for row in range(len(latents)):
            name = f"f{row:05}.png"
            shadows = () if shadow is None else (orders.ShadowOrder(f"s{row:05}.png", name, shadow),)
            settings = orders.RenderSettings(psi=0.7)
            ordered.append(orders.FrameOrder(name, row, settings, shadows).to_json())
        counts = self.ask(
            "frames/generate",
            heard,
            job=job,
            folder=str(folder),
            generator={"path": str(checkpoint), "sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest()},
            space="z",
            latents=vectors.pack_floats(latents.tobytes(), latents.shape),
            frames=ordered,
            append=False,
        )
        if counts["made"] != len(latents):
            raise SystemExit(f"Not all frames were made: {counts}")

    def close(self) -> None:
        """End the process."""
        self.ask("shutdown")
        self.process.wait()
