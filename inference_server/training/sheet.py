"""Contact sheets of a generator: random pictures and their shadows, walks between seeds, directions of its space.

``python -m inference_server.training.sheet snapshot.safetensors --out sheet.png --psi 0.7``
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..checkpoints import load_generator
from ..generators.base import Generator
from .figures import contact_sheet

REACH = 3.0
"""How far the ends of a direction are from the picture in the middle, in standard deviations of w along it."""


def to_bytes(images: torch.Tensor) -> np.ndarray:
    """Convert float pictures (n, c, h, w) in -1..1 to uint8 (n, h, w, c)."""
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


@torch.no_grad()
def sheet_of(generator: Generator, z: torch.Tensor, psi: float = 1.0, columns: int = 6) -> np.ndarray:
    """Return the pictures of the latents ``z`` (n, z_dim), with constant noise, as one uint8 array (height, width, 3).

    Grey pictures stay grey; an alpha channel is left out.
    """
    ws = torch.cat([generator.broadcast(generator.map(some)) for some in z.split(64)])
    return _sheet(generator, ws, psi, columns)


@torch.no_grad()
def walks(generator: Generator, z: torch.Tensor, psi: float = 1.0, columns: int = 6) -> np.ndarray:
    """Return a row for each latent of ``z`` (n, z_dim): on its way to the next in w; the last goes to the first."""
    w = generator.map(z)
    share = torch.linspace(0, 1, columns, device=w.device)[None, :, None]
    between = torch.lerp(w[:, None], w.roll(-1, 0)[:, None], share)
    return _sheet(generator, generator.broadcast(between.flatten(0, 1)), psi, columns)


@torch.no_grad()
def directions(generator: Generator, z: torch.Tensor, count: int, columns: int = 6) -> np.ndarray:
    """Return a row for each of the ``count`` directions in which w varies most, around the picture of z (1, z_dim).

    The directions are the principal components of w (Harkonen et al., GANSpace, 2004.02546, section 2.1).
    """
    many = generator.map(torch.randn(4096, z.shape[1], generator=torch.Generator().manual_seed(0)))
    variances, vectors = torch.linalg.eigh(torch.cov(many.t()))
    found = vectors.flip(1)[:, :count].t() * variances.flip(0)[:count, None].clamp_min(0).sqrt()
    steps = torch.linspace(-REACH, REACH, columns, device=found.device)[None, :, None]
    w = generator.truncate(generator.broadcast(generator.map(z)), 0.5, None)[:, 0]
    moved = w[None] + steps * found[:, None]
    return _sheet(generator, generator.broadcast(moved.flatten(0, 1)), 1.0, columns)


def _sheet(generator: Generator, ws: torch.Tensor, psi: float, columns: int) -> np.ndarray:
    pieces = []
    for some in ws.split(columns):
        images = generator.synthesize(generator.truncate(some, psi, None), "const")
        pieces.append(to_bytes(images)[..., :3])
    pictures = np.concatenate(pieces)
    return contact_sheet(np.broadcast_to(pictures, (*pictures.shape[:3], 3)), columns)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Pictures of a generator, and their shadows.")
    parser.add_argument("weights", type=Path, help="a generator's .safetensors file")
    parser.add_argument("--out", type=Path, required=True, help="the PNG to write")
    parser.add_argument("--show", choices=("random", "walks", "directions"), default="random")
    parser.add_argument("--psi", type=float, default=0.7, help="truncation (0.7)")
    parser.add_argument("--seed", type=int, default=0, help="of the latents (0)")
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--columns", type=int, default=6)
    options = parser.parse_args(arguments)
    generator = load_generator(options.weights).requires_grad_(False)
    count = options.rows * (options.columns if options.show == "random" else 1)
    random = np.random.RandomState(options.seed)
    z = torch.from_numpy(random.randn(count, generator.info.z_dim).astype(np.float32))
    if options.show == "walks":
        sheet = walks(generator, z, options.psi, options.columns)
    elif options.show == "directions":
        sheet = directions(generator, z[:1], options.rows, options.columns)
    else:
        sheet = sheet_of(generator, z, options.psi, options.columns)
    Image.fromarray(sheet).save(options.out)
    print(f"{options.show} pictures of {generator.info.name} in {options.out}")


if __name__ == "__main__":
    main()
