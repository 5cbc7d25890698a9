"""Turn the stack of layers that a reader of DCGANs has found into a network of ``generators.dcgan``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import isqrt, prod
from typing import Any

import numpy as np
import torch

from ..generators.dcgan import DCGAN, DCGANConfig, DCGANLayer, DCGANProjection
from ..generators.kinds import build
from .network import Network
from .unsaid import Unsaid

FREEZING_BATCH = 256
"""Number of z from ``RandomState(0)`` that give the statistics of a network that was stored without them."""

Pair = tuple[int, int]


@dataclass
class Linear:
    """A linear layer. weight: (outputs, inputs)."""

    weight: torch.Tensor
    bias: torch.Tensor | None


@dataclass
class Reshape:
    """Turns the output of a linear layer into a picture of (channels, height, width)."""

    shape: tuple[int, int, int]


@dataclass
class Convolution:
    """A transposed convolution. weight: (inputs, outputs, height, width). Pairs are (height, width)."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    stride: Pair
    padding: Pair
    output_padding: Pair = (0, 0)


@dataclass
class Norm:
    """Batch normalisation of ``count`` channels (or features). A field that was not stored is None."""

    count: int
    weight: torch.Tensor | None = None
    bias: torch.Tensor | None = None
    mean: torch.Tensor | None = None
    variance: torch.Tensor | None = None
    epsilon: float = 1e-5

    def tensors(self, name: str) -> dict[str, torch.Tensor]:
        """Return the tensors by their names in the layer ``name``; a missing one gets values that change nothing."""
        own = (self.weight, self.bias, self.mean, self.variance)
        return {
            f"{name}.norm.{key}": torch.full((self.count,), default) if tensor is None else tensor
            for key, tensor, default in zip(
                ("weight", "bias", "running_mean", "running_var"), own, (1.0, 0.0, 0.0, 1.0), strict=True
            )
        }

    @property
    def is_untrained(self) -> bool:
        """Whether there are no statistics, or only those of a new network (mean 0, variance 1)."""
        if self.mean is None or self.variance is None:
            return True
        return not self.mean.any() and bool((self.variance == 1).all())


@dataclass
class Activation:
    """An activation. name: one of ``generators.dcgan.ACTIVATIONS``."""

    name: str
    slope: float = 0.2


Step = Linear | Reshape | Convolution | Norm | Activation


@dataclass
class _Group:
    """A layer of the network: the layer with the weights, and what follows it."""

    main: Linear | Convolution
    shape: tuple[int, int, int] | None = None
    norm: Norm | None = None
    activation: Activation | None = None


def assemble(steps: Iterable[Step], origin: str, sizes: Iterable[Pair] = ()) -> Network:
    """Return the network of the steps in their order.

    Args:
        steps: the layers.
        origin: the file's format, as it is shown to the user.
        sizes: (height, width) of pictures that the file mentions, for networks whose layers do not show the size.

    Raises:
        ValueError: the steps are not a DCGAN, or tensors do not fit.
    """
    groups = _grouped(steps)
    linear = groups.pop(0) if groups and isinstance(groups[0].main, Linear) else None
    if not groups or any(isinstance(group.main, Linear) for group in groups):
        raise ValueError("it is not a stack of transposed convolutions")
    tensors: dict[str, torch.Tensor] = {}
    named: list[tuple[str, _Group]] = [("project", linear)] if linear else []
    named += [(f"layers.{index}", group) for index, group in enumerate(groups)]
    for name, group in named:
        tensors[f"{name}.weight"] = group.main.weight
        if group.main.bias is not None:
            tensors[f"{name}.bias"] = group.main.bias
        if group.norm is not None:
            tensors.update(group.norm.tensors(name))
    layers = tuple(_layer(group) for group in groups)
    config = DCGANConfig(
        z_dim=linear.main.weight.shape[1] if linear else layers[0].inputs,
        layers=layers,
        projection=_projection(linear, layers, sizes) if linear else None,
    )
    untrained = [name for name, group in named if group.norm is not None and group.norm.is_untrained]
    if untrained:
        tensors.update(_statistics(config, tensors, untrained))
    return Network("dcgan", config, tensors, origin)


def _grouped(steps: Iterable[Step]) -> list[_Group]:
    groups: list[_Group] = []
    for step in steps:
        if isinstance(step, Linear | Convolution):
            groups.append(_Group(step))
            continue
        if not groups:
            raise ValueError("it does not begin with a convolution or a linear layer")
        group = groups[-1]
        if isinstance(step, Reshape):
            group.shape = step.shape
        elif isinstance(step, Norm):
            if group.norm is not None or group.activation is not None:
                raise ValueError("batch normalisation does not follow a convolution in it")
            group.norm = step
        else:
            if group.activation is not None:
                raise ValueError("there are two activations in a row in it")
            group.activation = step
    return groups


def _layer(group: _Group) -> DCGANLayer:
    conv = group.main
    assert isinstance(conv, Convolution)
    if conv.weight.ndim != 4:
        raise ValueError(f"a convolution in it has weights of shape {tuple(conv.weight.shape)}")
    inputs, outputs, *kernel = conv.weight.shape
    activation = group.activation or Activation("none")
    return DCGANLayer(
        inputs=inputs,
        outputs=outputs,
        kernel=(kernel[0], kernel[1]),
        stride=conv.stride,
        padding=conv.padding,
        output_padding=conv.output_padding,
        bias=conv.bias is not None,
        batch_norm=group.norm is not None,
        activation=activation.name,
        slope=activation.slope,
        epsilon=group.norm.epsilon if group.norm is not None else 1e-5,
    )


def _projection(group: _Group, layers: tuple[DCGANLayer, ...], sizes: Iterable[Pair]) -> DCGANProjection:
    features, channels = len(group.main.weight), layers[0].inputs
    shape = group.shape or (channels, *_first_size(features // channels, layers, sizes))
    if prod(shape) != features:
        raise ValueError(
            f"its first layer makes {features} numbers for {channels} channels, and how wide and high they are is not "
            "stored; save it next to the weights, for example torch.save({'state_dict': netG.state_dict(), "
            "'height': 192, 'width': 320}, ...)"
        )
    activation = group.activation or Activation("none")
    norm = "none"
    if group.norm is not None:
        norm = "channels" if group.norm.count == shape[0] else "features"
    return DCGANProjection(
        shape=shape,
        bias=group.main.bias is not None,
        batch_norm=norm,
        activation=activation.name,
        slope=activation.slope,
        epsilon=group.norm.epsilon if group.norm is not None else 1e-5,
    )


def _first_size(pixels: int, layers: tuple[DCGANLayer, ...], sizes: Iterable[Pair]) -> Pair:
    """Return height and width of a picture of ``pixels`` pixels from which the layers make one of the sizes.

    If none of the sizes can be made, the picture is a square, as in the paper.
    """
    heights = [height for height in range(1, min(pixels, 1 << 16) + 1) if pixels % height == 0]
    for size in sizes:
        for height in heights:
            made = (height, pixels // height)
            for layer in layers:
                made = layer.size(*made)
            if made == size:
                return height, pixels // height
    return isqrt(pixels), isqrt(pixels)


@torch.no_grad()
def _statistics(config: DCGANConfig, tensors: dict[str, torch.Tensor], names: list[str]) -> dict[str, torch.Tensor]:
    """Return the statistics of the batch norms in the named layers, from one fixed batch of z."""
    network = build("dcgan", config, tensors, {})
    assert isinstance(network, DCGAN)
    z = torch.from_numpy(np.random.RandomState(0).randn(FREEZING_BATCH, config.z_dim).astype(np.float32))
    found: dict[str, torch.Tensor] = {}
    steps = list(network.steps)
    wanted: list[Any] = [network.get_submodule(name) for name in names]
    for name, last in zip(names, wanted, strict=True):
        before = steps[: steps.index(last)]
        total, squares, count = torch.zeros(()), torch.zeros(()), 0
        # In pieces, and from z again for each norm: the features of the whole batch may not fit in memory.
        for piece in z[:, :, None, None].split(16):
            x = piece
            for step in before:
                x = step(x)
            x = last.multiplied(x).double()
            axes = [axis for axis in range(x.ndim) if axis != 1]
            total, squares = total + x.sum(axes), squares + x.square().sum(axes)
            count += x.numel() // x.shape[1]
        mean = total / count
        last.norm.running_mean = mean.float()
        last.norm.running_var = (squares / count - mean.square()).clamp_min(0).float()
        found[f"{name}.norm.running_mean"] = last.norm.running_mean
        found[f"{name}.norm.running_var"] = last.norm.running_var
    return found


def with_activations(steps: list[Step], unsaid: Unsaid) -> list[Step]:
    """Return the steps with activations, for networks that do not store all of them.

    A stored one is used for all places of its kind: at the end, or elsewhere. What is not stored is asked for; usual
    are ReLU, and tanh at the end (1511.06434, section 3).
    """
    known = [step for step in steps if isinstance(step, Activation)]
    hidden = next((step for step in known if step.name in ("relu", "leaky_relu")), None)
    final = next((step for step in known if step.name in ("tanh", "sigmoid")), None)
    if hidden is None:
        name, _, slope = unsaid.text("activation", "relu", r"relu|leaky_relu:(0(\.\d+)?|1(\.0+)?)").partition(":")
        hidden = Activation(name, float(slope or 0))
    if final is None:
        final = Activation(unsaid.text("output", "tanh", "tanh|sigmoid|none"))
    groups = _grouped(step for step in steps if not isinstance(step, Activation))
    full: list[Step] = []
    for index, group in enumerate(groups):
        full.append(group.main)
        if group.shape is not None:
            full.append(Reshape(group.shape))
        if group.norm is not None:
            full.append(group.norm)
        full.append(replace(final if index == len(groups) - 1 else hidden))
    return full
