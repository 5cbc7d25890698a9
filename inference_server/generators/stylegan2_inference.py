"""StyleGAN2's synthesis made fast: everything that does not depend on w is computed once, in advance.

The arithmetic is that of ``stylegan2_layers``; the order of its steps is different. Blocks with large features are
computed picture by picture: then styles, demodulation and gains are multiplied into the weights, which are smaller than
the features. On the CPU, these blocks are also computed in strips of rows. The features of a strip stay in the
processor's cache through all steps of the block, and their memory is used again: for the system, a new page of memory
costs more than the arithmetic that fills it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from .stylegan2_layers import Synthesis, SynthesisBlock, SynthesisLayer, ToRGB, binomial_filter, upsample

STRIP = 1 << 22
"""How many numbers the features of one strip have, on the CPU."""
CHANNELS_LAST = 32 * 32
"""With this many pixels or more, convolutions are faster if the channels of a pixel are next to each other in memory.
With fewer pixels, they are slower."""
LARGE = 1 << 20
"""If the features of one picture have this many numbers or more, pictures are computed one by one, in every batch."""


class Modulation:
    """The part of a modulated convolution that does not depend on w (1912.04958, section 2.2).

    Weights are (outputs, inputs, k, k), or with ``up`` (inputs, outputs, k, k). ``weight`` is the layer's weight.
    ``shared`` is the weight for a convolution that the pictures of a batch share, with styles applied to the features.
    Its precision is that of the features, and it exists only with ``is_shared``.
    """

    def __init__(self, layer: SynthesisLayer | ToRGB, dtype: torch.dtype, is_shared: bool) -> None:
        self.demodulate = isinstance(layer, SynthesisLayer)
        self.up = isinstance(layer, SynthesisLayer) and layer.up
        self.gain = layer.gain if isinstance(layer, SynthesisLayer) else 1.0
        self.clamp = layer.clamp
        self.dtype = dtype
        style_gain = layer.style_gain if isinstance(layer, ToRGB) else 1.0
        self.affine_weight = layer.affine.weight.t() * (layer.affine.weight_gain * style_gain)
        self.affine_bias = layer.affine.bias * (layer.affine.bias_gain * style_gain)
        self.bias = (layer.bias * self.gain).to(dtype)
        weight = layer.weight.detach()
        self.weight = weight.transpose(0, 1) if self.up else weight
        if self.up:
            self.filter = binomial_filter(len(self.bias), 4, self.bias).contiguous()
        if self.demodulate:
            self.power = _power(weight)
        self.is_narrow = self.demodulate and dtype == torch.float16
        if is_shared:
            if self.is_narrow:
                # A common scale of an output's weights or of a picture's styles cancels out. But without this scaling,
                # the numbers would leave the range of float16.
                weight = weight * torch.rsqrt(weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-20)
            if self.demodulate:
                self.shared_power = _power(weight) if self.is_narrow else self.power
            self.shared = (weight.transpose(0, 1).contiguous() if self.up else weight).to(dtype)

    def styles(self, w: torch.Tensor) -> torch.Tensor:
        """Return the styles of w (n, w_dim): float32 (n, inputs)."""
        return torch.addmm(self.affine_bias, w, self.affine_weight)

    def modulated(self, w: torch.Tensor) -> torch.Tensor:
        """Return the weights for one picture with w (1, w_dim); all gains are multiplied in."""
        factor = styles = self.styles(w)
        if self.demodulate:
            scale = torch.rsqrt(styles.square() @ self.power + 1e-8) * self.gain
            factor = styles.t() * scale if self.up else scale.t() * styles
        return (self.weight * factor[:, :, None, None]).to(self.dtype)

    def of_batch(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Convolve a batch: x (n, inputs, h, w) and w (n, w_dim) to (n, outputs, h, w), with bias.

        With ``up``, the height and width are doubled.
        """
        styles = self.styles(w)
        if self.is_narrow:
            styles = styles / styles.abs().amax(dim=1, keepdim=True).clamp_min(1e-20)
        x = x * styles.to(x.dtype)[:, :, None, None]
        if not self.demodulate:
            return F.conv2d(x, self.shared, self.bias)
        if self.up:
            x = F.conv_transpose2d(x, self.shared, stride=2)
            x = F.conv2d(x, self.filter, padding=1, groups=len(self.bias))
        else:
            x = F.conv2d(x, self.shared, padding=1)
        scale = torch.rsqrt(styles.square() @ self.shared_power + 1e-8) * self.gain
        return torch.addcmul(self.bias[:, None, None], x, scale.to(x.dtype)[:, :, None, None])

    def enlarged_rows(self, x: torch.Tensor, weight: torch.Tensor, begin: int, end: int) -> torch.Tensor:
        """Return the rows from ``begin`` to ``end`` (exclusive) of the upsampling convolution of x (1, inputs, h, w),
        with bias."""
        height = x.shape[2]
        # Row t of the transposed convolution depends on rows (t - 2) / 2 to t / 2 of x. Row y of the filtered result
        # depends on rows y - 1 to y + 2 of that. Convolutions take everything beyond their input as zero. This is right
        # beyond the picture, but wrong where x is cut off; the rows that it makes wrong are left out at the end.
        first, last = max(begin - 1, 0), min(end + 2, 2 * height + 1)
        top, bottom = max((first - 1) // 2, 0), min((last - 1) // 2 + 1, height)
        x = F.conv_transpose2d(x[:, :, top:bottom], weight, stride=2)[:, :, first - 2 * top : last - 2 * top]
        x = F.conv2d(x, self.filter, self.bias, padding=1, groups=len(self.bias))
        return x[:, :, begin - first : end - first]

    def finish(self, x: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """Apply noise, activation and clamp, in place. A ToRGB has only the clamp."""
        if noise is not None:
            x.add_(noise)
        if self.demodulate:
            F.leaky_relu_(x, 0.2)
        return x if self.clamp is None else x.clamp_(-self.clamp, self.clamp)


class Block:
    """The layers of one size, ready for any w."""

    def __init__(self, block: SynthesisBlock, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.skip = block.skip
        self.size = block.layers[0].size
        outputs, inputs = block.layers[0].weight.shape[:2]
        features = self.size[0] * self.size[1] * outputs
        self.layout = torch.channels_last if self.size[0] * self.size[1] >= CHANNELS_LAST else torch.contiguous_format
        self.is_large = not block.is_first and features >= LARGE
        self.is_heavy = self.is_large or (
            not block.is_first and dtype == torch.float32 and features * (1 + inputs / outputs) > 9 * inputs * outputs
        )
        self.layers = [Modulation(layer, dtype, not self.is_large) for layer in block.layers]
        self.torgb = None if block.torgb is None else Modulation(block.torgb, dtype, not self.is_large)

    def __call__(
        self, x: torch.Tensor, ws: torch.Tensor, noise: Sequence[torch.Tensor | None], is_last: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the block's features and colours.

        Args:
            x: (n, inputs, h, w).
            ws: float32 (n, rows, w_dim), from this block's first row on.
            noise: a map for each layer.
            is_last: whether no block follows, so that the features are not needed.
        """
        x = x.to(self.dtype).contiguous(memory_format=self.layout)
        if not (self.is_large or (self.is_heavy and len(x) == 1)):
            return self._batch(x, ws, noise)
        if len(x) == 1:
            return self._picture(x, ws, noise, is_last)
        pictures = [self._picture(x[i : i + 1], ws[i : i + 1], noise, is_last) for i in range(len(x))]
        features, colours = zip(*pictures, strict=True)
        return features[0] if is_last else torch.cat(features), None if self.torgb is None else torch.cat(colours)

    def _batch(
        self, x: torch.Tensor, ws: torch.Tensor, noise: Sequence[torch.Tensor | None]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        skipped = None if self.skip is None else self.skip(x)
        for row, layer in enumerate(self.layers):
            x = layer.finish(layer.of_batch(x, ws[:, row]), noise[row])
        if skipped is not None:
            x.add_(skipped)
        if self.torgb is None:
            return x, None
        return x, self.torgb.finish(self.torgb.of_batch(x, ws[:, len(self.layers)]), None).float()

    def _picture(
        self, x: torch.Tensor, ws: torch.Tensor, noise: Sequence[torch.Tensor | None], is_last: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        (height, width), (enlarge, convolve), torgb = self.size, self.layers, self.torgb
        weights = [layer.modulated(ws[:, row]) for row, layer in enumerate(self.layers)]
        colour_weight = None if torgb is None else torgb.modulated(ws[:, 2])
        skipped = None if self.skip is None else self.skip(x)
        step = height
        if x.device.type == "cpu":
            step = max(STRIP // (width * len(enlarge.bias)), 8)
        features, colours = [], []
        for begin in range(0, height, step):
            end = min(begin + step, height)
            low, high = max(begin - 1, 0), min(end + 1, height)  # what a 3 x 3 convolution needs
            rows = enlarge.enlarged_rows(x, weights[0], low, high)
            enlarge.finish(rows, None if noise[0] is None else noise[0][..., low:high, :])
            rows = F.conv2d(rows, weights[1], convolve.bias, padding=1)[:, :, begin - low : end - low]
            convolve.finish(rows, None if noise[1] is None else noise[1][..., begin:end, :])
            if skipped is not None:
                rows.add_(skipped[:, :, begin:end])
            if torgb is not None and colour_weight is not None:
                colours.append(torgb.finish(F.conv2d(rows, colour_weight, torgb.bias), None).float())
            if not is_last:
                features.append(rows)
        return (
            x if is_last else _joined(features),
            None if torgb is None else _joined(colours),
        )


def _power(weight: torch.Tensor) -> torch.Tensor:
    """Sum the squares of each kernel's weights: (outputs, inputs, k, k) to (inputs, outputs)."""
    return weight.square().sum(dim=(2, 3)).t().contiguous()


def _joined(strips: list[torch.Tensor]) -> torch.Tensor:
    return strips[0] if len(strips) == 1 else torch.cat(strips, dim=2)


class Prepared:
    """A synthesis network with given precisions, and everything computed that does not depend on w.

    It keeps references to the network's weights.

    Args:
        synthesis: the network.
        dtypes: the dtype that each block computes in.
    """

    def __init__(self, synthesis: Synthesis, dtypes: Sequence[torch.dtype]) -> None:
        self.const = synthesis.blocks[0].const.detach()
        self.blocks = [Block(block, dtype) for block, dtype in zip(synthesis.blocks, dtypes, strict=True)]
        self.strengths = [
            None if layer.noise_strength is None else layer.noise_strength * layer.gain for layer in synthesis.layers
        ]

    def __call__(self, ws: torch.Tensor, noise: Sequence[torch.Tensor] | None) -> torch.Tensor:
        """See ``Synthesis.forward``; it computes no gradients."""
        row, image = 0, None
        x = self.const.expand(len(ws), *self.const.shape)
        for block in self.blocks:
            maps: list[torch.Tensor | None] = [None] * len(block.layers)
            if noise is not None:
                strengths: Any = self.strengths  # no strength is None if there is noise
                maps = [(noise[row + i] * strengths[row + i]).to(block.dtype) for i in range(len(block.layers))]
            x, colours = block(x, ws[:, row:], maps, block is self.blocks[-1])
            row += len(block.layers)
            if colours is not None:
                image = colours if image is None else upsample(image).add_(colours)
        assert image is not None
        return image
