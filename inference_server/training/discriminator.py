"""The discriminator that trains a small StyleGAN2.

Residual as in 1912.04958 (figure 7c), and with the picture entering again at every size (figure 7b), so that a block
for twice the size can be put on top of a trained one without disturbing it. Each halving is one strided 4 x 4
convolution instead of filter and convolution, which is faster on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch
from torch import nn
from torch.nn import functional as F

from inference_server.generators.stylegan2_layers import FullyConnected


class Convolution(nn.Module):
    """A convolution with equalised learning rate (1710.10196, section 4.1)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.weight_gain = gain / sqrt(inputs * kernel * kernel)
        self.bias_gain = gain
        self.stride = stride
        self.padding = (kernel - 1) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, bias = (self.weight * self.weight_gain).to(x.dtype), (self.bias * self.bias_gain).to(x.dtype)
        return F.conv2d(x, weight, bias, stride=self.stride, padding=self.padding)


class DownBlock(nn.Module):
    """Halves the size; adds the halved picture's own features."""

    def __init__(self, image_channels: int, inputs: int, outputs: int) -> None:
        super().__init__()
        # Gains: sqrt(2) for a leaky ReLU, and sqrt(1/2) for each of the two branches that are added.
        self.conv0 = Convolution(inputs, outputs, 4, stride=2, gain=sqrt(2))
        self.conv1 = Convolution(outputs, outputs, 3)
        self.skip = Convolution(inputs, outputs, 1, gain=sqrt(0.5))
        self.fromrgb = Convolution(image_channels, outputs, 1, gain=sqrt(2))

    def forward(self, x: torch.Tensor, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        image = F.avg_pool2d(image, 2)
        straight = self.skip(F.avg_pool2d(x, 2))
        x = F.leaky_relu(self.conv1(F.leaky_relu(self.conv0(x), 0.2)), 0.2)
        return x + straight + F.leaky_relu(self.fromrgb(image), 0.2), image


def minibatch_deviation(x: torch.Tensor, group: int = 8) -> torch.Tensor:
    """Append a map with the mean standard deviation over groups of samples (1710.10196, section 3)."""
    n, _, h, w = x.shape
    group = next(size for size in range(min(group, n), 0, -1) if n % size == 0)
    deviation = x.float().reshape(group, n // group, -1).var(dim=0, unbiased=False).add(1e-8).sqrt().mean(dim=1)
    return torch.cat([x, deviation.to(x.dtype).repeat(group)[:, None, None, None].expand(n, 1, h, w)], dim=1)


class Discriminator(nn.Module):
    """Pictures to one number each: high for real.

    Args:
        image_channels: 1, 3 or 4.
        channels: of each block, coarsest first, like the generator's.
        base_size: height and width of the coarsest features.
    """

    def __init__(self, image_channels: int, channels: Sequence[int], base_size: tuple[int, int]) -> None:
        super().__init__()
        self.fromrgb = Convolution(image_channels, channels[-1], 1, gain=sqrt(2))
        # Named by size and not by order: a block put on top leaves the others' names as they are.
        self.blocks = nn.ModuleDict(
            {
                f"down{index}": DownBlock(image_channels, channels[index], channels[index - 1])
                for index in range(len(channels) - 1, 0, -1)
            }
        )
        self.conv = Convolution(channels[0] + 1, channels[0], 3, gain=sqrt(2))
        self.hidden = FullyConnected(channels[0] * base_size[0] * base_size[1], channels[0], lrelu=True)
        self.score = FullyConnected(channels[0], 1)

    def forward(self, image: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Score float32 (n, c, h, w) in -1..1, computing in ``dtype``: float32 (n,)."""
        image = image.to(dtype).contiguous(memory_format=torch.channels_last)
        x = F.leaky_relu(self.fromrgb(image), 0.2)
        for block in self.blocks.values():
            x, image = block(x, image)
        x = F.leaky_relu(self.conv(minibatch_deviation(x)), 0.2)
        return self.score(self.hidden(x.flatten(1).float())).squeeze(1)
