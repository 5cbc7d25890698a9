"""Latents that are computed without the server."""

from collections.abc import Sequence

import numpy as np


def sample_z(seed: int, shape: Sequence[int]) -> list[float]:
    """Return the z of a seed as other tools draw it: numpy RandomState(seed).randn(1, z_dim); flat for a canvas."""
    return np.random.RandomState(seed).randn(*shape).ravel().tolist()
