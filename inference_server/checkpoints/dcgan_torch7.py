"""Read DCGANs of Torch7, like those of art-DCGAN and dcgan.torch: an ``nn.Sequential`` of full convolutions.

Torch7's full convolution is a transposed convolution; its weights have the same layout as PyTorch's. Old versions of
batch normalisation store 1 / sqrt(variance + eps) as ``running_std``.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Any

import torch

from .dcgan_stack import Activation, Convolution, Linear, Norm, Reshape, Step, assemble
from .errors import CheckpointError
from .inert import Inert
from .network import Network
from .unsaid import Unsaid

ORIGIN = "DCGAN (Torch7)"
DEPTH = 16
_CONVOLUTION = "nn.SpatialFullConvolution"
_CONTAINERS = ("nn.Sequential", "nn.DataParallelTable")
_NORMS = ("nn.SpatialBatchNormalization", "nn.BatchNormalization")
_PASSED_OVER = ("nn.Identity", "nn.Dropout", "nn.SpatialDropout", "nn.Copy", "nn.Contiguous")
_SHAPES = ("nn.View", "nn.Reshape", "nn.Unsqueeze", "nn.SpatialReshape")
_ACTIVATIONS = {"nn.ReLU": "relu", "nn.LeakyReLU": "leaky_relu", "nn.Tanh": "tanh", "nn.Sigmoid": "sigmoid"}


def recognises(value: Any) -> bool:
    """Return whether the value holds a sequence of layers that has full convolutions."""
    return _find(value) is not None


def convert(value: Any, file_name: str, unsaid: Unsaid | None = None) -> Network:
    """Return the network of a DCGAN.

    Raises:
        CheckpointError: it has a layer that a DCGAN does not have, or a layer without its weights.
    """
    try:
        layers = [layer for layer in _find(value) or () if layer.name not in _PASSED_OVER]
        # Shapes before the first layer with weights only arrange z; art-DCGAN's generate.lua drops them, too.
        while layers and layers[0].name in _SHAPES:
            layers.pop(0)
        return assemble([_step(layer) for layer in layers], ORIGIN)
    except ValueError as error:
        raise CheckpointError(f"{file_name} is a DCGAN that cannot be read: {error}.") from error


def _find(value: Any) -> list[Inert] | None:
    """Return the layers of the first network that has a full convolution; the value is a network or a table of them."""
    for candidate in value.values() if isinstance(value, dict) else (value,):
        layers = list(_layers(candidate, 0, set()))
        if any(layer.name == _CONVOLUTION for layer in layers):
            return layers
    return None


def _layers(value: Any, depth: int, seen: set[int]) -> Iterator[Inert]:
    """Yield the layers in their order. A container that is used in several places is followed once."""
    if not isinstance(value, Inert) or value.module != "torch7":
        return
    if value.name not in _CONTAINERS:
        yield value
        return
    if id(value) in seen:
        return
    seen.add(id(value))
    modules = value.get("modules")
    keys = sorted(key for key in modules if type(key) is int) if isinstance(modules, dict) and depth < DEPTH else []
    # A table of parallel copies holds the same network for each device.
    for key in keys[:1] if value.name == "nn.DataParallelTable" else keys[:1000]:
        yield from _layers(modules[key], depth + 1, seen)


def _step(layer: Inert) -> Step:
    if layer.name == _CONVOLUTION:
        weight = _tensor(layer, "weight")
        if weight is None:
            raise ValueError("a convolution in it has no weights")
        if _whole(layer, "groups", 1) != 1:
            raise ValueError("a convolution in it has groups, which a DCGAN does not have")
        pairs = ((("dH", "dW"), 1), (("padH", "padW"), 0), (("adjH", "adjW"), 0))
        stride, padding, more = (
            (_whole(layer, high, usual), _whole(layer, wide, usual)) for (high, wide), usual in pairs
        )
        return Convolution(weight, _tensor(layer, "bias"), stride, padding, more)
    if layer.name == "nn.Linear":
        weight = _tensor(layer, "weight")
        if weight is None or weight.ndim != 2:
            raise ValueError("a linear layer in it has no weights")
        return Linear(weight, _tensor(layer, "bias"))
    if layer.name in _NORMS:
        return _norm(layer)
    if layer.name in _ACTIVATIONS:
        return Activation(_ACTIVATIONS[layer.name], _number(layer, "negval", 0.01))
    if layer.name in _SHAPES:
        return _reshape(layer)
    raise ValueError(f"it has a layer of the class {layer.name[:60]}, which a DCGAN does not have")


def _norm(layer: Inert) -> Norm:
    mean, variance = _tensor(layer, "running_mean"), _tensor(layer, "running_var")
    epsilon = _number(layer, "eps", 1e-5)
    deviation = _tensor(layer, "running_std")
    if variance is None and deviation is not None:
        variance = (deviation.double() ** -2 - epsilon).clamp_min(0).float()
    weight, bias = _tensor(layer, "weight"), _tensor(layer, "bias")
    counts = [len(row) for row in (mean, variance, weight, bias) if row is not None and row.ndim == 1]
    if not counts:
        raise ValueError("a batch normalisation in it has no numbers")
    return Norm(counts[0], weight, bias, mean, variance, epsilon)


def _reshape(layer: Inert) -> Reshape:
    size = layer.get("size")
    numbers = size.flatten().tolist()[:8] if isinstance(size, torch.Tensor) else []
    numbers = [number for number in numbers if number != -1]
    if len(numbers) != 3 or not all(type(number) is int and number > 0 for number in numbers):
        raise ValueError("it cannot be told what shape a layer in it gives its numbers")
    return Reshape((numbers[0], numbers[1], numbers[2]))


def _tensor(layer: Inert, name: str) -> torch.Tensor | None:
    """Return a tensor, or None if it is missing, or empty as ``clearState`` leaves it."""
    value = layer.get(name)
    if not isinstance(value, torch.Tensor) or not value.numel():
        return None
    return value


def _whole(layer: Inert, name: str, default: int) -> int:
    value = layer.get(name, default)
    if type(value) is not int:
        raise ValueError(f"a layer in it has a {name} that is not known: {str(value)[:60]}")
    return value


def _number(layer: Inert, name: str, default: float) -> float:
    value = layer.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"a layer in it has a {name} that is not known: {str(value)[:60]}")
    return float(value)
