"""Random changes of colours (2006.06676, appendix B).

Brightness, contrast and the luma flip act along the grey axis. Hue and saturation act in the plane across it. So the
five matrices that the paper multiplies commute, except the brightness, and their product can be written down.
"""

from __future__ import annotations

from math import pi

import torch

Colour = tuple[torch.Tensor, torch.Tensor]
"""Matrices (n, c, c) and offsets (n, c, 1): a pixel's new channels are matrix @ channels + offset."""


def draw_colour(n: int, channels: int, probability: float, random: torch.Generator) -> Colour:
    """Return colour transformations for ``n`` pictures, each of the five changes with the given probability.

    Args:
        n: number of pictures.
        channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha. Alpha is left as it is.
        probability: in 0..1.
        random: decides the changes; the result is on its device.

    Returns:
        Float32 matrices and offsets for values in -1..1.
    """
    device = random.device
    chosen = torch.rand(5, n, generator=random, device=device) < probability
    bright, contrast, saturation = torch.randn(3, n, generator=random, device=device)
    flip, angle = torch.rand(2, n, generator=random, device=device)
    bright = chosen[0] * bright * 0.2
    contrast = torch.exp2(chosen[1] * contrast * 0.5)
    luma = 1 - 2.0 * (chosen[2] & (flip < 0.5))
    angle = chosen[3] * (angle * 2 - 1) * pi
    saturation = torch.exp2(chosen[4] * saturation)

    colours = 1 if channels < 3 else 3
    matrix = torch.eye(channels, device=device).expand(n, -1, -1).clone()
    offset = torch.zeros(n, channels, 1, device=device)
    offset[:, :colours, 0] = (contrast * luma * bright)[:, None]
    if colours == 1:
        matrix[:, 0, 0] = contrast * luma
        return matrix, offset
    # Rodrigues' rotation about the grey axis; "turn" is the cross product with the axis, which is zero on the diagonal.
    along = (luma / 3)[:, None]
    side, turn = saturation * angle.cos(), saturation * angle.sin() / 3**0.5
    rows = torch.arange(3, device=device)
    for shift, value in enumerate((side * (2 / 3), -side / 3 - turn, -side / 3 + turn)):
        matrix[:, rows, (rows + shift) % 3] = (along + value[:, None]) * contrast[:, None]
    return matrix, offset


def recolour(images: torch.Tensor, colour: Colour) -> torch.Tensor:
    """Return the images with each pixel's channels transformed: float32 (n, c, h, w)."""
    matrix, offset = colour
    return torch.baddbmm(offset, matrix, images.flatten(2)).view_as(images)
