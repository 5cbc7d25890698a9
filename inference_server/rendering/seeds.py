"""Draw latents from seeds."""

from __future__ import annotations

import numpy as np


def sample_seeds(seeds: list[int], z_dim: int) -> np.ndarray:
    """Return z of each seed, float32 (n, z_dim): RandomState(seed).randn(1, z_dim), as in the StyleGAN scripts."""
    rows = [np.random.RandomState(seed).randn(1, z_dim) for seed in seeds]
    return np.concatenate([np.zeros((0, z_dim)), *rows]).astype(np.float32)
