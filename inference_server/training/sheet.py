"""A contact sheet of a generator: random pictures, and below each row their shadows.

``python -m inference_server.training.sheet snapshot.safetensors --out sheet.png --psi 0.7``
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from inference_server.checkpoints import load_generator
from inference_server.generators.base import Generator
from inference_server.training.figures import contact_sheet


def to_bytes(images: torch.Tensor) -> np.ndarray:
    """Float (n, c, h, w) in -1..1 to uint8 (n, h, w, c)."""
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


@torch.no_grad()
def sheet_of(generator: Generator, z: torch.Tensor, psi: float = 1.0, columns: int = 6) -> np.ndarray:
    """Pictures of the latents ``z`` (n, z_dim), without noise changes, as one uint8 array (height, width, 3).

    Grey pictures are shown grey; an alpha channel is left out.
    """
    pieces = []
    for some in z.split(columns):
        ws = generator.truncate(generator.broadcast(generator.map(some)), psi, None)
        pieces.append(to_bytes(generator.synthesize(ws, "const"))[..., :3])
    pictures = np.concatenate(pieces)
    return contact_sheet(np.broadcast_to(pictures, (*pictures.shape[:3], 3)), columns)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Random pictures of a generator, and their shadows.")
    parser.add_argument("weights", type=Path, help="a generator's .safetensors file")
    parser.add_argument("--out", type=Path, required=True, help="the PNG to write")
    parser.add_argument("--psi", type=float, default=0.7, help="truncation (0.7)")
    parser.add_argument("--seed", type=int, default=0, help="of the latents (0)")
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--columns", type=int, default=6)
    options = parser.parse_args(arguments)
    generator = load_generator(options.weights)
    random = np.random.RandomState(options.seed)
    z = random.randn(options.rows * options.columns, generator.info.z_dim).astype(np.float32)
    sheet = sheet_of(generator, torch.from_numpy(z), options.psi, options.columns)
    Image.fromarray(sheet).save(options.out)
    print(f"{len(z)} pictures of {generator.info.name} at psi {options.psi} in {options.out}")


if __name__ == "__main__":
    main()
