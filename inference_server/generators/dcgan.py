"""DCGAN: a stack of transposed convolutions with batch normalisation, written from the paper.

Radford, Metz, Chintala: Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks,
1511.06434, section 3 and figure 1. The configuration defines the stack. It begins with a convolution of z as a picture
of one pixel, or with the paper's "project and reshape".

There is no mapping network: w is z, and W+ has one row. A network that begins with a convolution also takes a canvas:
z as a picture of several pixels, (n, z_dim, rows, columns). ``map``, ``broadcast`` and ``truncate`` return a canvas as
it is. ``synthesize`` makes a picture of it that is larger by ``info.canvas_step`` pixels for each further row and
column.

Batch normalisation uses the stored statistics, so that a picture does not depend on the other pictures of its batch.
Some tools make pictures with the statistics of the batch, as in training: ``use_batch_statistics`` does this.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import isfinite, prod
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F

from .base import Generator, GeneratorInfo
from .configs import check_whole, made

MAX_SIDE = 8192
MAX_CHANNELS = 32768
MAX_LAYERS = 64
MAX_FEATURES = 2**28
"""The most numbers that a layer may make for one z."""
ACTIVATIONS = ("none", "relu", "leaky_relu", "tanh", "sigmoid")


@dataclass(frozen=True)
class DCGANLayer:
    """A transposed convolution, batch normalisation and an activation; the values are checked when it is made.

    Pairs are (height, width). Raises ValueError that names the value if a value is impossible.
    """

    inputs: int
    outputs: int
    kernel: tuple[int, int] = (4, 4)
    stride: tuple[int, int] = (2, 2)
    padding: tuple[int, int] = (1, 1)
    output_padding: tuple[int, int] = (0, 0)
    bias: bool = False
    batch_norm: bool = True
    activation: str = "relu"
    slope: float = 0.2
    """Slope of the leaky ReLU for negative numbers."""
    epsilon: float = 1e-5
    """Added to the variance in batch normalisation."""

    def __post_init__(self) -> None:
        for name in ("inputs", "outputs"):
            check_whole(name, getattr(self, name), 1, MAX_CHANNELS)
        for name, low, high in (("kernel", 1, 64), ("stride", 1, 16), ("padding", 0, 32), ("output_padding", 0, 15)):
            _check_row(self, name, 2, low, high)
        if any(more >= step for more, step in zip(self.output_padding, self.stride, strict=True)):
            raise ValueError(f"output_padding must be less than stride, not {self.output_padding}")
        _check_activation(self)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of the layer's output for an input of this height and width."""
        rows = zip((height, width), self.kernel, self.stride, self.padding, self.output_padding, strict=True)
        high, wide = ((side - 1) * stride - 2 * cut + kernel + more for side, kernel, stride, cut, more in rows)
        return high, wide


@dataclass(frozen=True)
class DCGANProjection:
    """A linear layer from z to a small picture, batch normalisation and an activation; checked when it is made.

    Raises ValueError that names the value if a value is impossible.
    """

    shape: tuple[int, int, int]
    """Channels, height and width of the picture; the layer's outputs are in this order too."""
    bias: bool = True
    batch_norm: str = "channels"
    """"channels" (statistics for each channel), "features" (for each channel of each pixel) or "none"."""
    activation: str = "relu"
    slope: float = 0.2
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        _check_row(self, "shape", 3, 1, MAX_CHANNELS)
        if self.batch_norm not in ("channels", "features", "none"):
            raise ValueError(f"batch_norm must be 'channels', 'features' or 'none', not {self.batch_norm!r}")
        _check_activation(self)


@dataclass(frozen=True)
class DCGANConfig:
    """Everything that decides the shapes and the arithmetic of a network; checked when it is made.

    Raises:
        ValueError: if a value is impossible; names it.
    """

    z_dim: int
    layers: tuple[DCGANLayer, ...]
    projection: DCGANProjection | None = None

    def __post_init__(self) -> None:
        check_whole("z_dim", self.z_dim, 1, MAX_CHANNELS)
        layers = self.layers
        if (
            not isinstance(layers, tuple)
            or not 1 <= len(layers) <= MAX_LAYERS
            or not all(isinstance(layer, DCGANLayer) for layer in layers)
        ):
            raise ValueError(f"layers must be 1 to {MAX_LAYERS} layers")
        if self.projection is not None and not isinstance(self.projection, DCGANProjection):
            raise ValueError("projection must be a projection or null")
        width = self.projection.shape[0] if self.projection else self.z_dim
        for index, layer in enumerate(layers):
            if layer.inputs != width:
                raise ValueError(f"layer {index} takes {layer.inputs} channels, and is given {width}")
            width = layer.outputs
        if width not in (1, 3, 4):
            raise ValueError(f"the last layer must make 1, 3 or 4 channels, not {width}")
        height, width = self.projection.shape[1:] if self.projection else (1, 1)
        for index, layer in enumerate(layers):
            height, width = layer.size(height, width)
            if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
                raise ValueError(f"layer {index} would make {width} x {height} pixels; the limit is {MAX_SIDE} a side")
            if layer.outputs * height * width > MAX_FEATURES:
                raise ValueError(f"layer {index} would make {layer.outputs} x {width} x {height} numbers, too many")

    @property
    def size(self) -> tuple[int, int]:
        """Return the height and width of the image of one z."""
        height, width = self.projection.shape[1:] if self.projection else (1, 1)
        for layer in self.layers:
            height, width = layer.size(height, width)
        return height, width

    @property
    def canvas_step(self) -> int:
        """Return the pixels by which the picture grows with each row and column of z; 0 if z is always one vector."""
        steps = {prod(layer.stride[axis] for layer in self.layers) for axis in (0, 1)}
        return steps.pop() if self.projection is None and len(steps) == 1 else 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; ``from_dict`` reads them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DCGANConfig:
        """Return a configuration from JSON values, which may come from any file and are checked.

        Raises:
            ValueError: if a name is missing or unknown, or a value is impossible.
        """
        layers, projection = values.get("layers"), values.get("projection")
        if not isinstance(layers, list | tuple) or len(layers) > MAX_LAYERS:
            raise ValueError(f"layers must be 1 to {MAX_LAYERS} layers")
        return _made(
            cls,
            {
                **values,
                "layers": tuple(_made(DCGANLayer, layer) for layer in layers),
                "projection": None if projection is None else _made(DCGANProjection, projection),
            },
        )


def _made(kind: type[Any], values: object) -> Any:
    if not isinstance(values, dict):
        raise ValueError(f"a setting must be named values, not {str(values)[:60]!r}")
    return made(kind, values)


def _check_row(holder: object, name: str, count: int, low: int, high: int) -> None:
    values = getattr(holder, name)
    whole = isinstance(values, tuple) and len(values) == count and all(type(value) is int for value in values)
    if not whole or not all(low <= value <= high for value in values):
        raise ValueError(f"{name} must be {count} whole numbers from {low} to {high}, not {values!r}")


def _check_activation(holder: DCGANLayer | DCGANProjection) -> None:
    if holder.activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, not {holder.activation!r}")
    for name in ("slope", "epsilon"):
        value = getattr(holder, name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value) or not 0 <= value <= 10:
            raise ValueError(f"{name} must be a number from 0 to 10, not {value!r}")
    for name in ("bias", "batch_norm"):
        value = getattr(holder, name)
        if type(value) is not bool and not (name == "batch_norm" and isinstance(holder, DCGANProjection)):
            raise ValueError(f"{name} must be true or false, not {value!r}")


class BatchNorm(nn.Module):
    """Batch normalisation over all dimensions except the second."""

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, channels: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.epsilon = epsilon
        self.of_batch = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean, variance = self.running_mean, self.running_var
        if self.of_batch:
            variance, mean = torch.var_mean(x.float(), dim=[0, *range(2, x.ndim)], correction=0)
        scale = self.weight * torch.rsqrt(variance + self.epsilon)
        shape = (-1, *[1] * (x.ndim - 2))
        shift = torch.addcmul(self.bias, mean, scale, value=-1)
        return torch.addcmul(shift.to(x.dtype).view(shape), x, scale.to(x.dtype).view(shape))


def activate(x: torch.Tensor, name: str, slope: float) -> torch.Tensor:
    """Apply an activation, in place where that is possible.

    The range 0 to 1 of a sigmoid becomes -1 to 1 only in the finished picture.
    """
    if name == "relu":
        return F.relu_(x)
    if name == "leaky_relu":
        return F.leaky_relu_(x, slope)
    if name == "tanh":
        return torch.tanh(x)
    return torch.sigmoid(x) if name == "sigmoid" else x


class Projection(nn.Module):
    """The network's first step if it has a projection: z to a small picture."""

    def __init__(self, config: DCGANProjection, z_dim: int) -> None:
        super().__init__()
        features = prod(config.shape)
        self.weight = nn.Parameter(torch.normal(0.0, 0.02, (features, z_dim)))
        self.bias = nn.Parameter(torch.zeros(features)) if config.bias else None
        channels = {"channels": config.shape[0], "features": features}.get(config.batch_norm)
        self.norm = BatchNorm(channels, config.epsilon) if channels else None
        self.config = config

    def multiplied(self, z: torch.Tensor) -> torch.Tensor:
        """Return the values before normalisation: (n, features), or (n, channels, height, width)."""
        x = F.linear(z.flatten(1), self.weight.to(z.dtype), None if self.bias is None else self.bias.to(z.dtype))
        return x if self.config.batch_norm == "features" else x.unflatten(1, self.config.shape)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = self.multiplied(z)
        x = x if self.norm is None else self.norm(x)
        return activate(x, self.config.activation, self.config.slope).reshape(len(z), *self.config.shape)


class Layer(nn.Module):
    """A transposed convolution, batch normalisation and an activation."""

    def __init__(self, config: DCGANLayer) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.normal(0.0, 0.02, (config.inputs, config.outputs, *config.kernel)))
        self.bias = nn.Parameter(torch.zeros(config.outputs)) if config.bias else None
        self.norm = BatchNorm(config.outputs, config.epsilon) if config.batch_norm else None
        self.config = config

    def multiplied(self, x: torch.Tensor) -> torch.Tensor:
        """Return the values before normalisation: (n, outputs, height, width)."""
        own, bias = self.config, None if self.bias is None else self.bias.to(x.dtype)
        return F.conv_transpose2d(x, self.weight.to(x.dtype), bias, own.stride, own.padding, own.output_padding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.multiplied(x)
        x = x if self.norm is None else self.norm(x)
        return activate(x, self.config.activation, self.config.slope)


class DCGAN(Generator):
    """DCGAN as a generator of the server.

    Args:
        config: the stack.
        name, licence, training: for ``info``.
    """

    def __init__(self, config: DCGANConfig, name: str = "DCGAN", licence: str = "", training: str = "") -> None:
        super().__init__()
        self.config = config
        self.project = Projection(config.projection, config.z_dim) if config.projection else None
        self.layers: Sequence[Layer] = cast(Any, nn.ModuleList(Layer(layer) for layer in config.layers))
        height, width = config.size
        self.info = GeneratorInfo(
            kind="dcgan",
            name=name,
            z_dim=config.z_dim,
            w_dim=config.z_dim,
            num_ws=1,
            width=width,
            height=height,
            channels=config.layers[-1].outputs,
            num_classes=0,
            spaces=("z",),
            has_noise=False,
            licence=licence,
            training=training,
            has_truncation=False,
            normalises_z=False,
            canvas_step=config.canvas_step,
        )
        self._precision = torch.float32

    @property
    def steps(self) -> Iterator[Projection | Layer]:
        """Yield the projection, if there is one, and then the layers."""
        if self.project is not None:
            yield self.project
        yield from self.layers

    def use_batch_statistics(self, yes: bool) -> None:
        """Normalise with the statistics of the batch that is made, as some tools do. A picture then depends on all z of
        its batch."""
        for step in self.steps:
            if step.norm is not None:
                step.norm.of_batch = yes

    def set_precision(self, dtype: torch.dtype | None) -> None:
        """See ``Generator``. DCGANs were trained in float32, so None is float32; the whole stack uses one dtype."""
        self._precision = dtype or torch.float32

    def map(self, z: torch.Tensor, classes: torch.Tensor | None = None) -> torch.Tensor:
        """Return z itself, (n, z_dim) or a canvas (n, z_dim, rows, columns); see ``Generator``."""
        if classes is not None:
            raise ValueError("a DCGAN has no classes")
        self._check(z, (2, 4), "z", 1)
        return z.to(self.device, torch.float32)

    def broadcast(self, w: torch.Tensor) -> torch.Tensor:
        return w.unsqueeze(1) if w.ndim == 2 else w

    def truncate(
        self, ws: torch.Tensor, psi: float | torch.Tensor, cutoff: int | None, classes: torch.Tensor | None = None
    ) -> torch.Tensor:
        return ws

    def synthesize(self, ws: torch.Tensor, noise: str | int, transform: torch.Tensor | None = None) -> torch.Tensor:
        """Make pictures of ws (n, 1, z_dim), or of a canvas (n, z_dim, rows, columns); see ``Generator``."""
        self._check(ws, (3, 4), "ws", 2 if ws.ndim == 3 else 1)
        if not (noise in ("const", "none") or (isinstance(noise, int) and not isinstance(noise, bool))):
            raise ValueError(f"noise must be 'const', 'none' or a whole number, not {noise!r}")
        x = ws.to(self.device, self._precision)
        x = x.transpose(1, 2).unsqueeze(3) if x.ndim == 3 else x
        for step in self.steps:
            x = step(x)
        x = x.float()
        return x * 2 - 1 if self.config.layers[-1].activation == "sigmoid" else x

    def _check(self, latents: torch.Tensor, dimensions: tuple[int, int], name: str, axis: int) -> None:
        vector = "(n, 1, {})" if name == "ws" else "(n, {})"
        expected = vector.format(self.config.z_dim)
        if self.info.canvas_step:
            expected += f" or (n, {self.config.z_dim}, rows, columns)"
        right = latents.ndim in (dimensions if self.info.canvas_step else dimensions[:1])
        if not right or latents.shape[axis] != self.config.z_dim or (latents.ndim == 3 and latents.shape[1] != 1):
            raise ValueError(f"{name} must have shape {expected}, not {tuple(latents.shape)}")


def state_shapes(config: DCGANConfig) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every tensor in ``DCGAN(config).state_dict()``, without making the network."""
    shapes: dict[str, tuple[int, ...]] = {}

    def normed(name: str, channels: int) -> None:
        names = ("weight", "bias", "running_mean", "running_var")
        shapes.update({f"{name}.norm.{tensor}": (channels,) for tensor in names})

    if config.projection is not None:
        features = prod(config.projection.shape)
        shapes["project.weight"] = (features, config.z_dim)
        if config.projection.bias:
            shapes["project.bias"] = (features,)
        if config.projection.batch_norm != "none":
            normed("project", features if config.projection.batch_norm == "features" else config.projection.shape[0])
    for index, layer in enumerate(config.layers):
        shapes[f"layers.{index}.weight"] = (layer.inputs, layer.outputs, *layer.kernel)
        if layer.bias:
            shapes[f"layers.{index}.bias"] = (layer.outputs,)
        if layer.batch_norm:
            normed(f"layers.{index}", layer.outputs)
    return shapes
