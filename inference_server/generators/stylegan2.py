"""StyleGAN2's generator, written from the papers.

Karras, Laine, Aila: A Style-Based Generator Architecture for Generative Adversarial Networks, 1812.04948 (mapping
network, truncation, noise inputs); Karras et al.: Analyzing and Improving the Image Quality of StyleGAN, 1912.04958
(weight demodulation, section 2.2; skip generator, section 4.1).

Any picture size that is a power of two times the constant's size, square or not; any number of channels per block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from math import sqrt
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from inference_server.generators.base import Generator, GeneratorInfo

MAX_SIDE = 8192
MAX_CHANNELS = 8192
HALF_BLOCKS = 4
"""So many of the last blocks may run in half precision (in the first ones it would save little)."""


@dataclass(frozen=True)
class StyleGAN2Config:
    """Everything that decides the shapes and the arithmetic of a network; checked when it is made.

    Raises:
        ValueError: naming the value that cannot be.
    """

    z_dim: int
    w_dim: int
    channels: tuple[int, ...]
    """Feature channels of each block, coarsest first; every block after the first doubles the size."""
    base_size: tuple[int, int] = (4, 4)
    """Height and width of the learned constant."""
    image_channels: int = 3
    num_classes: int = 0
    mapping_layers: int = 8
    mapping_lr: float = 0.01
    """Learning-rate multiplier of the mapping network; the stored weights are 1 / mapping_lr times the used ones."""
    use_noise: bool = True
    conv_clamp: float | None = None
    """Features are clamped to this range. A network trained with it is safe in half precision, others are not."""

    def __post_init__(self) -> None:
        limits = {
            "z_dim": (1, MAX_CHANNELS),
            "w_dim": (1, MAX_CHANNELS),
            "num_classes": (0, 65536),
            "mapping_layers": (1, 64),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{name} must be a whole number from {low} to {high}, not {value!r}")
        if self.image_channels not in (1, 3, 4) or type(self.image_channels) is not int:
            raise ValueError(f"image_channels must be 1, 3 or 4, not {self.image_channels!r}")
        for name, low, count in (("channels", 1, (1, 12)), ("base_size", 1, (2, 2))):
            values = getattr(self, name)
            if (
                not isinstance(values, tuple)
                or not count[0] <= len(values) <= count[1]
                or not all(type(value) is int and low <= value <= MAX_CHANNELS for value in values)
            ):
                raise ValueError(f"{name} must be {count[0]} to {count[1]} whole numbers from {low} to {MAX_CHANNELS}")
        if max(self.size) > MAX_SIDE:
            raise ValueError(f"the image would be {self.size[1]} x {self.size[0]}; the limit is {MAX_SIDE} a side")
        if not _is_number(self.mapping_lr) or not 0 < self.mapping_lr <= 10:
            raise ValueError(f"mapping_lr must be a number above 0, not {self.mapping_lr!r}")
        if type(self.use_noise) is not bool:
            raise ValueError(f"use_noise must be true or false, not {self.use_noise!r}")
        if self.conv_clamp is not None and (not _is_number(self.conv_clamp) or not 0 < self.conv_clamp <= 60000):
            raise ValueError(f"conv_clamp must be a number above 0 or null, not {self.conv_clamp!r}")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image."""
        scale = 2 ** (len(self.channels) - 1)
        return self.base_size[0] * scale, self.base_size[1] * scale

    @property
    def num_ws(self) -> int:
        """Rows of W+: one for each convolution and one for the last step to colour."""
        return 2 * len(self.channels)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``from_dict`` takes them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> StyleGAN2Config:
        """From JSON values of any origin.

        Raises:
            ValueError: a name is missing or unknown, or a value cannot be.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown setting {sorted(unknown)[0]!r}")
        try:
            return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
        except TypeError as error:
            raise ValueError(f"a setting is missing or of the wrong kind: {error}") from error


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class FullyConnected(nn.Module):
    """A linear layer with equalised learning rate (1710.10196, section 4.1), optionally with leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, lr: float = 1.0, lrelu: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr)
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.weight_gain = lr / sqrt(inputs)
        self.bias_gain = lr
        self.lrelu = lrelu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)
        return lrelu(x) if self.lrelu else x


def lrelu(x: torch.Tensor) -> torch.Tensor:
    """Leaky ReLU of slope 0.2, with the gain sqrt(2) that keeps the variance."""
    return F.leaky_relu(x, 0.2) * sqrt(2)


def normalize(x: torch.Tensor) -> torch.Tensor:
    """Scale each row to a mean square of one."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


class Mapping(nn.Module):
    """z, and the embedded class where there is one, to w (1812.04948, section 2)."""

    w_avg: torch.Tensor

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        self.embed = FullyConnected(config.num_classes, config.w_dim) if config.num_classes else None
        width = config.z_dim + (config.w_dim if config.num_classes else 0)
        for index in range(config.mapping_layers):
            layer = FullyConnected(width, config.w_dim, lr=config.mapping_lr, lrelu=True)
            self.add_module(f"fc{index}", layer)
            width = config.w_dim
        self.num_layers = config.mapping_layers
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def forward(self, z: torch.Tensor, classes: torch.Tensor | None) -> torch.Tensor:
        x = normalize(z)
        if self.embed is not None:
            x = torch.cat([x, normalize(self.embed(classes))], dim=1)
        for index in range(self.num_layers):
            x = self.get_submodule(f"fc{index}")(x)
        return x


def binomial_filter(channels: int, gain: float, like: torch.Tensor) -> torch.Tensor:
    """The filter [1, 3, 3, 1] x [1, 3, 3, 1], summing to ``gain``, one for each channel: (channels, 1, 4, 4)."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], device=like.device)
    return (torch.outer(row, row) * (gain / 64)).to(like.dtype).expand(channels, 1, 4, 4)


def upsample(image: torch.Tensor) -> torch.Tensor:
    """Twice the size, interpolated with the binomial filter."""
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
    """Convolution whose weights are scaled by style for each sample (1912.04958, section 2.2, equations 1 and 3).

    The scales are applied to the features before and after one convolution that the batch shares, which is the same
    arithmetic without a set of weights for each sample.

    Args:
        x: (n, i, h, w), float32 or half precision.
        weight: float32 (o, i, k, k).
        styles: float32 (n, i).
        bias: float32 (o,), added at the end.
        demodulate: divide each output map by the norm of its modulated weights.
        up: double the size; the transposed convolution is followed by the binomial filter.
        gain: scales the result, the bias included.

    Returns:
        (n, o, h, w) or (n, o, 2h, 2w), of x's dtype.
    """
    scale = torch.full((1, 1), gain, device=x.device)
    if demodulate:
        if x.dtype == torch.float16:
            # Any common scale of a sample's styles or of an output's weights cancels below, but not in float16's range.
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
    """Modulated 3 x 3 convolution, noise, bias, leaky ReLU."""

    noise_const: torch.Tensor

    def __init__(self, config: StyleGAN2Config, inputs: int, outputs: int, size: tuple[int, int], up: bool) -> None:
        super().__init__()
        self.affine = FullyConnected(config.w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength: torch.Tensor | None = None
        if config.use_noise:
            self.noise_strength = nn.Parameter(torch.zeros(()))
            self.register_buffer("noise_const", torch.randn(size))
        self.size = size
        self.up = up
        self.clamp = config.conv_clamp

    def forward(self, x: torch.Tensor, w: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """``noise`` broadcasts to (n, 1, h, w)."""
        # The gain of the leaky ReLU is applied before it, where it costs nothing.
        x = modulated_conv(x, self.weight, self.affine(w), self.bias, up=self.up, gain=sqrt(2))
        if noise is not None and self.noise_strength is not None:
            x = x + (noise * (self.noise_strength * sqrt(2))).to(x.dtype)
        x = F.leaky_relu(x, 0.2)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class ToRGB(nn.Module):
    """Features to image channels: a modulated 1 x 1 convolution without demodulation."""

    def __init__(self, config: StyleGAN2Config, inputs: int) -> None:
        super().__init__()
        self.affine = FullyConnected(config.w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(config.image_channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(config.image_channels))
        self.style_gain = 1 / sqrt(inputs)
        self.clamp = config.conv_clamp

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        x = modulated_conv(x, self.weight, self.affine(w) * self.style_gain, self.bias, demodulate=False)
        x = x if self.clamp is None else x.clamp(-self.clamp, self.clamp)
        return x.float()


class SynthesisBlock(nn.Module):
    """The layers of one size: the constant or an upsampling convolution, a convolution, and the step to colour."""

    def __init__(self, config: StyleGAN2Config, index: int) -> None:
        super().__init__()
        scale, channels = 2**index, config.channels[index]
        size = (config.base_size[0] * scale, config.base_size[1] * scale)
        if index == 0:
            self.const = nn.Parameter(torch.randn(channels, *size))
        else:
            self.conv0 = SynthesisLayer(config, config.channels[index - 1], channels, size, up=True)
        self.conv1 = SynthesisLayer(config, channels, channels, size, up=False)
        self.torgb = ToRGB(config, channels)
        self.is_first = index == 0

    @property
    def layers(self) -> tuple[SynthesisLayer, ...]:
        """The noisy layers in their order."""
        return (self.conv1,) if self.is_first else (self.conv0, self.conv1)


class Synthesis(nn.Module):
    """W+ to an image; each block adds to the upsampled image of the one before (1912.04958, figure 7b)."""

    blocks: nn.ModuleList

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(SynthesisBlock(config, index) for index in range(len(config.channels)))

    @property
    def layers(self) -> list[SynthesisLayer]:
        """All noisy layers in their order."""
        return [layer for block in self.blocks for layer in block.layers]

    def forward(
        self, ws: torch.Tensor, noise: Sequence[torch.Tensor] | None, dtypes: Sequence[torch.dtype]
    ) -> torch.Tensor:
        """Make images.

        Args:
            ws: float32 (n, num_ws, w_dim). A block's step to colour shares its row with the next block's first layer.
            noise: float32 map for each layer, broadcastable to (n, 1, h, w), or None for none.
            dtypes: what each block computes in.

        Returns:
            float32 (n, image_channels, height, width).
        """
        maps: list[torch.Tensor | None] = list(noise) if noise is not None else [None] * len(self.layers)
        row, image = 0, None
        const = self.blocks[0].const
        x = const.expand(len(ws), *const.shape).contiguous(memory_format=torch.channels_last)
        for block, dtype in zip(self.blocks, dtypes, strict=True):
            x = x.to(dtype)
            for layer in block.layers:
                x = layer(x, ws[:, row], maps[row])
                row += 1
            colours = block.torgb(x, ws[:, row])
            image = colours if image is None else upsample(image) + colours
        return image


class StyleGAN2(Generator):
    """StyleGAN2 as a generator of the server; ``mapping`` and ``synthesis`` are the networks that are trained.

    Args:
        config: shapes and arithmetic.
        name, licence, training: for ``info``.
    """

    def __init__(self, config: StyleGAN2Config, name: str = "StyleGAN2", licence: str = "", training: str = "") -> None:
        super().__init__()
        self.config = config
        self.mapping = Mapping(config)
        self.synthesis = Synthesis(config)
        height, width = config.size
        self.info = GeneratorInfo(
            kind="stylegan2",
            name=name,
            z_dim=config.z_dim,
            w_dim=config.w_dim,
            num_ws=config.num_ws,
            width=width,
            height=height,
            channels=config.image_channels,
            num_classes=config.num_classes,
            spaces=("z", "w"),
            has_noise=config.use_noise,
            licence=licence,
            training=training,
        )
        self._precision: torch.dtype | None = None
        self._seeded: tuple[int, torch.device, list[torch.Tensor]] | None = None

    def set_precision(self, dtype: torch.dtype | None) -> None:
        self._precision = dtype

    def map(self, z: torch.Tensor, classes: torch.Tensor | None = None) -> torch.Tensor:
        if z.ndim != 2 or z.shape[1] != self.config.z_dim:
            raise ValueError(f"z must have shape (n, {self.config.z_dim}), not {tuple(z.shape)}")
        if (classes is not None) != bool(self.config.num_classes):
            raise ValueError("classes are needed exactly when the generator is conditional")
        if classes is not None and classes.shape != (len(z), self.config.num_classes):
            raise ValueError(f"classes must have shape (n, {self.config.num_classes}), not {tuple(classes.shape)}")
        z = z.to(self.device, torch.float32)
        return self.mapping(z, None if classes is None else classes.to(self.device, torch.float32))

    def broadcast(self, w: torch.Tensor) -> torch.Tensor:
        return w if w.ndim == 3 else w.unsqueeze(1).expand(-1, self.config.num_ws, -1)

    def truncate(
        self, ws: torch.Tensor, psi: float | torch.Tensor, cutoff: int | None, classes: torch.Tensor | None = None
    ) -> torch.Tensor:
        weights = torch.as_tensor(psi, dtype=torch.float32, device=ws.device).reshape(-1, 1, 1)
        cut = torch.lerp(self.mapping.w_avg.to(ws.device), ws, weights)
        return cut if cutoff is None else torch.cat([cut[:, :cutoff], ws[:, cutoff:]], dim=1)

    def synthesize(self, ws: torch.Tensor, noise: str | int, transform: torch.Tensor | None = None) -> torch.Tensor:
        if ws.ndim != 3 or ws.shape[1:] != (self.config.num_ws, self.config.w_dim):
            expected = f"(n, {self.config.num_ws}, {self.config.w_dim})"
            raise ValueError(f"ws must have shape {expected}, not {tuple(ws.shape)}")
        dtype = self._precision
        if dtype is None:
            half = self.config.conv_clamp is not None and self.device.type == "cuda"
            dtype = torch.float16 if half else torch.float32
        blocks = len(self.config.channels)
        dtypes = [dtype if index >= blocks - HALF_BLOCKS else torch.float32 for index in range(blocks)]
        return self.synthesis(ws.to(self.device, torch.float32), self._noise_maps(noise), dtypes)

    def _noise_maps(self, noise: str | int) -> list[torch.Tensor] | None:
        if not (noise in ("const", "none") or (isinstance(noise, int) and not isinstance(noise, bool))):
            raise ValueError(f"noise must be 'const', 'none' or a whole number, not {noise!r}")
        if noise == "none" or not self.config.use_noise:
            return None
        if isinstance(noise, str):
            return [layer.noise_const for layer in self.synthesis.layers]
        seed = noise % 2**32
        if self._seeded is None or self._seeded[:2] != (seed, self.device):
            random = np.random.RandomState(seed)
            maps = [random.randn(*layer.size).astype(np.float32) for layer in self.synthesis.layers]
            self._seeded = (seed, self.device, [torch.from_numpy(values).to(self.device) for values in maps])
        return self._seeded[2]


def state_shapes(config: StyleGAN2Config) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor in ``StyleGAN2(config).state_dict()``, without making the network."""
    shapes: dict[str, tuple[int, ...]] = {"mapping.w_avg": (config.w_dim,)}

    def dense(name: str, inputs: int, outputs: int) -> None:
        shapes.update({f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)})

    def convolution(name: str, inputs: int, outputs: int, kernel: int) -> None:
        shapes.update({f"{name}.weight": (outputs, inputs, kernel, kernel), f"{name}.bias": (outputs,)})
        dense(f"{name}.affine", config.w_dim, inputs)

    if config.num_classes:
        dense("mapping.embed", config.num_classes, config.w_dim)
    for index in range(config.mapping_layers):
        first = config.z_dim + (config.w_dim if config.num_classes else 0)
        dense(f"mapping.fc{index}", config.w_dim if index else first, config.w_dim)
    for index, channels in enumerate(config.channels):
        block = f"synthesis.blocks.{index}"
        size = (config.base_size[0] * 2**index, config.base_size[1] * 2**index)
        layers = [(f"{block}.conv1", channels)]
        if index == 0:
            shapes[f"{block}.const"] = (channels, *size)
        else:
            layers.append((f"{block}.conv0", config.channels[index - 1]))
        for name, inputs in layers:
            convolution(name, inputs, channels, 3)
            if config.use_noise:
                shapes.update({f"{name}.noise_strength": (), f"{name}.noise_const": size})
        convolution(f"{block}.torgb", channels, config.image_channels, 1)
    return shapes
