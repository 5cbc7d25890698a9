"""Read DCGANs of PyTorch: state dicts like those of pytorch/examples, and whole modules.

A state dict does not contain strides, paddings and activations. Those of the paper are assumed (1511.06434, section 3:
each convolution doubles the size, ReLU, tanh at the end). A kernel size that leaves stride and padding open is refused.
A whole module contains everything. But if its own class holds the layers, the code of that class decides what is
between them, and that code is not read. So activations that such a module does not list are taken from the paper, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from math import isfinite
from typing import Any

import torch

from .dcgan_stack import Activation, Convolution, Linear, Norm, Pair, Reshape, Step, assemble, with_activations
from .errors import CheckpointError
from .inert import Inert, is_module, state_dict
from .natural import natural
from .network import Network
from .unsaid import Unsaid
from .wrappers import likelihood

ORIGIN = "DCGAN (PyTorch)"
DEPTH = 4
"""How many levels of dicts within dicts are searched for a network."""
_TENSORS = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
_CONTAINERS = {"Sequential", "DataParallel", "DistributedDataParallel"}
_PASSED_OVER = {"Identity", "Dropout", "Dropout1d", "Dropout2d", "Flatten"}
_ACTIVATIONS = {"ReLU": "relu", "LeakyReLU": "leaky_relu", "Tanh": "tanh", "Sigmoid": "sigmoid"}
_USUAL: dict[int, tuple[int, int, int]] = {2: (2, 0, 0), 4: (2, 1, 0), 5: (2, 2, 1), 6: (2, 2, 0), 8: (4, 2, 0)}
"""(stride, padding, output padding) by kernel size, such that a picture grows by a whole factor."""


@dataclass
class _Leaf:
    """A module without children. kind: its class, or None if only its tensors are known."""

    name: str
    tensors: dict[str, torch.Tensor]
    kind: str | None = None
    module: Inert | None = None

    def attribute(self, name: str, default: Any = None) -> Any:
        return default if self.module is None else self.module.get(name, default)


@dataclass
class _Stack:
    """Leaves in the order in which they are used. is_sequential: there is nothing else between them."""

    leaves: list[_Leaf]
    is_sequential: bool = False


def recognises(value: Any) -> bool:
    """Return whether the value holds a stack of transposed convolutions that ends in a picture."""
    return _find(value) is not None


def convert(value: Any, file_name: str, unsaid: Unsaid | None = None) -> Network:
    """Return the network of a DCGAN.

    Raises:
        CheckpointError: the file does not show how a layer works, or has a layer that a DCGAN does not have.
    """
    stack = _find(value)
    try:
        if stack is None:
            raise ValueError("there is no stack of transposed convolutions in it")
        steps = _steps(stack)
        if not stack.is_sequential:
            steps = with_activations(steps, unsaid or Unsaid())
        return assemble(steps, ORIGIN, _sizes(value, 0))
    except ValueError as error:
        raise CheckpointError(f"{file_name} is a DCGAN that cannot be read: {error}.") from error


def _find(value: Any) -> _Stack | None:
    for candidate in islice(_candidates(value, 0), 1000):
        for stack in (_of_module(candidate),) if is_module(candidate) else _of_state(candidate):
            if stack is not None and _ends_in_picture(stack):
                return stack
    return None


def _candidates(value: Any, depth: int) -> Iterator[Any]:
    """Yield what may be a network: averaged weights first, because they make better pictures."""
    if is_module(value):
        yield value
    elif isinstance(value, dict) and depth < DEPTH:
        yield value
        names = sorted((name for name in value if isinstance(name, str)), key=lambda name: "ema" not in name.lower())
        for name in names[:1000]:
            if isinstance(value[name], dict | Inert):
                yield from _candidates(value[name], depth + 1)


def _of_state(state: dict[Any, Any]) -> Iterator[_Stack]:
    """Yield the stacks that a state dict may hold: all of it, or the tensors whose names begin with the same word."""
    tensors = {name: tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}
    if not 0 < len(tensors) <= 1000 or not all(isinstance(name, str) for name in tensors):
        return
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        name = name.removeprefix("module.")
        parts.setdefault(name.partition(".")[0], {})[name] = tensor
    ranked = sorted(parts, key=likelihood)
    for part in (tensors, *(parts[name] for name in ranked if len(parts) > 1)):
        by_module: dict[str, dict[str, torch.Tensor]] = {}
        for name, tensor in part.items():
            module, _, own = name.rpartition(".")
            by_module.setdefault(module, {})[own] = tensor
        leaves = [_Leaf(name, own) for name, own in by_module.items()]
        if all(own.keys() <= _TENSORS for own in by_module.values()):
            yield _Stack(leaves)
            yield _Stack(sorted(leaves, key=lambda leaf: natural(leaf.name)))


def _of_module(module: Inert) -> _Stack:
    """Return the leaves of a module, in the order in which they were put into it."""
    stack = _Stack([], is_sequential=True)
    seen: set[int] = set()

    def walk(parent: Inert, name: str, depth: int) -> None:
        children = [(key, child) for key, child in parent.get("_modules").items() if is_module(child)]
        if not children:
            tensors = {key: tensor.detach() for key, tensor in state_dict(parent).items()}
            stack.leaves.append(_Leaf(name, tensors, parent.name.rpartition(".")[2], parent))
        elif depth < 16 and id(parent) not in seen:
            seen.add(id(parent))
            layers = [child for _, child in children if not child.get("_modules")]
            if parent.name.rpartition(".")[2] not in _CONTAINERS and layers:
                stack.is_sequential = False
            for key, child in children:
                walk(child, f"{name}.{key}" if name else str(key), depth + 1)

    walk(module, "", 0)
    return stack


def _sizes(value: Any, depth: int) -> list[Pair]:
    """Return the (height, width) pairs stored next to the weights, in a dict or in a program's arguments."""
    held = value.state if isinstance(value, Inert) else value
    if not isinstance(held, dict) or depth > 2:
        return []
    found = []
    for name, height in list(held.items())[:1000]:
        if isinstance(name, str) and "height" in name.lower():
            width = held.get(name.replace("height", "width").replace("Height", "Width").replace("HEIGHT", "WIDTH"))
            if type(height) is int and type(width) is int:
                found.append((height, width))
        elif isinstance(height, dict | Inert) and not is_module(height):
            found += _sizes(height, depth + 1)
    return found[:16]


def _kind(leaf: _Leaf) -> str:
    """Return the class of the leaf, or the class that its tensors show."""
    if leaf.kind is not None:
        return "BatchNorm" if leaf.kind in ("BatchNorm1d", "BatchNorm2d", "SyncBatchNorm") else leaf.kind
    weight = leaf.tensors.get("weight")
    dimensions = 1 if weight is None else weight.ndim
    if weight is not None and weight.ndim == 1 and leaf.tensors.keys() == {"weight"}:
        return "PReLU"
    return {1: "BatchNorm", 2: "Linear", 4: "ConvTranspose2d"}.get(dimensions, "unknown")


def _ends_in_picture(stack: _Stack) -> bool:
    """Return whether the channels fit from each convolution to the next, and end in 1, 3 or 4."""
    width, count, grows = None, 0, False  # a discriminator has plain convolutions, too, and does not grow
    for leaf in stack.leaves:
        kind = _kind(leaf)
        weight = leaf.tensors.get("weight")
        grows = grows or kind in ("ConvTranspose2d", "Upsample", "UpsamplingNearest2d")
        if kind == "unknown":
            return False
        if kind in ("ConvTranspose2d", "Conv2d"):
            if weight is None or weight.ndim != 4:
                return False
            inputs, outputs = weight.shape[:2] if kind == "ConvTranspose2d" else weight.shape[1::-1]
            if width not in (None, inputs):
                return False
            width, count = outputs, count + 1
        elif kind == "BatchNorm" and width is not None and _rows(leaf) and width not in map(torch.numel, _rows(leaf)):
            return False
    return grows and count > 1 and width in (1, 3, 4)


def _rows(leaf: _Leaf) -> list[torch.Tensor]:
    return [tensor for name, tensor in leaf.tensors.items() if name != "num_batches_tracked"]


def _steps(stack: _Stack) -> list[Step]:
    steps: list[Step] = []
    doubled = False  # norms and activations before a nearest enlargement are the same after it
    for leaf in stack.leaves:
        kind = _kind(leaf)
        if kind in ("Upsample", "UpsamplingNearest2d"):
            _check_upsample(leaf, doubled)
            doubled = True
        elif kind == "Conv2d":
            steps.append(_plain_convolution(leaf, doubled))
            doubled = False
        elif doubled and kind in ("Linear", "ConvTranspose2d", "Unflatten", "View", "Reshape"):
            raise ValueError(f"its layer {leaf.name} follows an Upsample, which a DCGAN does not have")
        elif kind == "Linear":
            weight = leaf.tensors.get("weight")
            if weight is None or weight.ndim != 2:
                raise ValueError(f"its layer {leaf.name} has no weights")
            steps.append(Linear(weight, leaf.tensors.get("bias")))
        elif kind == "ConvTranspose2d":
            is_first = not any(isinstance(step, Linear | Convolution) for step in steps)
            steps.append(_convolution(leaf, is_first))
        elif kind == "BatchNorm":
            steps.append(_norm(leaf))
        elif kind in _ACTIVATIONS:
            steps.append(Activation(_ACTIVATIONS[kind], _number(leaf, "negative_slope", 0.01)))
        elif kind in ("Unflatten", "View", "Reshape"):
            steps.append(_reshape(leaf, kind))
        elif kind not in _PASSED_OVER:
            raise ValueError(f"it has a layer {leaf.name} of the class {kind[:60]}, which a DCGAN does not have")
    if doubled:
        raise ValueError("it ends in an Upsample, which a DCGAN does not have")
    return steps


def _check_upsample(leaf: _Leaf, doubled: bool) -> None:
    scale, mode = leaf.attribute("scale_factor"), leaf.attribute("mode", "nearest")
    scales = set(scale) if isinstance(scale, list | tuple) else {scale}
    if doubled or scales != {2} or mode not in ("nearest", "nearest-exact"):
        how = f"{str(scale)[:20]} in the mode {str(mode)[:20]}"
        raise ValueError(f"its layer {leaf.name} enlarges by {how}; only nearest by 2 is read")


def _plain_convolution(leaf: _Leaf, doubled: bool) -> Convolution:
    """Return the transposed convolution that does the same as a convolution, after a nearest enlargement by 2 or not.

    After the enlargement, each weight meets every pixel of the small picture twice in a row, so that neighbouring
    weights add up: out of k weights come k + 1.
    """
    weight, bias = leaf.tensors["weight"].float(), leaf.tensors.get("bias")
    kernel, padding = tuple(weight.shape[2:]), _pair(leaf, "padding", 0)
    plain = (
        _number(leaf, "groups", 1) == 1 and _pair(leaf, "dilation", 1) == (1, 1) and _pair(leaf, "stride", 1) == (1, 1)
    )
    if not plain or leaf.attribute("padding_mode", "zeros") != "zeros":
        raise ValueError(f"its layer {leaf.name} has groups or steps, or is dilated; a DCGAN does not have such layers")
    if not doubled:
        around = (kernel[0] - 1 - padding[0], kernel[1] - 1 - padding[1])
        if min(around) < 0:
            raise ValueError(f"its layer {leaf.name} has more padding than its kernel is wide")
        return Convolution(weight.transpose(0, 1).flip(2, 3), bias, (1, 1), around)
    if any(side % 2 == 0 or 2 * pad != side - 1 for side, pad in zip(kernel, padding, strict=True)):
        raise ValueError(f"its layer {leaf.name} has a kernel or a padding that does not keep the picture's size")
    rows, columns = (_sums_of_neighbours(side) for side in kernel)
    folded = torch.einsum("mj,oijl,nl->iomn", rows, weight, columns)
    return Convolution(folded.contiguous(), bias, (2, 2), (padding[0], padding[1]))


def _sums_of_neighbours(side: int) -> torch.Tensor:
    """Return the matrix (side + 1, side) that adds up neighbouring weights, and turns them round."""
    matrix = torch.zeros(side + 1, side)
    for place in range(side):
        matrix[side - 1 - place, place] = matrix[side - place, place] = 1
    return matrix


def _convolution(leaf: _Leaf, is_first: bool) -> Convolution:
    weight, bias = leaf.tensors["weight"], leaf.tensors.get("bias")
    if leaf.module is not None:
        if _number(leaf, "groups", 1) != 1 or _pair(leaf, "dilation", 1) != (1, 1):
            raise ValueError(f"its layer {leaf.name} has groups or is dilated; a DCGAN does not have such layers")
        stride, padding, more = (_pair(leaf, *rule) for rule in (("stride", 1), ("padding", 0), ("output_padding", 0)))
        return Convolution(weight, bias, stride, padding, more)
    height, width = weight.shape[2:]
    if is_first:
        return Convolution(weight, bias, (1, 1), (0, 0))
    if height != width or height not in _USUAL:
        raise ValueError(
            f"its layer {leaf.name} has a kernel of {height} x {width}, from which its stride and padding cannot be "
            "told; save the whole module (torch.save(netG, ...)) instead of its state_dict, and open that"
        )
    stride, padding, more = _USUAL[height]
    return Convolution(weight, bias, (stride, stride), (padding, padding), (more, more))


def _norm(leaf: _Leaf) -> Norm:
    rows = _rows(leaf)
    count = rows[0].numel() if rows else leaf.attribute("num_features")
    if type(count) is not int:
        raise ValueError(f"its layer {leaf.name} has no numbers")
    found = leaf.tensors
    mean, variance = found.get("running_mean"), found.get("running_var")
    return Norm(count, found.get("weight"), found.get("bias"), mean, variance, _number(leaf, "eps", 1e-5))


def _reshape(leaf: _Leaf, kind: str) -> Reshape:
    names = {"Unflatten": ("unflattened_size",)}.get(kind, ("shape", "size", "target_shape", "args"))
    for name in names:
        value = leaf.attribute(name)
        if isinstance(value, Inert) and value.arguments:
            value = value.arguments[0]
        numbers = [number for number in value if number != -1] if isinstance(value, list | tuple) else []
        if len(numbers) == 3 and all(type(number) is int and number > 0 for number in numbers):
            return Reshape((numbers[0], numbers[1], numbers[2]))
    raise ValueError(f"it cannot be told what its layer {leaf.name} of the class {kind} does")


def _pair(leaf: _Leaf, name: str, default: int) -> Pair:
    value = leaf.attribute(name, default)
    pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(pair) != 2 or not all(type(number) is int for number in pair):
        raise ValueError(f"its layer {leaf.name} has a {name} that is not known: {str(value)[:60]}")
    return pair[0], pair[1]


def _number(leaf: _Leaf, name: str, default: float) -> float:
    value = leaf.attribute(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"its layer {leaf.name} has a {name} that is not known: {str(value)[:60]}")
    return float(value)
