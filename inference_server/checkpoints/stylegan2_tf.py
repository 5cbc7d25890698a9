"""Convert StyleGAN2's pickles (TensorFlow), also ADA's: the averaged generator, for ``generators.stylegan2``.

The variables decide which layers there are, not the settings or the version. Settings that change the arithmetic are
applied, or the file is refused. Other settings do not matter as long as every variable has its place.
"""

from __future__ import annotations

import re
from math import sqrt
from typing import Any, cast

import numpy as np
import torch

from ..generators.stylegan2_config import StyleGAN2Config
from .errors import CheckpointError
from .network import Network
from .tensorflow import find_generator, settings, variables
from .unsaid import Unsaid

_KNOWN: dict[str, tuple[Any, ...]] = {
    "nonlinearity": ("lrelu",),
    "mapping_nonlinearity": ("lrelu",),
    "activation": ("lrelu",),
    "mapping_activation": ("lrelu",),
    "normalize_latents": (True,),
    "use_wscale": (True,),
    "resample_kernel": ([1, 3, 3, 1], (1, 3, 3, 1)),
}
"""Settings that change the arithmetic, with the values that are known here."""
_LAYER = re.compile(r"(\d{1,5})x(\d{1,5})/Conv1?/mod_weight")


def recognises(value: Any) -> bool:
    """Return whether this is a StyleGAN2 pickle: the weights of its convolutions are modulated."""
    network = find_generator(value)
    return network is not None and any(map(_LAYER.fullmatch, variables(network, "synthesis")))


def convert(value: Any, file_name: str, unsaid: Unsaid | None = None) -> Network:
    """Return the network of the averaged generator in a StyleGAN2 pickle.

    Raises:
        CheckpointError: the file has settings or variables that are not known.
    """
    try:
        return _convert(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise CheckpointError(f"{file_name} is a StyleGAN2 that cannot be read: {error}.") from error


def _convert(value: Any) -> Network:
    network = find_generator(value)
    if network is None:
        raise ValueError("there is no generator in it")
    given = {**settings(network), **settings(network, "mapping"), **settings(network, "synthesis")}
    for name, known in _KNOWN.items():
        if name in given and not any(given[name] == choice for choice in known):
            raise ValueError(f"its setting {name} is {str(given[name])[:60]!r}, which is not known here")
    synthesis = _Variables(variables(network, "synthesis"))
    mapping = _Variables(variables(network, "mapping"))
    tensors, z_dim, widths, embed = _mapping(mapping)
    tensors["mapping.w_avg"] = _Variables(variables(network)).tensor("dlatent_avg", 1)
    blocks = _blocks(synthesis)
    for index, block in enumerate(blocks):
        tensors.update({f"synthesis.blocks.{index}.{name}": tensor for name, tensor in block.items()})
    for part in (synthesis, mapping):
        for name in part.unused():
            raise ValueError(f"its variable {name} has no place")
    last = blocks[-1]
    if "torgb.bias" not in last:
        raise ValueError("its last block has no step to colour")
    if len(set(widths[:-1])) > 1:
        raise ValueError(f"the layers of its mapping network have the sizes {widths}")
    skips = [("torgb.bias" in block) for block in blocks]
    clamp, half = given.get("conv_clamp"), given.get("num_fp16_res", 0)
    is_ada = network.get("version") == 5 or "num_fp16_res" in given
    config = StyleGAN2Config(
        z_dim=z_dim,
        w_dim=widths[-1],
        channels=tuple(len(block["conv1.bias"]) for block in blocks),
        base_size=cast(tuple[int, int], tuple(blocks[0]["const"].shape[1:])),
        image_channels=len(last["torgb.bias"]),
        num_classes=tensors["mapping.embed.weight"].shape[1] if embed else 0,
        mapping_layers=len(widths),
        mapping_lr=given.get("mapping_lrmul", 0.01),
        use_noise="conv1.noise_strength" in blocks[0],
        conv_clamp=None if clamp is None else float(clamp),
        architecture="resnet" if "skip.weight" in last else "skip" if all(skips) else "orig",
        half_blocks=min(int(half), len(blocks)) if isinstance(half, int | float) and half > 0 else 0,
        mapping_width=None if widths[0] == widths[-1] else widths[0],
        embed_width=None if embed in (0, widths[-1]) else embed,
        joint_normalization="LabelConcat/weight" in mapping.found,
    )
    return Network("stylegan2", config, tensors, f"StyleGAN2{'-ADA' if is_ada else ''} pickle (TensorFlow)")


class _Variables:
    """The variables of one network, and which of them were used."""

    def __init__(self, found: dict[str, np.ndarray[Any, Any]]) -> None:
        self.found = found
        self.asked: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self.found

    def tensor(self, name: str, dimensions: int) -> torch.Tensor:
        """Return a variable as float32. Raises ValueError if it is missing or has another number of dimensions."""
        self.asked.add(name)
        value = self.found.get(name)
        if value is None or value.dtype.kind != "f":
            raise ValueError(f"the variable {name} is missing")
        if value.ndim != dimensions:
            raise ValueError(f"the variable {name} has the shape {value.shape}")
        return torch.from_numpy(np.array(value, dtype=np.float32))

    def unused(self) -> list[str]:
        """Return the names of the unused variables, without ``lod`` and ``dlatent_avg``, the counters of training."""
        return sorted(self.found.keys() - self.asked - {"lod", "dlatent_avg"})


def _mapping(source: _Variables) -> tuple[dict[str, torch.Tensor], int, list[int], int]:
    """Return the tensors of the mapping network, the size of z, and the outputs of its layers and of its embedding."""
    tensors: dict[str, torch.Tensor] = {}
    widths: list[int] = []
    inputs = embed = 0
    while f"Dense{len(widths)}/weight" in source and len(widths) <= 64:
        index = len(widths)
        weight = source.tensor(f"Dense{index}/weight", 2)
        tensors[f"mapping.fc{index}.weight"] = weight.t()
        tensors[f"mapping.fc{index}.bias"] = source.tensor(f"Dense{index}/bias", 1)
        inputs = inputs or weight.shape[0]
        widths.append(weight.shape[1])
    if not widths:
        raise ValueError("its mapping network has no layers")
    if "LabelConcat/weight" in source:
        weight = source.tensor("LabelConcat/weight", 2)
        classes, embed = weight.shape
        # The original uses it unscaled; our network divides by the square root of the number of inputs.
        tensors["mapping.embed.weight"] = weight.t() * sqrt(classes)
        tensors["mapping.embed.bias"] = torch.zeros(embed)
    elif "LabelEmbed/weight" in source:
        weight = source.tensor("LabelEmbed/weight", 2)
        embed = weight.shape[1]
        tensors["mapping.embed.weight"] = weight.t()
        tensors["mapping.embed.bias"] = source.tensor("LabelEmbed/bias", 1)
    return tensors, inputs - embed, widths, embed


def _blocks(source: _Variables) -> list[dict[str, torch.Tensor]]:
    """Return the tensors of each size, by their names in a block."""
    found = [
        (int(match[1]) * int(match[2]), match[0].partition("/")[0])
        for match in map(_LAYER.fullmatch, source.found)
        if match
    ]
    sizes = [name for _, name in sorted(found)]
    blocks: list[dict[str, torch.Tensor]] = []
    for index, size in enumerate(sizes[:12]):
        block: dict[str, torch.Tensor] = {}
        if index == 0:
            const = source.tensor(f"{size}/Const/const", 4)
            if len(const) != 1:
                raise ValueError(f"the variable {size}/Const/const has the shape {tuple(const.shape)}")
            block["const"] = const[0]
            layers = {"conv1": "Conv"}
        else:
            layers = {"conv0": "Conv0_up", "conv1": "Conv1"}
        for ours, theirs in layers.items():
            name = f"{size}/{theirs}"
            weight = source.tensor(f"{name}/weight", 4).permute(3, 2, 0, 1)
            # A transposed convolution applies its kernel turned by 180 degrees, compared with a convolution.
            block[f"{ours}.weight"] = weight.flip(2, 3) if ours == "conv0" else weight
            block.update(_modulated(source, name, ours))
            if f"{name}/noise_strength" in source:
                number = 0 if index == 0 else 2 * index - (ours == "conv0")
                noise = source.tensor(f"noise{number}", 4)
                if noise.shape[:2] != (1, 1):
                    raise ValueError(f"the variable noise{number} has the shape {tuple(noise.shape)}")
                block[f"{ours}.noise_strength"] = source.tensor(f"{name}/noise_strength", 0)
                block[f"{ours}.noise_const"] = noise[0, 0]
        if f"{size}/Skip/weight" in source:
            block["skip.weight"] = source.tensor(f"{size}/Skip/weight", 4).permute(3, 2, 0, 1)
        colour = f"{size}/ToRGB"
        older = f"ToRGB_lod{len(sizes) - 1 - index}"
        if f"{colour}/weight" not in source and f"{older}/weight" in source:
            colour = older
        if f"{colour}/weight" in source:
            block["torgb.weight"] = source.tensor(f"{colour}/weight", 4).permute(3, 2, 0, 1)
            block.update(_modulated(source, colour, "torgb"))
        blocks.append(block)
    return blocks


def _modulated(source: _Variables, name: str, ours: str) -> dict[str, torch.Tensor]:
    return {
        f"{ours}.bias": source.tensor(f"{name}/bias", 1),
        f"{ours}.affine.weight": source.tensor(f"{name}/mod_weight", 2).t(),
        f"{ours}.affine.bias": source.tensor(f"{name}/mod_bias", 1) + 1,  # scales are relative to one
    }
