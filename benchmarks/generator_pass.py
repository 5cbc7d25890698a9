"""One network in one way of running, for generators.py: a line of JSON in, a pass over one batch, a line of JSON out.

WHO is "ours" (Latent Lantern) or "original". The original is imported from its checkout and reads the file itself.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

Pass = Callable[[torch.Tensor], torch.Tensor]
"""w (n, num_ws, w_dim) to pictures (n, channels, height, width), both on the device."""


def ours(mode: str, checkpoint: str, device: torch.device) -> tuple[Pass, tuple[int, int]]:
    """Our network, and the shape of one W+."""
    from inference_server.checkpoints import load_generator
    from inference_server.rendering.acceleration import accelerate
    from inference_server.rendering.heap import keep_freed_memory

    if device.type == "cpu":
        keep_freed_memory()  # as the server does
    generator = load_generator(checkpoint).to(device)
    if mode in ("float32", "float16", "bfloat16"):
        generator.set_precision(getattr(torch, mode))
        run = generator.synthesize
    else:
        run = accelerate(generator, device, compiled=mode == "compiled").synthesize
    return lambda ws: run(ws, "const"), (generator.info.num_ws, generator.info.w_dim)


def original(mode: str, checkpoint: str, device: torch.device, checkout: str) -> tuple[Pass, tuple[int, int]]:
    """Return the original's network, and the shape of one W+.

    "no compiler" is what its users get if its CUDA extensions cannot be built.
    """
    sys.path.insert(0, checkout)
    import dnnlib  # noqa: F401  (the pickle needs it)
    from torch_utils.ops import bias_act, upfirdn2d

    if mode == "no compiler":
        for operation in (bias_act, upfirdn2d):
            operation._init = lambda: False
        try:
            from torch_utils.ops import filtered_lrelu

            filtered_lrelu._init = lambda: False
        except ImportError:
            pass  # the StyleGAN2 repository does not have it
    with open(checkpoint, "rb") as file:
        # Unpickling is safe here: generator_weights.py has just made the file.
        generator = pickle.load(file)["G_ema"].to(device).eval().requires_grad_(False)  # noqa: S301
    exact = mode == "float32" or device.type == "cpu"
    settings = {"noise_mode": "const", "force_fp32": exact}
    return lambda ws: generator.synthesis(ws, **settings), (generator.num_ws, generator.w_dim)


def peak_bytes(device: torch.device) -> int:
    """Return the most memory that was in use: of the device if it has its own memory, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(who: str, mode: str, checkpoint: str, device_name: str, checkout: str) -> None:
    """Answer questions until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the originals print while they build
    device = torch.device(device_name)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    prepared = None
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if prepared is None:
                prepared = (
                    ours(mode, checkpoint, device) if who == "ours" else original(mode, checkpoint, device, checkout)
                )
            answer = {"bytes": peak_bytes(device)} if question.get("peak") else _pass(*prepared, question, device)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
        print(json.dumps(answer), file=answers, flush=True)


def _pass(run: Pass, shape: tuple[int, int], question: dict, device: torch.device) -> dict:
    ws = np.random.RandomState(0).randn(question["batch"], 1, shape[1]).astype(np.float32).repeat(shape[0], axis=1)
    on_device = torch.from_numpy(ws).to(device)
    with torch.inference_mode():
        start = time.perf_counter()
        pictures = run(on_device)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - start
    if question.get("out"):
        np.save(question["out"], pictures.float().cpu().numpy())
    return {"seconds": seconds}


if __name__ == "__main__":
    main(*sys.argv[1:])
