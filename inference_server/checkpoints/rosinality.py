"""Read rosinality's StyleGAN2 for PyTorch, also inside the encoders of pSp and e4e: state dicts with their own names.

``convert_weight.py`` writes {"g_ema", "latent_avg"}. ``train.py`` writes {"g", "g_ema", "args", ...} without an average
w. Encoders write {"state_dict", "latent_avg"}, and their names of the generator's tensors begin with "decoder.".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch

from ..generators.stylegan2_config import StyleGAN2Config
from ..generators.stylegan2_layers import Mapping as MappingNetwork
from .errors import CheckpointError
from .network import Network
from .unsaid import Unsaid

NETWORKS = ("g_ema", "state_dict", "g", "generator", "latent_decoder")
PREFIXES = ("", "decoder.", "module.", "generator.", "g_ema.", "module.decoder.")
SIGN = "conv1.conv.modulation.weight"
AVERAGED = 10_000
"""The number of w that are averaged if the file has no average."""
MAPPING_LR = 0.01


def recognises(value: Any) -> bool:
    """Return whether the value is, or holds, a generator with rosinality's names."""
    return _find(value) is not None


def convert(value: Any, file_name: str, unsaid: Unsaid | None = None) -> Network:
    """Return the network of the generator; the averaged one if the file has it.

    Raises:
        CheckpointError: something is missing or makes no sense.
    """
    found = _find(value)
    try:
        if found is None:
            raise ValueError("it holds no generator of rosinality's layout")
        average = value.get("latent_avg")
        return _convert(found, average if isinstance(average, torch.Tensor) else None, unsaid or Unsaid())
    except (ValueError, TypeError, OverflowError) as error:
        raise CheckpointError(
            f"{file_name} looks like a StyleGAN2 of rosinality's code, but cannot be converted: {error}."
        ) from error


def _find(value: Any) -> dict[str, torch.Tensor] | None:
    if not isinstance(value, dict):
        return None
    for candidate in (*(value[key] for key in NETWORKS if key in value), value):
        if not isinstance(candidate, dict):
            continue
        for prefix in PREFIXES:
            if prefix + SIGN in candidate and f"{prefix}input.input" in candidate:
                return {
                    key.removeprefix(prefix): tensor
                    for key, tensor in candidate.items()
                    if isinstance(key, str) and key.startswith(prefix) and isinstance(tensor, torch.Tensor)
                }
    return None


class _Source:
    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.tensors = tensors

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def get(self, name: str, dimensions: int) -> torch.Tensor:
        tensor = self.tensors.get(name)
        if tensor is None or not tensor.is_floating_point():
            raise ValueError(f"{name} is missing")
        if tensor.ndim != dimensions or not tensor.numel():
            raise ValueError(f"{name} has the shape {tuple(tensor.shape)}")
        return tensor

    def only(self, name: str, dimensions: int) -> torch.Tensor:
        """Return a tensor without its first dimension, whose size must be 1."""
        tensor = self.get(name, dimensions)
        if len(tensor) != 1:
            raise ValueError(f"{name} has the shape {tuple(tensor.shape)}")
        return tensor[0]


def _convert(tensors: dict[str, torch.Tensor], average: torch.Tensor | None, unsaid: Unsaid) -> Network:
    source = _Source(tensors)
    ours: dict[str, torch.Tensor] = {}
    layers = 0
    while f"style.{layers + 1}.weight" in source and layers <= 64:
        for part, dimensions in (("weight", 2), ("bias", 1)):
            ours[f"mapping.fc{layers}.{part}"] = source.get(f"style.{layers + 1}.{part}", dimensions)
        layers += 1
    if not layers:
        raise ValueError("its mapping network is missing")
    ours["synthesis.blocks.0.const"] = source.only("input.input", 4)
    _layer(source, ours, "conv1", "synthesis.blocks.0.conv1")
    _colours(source, ours, "to_rgb1", "synthesis.blocks.0.torgb")
    blocks = 1
    while f"convs.{2 * blocks - 2}.conv.weight" in source and blocks < 12:
        for part in (0, 1):
            _layer(source, ours, f"convs.{2 * blocks - 2 + part}", f"synthesis.blocks.{blocks}.conv{part}")
        _check_filter(source, f"convs.{2 * blocks - 2}.conv.blur.kernel")
        _check_filter(source, f"to_rgbs.{blocks - 1}.upsample.kernel")
        _colours(source, ours, f"to_rgbs.{blocks - 1}", f"synthesis.blocks.{blocks}.torgb")
        blocks += 1
    first, last = ours["mapping.fc0.weight"], ours[f"mapping.fc{layers - 1}.weight"]
    config = StyleGAN2Config(
        z_dim=first.shape[1],
        w_dim=last.shape[0],
        channels=tuple(len(ours[f"synthesis.blocks.{index}.conv1.bias"]) for index in range(blocks)),
        base_size=cast(tuple[int, int], tuple(ours["synthesis.blocks.0.const"].shape[1:])),
        image_channels=len(ours["synthesis.blocks.0.torgb.bias"]),
        mapping_layers=layers,
        mapping_lr=unsaid.number("mapping_lr", MAPPING_LR, 1e-6, 10),
        mapping_width=None if layers < 2 or len(first) == len(last) else len(first),
    )
    _noise(source, ours, config)
    ours["mapping.w_avg"] = _average(config, ours) if average is None else _one_row(average)
    return Network("stylegan2", config, ours, "rosinality's StyleGAN2 (PyTorch)")


def _layer(source: _Source, ours: dict[str, torch.Tensor], theirs: str, name: str) -> None:
    ours[f"{name}.weight"] = source.only(f"{theirs}.conv.weight", 5)
    ours[f"{name}.affine.weight"] = source.get(f"{theirs}.conv.modulation.weight", 2)
    ours[f"{name}.affine.bias"] = source.get(f"{theirs}.conv.modulation.bias", 1)
    ours[f"{name}.bias"] = source.get(f"{theirs}.activate.bias", 1)
    ours[f"{name}.noise_strength"] = source.only(f"{theirs}.noise.weight", 1)


def _colours(source: _Source, ours: dict[str, torch.Tensor], theirs: str, name: str) -> None:
    ours[f"{name}.weight"] = source.only(f"{theirs}.conv.weight", 5)
    ours[f"{name}.affine.weight"] = source.get(f"{theirs}.conv.modulation.weight", 2)
    ours[f"{name}.affine.bias"] = source.get(f"{theirs}.conv.modulation.bias", 1)
    ours[f"{name}.bias"] = source.get(f"{theirs}.bias", 4).flatten()


def _check_filter(source: _Source, name: str) -> None:
    if name not in source:
        return
    row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    known, kernel = torch.outer(row, row), source.get(name, 2).float()
    if kernel.shape != known.shape or not torch.allclose(kernel, known, atol=1e-3):
        raise ValueError(f"{name} is another filter than [1, 3, 3, 1]")


def _noise(source: _Source, ours: dict[str, torch.Tensor], config: StyleGAN2Config) -> None:
    """Add the stored noise maps to ``ours``. If there are none of the right size, fixed random maps are made."""
    random = np.random.RandomState(0)
    for index in range(2 * len(config.channels) - 1):
        block = (index + 1) // 2
        size = (config.base_size[0] << block, config.base_size[1] << block)
        name = f"synthesis.blocks.{block}.conv{1 if index == 0 else (index + 1) % 2}.noise_const"
        stored = source.only(f"noises.noise_{index}", 4)[0] if f"noises.noise_{index}" in source else None
        # Rectangular forks leave square maps that they never use: they draw new noise for every picture.
        if stored is not None and (tuple(stored.shape) == size or size[0] == size[1]):
            ours[name] = stored
        else:
            ours[name] = torch.from_numpy(random.randn(*size).astype(np.float32))


def _one_row(average: torch.Tensor) -> torch.Tensor:
    """Return the average w as one row; encoders store it once for each layer."""
    return average.float().reshape(-1, average.shape[-1]).mean(dim=0) if average.ndim > 1 else average


@torch.no_grad()
def _average(config: StyleGAN2Config, ours: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the mean w of a fixed set of z."""
    with torch.device("meta"):
        mapping = MappingNetwork(config)
    state = {key.removeprefix("mapping."): value.float() for key, value in ours.items() if key.startswith("mapping.")}
    try:
        mapping.load_state_dict({**state, "w_avg": torch.zeros(config.w_dim)}, assign=True)
        z = np.random.RandomState(0).randn(AVERAGED, config.z_dim).astype(np.float32)
        return torch.cat([mapping(part, None) for part in torch.from_numpy(z).split(1000)]).mean(dim=0)
    except RuntimeError as error:
        raise ValueError("the layers of its mapping network do not fit together") from error
