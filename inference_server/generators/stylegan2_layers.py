"""StyleGAN2's networks, written from the papers: plain arithmetic that can be trained.

Karras, Laine, Aila: A Style-Based Generator Architecture for Generative Adversarial Networks, 1812.04948 (mapping
network, noise inputs); Karras et al.: Analyzing and Improving the Image Quality of StyleGAN, 1912.04958 (weight
demodulation, section 2.2; figure 7 for the three architectures).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from .stylegan2_config import StyleGAN2Config


class FullyConnected(nn.Module):
    """A linear layer with equalised learning rate (1710.10196, section 4.1), optionally with leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, lr: float = 1.0, lrelu: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.normal(0.0, 1 / lr, (outputs, inputs)))
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.weight_gain = lr / sqrt(inputs)
        self.bias_gain = lr
        self.lrelu = lrelu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self.weight * self.weight_gain, self.bias * self.bias_gain
        # The order of these sums is that of the original, so that w has the same bits.
        return lrelu(x @ weight.t() + bias) if self.lrelu else torch.addmm(bias, x, weight.t())


def lrelu(x: torch.Tensor) -> torch.Tensor:
    """Apply a leaky ReLU of slope 0.2, with the gain sqrt(2) that keeps the variance."""
    return F.leaky_relu(x, 0.2) * sqrt(2)


def normalize(x: torch.Tensor) -> torch.Tensor:
    """Scale each row to a mean square of one."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


class Mapping(nn.Module):
    """The mapping network: z, and the embedded class if there is one, to w (1812.04948, section 2)."""

    w_avg: torch.Tensor

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        self.embed = FullyConnected(config.num_classes, config.embed_size) if config.num_classes else None
        sizes = config.mapping_sizes
        for index in range(config.mapping_layers):
            layer = FullyConnected(sizes[index], sizes[index + 1], lr=config.mapping_lr, lrelu=True)
            self.add_module(f"fc{index}", layer)
        self.num_layers = config.mapping_layers
        self.joint = config.joint_normalization
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def forward(self, z: torch.Tensor, classes: torch.Tensor | None) -> torch.Tensor:
        if self.embed is None:
            x = normalize(z)
        elif self.joint:
            x = normalize(torch.cat([z, self.embed(classes)], dim=1))
        else:
            x = torch.cat([normalize(z), normalize(self.embed(classes))], dim=1)
        for index in range(self.num_layers):
            x = self.get_submodule(f"fc{index}")(x)
        return x


def binomial_filter(channels: int, gain: float, like: torch.Tensor) -> torch.Tensor:
    """Return the filter [1, 3, 3, 1] x [1, 3, 3, 1] with the sum ``gain``, for each channel: (channels, 1, 4, 4)."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], device=like.device)
    return (torch.outer(row, row) * (gain / 64)).to(like.dtype).expand(channels, 1, 4, 4)


def upsample(image: torch.Tensor) -> torch.Tensor:
    """Double the height and width; interpolate with the binomial filter."""
    channels = image.shape[1]
    return F.conv_transpose2d(image, binomial_filter(channels, 4, image), stride=2, padding=1, groups=channels)


def modulated_conv(
    x: torch.Tensor,
    weight: torch.Tensor,
    styles: torch.Tensor,
    bias: torch.Tensor,
    demodulate: bool = True,
    up: bool = False,
    gain: float = 1.0,
) -> torch.Tensor:
    """Convolve with weights that are scaled by each sample's style (1912.04958, section 2.2, equations 1 and 3).

    The scales are applied to the features, before and after one convolution that the batch shares. This is the same
    arithmetic, but it needs no set of weights for each sample.

    Args:
        x: (n, i, h, w), float32 or half precision.
        weight: float32 (o, i, k, k).
        styles: float32 (n, i).
        bias: float32 (o,), added at the end.
        demodulate: whether to divide each output map by the norm of its modulated weights.
        up: whether to double the size; then the binomial filter follows a transposed convolution.
        gain: scales the result, including the bias.

    Returns:
        (n, o, h, w) or (n, o, 2h, 2w), in the dtype of x.
    """
    scale = torch.full((1, 1), gain, device=x.device)
    if demodulate:
        if x.dtype == torch.float16:
            # A common scale of a sample's styles or of an output's weights cancels out below. But without this scaling,
            # the numbers would leave the range of float16.
            weight = weight * torch.rsqrt(weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-20)
            styles = styles / styles.abs().amax(dim=1, keepdim=True).clamp_min(1e-20)
        power = weight.square().sum(dim=(2, 3))
        scale = torch.rsqrt(styles.square() @ power.t() + 1e-8) * gain
    x = x * styles.to(x.dtype)[:, :, None, None]
    weight = weight.to(x.dtype)
    if up:
        x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        channels = x.shape[1]
        x = F.conv2d(x, binomial_filter(channels, 4, x), padding=1, groups=channels)
    else:
        x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
    return torch.addcmul((bias * gain).to(x.dtype)[:, None, None], x, scale.to(x.dtype)[:, :, None, None])


class SynthesisLayer(nn.Module):
    """Modulated 3 x 3 convolution, noise, bias, leaky ReLU; ``gain`` scales the result."""

    noise_const: torch.Tensor

    def __init__(
        self,
        config: StyleGAN2Config,
        inputs: int,
        outputs: int,
        size: tuple[int, int],
        up: bool = False,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.affine = FullyConnected(config.w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.normal(0.0, 1.0, (outputs, inputs, 3, 3)))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength: torch.Tensor | None = None
        if config.use_noise:
            self.noise_strength = nn.Parameter(torch.zeros(()))
            self.register_buffer("noise_const", torch.normal(0.0, 1.0, size))
        self.size = size
        self.up = up
        self.gain = sqrt(2) * gain
        """Includes the gain of the leaky ReLU; applied before the leaky ReLU, where it costs no time."""
        self.clamp = None if config.conv_clamp is None else config.conv_clamp * gain

    def forward(self, x: torch.Tensor, w: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """Apply the layer; ``noise`` broadcasts to (n, 1, h, w)."""
        x = modulated_conv(x, self.weight, self.affine(w), self.bias, up=self.up, gain=self.gain)
        if noise is not None and self.noise_strength is not None:
            x = x + (noise * (self.noise_strength * self.gain)).to(x.dtype)
        x = F.leaky_relu(x, 0.2)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class ToRGB(nn.Module):
    """The step to colour, features to image channels: a modulated 1 x 1 convolution without demodulation."""

    def __init__(self, config: StyleGAN2Config, inputs: int) -> None:
        super().__init__()
        self.affine = FullyConnected(config.w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.normal(0.0, 1.0, (config.image_channels, inputs, 1, 1)))
        self.bias = nn.Parameter(torch.zeros(config.image_channels))
        self.style_gain = 1 / sqrt(inputs)
        self.clamp = config.conv_clamp

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        x = modulated_conv(x, self.weight, self.affine(w) * self.style_gain, self.bias, demodulate=False)
        x = x if self.clamp is None else x.clamp(-self.clamp, self.clamp)
        return x.float()


class Skip(nn.Module):
    """A block's input at twice the size, to add to its output: a 1 x 1 convolution and the binomial filter."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.normal(0.0, 1.0, (outputs, inputs, 1, 1)))
        self.gain = sqrt(0.5 / inputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return upsample(F.conv2d(x, (self.weight * self.gain).to(x.dtype)))


class SynthesisBlock(nn.Module):
    """The layers of one size: the constant or an upsampling convolution, a convolution, and the step to colour."""

    def __init__(self, config: StyleGAN2Config, index: int) -> None:
        super().__init__()
        scale, channels = 2**index, config.channels[index]
        size = (config.base_size[0] * scale, config.base_size[1] * scale)
        self.is_first = index == 0
        has_skip = config.architecture == "resnet" and not self.is_first
        if self.is_first:
            self.const = nn.Parameter(torch.normal(0.0, 1.0, (channels, *size)))
        else:
            self.conv0 = SynthesisLayer(config, config.channels[index - 1], channels, size, up=True)
        self.skip = Skip(config.channels[index - 1], channels) if has_skip else None
        # With these gains, the sum of the skip and the layers has the same variance as each of them.
        self.conv1 = SynthesisLayer(config, channels, channels, size, gain=sqrt(0.5) if has_skip else 1.0)
        self.torgb = ToRGB(config, channels) if config.has_colours(index) else None

    @property
    def layers(self) -> tuple[SynthesisLayer, ...]:
        """Return the layers with noise in their order."""
        return (self.conv1,) if self.is_first else (self.conv0, self.conv1)


class Synthesis(nn.Module):
    """W+ to an image."""

    blocks: Any  # a ModuleList of SynthesisBlocks

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(SynthesisBlock(config, index) for index in range(len(config.channels)))

    @property
    def layers(self) -> list[SynthesisLayer]:
        """Return all layers with noise in their order."""
        return [layer for block in self.blocks for layer in block.layers]

    def forward(
        self, ws: torch.Tensor, noise: Sequence[torch.Tensor] | None, dtypes: Sequence[torch.dtype]
    ) -> torch.Tensor:
        """Make images.

        Args:
            ws: float32 (n, num_ws, w_dim). A block's step to colour shares its row with the next block's first layer.
            noise: a float32 map for each layer, broadcastable to (n, 1, h, w), or None for no noise.
            dtypes: the dtype that each block computes in. If there are fewer dtypes than blocks, only that many blocks
                make the picture, from the first on.

        Returns:
            float32 (n, image_channels, height, width).
        """
        maps: list[torch.Tensor | None] = list(noise) if noise is not None else [None] * len(self.layers)
        row, image = 0, None
        const = self.blocks[0].const
        x = const.expand(len(ws), *const.shape).contiguous(memory_format=torch.channels_last)
        for block, dtype in zip(self.blocks, dtypes, strict=False):
            x = x.to(dtype)
            skipped = None if block.skip is None else block.skip(x)
            for layer in block.layers:
                x = layer(x, ws[:, row], maps[row])
                row += 1
            x = x if skipped is None else x + skipped
            if block.torgb is not None:
                colours = block.torgb(x, ws[:, row])
                image = colours if image is None else upsample(image) + colours
        assert image is not None
        return image
