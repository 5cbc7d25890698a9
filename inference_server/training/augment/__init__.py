"""Differentiable augmentation of what the discriminator sees (2006.06676)."""

from .augmentation import KINDS, Augmentation

__all__ = ["KINDS", "Augmentation"]
