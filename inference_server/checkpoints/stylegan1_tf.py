"""Convert StyleGAN's pickles (TensorFlow): the variables of the averaged generator, for ``generators.stylegan1``.

``dnnlib.tflib`` writes them, in versions 2 to 4 of its networks. The variables decide what the layers are, not the
version. Settings that the variables do not show (``static_kwargs``) are applied, or the file is refused.
"""

from __future__ import annotations

from math import isfinite, sqrt
from typing import Any, cast

import numpy as np
import torch
from torch.nn import functional as F

from ..generators.stylegan1 import StyleGAN1Config
from .errors import CheckpointError
from .network import Network
from .tensorflow import find_generator, settings, variables
from .unsaid import Unsaid

ORIGIN = "StyleGAN pickle (TensorFlow)"
FUSED_FROM = 128
"""With the setting "auto", the original fuses upsampling with the convolution from this picture size on."""
MOST_BLOCKS = 12
"""Up to 8192 x 8192."""
MOST_LOD = 16.0
"""The most sizes that a network may still have to grow; more than any real network."""
_SLOPES = {"lrelu": 0.2, "relu": 0.0}
_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "structure": ("auto", "linear", "recursive", "fixed"),
    "nonlinearity": ("lrelu", "relu"),
    "mapping_nonlinearity": ("lrelu", "relu"),
    "fused_scale": ("auto", True, False),
    "use_wscale": (True, False),
    "normalize_latents": (True, False),
    "use_instance_norm": (True, False),
    "use_pixel_norm": (False, True),
    "use_styles": (True,),
    "const_input_layer": (True,),
}
"""Settings that change the arithmetic, with the values that are known here; the original's default first."""


def recognises(value: Any) -> bool:
    """Return whether this is a StyleGAN pickle: its generator has adaptive instance normalisation after a constant."""
    network = find_generator(value)
    return network is not None and "4x4/Const/StyleMod/weight" in variables(network, "synthesis")


def convert(value: Any, file_name: str, unsaid: Unsaid | None = None) -> Network:
    """Return the network of the averaged generator in a StyleGAN pickle.

    Raises:
        CheckpointError: the file has settings or variables that are not known.
    """
    try:
        return _convert(value)
    except ValueError as error:
        raise CheckpointError(f"{file_name} is a StyleGAN that cannot be read: {error}.") from error


def _convert(value: Any) -> Network:
    network = find_generator(value)
    if network is None:
        raise ValueError("there is no generator in it")
    synthesis = _Variables(variables(network, "synthesis"), settings(network, "synthesis"))
    mapping = _Variables(variables(network, "mapping"), settings(network, "mapping"))
    own = _Variables(variables(network, ""), settings(network, ""))
    tensors, z_dim, widths = _mapping(mapping)
    tensors["mapping.w_avg"] = own.tensor("dlatent_avg", 1)
    progressive = _can_grow(synthesis)
    blocks = _blocks(synthesis, progressive)
    if progressive:
        # The original copies the lod of the whole generator into the synthesis network for every picture.
        tensors["synthesis.lod"] = torch.tensor(own.lod(synthesis.lod(0.0)), dtype=torch.float32)
    config = StyleGAN1Config(
        z_dim=z_dim,
        mapping=widths,
        channels=tuple(len(block["conv1.bias"]) for block in blocks),
        base_size=cast(tuple[int, int], tuple(blocks[0]["const"].shape[1:])),
        image_channels=len(blocks[-1]["torgb.bias"]),
        num_classes=mapping.tensor("LabelConcat/weight", 2).shape[0] if "LabelConcat/weight" in mapping else 0,
        blur=synthesis.blur(),
        slope=_SLOPES[synthesis.setting("nonlinearity")],
        mapping_slope=_SLOPES[mapping.setting("mapping_nonlinearity")],
        progressive=progressive,
        normalize_z=mapping.setting("normalize_latents"),
        use_noise="noise0" in synthesis,
        instance_norm=synthesis.setting("use_instance_norm"),
        pixel_norm=synthesis.setting("use_pixel_norm"),
    )
    for index, block in enumerate(blocks):
        tensors.update({f"synthesis.blocks.{index}.{name}": tensor for name, tensor in block.items()})
    return Network("stylegan1", config, tensors, ORIGIN)


class _Variables:
    """The variables and settings of one network."""

    def __init__(self, found: dict[str, np.ndarray[Any, Any]], given: dict[str, Any]) -> None:
        self.found = found
        self.given = given

    def __contains__(self, name: str) -> bool:
        return name in self.found

    def tensor(self, name: str, dimensions: int) -> torch.Tensor:
        """Return a variable as float32. Raises ValueError if it is missing or has another number of dimensions."""
        value = self.found.get(name)
        if not isinstance(value, np.ndarray | np.generic) or value.dtype.kind != "f":
            raise ValueError(f"the variable {name} is missing")
        if value.ndim != dimensions:
            raise ValueError(f"the variable {name} has the shape {value.shape}")
        return torch.from_numpy(np.array(value, dtype=np.float32))

    def lod(self, default: float) -> float:
        """Return how many sizes training has not reached yet."""
        value = float(self.tensor("lod", 0)) if "lod" in self else default
        if not 0 <= value <= MOST_LOD:
            raise ValueError(f"the variable lod is {value}, not a number from 0 to {MOST_LOD:g}")
        return value

    def setting(self, name: str) -> Any:
        """Return a setting of ``_DEFAULTS``. Raises ValueError if its value is not known here."""
        value = self.given.get(name, _DEFAULTS[name][0])
        for known in _DEFAULTS[name]:
            if type(value) is type(known) and value == known:
                return known
        raise ValueError(f"its setting {name} is {str(value)[:60]!r}, which is not known here")

    def blur(self) -> tuple[float, ...]:
        """Return the taps of the filter after upsampling; their sum is one."""
        taps = self.given.get("blur_filter", [1, 2, 1])
        if taps is None or taps is False or (isinstance(taps, list) and not taps):
            return (1.0,)
        numbers = isinstance(taps, list | tuple) and all(type(tap) in (int, float) and isfinite(tap) for tap in taps)
        if not numbers or not sum(taps):
            raise ValueError(f"its setting blur_filter is {str(taps)[:60]}, which is not known here")
        return tuple(tap / sum(taps) for tap in taps)

    def weight(self, name: str, dimensions: int, gain: float = sqrt(2), lr: float = 1.0) -> torch.Tensor:
        """Return a weight with its run-time scale applied. Its last dimension is outputs, the others are inputs."""
        weight = self.tensor(name, dimensions)
        inputs = max(weight[..., 0].numel(), 1) if weight.numel() else 1
        return weight * (gain / sqrt(inputs) * lr if self.setting("use_wscale") else lr)


def _mapping(source: _Variables) -> tuple[dict[str, torch.Tensor], int, tuple[int, ...]]:
    """Return the tensors of the mapping network, the size of z, and the number of outputs of each layer."""
    lr = source.given.get("mapping_lrmul", 0.01)
    if type(lr) not in (int, float) or not 0 < lr <= 1000:
        raise ValueError(f"its setting mapping_lrmul is {str(lr)[:60]}")
    tensors, widths, z_dim = {}, [], 0
    while f"Dense{len(widths)}/weight" in source:
        index = len(widths)
        weight = source.weight(f"Dense{index}/weight", 2, lr=lr)
        tensors[f"mapping.fc{index}.weight"] = weight.t()
        tensors[f"mapping.fc{index}.bias"] = source.tensor(f"Dense{index}/bias", 1) * lr
        z_dim = z_dim or weight.shape[0]
        widths.append(weight.shape[1])
    if "LabelConcat/weight" in source:
        embedding = source.tensor("LabelConcat/weight", 2)
        tensors["mapping.embed.weight"] = embedding.t()
        z_dim = embedding.shape[1]
    return tensors, z_dim, tuple(widths)


def _blocks(source: _Variables, progressive: bool) -> list[dict[str, torch.Tensor]]:
    """Return the tensors of each size, by their names in a block."""
    for name in ("use_styles", "const_input_layer"):
        source.setting(name)
    blocks = []
    const = source.tensor("4x4/Const/const", 4)
    if len(const) != 1:
        raise ValueError(f"the variable 4x4/Const/const has the shape {tuple(const.shape)}")
    while len(blocks) < MOST_BLOCKS:
        size = 4 << len(blocks)
        if blocks and f"{size}x{size}/Conv0_up/weight" not in source:
            break
        names = ("Conv0_up", "Conv1") if blocks else ("Const", "Conv")
        block = {} if blocks else {"const": const[0]}
        for part, name in enumerate(names):
            variable, ours = f"{size}x{size}/{name}", f"conv{part}"
            block[f"{ours}.bias"] = source.tensor(f"{variable}/bias", 1)
            styles = source.tensor(f"{variable}/StyleMod/bias", 1)
            styles[: len(styles) // 2] += 1  # the styles' scales are relative to one
            block[f"{ours}.affine.bias"] = styles
            block[f"{ours}.affine.weight"] = source.weight(f"{variable}/StyleMod/weight", 2, gain=1.0).t()
            if "noise0" in source:
                block[f"{ours}.noise_strength"] = source.tensor(f"{variable}/Noise/weight", 1)
                block[f"{ours}.noise_const"] = _flat(source.tensor(f"noise{2 * len(blocks) + part}", 4))
            if name != "Const":
                weight = source.weight(f"{variable}/weight", 4)
                block[f"{ours}.weight"] = (
                    _upsampling(weight, _is_fused(source, size)) if name == "Conv0_up" else weight.permute(3, 2, 0, 1)
                )
        blocks.append(block)
    for lod, block in enumerate(reversed(blocks) if progressive else blocks[-1:]):
        block["torgb.weight"] = source.weight(f"ToRGB_lod{lod}/weight", 4, gain=1.0).permute(3, 2, 0, 1)
        block["torgb.bias"] = source.tensor(f"ToRGB_lod{lod}/bias", 1)
    return blocks


def _can_grow(source: _Variables) -> bool:
    """Return whether sizes smaller than the last have a ToRGB layer that is used."""
    stored = any(f"ToRGB_lod{lod}/weight" in source for lod in range(1, MOST_BLOCKS))
    return stored and source.setting("structure") != "fixed"


def _flat(noise: torch.Tensor) -> torch.Tensor:
    if noise.shape[:2] != (1, 1):
        raise ValueError(f"a noise map has the shape {tuple(noise.shape)}")
    return noise[0, 0]


def _is_fused(source: _Variables, size: int) -> bool:
    fused = source.setting("fused_scale")
    return size >= FUSED_FROM if fused == "auto" else bool(fused)


def _upsampling(weight: torch.Tensor, fused: bool) -> torch.Tensor:
    """Turn kernels (3, 3, i, o) of a convolution after upsampling into (i, o, 4, 4) of one transposed convolution.

    Upsampling repeats every pixel, which is a transposed convolution with 2 x 2 ones. Combined with the convolution,
    its kernel is the sum of the 3 x 3 kernel over 2 x 2. A transposed convolution applies its kernel turned by 180
    degrees, compared with a convolution, so the kernel is flipped. The original's fused layer did not flip it, so
    networks that were trained with that layer need the kernel as it is.
    """
    kernel = weight.permute(2, 3, 0, 1)
    if not fused:
        kernel = kernel.flip(2, 3)
    padded = F.pad(kernel, (1, 1, 1, 1))
    return padded[:, :, 1:, 1:] + padded[:, :, :-1, 1:] + padded[:, :, 1:, :-1] + padded[:, :, :-1, :-1]
