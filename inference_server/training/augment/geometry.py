"""Random changes of where things are (2006.06676, appendix B).

The matrices of the paper map a place of the picture to its new place. Sampling needs the way back, so the inverses are
multiplied here. They are 2 x 2 and are multiplied by hand, because the rounding of a GPU's matrix units must not shift
a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import torch


@dataclass(frozen=True)
class Placement:
    """Where each pixel of the new pictures is taken from: old place = linear @ new place + offset.

    Places are in pixels from the middle of the picture, x to the right, y down. All values are float32, except
    ``between``.
    """

    linear: torch.Tensor
    """(2, 2, n)"""
    offset: torch.Tensor
    """(2, n)"""
    between: torch.Tensor
    """bool (n,): pictures whose new pixels do not all lie on old pixels."""


def draw_blit(n: int, size: tuple[int, int], probability: float, random: torch.Generator) -> Placement:
    """Return flips, turns by 90 degrees (180 if height and width differ), and shifts by whole pixels.

    Args:
        n: number of pictures.
        size: height and width.
        probability: of each of the three, in 0..1.
        random: decides the changes; the result is on its device.
    """
    device = random.device
    chosen = torch.rand(3, n, generator=random, device=device) < probability
    flip, turn, x, y = torch.rand(4, n, generator=random, device=device)
    height, width = size
    flip = 1 - 2.0 * (chosen[0] & (flip < 0.5))
    turn = chosen[1] * ((turn * 4).floor() if height == width else (turn * 2).floor() * 2)
    # Cosine and sine of quarter turns, without rounding.
    cos, sin = (turn == 0).float() - (turn == 2).float(), (turn == 1).float() - (turn == 3).float()
    x = (chosen[2] * (x * 2 - 1) * (0.125 * width)).round()
    y = (chosen[2] * (y * 2 - 1) * (0.125 * height)).round()
    linear = torch.stack((flip * cos, -flip * sin, sin, cos)).view(2, 2, n)
    offset = -_apply(linear, torch.stack((x, y)))
    return Placement(linear, offset, torch.zeros(n, dtype=torch.bool, device=device))


def draw_general(n: int, size: tuple[int, int], probability: float, random: torch.Generator) -> Placement:
    """Return scaling, rotation, stretching, a second rotation, and shifts by parts of a pixel.

    Args:
        n: number of pictures.
        size: height and width.
        probability: of scaling, of stretching, of shifting, and of at least one of the two rotations; in 0..1.
        random: decides the changes; the result is on its device.
    """
    device = random.device
    chosen = torch.rand(5, n, generator=random, device=device)
    rotate = 1 - (1 - probability) ** 0.5
    scaled, stretched, shifted = chosen[:3] < probability
    scale, stretch, x, y = torch.randn(4, n, generator=random, device=device)
    angles = torch.rand(2, n, generator=random, device=device)
    angles = (chosen[3:] < rotate) * (angles * 2 - 1) * pi
    shrink = torch.exp2(scaled * scale * 0.2)
    stretch = torch.exp2(stretched * stretch * 0.2)
    (cos, after_cos), (sin, after_sin) = angles.cos(), angles.sin()
    along, across = shrink * stretch, shrink / stretch
    linear = torch.stack(
        (
            cos * along * after_cos - sin * across * after_sin,
            -cos * along * after_sin - sin * across * after_cos,
            sin * along * after_cos + cos * across * after_sin,
            cos * across * after_cos - sin * along * after_sin,
        )
    ).view(2, 2, n)
    height, width = size
    shift = torch.stack((x * (0.125 * width), y * (0.125 * height))) * shifted
    between = scaled | stretched | shifted | (angles != 0).any(dim=0)
    return Placement(linear, -_apply(linear, shift), between)


def joined(first: Placement, then: Placement) -> Placement:
    """Return both placements as one: ``then`` takes its pixels from the pictures that ``first`` makes."""
    linear = (first.linear[:, :, None] * then.linear).sum(dim=1)
    offset = _apply(first.linear, then.offset) + first.offset
    return Placement(linear, offset, first.between | then.between)


def _apply(linear: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    return (linear * places).sum(dim=1)
