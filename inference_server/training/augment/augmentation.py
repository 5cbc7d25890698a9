"""The augmentation itself: which changes, in which order (2006.06676, section 2.2 and appendix B)."""

from __future__ import annotations

import torch

from .colour import draw_colour, recolour
from .geometry import draw_blit, draw_general, joined
from .warp import move, warp

KINDS = ("blit", "geometry", "colour")
"""The paper's "bgc": flips, quarter turns and whole-pixel shifts; scaling, rotation and finer shifts; colours."""
SMALLEST = 4


class Augmentation:
    """Changes position, size, angle and colour in pictures of one size, with the strengths of the paper.

    A picture is sampled only once, even if several changes are made to it. On a GPU nothing waits for the device.

    Args:
        size: height and width, at least 4 each.
        channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha. Alpha moves with the colours, but its values do not
            change.
        kinds: some of ``KINDS``, separated by spaces.

    Raises:
        ValueError: if a kind or a number of channels does not exist, or the size is too small.
    """

    def __init__(self, size: tuple[int, int], channels: int, kinds: str = " ".join(KINDS)) -> None:
        self.size, self.channels, self.kinds = size, channels, frozenset(kinds.split())
        if strange := self.kinds - set(KINDS):
            raise ValueError(f"There is no augmentation {', '.join(sorted(strange))}. There are {', '.join(KINDS)}.")
        if channels not in (1, 2, 3, 4):
            raise ValueError(f"Pictures have 1 to 4 channels, not {channels}.")
        if min(size) < SMALLEST:
            raise ValueError(f"Pictures of {size[1]} x {size[0]} are too small to augment: {SMALLEST} is the least.")

    def __call__(self, images: torch.Tensor, probability: float, random: torch.Generator) -> torch.Tensor:
        """Return pictures with random changes.

        Args:
            images: (n, c, h, w) in -1..1 of any floating-point type; computed in float32.
            probability: of each change, in 0..1; with 0 the images themselves are returned.
            random: decides the changes; on the device of the images.

        Returns:
            Pictures of the same shape and type; colours may leave -1..1. First-order gradients flow to the images.
        """
        if images.shape[1:] != (self.channels, *self.size):
            shape = (self.channels, *self.size)
            raise ValueError(f"Pictures must have the shape {shape}, not {tuple(images.shape[1:])}.")
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
