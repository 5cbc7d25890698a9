"""Leaky ReLU between two filters: up-sample, apply, clamp, down-sample (2106.12423, figure 4b), in plain PyTorch.

The naive way puts zeros between the samples, filters everything at the highest rate, and throws most of the result
away. Here each phase of the up-sampled signal is one convolution of the samples with that phase's share of the taps
(``up`` times fewer products). The leaky ReLU writes its results interleaved, one phase after another. At the end, only
the samples that are kept are filtered. On the CPU this is done in tiles, because the signal between the filters is up
to 16 times larger than the input, and too large for a cache.
"""

from __future__ import annotations

import logging
from itertools import product
from typing import Any

import torch
from torch.nn import functional as F

from .stylegan3_config import LayerConfig
from .stylegan3_threads import share_out

logger = logging.getLogger(__name__)

SLOPE = 0.2
TILE_SIDE = 64
TILE_CHANNELS = 64
"""Output pixels per side, and channels, of a tile on the CPU: a few MB between the filters."""


def fuses(x: torch.Tensor) -> bool:
    """Return whether the fused kernel is worth a try: it multiplies half-precision matrices on tensor cores."""
    if x.device.type != "cuda" or x.dtype == torch.float32:
        return False
    return torch.cuda.get_device_capability(x.device) >= (8, 0)


class FilteredLReLU:
    """The filtered leaky ReLU of a layer; it keeps what the fused kernel needs on each device."""

    fusing_fails = False
    """Set to True, for all layers, when the fused kernel could not be compiled or started."""

    def __init__(self, layer: LayerConfig) -> None:
        self.layer = layer
        self.plans: dict[tuple[torch.device, torch.dtype], Any] = {}

    def forget(self) -> None:
        """Drop what was made from the filters. Call it after the filters changed."""
        self.plans.clear()

    def __call__(
        self, x: torch.Tensor, up_filter: torch.Tensor | None, down_filter: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the same as ``filtered_lrelu``; use the fused kernel where it works."""
        if not FilteredLReLU.fusing_fails and fuses(x):
            try:
                fused = self._fused(x, up_filter, down_filter)
            except Exception as error:
                FilteredLReLU.fusing_fails = True
                logger.warning("StyleGAN3 runs without its fused kernel, slower: %s: %s", type(error).__name__, error)
            else:
                if fused is not None:
                    return fused
        return filtered_lrelu(x, self.layer, up_filter, down_filter)

    def _fused(
        self, x: torch.Tensor, up_filter: torch.Tensor | None, down_filter: torch.Tensor | None
    ) -> torch.Tensor | None:
        from . import triton_filtered_lrelu as fused

        key = (x.device, x.dtype)
        if key not in self.plans:
            try:
                self.plans[key] = fused.make_plan(self.layer, up_filter, down_filter, *key)
            except ValueError:  # the filters are too long for the fused kernel
                self.plans[key] = None
        return None if self.plans[key] is None else fused.filtered_lrelu(x, self.layer, self.plans[key])


def filtered_lrelu(
    x: torch.Tensor, layer: LayerConfig, up_filter: torch.Tensor | None, down_filter: torch.Tensor | None
) -> torch.Tensor:
    """Filter up, apply a leaky ReLU of slope 0.2 and gain 1, clamp, filter down.

    Args:
        x: (n, c, h, w) of the layer's ``conv_size``, float32 or half precision, contiguous or channels last.
        layer: the layer's factors, padding, clamp and sizes.
        up_filter: float32 (t,), or None for one tap of 1.
        down_filter: the same, or (t, t) if the layer is radial.

    Returns:
        (n, c, h, w) of the layer's ``out_size``, in the dtype of x; channels last on the CPU.
    """
    one = x.new_ones(1, dtype=torch.float32)
    up_filter = one if up_filter is None else up_filter
    down_filter = one if down_filter is None else down_filter
    width, height = layer.out_size
    if x.device.type != "cpu":
        return _tile(x, layer, up_filter, down_filter, (0, height), (0, width))
    n, channels = x.shape[:2]
    result = torch.empty((n, channels, height, width), dtype=x.dtype, memory_format=torch.channels_last)

    def fill(part: slice, rows: tuple[int, int], columns: tuple[int, int]) -> None:
        result[:, part, slice(*rows), slice(*columns)] = _tile(x[:, part], layer, up_filter, down_filter, rows, columns)

    def sections(size: int) -> list[tuple[int, int]]:
        return [(first, min(size, first + TILE_SIDE)) for first in range(0, size, TILE_SIDE)]

    parts = [slice(first, first + TILE_CHANNELS) for first in range(0, channels, TILE_CHANNELS)]
    share_out(fill, product(parts, sections(height), sections(width)))
    return result


def _tile(
    x: torch.Tensor,
    layer: LayerConfig,
    up_filter: torch.Tensor,
    down_filter: torch.Tensor,
    rows: tuple[int, int],
    columns: tuple[int, int],
) -> torch.Tensor:
    """Return the pixels of the given rows and columns of the result. Each pair is (first, last + 1)."""
    # The size of the part that these pixels need of the signal between the filters, and then the part of x.
    width = (columns[1] - columns[0] - 1) * layer.down + layer.down_taps
    height = (rows[1] - rows[0] - 1) * layer.down + layer.down_taps
    across = _phases(up_filter, layer.up, layer.padding[0] - columns[0] * layer.down, width)
    along = _phases(up_filter, layer.up, layer.padding[2] - rows[0] * layer.down, height)
    left, right = _span(across)
    top, bottom = _span(along)
    outside = (max(-left, 0), max(right - x.shape[3], 0), max(-top, 0), max(bottom - x.shape[2], 0))
    x = x[:, :, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    x = F.pad(x, outside) if any(outside) else x
    x = x.float() if x.device.type == "cpu" else x
    x = x.contiguous(memory_format=_layout(x))

    wide = _empty_like(x, x.shape[2], width)
    for phase, (taps, start, count) in enumerate(across):
        wide[..., phase :: layer.up] = _filter(x, taps[None])[..., start - left :][..., :count]
    between = _empty_like(x, height, width)
    for phase, (taps, start, count) in enumerate(along):
        filtered = _filter(wide, taps[:, None])[:, :, start - top :][:, :, :count]
        torch.ops.aten.leaky_relu.out(filtered, SLOPE, out=between[:, :, phase :: layer.up])
    if layer.clamp is not None:
        between.clamp_(-layer.clamp, layer.clamp)
    if layer.radial:
        return _filter(between, down_filter.flip(0, 1), (layer.down, layer.down))
    taps = down_filter.flip(0)
    return _filter(_filter(between, taps[None], (1, layer.down)), taps[:, None], (layer.down, 1))


def _phases(taps: torch.Tensor, up: int, before: int, count: int) -> list[tuple[torch.Tensor, int, int]]:
    """Return how ``count`` up-sampled samples are made along one axis: every up-th sample belongs to the same phase.

    Up-sampling puts up - 1 zeros between the samples and ``before`` zeros in front (negative: samples are cut off), and
    convolves all that.

    Returns:
        for each phase: the taps that do not meet zeros, in the order of correlation; the first sample that they meet;
        the number of results. The gain is ``up``, which keeps the signal's amplitude.
    """
    reverse = taps.flip(0) * up
    phases = []
    for phase in range(min(up, count)):
        skipped = (before - phase) % up
        phases.append((reverse[skipped::up], (phase - before + skipped) // up, -(-(count - phase) // up)))
    return phases


def _span(phases: list[tuple[torch.Tensor, int, int]]) -> tuple[int, int]:
    """Return the first sample that the phases need, and the sample after the last."""
    return min(start for _, start, _ in phases), max(start + count + len(taps) - 1 for taps, start, count in phases)


def _empty_like(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return torch.empty((*x.shape[:2], height, width), dtype=x.dtype, device=x.device, memory_format=_layout(x))


def _layout(x: torch.Tensor) -> torch.memory_format:
    """Return the memory format that the device of x filters fastest."""
    return torch.channels_last if x.device.type == "cpu" else torch.contiguous_format


def _filter(x: torch.Tensor, taps: torch.Tensor, stride: tuple[int, int] = (1, 1)) -> torch.Tensor:
    """Correlate every channel with the same taps (h, w)."""
    channels = x.shape[1]
    return F.conv2d(x, taps.to(x.dtype).expand(channels, 1, *taps.shape), stride=stride, groups=channels)
