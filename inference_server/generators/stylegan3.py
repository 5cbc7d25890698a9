"""StyleGAN3's generator, written from the paper.

Karras et al.: Alias-Free Generative Adversarial Networks, 2106.12423: Fourier features that can be moved and turned
(section 3.1 and 3.2), and layers that filter before and after their leaky ReLU (figure 4b, appendix D). Both variants
are here: T (3 x 3 convolutions, separable filters) and R (1 x 1 convolutions, radial filters). StyleGAN-XL (Sauer,
Schwarz, Geiger, 2202.00273) has more of the same layers, and other class embeddings: rows of a fixed table through a
projection (section 3.2).

The sizes and filters of every layer come from the file; nothing is designed here.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from .base import GeneratorInfo
from .filtered_lrelu import FilteredLReLU
from .stylegan import StyleGAN
from .stylegan2_layers import FullyConnected, normalize
from .stylegan3_config import LayerConfig, StyleGAN3Config


class Mapping(nn.Module):
    """The mapping network: z, and the embedded class if there is one, to w.

    1812.04948, section 2; classes: 2202.00273, section 3.2.
    """

    w_avg: torch.Tensor
    embedding: torch.Tensor

    def __init__(self, config: StyleGAN3Config) -> None:
        super().__init__()
        width = config.z_dim
        self.embed: FullyConnected | None = None
        if config.num_classes and config.embedding:
            self.register_buffer("embedding", torch.zeros(config.num_classes, config.embedding))
            self.embed = FullyConnected(config.embedding, config.z_dim, lrelu=True)
            width += config.z_dim
        elif config.num_classes:
            self.embed = FullyConnected(config.num_classes, config.w_dim)
            width += config.w_dim
        self.has_table = bool(config.num_classes and config.embedding)
        for index in range(config.mapping_layers):
            layer = FullyConnected(width, config.w_dim, lr=config.mapping_lr, lrelu=True)
            self.add_module(f"fc{index}", layer)
            width = config.w_dim
        self.num_layers = config.mapping_layers
        self.register_buffer("w_avg", torch.zeros(average_shape(config)))

    def forward(self, z: torch.Tensor, classes: torch.Tensor | None) -> torch.Tensor:
        x = normalize(z)
        if self.embed is not None:
            # A class has one row of the table; a blend of classes is the blend of their rows.
            assert classes is not None
            embedded = self.embed(classes @ self.embedding if self.has_table else classes)
            x = torch.cat([x, normalize(embedded)], dim=1)
        for index in range(self.num_layers):
            x = self.get_submodule(f"fc{index}")(x)
        return x


class FourierFeatures(nn.Module):
    """The network's input: waves over the plane; w moves and turns them (2106.12423, section 3.1 and 3.2)."""

    freqs: torch.Tensor
    phases: torch.Tensor
    transform: torch.Tensor

    def __init__(self, config: StyleGAN3Config) -> None:
        super().__init__()
        channels = config.input_channels
        self.affine = FullyConnected(config.w_dim, 4)
        self.weight = nn.Parameter(torch.normal(0.0, 1.0, (channels, channels)))
        self.register_buffer("freqs", torch.zeros(channels, 2))
        self.register_buffer("phases", torch.zeros(channels))
        self.register_buffer("transform", torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
        self.width, self.height = config.input_size
        self.rate, self.bandwidth = config.input_rate, config.input_bandwidth

    def forward(self, w: torch.Tensor, transform: torch.Tensor | None) -> torch.Tensor:
        """Make features (n, channels, height, width) from w (n, w_dim) and transforms (n, 3, 3), all float32.

        If ``transform`` is None, the stored one is used.
        """
        learned = self.affine(w)
        learned = learned / learned[:, :2].norm(dim=1, keepdim=True)
        cos, sin, x, y = learned.unbind(dim=1)
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        turn = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=1).view(-1, 3, 3)
        move = torch.stack([one, zero, -x, zero, one, -y, zero, zero, one], dim=1).view(-1, 3, 3)
        matrix = turn @ move @ (self.transform if transform is None else transform)

        phases = self.phases + (self.freqs @ matrix[:, :2, 2:]).squeeze(2)
        freqs = self.freqs @ matrix[:, :2, :2]
        # A transform can make waves too short for the grid; such waves fade out.
        excess = (freqs.norm(dim=2) - self.bandwidth) / (self.rate / 2 - self.bandwidth)
        amplitudes = (1 - excess).clamp(0, 1)

        across = (torch.arange(self.width, device=w.device) + (0.5 - self.width / 2)) / self.rate
        down = (torch.arange(self.height, device=w.device) + (0.5 - self.height / 2)) / self.rate
        angle = across[:, None] * freqs[:, None, None, :, 0] + down[:, None, None] * freqs[:, None, None, :, 1]
        waves = torch.sin((angle + phases[:, None, None]) * (2 * pi)) * amplitudes[:, None, None]
        return (waves @ (self.weight / sqrt(len(self.weight))).t()).permute(0, 3, 1, 2)  # channels last in memory


class SynthesisLayer(nn.Module):
    """A modulated convolution with bias, then a leaky ReLU between two filters (2106.12423, figure 4b)."""

    magnitude_ema: torch.Tensor
    up_filter: torch.Tensor | None
    down_filter: torch.Tensor | None

    def __init__(self, config: LayerConfig, w_dim: int) -> None:
        super().__init__()
        self.config = config
        self.affine = FullyConnected(w_dim, config.in_channels, bias=1.0)
        size = (config.out_channels, config.in_channels, config.kernel, config.kernel)
        self.weight = nn.Parameter(torch.normal(0.0, 1.0, size))
        self.bias = nn.Parameter(torch.zeros(config.out_channels))
        self.register_buffer("magnitude_ema", torch.ones(()))
        for name in ("up_filter", "down_filter"):
            shape = config.filters.get(name)
            self.register_buffer(name, None if shape is None else torch.zeros(shape))
        self.activation = FilteredLReLU(config)

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Make features in the dtype of x from features (n, in_channels, h, w) and float32 w (n, w_dim)."""
        x = self.convolve(x, self.affine(w))
        if not self.config.is_colour:
            return self.activation(x, self.up_filter, self.down_filter)
        return x if self.config.clamp is None else x.clamp_(-self.config.clamp, self.config.clamp)

    def convolve(self, x: torch.Tensor, styles: torch.Tensor) -> torch.Tensor:
        """Convolve with weights scaled by style (1912.04958, section 2.2, equations 1 and 3), and add the bias.

        If a leaky ReLU follows, the result includes its gain, sqrt(2), already, because here it costs no time.
        """
        weight, gain = self.weight, torch.rsqrt(self.magnitude_ema)
        if self.config.is_colour:
            scale = (gain / sqrt(self.config.in_channels * self.config.kernel**2)).expand(len(styles), len(weight))
            bias = self.bias
        else:
            weight = weight * torch.rsqrt(weight.square().mean(dim=(1, 2, 3), keepdim=True))
            styles = styles * torch.rsqrt(styles.square().mean(dim=1, keepdim=True))
            power = weight.square().sum(dim=(2, 3))
            scale = torch.rsqrt(styles.square() @ power.t() + 1e-8) * (gain * sqrt(2))
            bias = self.bias * sqrt(2)
        padding = self.config.kernel - 1
        if len(x) == 1:
            weight = weight * styles[:, :, None, None] * scale.view(-1, 1, 1, 1)
            return F.conv2d(x, weight.to(x.dtype), bias.to(x.dtype), padding=padding)
        # The scales are applied before and after one convolution that the batch shares, so no sample needs its own
        # weights. A common factor of a sample's styles is applied after it, so that half precision cannot overflow.
        peak = styles.abs().amax(dim=1, keepdim=True).clamp_min(1e-20) * sqrt(weight[0].numel())
        x = x * (styles / peak).to(x.dtype)[:, :, None, None]
        x = F.conv2d(x, weight.to(x.dtype), padding=padding)
        return torch.addcmul(bias.to(x.dtype)[:, None, None], x, (scale * peak).to(x.dtype)[:, :, None, None])


class Synthesis(nn.Module):
    """W+ to an image."""

    layers: Any  # a ModuleList of SynthesisLayers

    def __init__(self, config: StyleGAN3Config) -> None:
        super().__init__()
        self.input = FourierFeatures(config)
        self.layers = nn.ModuleList(SynthesisLayer(layer, config.w_dim) for layer in config.layers)
        self.output_scale = config.output_scale

    def forward(self, ws: torch.Tensor, transform: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor:
        """Make images.

        Args:
            ws: float32 (n, num_ws, w_dim); the first row moves and turns the input, each layer has one of the others.
            transform: float32 (n, 3, 3), or None for the stored one.
            dtype: for the layers that the network's author let compute in half precision; the others use float32.

        Returns:
            float32 (n, image_channels, height, width).
        """
        x = self.input(ws[:, 0], transform)
        for index, layer in enumerate(self.layers):
            x = layer(x.to(dtype if layer.config.half else torch.float32), ws[:, index + 1])
        return x.float() * self.output_scale


class StyleGAN3(StyleGAN):
    """StyleGAN3 and StyleGAN-XL as generators of the server.

    Args:
        config: the network's shapes and arithmetic.
        name, licence, training: for ``info``.
    """

    compiles = False

    def __init__(self, config: StyleGAN3Config, name: str = "StyleGAN3", licence: str = "", training: str = "") -> None:
        super().__init__()
        self.config = config
        self.mapping = Mapping(config)
        self.synthesis = Synthesis(config)
        width, height = config.size
        self.info = GeneratorInfo(
            kind="stylegan3",
            name=name,
            z_dim=config.z_dim,
            w_dim=config.w_dim,
            num_ws=config.num_ws,
            width=width,
            height=height,
            channels=config.layers[-1].out_channels,
            num_classes=config.num_classes,
            spaces=("z", "w"),
            has_noise=False,
            has_transform=True,
            licence=licence,
            training=training,
        )
        self._precision: torch.dtype | None = None

    def set_precision(self, dtype: torch.dtype | None) -> None:
        self._precision = dtype

    def weights_changed(self) -> None:
        for layer in self.synthesis.layers:
            layer.activation.forget()

    def average(self, classes: torch.Tensor | None) -> torch.Tensor:
        average = self.mapping.w_avg
        if average.ndim == 1:
            return average
        # The average of a blend of classes is the blend of their averages; without classes, it is the mean of all.
        average = average.mean(dim=0) if classes is None else classes.to(average) @ average
        return average.view(-1, 1, self.config.w_dim)

    def synthesize(self, ws: torch.Tensor, noise: str | int, transform: torch.Tensor | None = None) -> torch.Tensor:
        ws = self.checked(ws, noise)
        if transform is not None and transform.shape != (len(ws), 3, 3):
            raise ValueError(f"transform must have shape ({len(ws)}, 3, 3), not {tuple(transform.shape)}")
        dtype = self._precision
        if dtype is None:
            dtype = torch.float16 if self.device.type == "cuda" else torch.float32
        transform = None if transform is None else transform.to(self.device, torch.float32)
        if self.device.type != "cpu":
            return self.synthesis(ws, transform, dtype)
        # On the CPU, a batch is no faster than its pictures one by one, and needs more memory.
        pictures = [
            self.synthesis(ws[i : i + 1], None if transform is None else transform[i : i + 1], dtype)
            for i in range(len(ws))
        ]
        return torch.cat(pictures) if pictures else self.synthesis(ws, transform, dtype)


def average_shape(config: StyleGAN3Config) -> tuple[int, ...]:
    """Return the shape of the average w: there is one for all pictures, or one for each class."""
    return (config.num_classes, config.w_dim) if config.class_averages else (config.w_dim,)


def state_shapes(config: StyleGAN3Config) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every tensor in ``StyleGAN3(config).state_dict()``, without making the network."""
    shapes: dict[str, tuple[int, ...]] = {"mapping.w_avg": average_shape(config)}

    def dense(name: str, inputs: int, outputs: int) -> None:
        shapes.update({f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)})

    width = config.z_dim
    if config.num_classes and config.embedding:
        shapes["mapping.embedding"] = (config.num_classes, config.embedding)
        dense("mapping.embed", config.embedding, config.z_dim)
        width += config.z_dim
    elif config.num_classes:
        dense("mapping.embed", config.num_classes, config.w_dim)
        width += config.w_dim
    for index in range(config.mapping_layers):
        dense(f"mapping.fc{index}", width, config.w_dim)
        width = config.w_dim

    channels = config.input_channels
    dense("synthesis.input.affine", config.w_dim, 4)
    shapes["synthesis.input.weight"] = (channels, channels)
    shapes["synthesis.input.freqs"] = (channels, 2)
    shapes["synthesis.input.phases"] = (channels,)
    shapes["synthesis.input.transform"] = (3, 3)
    for index, layer in enumerate(config.layers):
        name = f"synthesis.layers.{index}"
        shapes[f"{name}.weight"] = (layer.out_channels, layer.in_channels, layer.kernel, layer.kernel)
        shapes[f"{name}.bias"] = (layer.out_channels,)
        shapes[f"{name}.magnitude_ema"] = ()
        dense(f"{name}.affine", config.w_dim, layer.in_channels)
        for key, shape in layer.filters.items():
            shapes[f"{name}.{key}"] = shape
    return shapes
