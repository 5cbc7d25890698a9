"""Differentiable augmentation for small sets.

Zhao et al., Differentiable Augmentation for Data-Efficient GAN Training, 2006.10738: what the discriminator sees, real
or made, is changed in the same ways, so that it cannot learn a small set by heart and the generator does not learn the
changes.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F


def augment(images: torch.Tensor, probability: float, random: torch.Generator) -> torch.Tensor:
    """Change each picture's brightness, contrast and place, each with the given probability.

    Args:
        images: float32 (n, c, h, w) in -1..1; gradients flow through.
        probability: 0 leaves the pictures as they are.
        random: source of chance, on the CPU.

    Returns:
        float32 of the same shape; what a shift uncovers is black.
    """
    if not probability:
        return images
    n, _, h, w = images.shape

    def chance(low: float, high: float) -> torch.Tensor:
        values = torch.rand(n, generator=random) * (high - low) + low
        return (values * (torch.rand(n, generator=random) < probability)).to(images.device)[:, None, None, None]

    images = images + chance(-0.25, 0.25)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * (1 + chance(-0.4, 0.4)) + mean
    rows = (chance(-0.125, 0.125) * h).round().flatten().tolist()
    columns = (chance(-0.125, 0.125) * w).round().flatten().tolist()
    edge_y, edge_x = h // 8 + 1, w // 8 + 1
    padded = F.pad(images, (edge_x, edge_x, edge_y, edge_y), value=-1.0)
    return torch.stack(
        [
            picture[:, edge_y + int(y) : edge_y + int(y) + h, edge_x + int(x) : edge_x + int(x) + w]
            for picture, y, x in zip(padded, rows, columns, strict=True)
        ]
    )
