"""Latents that need nobody to be asked."""

from collections.abc import Sequence

import numpy as np


def sample_z(seed: int, shape: Sequence[int]) -> list[float]:
    """The z of a seed as everyone's tools draw it: numpy RandomState(seed).randn(1, z_dim); of a canvas, flattened."""
    return np.random.RandomState(seed).randn(*shape).ravel().tolist()
