"""Read StyleGAN2 as NVIDIA's PyTorch projects save it (also the code of StyleGAN3, and artists' compact files).

A pickle of these projects holds modules, whose attributes tell what every layer does. A state dict with the same names
holds only tensors; for it, the clamp and the number of blocks in half precision are those of the published settings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch

from ..generators.stylegan2_config import HALF_BLOCKS, StyleGAN2Config
from .errors import CheckpointError
from .inert import Inert, is_module, named_tensors, state_dict, submodule
from .network import Network
from .unsaid import Unsaid

NETWORKS = ("G_ema", "g_ema", "Gs", "G", "g", "generator", "state_dict", "model")
"""The keys under which files hold generators, the best first."""
BLOCK = re.compile(r"b(\d{1,5})(?:x\d{1,5})?")
CLAMP = 256.0
MAPPING_LR = 0.01
"""The clamp, and the learning-rate multiplier of the mapping network, of the published settings."""


def recognises(value: Any) -> bool:
    """Return whether the value is, or holds, a generator of this layout."""
    return _find(value) is not None


def convert(value: Any, file_name: str, unsaid: Unsaid | None = None) -> Network:
    """Return the network of the generator; the averaged one if the file has it.

    Raises:
        CheckpointError: something is missing, or a layer does something that is not known here.
    """
    found = _find(value)
    try:
        if found is None:
            raise ValueError("it holds no generator of StyleGAN2")
        if isinstance(found, Inert):
            return _convert(state_dict(found), found, unsaid or Unsaid())
        return _convert(found, None, unsaid or Unsaid())
    except (ValueError, TypeError, OverflowError) as error:
        raise CheckpointError(
            f"{file_name} looks like a StyleGAN2, but cannot be converted: {error}. "
            "If a changed copy of NVIDIA's code saved it, open the file that it was trained from."
        ) from error


def _find(value: Any) -> Inert | dict[str, torch.Tensor] | None:
    candidates = [value]
    if isinstance(value, dict):
        candidates += [value[key] for key in NETWORKS if key in value]
    for candidate in candidates:
        if is_module(candidate):
            synthesis = submodule(candidate, "synthesis")
            if synthesis is None:
                continue
            children = synthesis.get("_modules")
            if submodule(candidate, "mapping") is not None and any(
                isinstance(key, str) and BLOCK.fullmatch(key) and submodule(synthesis, f"{key}.conv1.affine")
                for key in list(children)[:64]
            ):
                return candidate
        elif isinstance(candidate, dict) and "mapping.fc0.weight" in candidate:
            named = named_tensors(candidate)
            if _block_names(named):
                return named
    return None


def _block_names(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the names of the blocks, coarsest first."""
    found = (re.fullmatch(r"synthesis\.(b\d{1,5}(?:x\d{1,5})?)\.conv1\.affine\.weight", key) for key in tensors)
    names = [match[1] for match in found if match]
    return sorted(names, key=lambda name: int(BLOCK.fullmatch(name)[1]))  # type: ignore[index]


def _convert(tensors: Mapping[str, torch.Tensor], generator: Inert | None, unsaid: Unsaid) -> Network:
    names = _block_names(tensors)
    if not names:
        raise ValueError("its blocks have no weights")
    first, last = f"synthesis.{names[0]}", f"synthesis.{names[-1]}"
    layers = 0
    while f"mapping.fc{layers}.weight" in tensors and layers <= 64:
        layers += 1
    w_dim = _shape(tensors, f"mapping.fc{layers - 1}.weight", 2)[0]
    width, inputs = _shape(tensors, "mapping.fc0.weight", 2)
    embed, classes = _shape(tensors, "mapping.embed.weight", 2) if "mapping.embed.weight" in tensors else (0, 0)
    if embed >= inputs:
        raise ValueError("its mapping network has no place for z")
    attributes = _Attributes(generator, names)
    if generator is None:
        mapping_lr = unsaid.number("mapping_lr", MAPPING_LR, 1e-6, 10)
        clamp = unsaid.number_or_none("conv_clamp", CLAMP, 1, 60000)
    else:
        mapping_lr, clamp = attributes.mapping_lr(), attributes.clamp()
    config = StyleGAN2Config(
        z_dim=inputs - embed,
        w_dim=w_dim,
        channels=tuple(_shape(tensors, f"synthesis.{name}.conv1.weight", 4)[0] for name in names),
        base_size=cast(tuple[int, int], _shape(tensors, f"{first}.const", 3)[1:]),
        image_channels=_shape(tensors, f"{last}.torgb.weight", 4)[0],
        num_classes=classes,
        mapping_layers=layers,
        mapping_lr=mapping_lr,
        use_noise=f"{first}.conv1.noise_strength" in tensors,
        conv_clamp=clamp,
        architecture=_architecture(tensors, names),
        half_blocks=attributes.half_blocks(),
        mapping_width=None if layers < 2 or width == w_dim else width,
        embed_width=None if embed in (0, w_dim) else embed,
    )
    ours = {}
    for key, tensor in tensors.items():
        part, _, rest = key.partition(".")
        block, _, inner = rest.partition(".")
        if key.endswith("resample_filter"):
            _check_filter(key, tensor)
        elif part == "mapping":
            ours[key] = tensor
        elif part == "synthesis" and block in names:
            # Some programs save a single number as a row of one number.
            tensor = tensor.reshape(()) if inner.endswith("noise_strength") and tensor.numel() == 1 else tensor
            ours[f"synthesis.blocks.{names.index(block)}.{inner}"] = tensor
    return Network("stylegan2", config, ours, f"StyleGAN2 {'pickle' if generator else 'state dict'} (PyTorch)")


def _shape(tensors: Mapping[str, torch.Tensor], key: str, dimensions: int) -> tuple[int, ...]:
    tensor = tensors.get(key)
    if tensor is None:
        raise ValueError(f"{key} is missing")
    if tensor.ndim != dimensions:
        raise ValueError(f"{key} has the shape {tuple(tensor.shape)}")
    return tuple(tensor.shape)


def _architecture(tensors: Mapping[str, torch.Tensor], names: list[str]) -> str:
    if any(f"synthesis.{name}.skip.weight" in tensors for name in names):
        return "resnet"
    return "skip" if all(f"synthesis.{name}.torgb.weight" in tensors for name in names) else "orig"


def _check_filter(key: str, tensor: torch.Tensor) -> None:
    row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    known = torch.outer(row, row)
    if tensor.shape != known.shape or not torch.allclose(tensor.float(), known, atol=1e-4):
        raise ValueError(f"{key} is another filter than [1, 3, 3, 1]")


class _Attributes:
    """What the modules tell and the tensors do not. Without modules, the usual values."""

    def __init__(self, generator: Inert | None, names: list[str]) -> None:
        self.generator = generator
        self.names = names

    def of(self, path: str, name: str, default: Any) -> Any:
        module = None if self.generator is None else submodule(self.generator, path)
        value = default if module is None else module.get(name, default)
        if isinstance(value, np.ndarray | torch.Tensor) and value.ndim == 0:
            return value.item()
        return value.item() if isinstance(value, np.generic) else value

    def number(self, path: str, name: str, default: float) -> float:
        value = self.of(path, name, default)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(f"{path} has {name} {str(value)[:40]!r}, which is no number")
        return float(value)

    def mapping_lr(self) -> float:
        if self.of("mapping.fc0", "activation", "lrelu") != "lrelu":
            raise ValueError("its mapping network has another activation than lrelu")
        return self.number("mapping.fc0", "bias_gain", 0.01)

    def clamp(self) -> float | None:
        """Return the limit to which all layers clamp features, or None. Raises ValueError if the layers differ."""
        found = set()
        for name in self.names:
            for layer in ("conv0", "conv1"):
                path = f"synthesis.{name}.{layer}"
                if self.generator is not None and submodule(self.generator, path) is None:
                    continue
                if self.of(path, "activation", "lrelu") != "lrelu":
                    raise ValueError(f"{path} has another activation than lrelu")
                limited = self.of(path, "conv_clamp", None if self.generator else CLAMP) is not None
                found.add(self.number(path, "conv_clamp", CLAMP) if limited else None)
        if len(found) > 1:
            raise ValueError("its layers are clamped to different ranges")
        return found.pop()

    def half_blocks(self) -> int:
        """Return how many of the last blocks were in half precision."""
        if self.generator is None:
            return HALF_BLOCKS
        count = 0
        for name in reversed(self.names):
            if not self.of(f"synthesis.{name}", "use_fp16", False):
                break
            count += 1
        return count
