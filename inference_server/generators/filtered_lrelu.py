"""Leaky ReLU between two filters: up-sample, apply, clamp, down-sample (2106.12423, figure 4b)."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from .stylegan3_config import LayerConfig


def up_matrix(taps: torch.Tensor, up: int, before: int, size: int, out: int) -> torch.Tensor:
    """Rows of this matrix say what of ``size`` samples goes into each of ``out`` up-sampled ones, along one axis.

    Zeros are put between the samples, ``before`` zeros in front (negative: cut off), then they are convolved.

    Args:
        taps: float64 (t,).

    Returns:
        float64 (out, size). The gain is ``up``, which keeps the signal's size.
    """
    position = torch.arange(out)[:, None] + len(taps) - 1 - before - torch.arange(size) * up
    return torch.where((position >= 0) & (position < len(taps)), taps[position.clamp(0, len(taps) - 1)], 0.0) * up


def down_matrix(taps: torch.Tensor, down: int, size: int, out: int) -> torch.Tensor:
    """The same for filtering ``size`` samples and keeping every ``down``-th: float64 (out, size)."""
    position = torch.arange(out)[:, None] * down + len(taps) - 1 - torch.arange(size)
    return torch.where((position >= 0) & (position < len(taps)), taps[position.clamp(0, len(taps) - 1)], 0.0)


class FilteredLReLU:
    def __init__(self, config: LayerConfig) -> None:
        self.config = config

    def forget(self) -> None:
        pass

    def __call__(self, x, up_filter, down_filter):
        c = self.config
        one = torch.ones(1, dtype=torch.float64)
        u = one if up_filter is None else up_filter.double()
        cw, ch = c.conv_size
        tw, th = c.tmp_size
        ow, oh = c.out_size
        uw = up_matrix(u, c.up, c.padding[0], cw, tw).float()
        uh = up_matrix(u, c.up, c.padding[2], ch, th).float()
        t = uh @ x @ uw.t()
        t = F.leaky_relu(t, 0.2)
        if c.clamp is not None:
            t = t.clamp(-c.clamp, c.clamp)
        d = one if down_filter is None else down_filter.double()
        if c.radial:
            return F.conv2d(t.flatten(0, 1)[:, None], d.flip(0, 1).float()[None, None], stride=c.down).view(*x.shape[:2], oh, ow)
        return down_matrix(d, c.down, th, oh).float() @ t @ down_matrix(d, c.down, tw, ow).float().t()
