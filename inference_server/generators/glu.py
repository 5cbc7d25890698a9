"""A light generator with a w: up-sampling, one convolution and a gated linear unit in each block.

The blocks are those of the light generator of 2101.04775 (section 3.1 and figure 3: nearest up-sampling, a 3 x 3
convolution, batch normalisation, a gated linear unit of 1612.08083). A mapping network (1812.04948, section 2) makes w
of z. In every block but the last, w decides scale and shift of the batch normalisation (1707.00683, section 3). Each
block also makes colours, and the colours of all sizes are added up (1912.04958, figure 7b), so that the pictures can
grow in training.

It learns much faster than StyleGAN2 in a short training, because normalised features need no time to find their scale.
W+ has one row for the stem and each block that w reaches. There is no noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import sqrt
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F

from .configs import check_picture, check_row, check_whole, made
from .stylegan import StyleGAN
from .stylegan2_layers import normalize

MAX_SIDE = 8192
MAX_CHANNELS = 8192


@dataclass(frozen=True)
class GLUConfig:
    """Everything that decides the shapes and the arithmetic of a network; checked when it is made.

    Raises:
        ValueError: if a value is impossible; names it.
    """

    z_dim: int
    w_dim: int
    channels: tuple[int, ...]
    """Features of each block, coarsest first; every block after the first doubles the size."""
    base_size: tuple[int, int] = (4, 4)
    """Height and width of the features that the stem makes of w."""
    image_channels: int = 3
    mapping_layers: int = 2
    epsilon: float = 1e-5
    """Added to the variance in batch normalisation."""

    def __post_init__(self) -> None:
        for name, high in (("z_dim", MAX_CHANNELS), ("w_dim", MAX_CHANNELS), ("mapping_layers", 64)):
            check_whole(name, getattr(self, name), 1, high)
        for name, least, most in (("channels", 2, 12), ("base_size", 2, 2)):
            check_row(name, getattr(self, name), least, most, MAX_CHANNELS)
        check_picture(self.image_channels, self.size, MAX_SIDE)
        value = self.epsilon
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1:
            raise ValueError(f"epsilon must be a number from 0 to 1, not {value!r}")

    @property
    def size(self) -> tuple[int, int]:
        """Return the height and width of the image."""
        scale = 2 ** (len(self.channels) - 1)
        return self.base_size[0] * scale, self.base_size[1] * scale

    @property
    def num_ws(self) -> int:
        """Return the number of rows of W+: one for the stem, and one for each block after it but the last."""
        return len(self.channels) - 1

    @property
    def num_classes(self) -> int:
        """Return 0: there are no classes."""
        return 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; ``from_dict`` reads them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> GLUConfig:
        """Return a configuration from JSON values, which may come from any file and are checked.

        Raises:
            ValueError: if a name is missing or unknown, or a value is impossible.
        """
        return made(cls, values)


class Linear(nn.Module):
    """A linear layer, initialised for a leaky ReLU of slope 0.2 (1502.01852, section 2.2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.normal(0.0, sqrt(2 / (1.04 * inputs)), (outputs, inputs)))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self.bias, x, self.weight.t())


class Mapping(nn.Module):
    """The mapping network: z to w. Its learning rate is that of all other layers."""

    w_avg: torch.Tensor

    def __init__(self, config: GLUConfig) -> None:
        super().__init__()
        sizes = (config.z_dim, *(config.w_dim,) * config.mapping_layers)
        self.layers = nn.ModuleList(Linear(inputs, outputs) for inputs, outputs in pairwise(sizes))
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def forward(self, z: torch.Tensor, classes: None) -> torch.Tensor:
        x = normalize(z)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
        return x


class StyledNorm(nn.Module):
    """Batch normalisation. Scale and shift come from w, or are learned if there is no w (``w_dim`` 0)."""

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, channels: int, w_dim: int, epsilon: float) -> None:
        super().__init__()
        if w_dim:
            self.weight = nn.Parameter(torch.normal(0.0, 0.02, (2 * channels, w_dim)))
        self.bias = nn.Parameter(torch.zeros(2 * channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.epsilon = epsilon
        self.styled = bool(w_dim)
        self.of_batch = False

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Return features of the same shape (n, c, h, w); w is float32 (n, w_dim)."""
        style = torch.addmm(self.bias, w, self.weight.t()) if self.styled else self.bias.unsqueeze(0)
        scale, shift = (style[..., None, None]).chunk(2, dim=1)
        scale = scale + 1
        if self.of_batch:
            x = F.batch_norm(x, None, None, training=True, eps=self.epsilon)
        else:
            deviation = torch.rsqrt(self.running_var + self.epsilon)[:, None, None]
            scale = scale * deviation
            shift = shift - self.running_mean[:, None, None] * scale
        return torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype))


class Stem(nn.Module):
    """Makes the coarsest features of w."""

    def __init__(self, config: GLUConfig) -> None:
        super().__init__()
        height, width = config.base_size
        self.shape = (2 * config.channels[0], height, width)
        features = self.shape[0] * height * width
        bound = config.w_dim**-0.5
        self.weight = nn.Parameter(torch.empty(features, config.w_dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(features).uniform_(-bound, bound))
        self.norm = StyledNorm(self.shape[0], config.w_dim, config.epsilon)

    def multiplied(self, w: torch.Tensor) -> torch.Tensor:
        """Return the values before normalisation: (n, 2 channels, h, w)."""
        return torch.addmm(self.bias, w, self.weight.t()).unflatten(1, self.shape)

    def forward(self, w: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        x = self.multiplied(w).to(dtype).contiguous(memory_format=torch.channels_last)
        return F.glu(self.norm(x, w), dim=1)


class Block(nn.Module):
    """Doubles the size of the features."""

    def __init__(self, inputs: int, outputs: int, w_dim: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.normal(0.0, 0.02, (2 * outputs, inputs, 3, 3)))
        self.norm = StyledNorm(2 * outputs, w_dim, epsilon)

    def multiplied(self, x: torch.Tensor) -> torch.Tensor:
        """Return the values before normalisation: (n, 2 outputs, 2 h, 2 w)."""
        return F.conv2d(F.interpolate(x, scale_factor=2.0), self.weight.to(x.dtype), padding=1)

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return F.glu(self.norm(self.multiplied(x), w), dim=1)


class Colours(nn.Module):
    """Makes a picture of features: a 3 x 3 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.normal(0.0, 0.02, (outputs, inputs, 3, 3)))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.weight.to(x.dtype), self.bias.to(x.dtype), padding=1)


class GLUGenerator(StyleGAN):
    """The light generator as a generator of the server.

    Args:
        config: the network's shapes and arithmetic.
        name, licence, training: for ``info``.
    """

    def __init__(self, config: GLUConfig, name: str = "GLU", licence: str = "", training: str = "") -> None:
        super().__init__()
        self.config = config
        self.mapping = Mapping(config)
        self.stem = Stem(config)
        last = len(config.channels) - 2
        blocks = [
            # The last block is the largest. Without w its normalisation is cheaper, and nobody misses it.
            Block(inputs, outputs, config.w_dim if index < last else 0, config.epsilon)
            for index, (inputs, outputs) in enumerate(pairwise(config.channels))
        ]
        self.blocks: Sequence[Block] = cast(Any, nn.ModuleList(blocks))
        colours = [Colours(width, config.image_channels) for width in config.channels]
        self.colours: Sequence[Colours] = cast(Any, nn.ModuleList(colours))
        self.info = self.describe("glu", (name, licence, training), has_noise=False)
        self._precision = torch.float32

    def use_batch_statistics(self, yes: bool) -> None:
        """Normalise with the statistics of the batch that is made, as in training."""
        for norm in self.modules():
            if isinstance(norm, StyledNorm):
                norm.of_batch = yes

    def set_precision(self, dtype: torch.dtype | None) -> None:
        """See ``Generator``. All blocks use one dtype; None is float32."""
        self._precision = dtype or torch.float32

    def synthesize(self, ws: torch.Tensor, noise: str | int, transform: torch.Tensor | None = None) -> torch.Tensor:
        return self.pictures(self.checked(ws, noise), len(self.config.channels) - 1)

    def pictures(self, ws: torch.Tensor, level: int) -> torch.Tensor:
        """Return the pictures of the size of a level, float32 (n, c, h, w); level 0 is the coarsest.

        Args:
            ws: float32 (n, num_ws, w_dim).
            level: the last block that is used.
        """
        x = self.stem(ws[:, 0], self._precision)
        picture = self.colours[0](x)
        for index in range(level):
            x = self.blocks[index](x, ws[:, min(index + 1, self.config.num_ws - 1)])
            picture = F.interpolate(picture, scale_factor=2.0, mode="bilinear") + self.colours[index + 1](x)
        return torch.tanh(picture.float())


def state_shapes(config: GLUConfig) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every tensor in ``GLUGenerator(config).state_dict()``, without making it."""
    shapes: dict[str, tuple[int, ...]] = {"mapping.w_avg": (config.w_dim,)}

    def normed(name: str, channels: int, styled: bool) -> None:
        if styled:
            shapes[f"{name}.norm.weight"] = (2 * channels, config.w_dim)
        shapes[f"{name}.norm.bias"] = (2 * channels,)
        shapes.update({f"{name}.norm.{tensor}": (channels,) for tensor in ("running_mean", "running_var")})

    for index in range(config.mapping_layers):
        inputs = config.w_dim if index else config.z_dim
        shapes[f"mapping.layers.{index}.weight"] = (config.w_dim, inputs)
        shapes[f"mapping.layers.{index}.bias"] = (config.w_dim,)
    doubled = 2 * config.channels[0]
    features = doubled * config.base_size[0] * config.base_size[1]
    shapes.update({"stem.weight": (features, config.w_dim), "stem.bias": (features,)})
    normed("stem", doubled, True)
    for index, (inputs, outputs) in enumerate(pairwise(config.channels)):
        shapes[f"blocks.{index}.weight"] = (2 * outputs, inputs, 3, 3)
        normed(f"blocks.{index}", 2 * outputs, index < len(config.channels) - 2)
    for index, width in enumerate(config.channels):
        shapes[f"colours.{index}.weight"] = (config.image_channels, width, 3, 3)
        shapes[f"colours.{index}.bias"] = (config.image_channels,)
    return shapes
