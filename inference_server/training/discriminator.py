"""The discriminator: it makes one number of each picture.

It is residual as in 1912.04958 (figure 7c), and the picture enters again at every size (figure 7b). So a block for
twice the size can be put on top of a trained network without disturbing it, and the same network judges pictures of any
of its sizes. Each halving is one strided 4 x 4 convolution instead of a filter and a convolution, which is faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch
from torch import nn
from torch.nn import functional as F

from ..generators.stylegan2_layers import FullyConnected

GROUP = 4
"""Number of pictures whose standard deviation is taken together."""


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
    """Halves the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        # Gains: sqrt(2) for a leaky ReLU, and sqrt(1/2) for each of the two branches that are added.
        self.conv0 = Convolution(inputs, outputs, 4, stride=2, gain=sqrt(2))
        self.conv1 = Convolution(outputs, outputs, 3)
        self.skip = Convolution(inputs, outputs, 1, gain=sqrt(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        straight = self.skip(F.avg_pool2d(x, 2))
        return F.leaky_relu(self.conv1(F.leaky_relu(self.conv0(x), 0.2)), 0.2) + straight

    def add_nothing(self) -> None:
        """Make the block add nothing to the result, until it is trained."""
        with torch.no_grad():
            self.conv1.weight.zero_()
            self.skip.weight.zero_()


def minibatch_deviation(x: torch.Tensor) -> torch.Tensor:
    """Append a map with the mean standard deviation over groups of samples (1710.10196, section 3)."""
    n, _, h, w = x.shape
    group = next(size for size in range(min(GROUP, n), 0, -1) if n % size == 0)
    # Neighbours make a group, so that a batch can be divided into micro-batches without changing its groups.
    deviation = x.float().reshape(n // group, group, -1).var(dim=1, unbiased=False).add(1e-8).sqrt().mean(dim=1)
    maps = deviation.to(x.dtype).repeat_interleave(group)[:, None, None, None].expand(n, 1, h, w)
    return torch.cat([x, maps], dim=1)


class Discriminator(nn.Module):
    """Gives each picture one number: high for real pictures.

    Args:
        image_channels: 1, 3 or 4.
        channels: of each block, coarsest first, like the generator's.
        base_size: height and width of the coarsest features.
    """

    def __init__(self, image_channels: int, channels: Sequence[int], base_size: tuple[int, int]) -> None:
        super().__init__()
        self.fromrgb = nn.ModuleList(Convolution(image_channels, width, 1, gain=sqrt(2)) for width in channels)
        self.blocks = nn.ModuleList(DownBlock(channels[i], channels[i - 1]) for i in range(1, len(channels)))
        """``blocks[i]`` leads from level i + 1 to level i."""
        self.conv = Convolution(channels[0] + 1, channels[0], 3, gain=sqrt(2))
        self.hidden = FullyConnected(channels[0] * base_size[0] * base_size[1], channels[0], lrelu=True)
        self.score = FullyConnected(channels[0], 1)
        self.base_size = base_size

    def forward(self, image: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Return the scores of pictures, float32 (n,).

        The pictures are float32 (n, c, h, w) in -1..1, of the size of any level. ``dtype`` is what is computed in.
        """
        level = (image.shape[2] // self.base_size[0]).bit_length() - 1
        image = image.to(dtype).contiguous(memory_format=torch.channels_last)
        x = F.leaky_relu(self.fromrgb[level](image), 0.2)
        for index in range(level - 1, -1, -1):
            image = F.avg_pool2d(image, 2)
            x = self.blocks[index](x) + F.leaky_relu(self.fromrgb[index](image), 0.2)
        x = F.leaky_relu(self.conv(minibatch_deviation(x)), 0.2)
        return self.score(self.hidden(x.flatten(1).float())).squeeze(1)
