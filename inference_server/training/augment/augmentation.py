"""The augmentation itself: which changes, in which order (2006.06676, section 2.2 and appendix B)."""

from __future__ import annotations

import torch

from .colour import draw_colour, recolour
from .geometry import draw_blit, draw_general, joined
from .warp import move, warp

KINDS = ("blit", "geometry", "colour")
"""Flips, quarter turns and whole-pixel shifts; scaling, rotation and finer shifts; colours: "bgc" in the paper."""
SMALLEST = 4


class Augmentation:
    """Changes pictures of one size in place, size, angle and colour, with the strengths of the paper.

    A picture is sampled once, however many changes are made to it. On a GPU nothing waits for the device.

    Args:
        size: height and width, at least 4 each.
        channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha; alpha moves with the colours but is not one.
        kinds: some of ``KINDS``, with spaces between.

    Raises:
        ValueError: a kind, a size or a number of channels that there is not.
    """

    def __init__(self, size: tuple[int, int], channels: int, kinds: str = " ".join(KINDS)) -> None:
        self.size, self.channels, self.kinds = size, channels, frozenset(kinds.split())
        if strange := self.kinds - set(KINDS):
            raise ValueError(f"There is no augmentation {', '.join(sorted(strange))}, but {', '.join(KINDS)}.")
        if channels not in (1, 2, 3, 4):
            raise ValueError(f"Pictures have 1 to 4 channels, not {channels}.")
        if min(size) < SMALLEST:
            raise ValueError(f"Pictures of {size[1]} x {size[0]} are too small to augment: {SMALLEST} is the least.")

    def __call__(self, images: torch.Tensor, probability: float, random: torch.Generator) -> torch.Tensor:
        """Change pictures by chance.

        Args:
            images: (n, c, h, w) in -1..1 of any floating-point type; computed in float32.
            probability: of each change, in 0..1; with 0 the very images are returned.
            random: decides; on the device of the images.

        Returns:
            The same shape and type; colours may leave -1..1. Gradients of first order flow to the images.
        """
        if images.shape[1:] != (self.channels, *self.size):
            raise ValueError(f"Pictures of {tuple(images.shape[1:])} came, not {(self.channels, *self.size)}.")
        if not probability or not self.kinds:
            return images
        with torch.autocast(images.device.type, enabled=False):
            changed = images.float().contiguous()
            if self.kinds & {"blit", "geometry"}:
                changed = self._move(changed, probability, random)
            if "colour" in self.kinds:
                changed = recolour(changed, draw_colour(len(images), self.channels, probability, random))
        return changed.to(images.dtype)

    def _move(self, images: torch.Tensor, probability: float, random: torch.Generator) -> torch.Tensor:
        if "geometry" not in self.kinds:
            return move(images, draw_blit(len(images), self.size, probability, random))
        general = draw_general(len(images), self.size, probability, random)
        if "blit" in self.kinds:
            general = joined(draw_blit(len(images), self.size, probability, random), general)
        return warp(images, general)
