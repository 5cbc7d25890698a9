"""Move pictures, without jagged or blurred edges.

As in the paper (2006.06676, appendix B), the picture is doubled with a good filter before it is sampled bilinearly, and
it is continued by reflection outside its edges. The paper also draws at double size, and filters that down. Here, the
detail that a picture loses by becoming smaller is filtered away before sampling, which costs a fraction.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

from .geometry import Placement

HALFWAY = (0.043, -0.1555, 0.6125, 0.6125, -0.1555, 0.043)
"""Weights for the value between two pixels, three on each side: least squares up to 0.35 of the sampling rate."""


def warp(images: torch.Tensor, placement: Placement) -> torch.Tensor:
    """Return pictures moved by a placement.

    Args:
        images: float32 (n, c, h, w), h and w at least 3.
        placement: of n pictures.

    Returns:
        Pictures of the same shape. First-order gradients flow to the images.
    """
    # On a GPU, asking which pictures need the slow way costs more than the slow way for all.
    if images.device.type != "cpu":
        return _sample_between(images, placement)
    slow, fast = placement.between.nonzero()[:, 0], (~placement.between).nonzero()[:, 0]
    if not len(fast):
        return _sample_between(images, placement)
    if not len(slow):
        return move(images, placement)
    moved = move(images[fast], _some(placement, fast))
    sampled = _sample_between(images[slow], _some(placement, slow))
    return torch.cat((moved, sampled))[torch.cat((fast, slow)).argsort()]


def move(images: torch.Tensor, placement: Placement) -> torch.Tensor:
    """Do the same as ``warp``, for placements where every new pixel lies on an old pixel."""
    grid = _grid(images, placement)
    return F.grid_sample(images, grid, mode="nearest", padding_mode="reflection", align_corners=True)


def _sample_between(images: torch.Tensor, placement: Placement) -> torch.Tensor:
    # A step from pixel to pixel spans this many old pixels; from two on, half of the frequencies have to go.
    span = placement.linear.square().sum(dim=1) - 1
    blur_x, blur_y = (span.clamp(0, 1) / 4)[:, :, None, None, None]
    doubled = _Doubled.apply(images, blur_x, blur_y)
    grid = _grid(images, placement)
    return F.grid_sample(doubled, grid, mode="bilinear", padding_mode="reflection", align_corners=True)


def _some(placement: Placement, indices: torch.Tensor) -> Placement:
    return Placement(placement.linear[:, :, indices], placement.offset[:, indices], placement.between[indices])


def _grid(images: torch.Tensor, placement: Placement) -> torch.Tensor:
    """Return the places to sample: float32 (n, h, w, 2), where -1 and 1 are the middles of the outermost pixels."""
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    y = (torch.arange(height, device=images.device) - (height - 1) / 2)[:, None]
    half = ((width - 1) / 2, (height - 1) / 2)
    places = []
    for (by_x, by_y), offset, unit in zip(placement.linear, placement.offset, half, strict=True):
        row, column, start = (value[:, None, None] / unit for value in (by_x, by_y, offset))
        places.append(torch.addcmul(row * x + start, column, y))
    return torch.stack(places, dim=3)


class _Doubled(torch.autograd.Function):
    """Blur, then put a pixel between each two: (n, c, h, w) to (n, c, 2 h - 1, 2 w - 1).

    The gradient is written here, because the automatic one would fill a picture with zeros for each of the many slices.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, images: torch.Tensor, blur_x: torch.Tensor, blur_y: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(blur_x, blur_y)
        n, channels, height, width = images.shape
        images = torch.addcmul(images, blur_x, _filtered(images, 3, (1, -2, 1)))
        images = torch.addcmul(images, blur_y, _filtered(images, 2, (1, -2, 1)))
        doubled = images.new_empty(n, channels, 2 * height - 1, 2 * width - 1)
        doubled[:, :, ::2, ::2] = images
        doubled[:, :, ::2, 1::2] = _filtered(images, 3, HALFWAY)
        doubled[:, :, 1::2] = _filtered(doubled[:, :, ::2], 2, HALFWAY)
        return doubled

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, gradient: torch.Tensor
    ) -> tuple[torch.Tensor, None, None]:
        blur_x, blur_y = ctx.saved_tensors
        gradient = gradient[:, :, ::2] + _spread(gradient[:, :, 1::2], 2, HALFWAY)
        gradient = gradient[..., ::2] + _spread(gradient[..., 1::2], 3, HALFWAY)
        gradient = gradient + _spread(gradient * blur_y, 2, (1, -2, 1))
        return gradient + _spread(gradient * blur_x, 3, (1, -2, 1)), None, None


def _filtered(images: torch.Tensor, dim: int, taps: tuple[float, ...]) -> torch.Tensor:
    """Return weighted sums of neighbours along a dimension; one fewer than pixels if the number of taps is even."""
    edge = (len(taps) - 1) // 2
    images = F.pad(images, (edge, edge, 0, 0) if dim == 3 else (0, 0, edge, edge), mode="reflect")
    length = images.shape[dim] - len(taps) + 1
    total = images.narrow(dim, 0, length) * taps[0]
    for index, tap in enumerate(taps[1:], 1):
        total.add_(images.narrow(dim, index, length), alpha=tap)
    return total


def _spread(gradient: torch.Tensor, dim: int, taps: tuple[float, ...]) -> torch.Tensor:
    """Return the gradient of ``_filtered``."""
    edge, length = (len(taps) - 1) // 2, gradient.shape[dim]
    shape = list(gradient.shape)
    shape[dim] = length + len(taps) - 1
    total = gradient.new_zeros(shape)
    for index, tap in enumerate(taps):
        total.narrow(dim, index, length).add_(gradient, alpha=tap)
    inner = total.narrow(dim, edge, shape[dim] - 2 * edge)
    size = inner.shape[dim]
    inner.narrow(dim, 1, edge).add_(total.narrow(dim, 0, edge).flip(dim))
    inner.narrow(dim, size - 1 - edge, edge).add_(total.narrow(dim, shape[dim] - edge, edge).flip(dim))
    return inner
