"""Filtered leaky ReLU as one Triton kernel: the signal between the filters never leaves the chip.

Every program makes one tile of one feature map. It multiplies a patch of the input from each side by a banded matrix,
which inserts zeros and filters. Then it applies the leaky ReLU and the clamp, and multiplies by matrices that filter
and keep every down-th sample. A radial filter is a sum of separable filters, made of its singular vectors.

Imported only where Triton is installed; works on CUDA, and on the CPU in Triton's interpreter.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]

from .stylegan3_config import LayerConfig

SLOPE = 0.2
BETWEEN = 64
"""Samples per side of one tile between the filters."""
MAX_OUT = 32
RANK_TOLERANCE = 1e-6
"""Singular values below this share of the largest are left out."""


@dataclass(frozen=True)
class Plan:
    """What the kernel needs to know about a layer, on one device.

    side: output samples per side of a tile. step: input samples from one tile to the next. first: input sample (row,
    column) where the first tile's patch begins. up (2, BETWEEN, patch) and down (rank, 2, out, BETWEEN): the matrices,
    for rows and for columns.
    """

    side: int
    step: int
    first: tuple[int, int]
    up: torch.Tensor
    down: torch.Tensor


def make_plan(
    layer: LayerConfig,
    up_filter: torch.Tensor | None,
    down_filter: torch.Tensor | None,
    device: torch.device,
    dtype: torch.dtype,
) -> Plan:
    """Return a layer's plan with its matrices; waits for the device.

    Raises:
        ValueError: if the layer's filters are too long for a tile.
    """
    one = torch.ones(1, dtype=torch.float64)
    up_taps = one if up_filter is None else up_filter.detach().cpu().double()
    pairs = _separable(one if down_filter is None else down_filter.detach().cpu().double())
    side, patch, out = _tile(layer, len(pairs))
    up = torch.zeros(2, BETWEEN, patch)
    first = []
    for axis, before in enumerate((layer.padding[2], layer.padding[0])):
        # Up-sampled sample o takes tap o + t - 1 - before - i * up of sample i.
        begin = -(before // layer.up)
        samples = (begin + torch.arange(patch)) * layer.up
        position = torch.arange(BETWEEN)[:, None] + len(up_taps) - 1 - before - samples
        inside = (position >= 0) & (position < len(up_taps))
        up[axis] = torch.where(inside, up_taps[position.clamp(0, len(up_taps) - 1)], 0.0) * layer.up
        first.append(begin)
    down = torch.zeros(len(pairs), 2, out, BETWEEN)
    for k, pair in enumerate(pairs):
        for axis, taps in enumerate(pair):
            for row in range(side):
                down[k, axis, row, row * layer.down : row * layer.down + len(taps)] = taps.flip(0)
    return Plan(side, side * layer.down // layer.up, (first[0], first[1]), up.to(device, dtype), down.to(device, dtype))


def _separable(taps: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the pairs of taps, for rows and columns, whose outer products add up to the filter."""
    if taps.ndim == 1:
        return [(taps, taps)]
    left, values, right = torch.linalg.svd(taps)
    rank = max(1, int((values > RANK_TOLERANCE * values[0]).sum()))
    return [(left[:, k] * values[k].sqrt(), right[k] * values[k].sqrt()) for k in range(rank)]


def _tile(layer: LayerConfig, rank: int) -> tuple[int, int, int]:
    """Return the sizes of the tile that needs the fewest products for each output sample.

    These are its output samples per side, and the sizes of its input and of its output as the matrices need them (16 or
    more, a power of two). Raises ValueError if the layer's filters are too long for any tile.
    """
    best: tuple[float, tuple[int, int, int]] | None = None
    for side in range(1, MAX_OUT + 1):
        between = (side - 1) * layer.down + layer.down_taps
        if between > BETWEEN or side * layer.down % layer.up:
            continue
        patch = max(16, triton.next_power_of_2((between + layer.up_taps - 2) // layer.up + 1))
        out = max(16, triton.next_power_of_2(side))
        products = BETWEEN * patch * (patch + BETWEEN) + rank * out * BETWEEN * (BETWEEN + out)
        if best is None or products / side**2 < best[0]:
            best = products / side**2, (side, patch, out)
    if best is None or best[1][1] > BETWEEN:
        raise ValueError("the filters are too long for the kernel's tiles")
    return best[1]


@triton.jit
def _kernel(
    x,
    result,
    up,
    down,
    height,
    width,
    out_height,
    out_width,
    first_row,
    first_column,
    tiles_across,
    tiles,
    clamp,
    side: tl.constexpr,
    step: tl.constexpr,
    patch_side: tl.constexpr,
    between_side: tl.constexpr,
    out_side: tl.constexpr,
    rank: tl.constexpr,
    slope: tl.constexpr,
    precision: tl.constexpr,
):
    program = tl.program_id(0)
    feature = (program // tiles).to(tl.int64)
    tile_row = program % tiles // tiles_across
    tile_column = program % tiles % tiles_across

    at = tl.arange(0, patch_side)
    rows = first_row + tile_row * step + at
    columns = first_column + tile_column * step + at
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))[None, :]
    patch = tl.load(x + feature * height * width + rows[:, None] * width + columns[None, :], mask=inside, other=0.0)

    between = tl.arange(0, between_side)
    up_rows = tl.load(up + between[:, None] * patch_side + at[None, :])
    up_columns = tl.load(up + between_side * patch_side + between[None, :] * patch_side + at[:, None])
    y = tl.dot(up_rows, patch, input_precision=precision).to(patch.dtype)
    y = tl.dot(y, up_columns, input_precision=precision)
    y = tl.where(y < 0, y * slope, y)
    y = tl.minimum(tl.maximum(y, -clamp), clamp).to(patch.dtype)

    out = tl.arange(0, out_side)
    total = tl.zeros((out_side, out_side), dtype=tl.float32)
    for k in range(rank):
        base = down + k * 2 * out_side * between_side
        down_rows = tl.load(base + out[:, None] * between_side + between[None, :])
        down_columns = tl.load(base + out_side * between_side + out[None, :] * between_side + between[:, None])
        filtered = tl.dot(down_rows, y, input_precision=precision).to(patch.dtype)
        total += tl.dot(filtered, down_columns, input_precision=precision)

    rows = tile_row * side + out
    columns = tile_column * side + out
    inside = ((out < side) & (rows < out_height))[:, None] & ((out < side) & (columns < out_width))[None, :]
    places = result + feature * out_height * out_width + rows[:, None] * out_width + columns[None, :]
    tl.store(places, total.to(patch.dtype), mask=inside)


def filtered_lrelu(x: torch.Tensor, layer: LayerConfig, plan: Plan) -> torch.Tensor:
    """Return the same as ``filtered_lrelu.filtered_lrelu``, as a contiguous tensor.

    Args:
        x: (n, c, h, w) of the layer's ``conv_size``; float32, float16 or bfloat16.
        plan: the plan of that layer, for the device and dtype of x.
    """
    x = x.contiguous()
    n, channels, height, width = x.shape
    out_width, out_height = layer.out_size
    result = x.new_empty(n, channels, out_height, out_width)
    tiles_across = triton.cdiv(out_width, plan.side)
    tiles = tiles_across * triton.cdiv(out_height, plan.side)
    if n == 0:
        return result
    _kernel[(n * channels * tiles,)](  # pyright: ignore[reportIndexIssue]
        x,
        result,
        plan.up,
        plan.down,
        height,
        width,
        out_height,
        out_width,
        *plan.first,
        tiles_across,
        tiles,
        float("inf") if layer.clamp is None else layer.clamp,
        side=plan.side,
        step=plan.step,
        patch_side=plan.up.shape[2],
        between_side=BETWEEN,
        out_side=plan.down.shape[2],
        rank=len(plan.down),
        slope=SLOPE,
        precision="ieee",
    )
    return result
