"""Read StyleGAN3 and StyleGAN-XL as their own projects save them, and state dicts with the same names.

A pickle of these projects holds modules, whose attributes tell what every layer does. A state dict holds only tensors;
the sizes are in the layers' names, and what neither names nor shapes tell is assumed to be as in the published code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..generators.stylegan3_config import MAX_LAYERS, LayerConfig, StyleGAN3Config
from .errors import CheckpointError
from .inert import Inert, is_module, named_tensors, state_dict, submodule
from .network import Network
from .unsaid import Unsaid

NETWORKS = ("G_ema", "g_ema", "G", "g", "generator", "state_dict")
"""The keys under which files hold generators, the best first."""
LAYER_NAME = re.compile(r"synthesis\.(L(\d{1,3})_(\d{1,5})_(\d{1,5}))\.weight")
TAPS_PER_STEP = 6
MARGIN = 10
"""Of the published networks: filter taps per sample at the lower rate, and pixels around the picture."""


def recognises(value: Any) -> bool:
    """Return whether the value is, or holds, a generator of StyleGAN3's layout."""
    return _find(value) is not None


def convert(value: Any, file_name: str, unsaid: Unsaid | None = None) -> Network:
    """Return the network of the generator; the averaged one if the file has it.

    Raises:
        CheckpointError: something is missing or makes no sense.
    """
    found = _find(value)
    try:
        if found is None:
            raise ValueError("it holds no generator of StyleGAN3")
        if isinstance(found, Inert):
            return _from_module(found)
        return _from_tensors(found, unsaid or Unsaid())
    except (ValueError, TypeError, OverflowError) as error:
        raise CheckpointError(
            f"{file_name} looks like a StyleGAN3, but cannot be converted: {error}. "
            "If it was saved by another program than StyleGAN3 or StyleGAN-XL, open the file that it was made from."
        ) from error


def _find(value: Any) -> Inert | dict[str, torch.Tensor] | None:
    candidates = [value]
    if isinstance(value, dict):
        candidates += [value[key] for key in NETWORKS if key in value]
    for candidate in candidates:
        if is_module(candidate):
            if _tensor(candidate, "synthesis.input", "freqs") is not None:
                return candidate
        elif isinstance(candidate, dict) and isinstance(candidate.get("synthesis.input.freqs"), torch.Tensor):
            return named_tensors(candidate)
    return None


def _tensor(module: Inert, path: str, name: str) -> torch.Tensor | None:
    child = submodule(module, path)
    for group in ("_parameters", "_buffers"):
        named = child.get(group) if child is not None else None
        if isinstance(named, dict) and isinstance(named.get(name), torch.Tensor):
            return named[name]
    return None


def _from_module(generator: Inert) -> Network:
    tensors = state_dict(generator)
    synthesis = _child(generator, "synthesis")
    names = synthesis.get("layer_names")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError("its layers have no names")
    if len(names) > MAX_LAYERS:
        raise ValueError(f"it has {len(names)} layers; the limit is {MAX_LAYERS}")
    layers = tuple(_layer(_child(synthesis, name), f"synthesis.{name}", tensors) for name in names)
    features, mapping = _child(synthesis, "input"), _child(generator, "mapping")
    first = submodule(generator, "mapping.fc0")
    return _network(
        tensors,
        names,
        layers,
        form="pickle",
        num_classes=_whole("c_dim", mapping.get("c_dim")),
        mapping_layers=_whole("num_layers", mapping.get("num_layers")),
        input_size=_pair("size", features.get("size")),
        input_rate=_number("sampling_rate", features.get("sampling_rate")),
        input_bandwidth=_number("bandwidth", features.get("bandwidth")),
        mapping_lr=_number("bias_gain", first.get("bias_gain", 0.01) if first is not None else 0.01),
        output_scale=_number("output_scale", synthesis.get("output_scale", 0.25)),
    )


def _layer(layer: Inert, path: str, tensors: Mapping[str, torch.Tensor]) -> LayerConfig:
    clamp = layer.get("conv_clamp", 256)
    padding = _plain(layer.get("padding"))
    if not isinstance(padding, list) or len(padding) != 4:
        raise ValueError(f"{path} does not say its padding")
    return LayerConfig(
        in_size=_pair("in_size", layer.get("in_size")),
        out_size=_pair("out_size", layer.get("out_size")),
        up=_whole("up_factor", layer.get("up_factor")),
        down=_whole("down_factor", layer.get("down_factor")),
        padding=tuple(_whole("padding", value) for value in padding),  # type: ignore[arg-type]
        clamp=None if clamp is None else _number("conv_clamp", clamp),
        half=_plain(layer.get("use_fp16")) is True,
        is_colour=_plain(layer.get("is_torgb")) is True,
        **_shapes(path, tensors),
    )


def _from_tensors(tensors: Mapping[str, torch.Tensor], unsaid: Unsaid) -> Network:
    named = sorted((int(match[2]), match[1], int(match[3])) for match in map(LAYER_NAME.fullmatch, tensors) if match)
    stem = next((place for place, (index, _, _) in enumerate(named) if index != place), len(named))
    numbers = [*range(stem), *range(stem + 1, len(named) + 1)]
    if [index for index, _, _ in named] != numbers or not 1 <= len(named) <= MAX_LAYERS:
        raise ValueError("its layers are not numbered as they should be")
    if stem < len(named) and not _is_stem(tensors, stem, [size for _, _, size in named]):
        raise ValueError(f"its layer {stem} is missing")
    names = [name for _, name, _ in named]
    size = input_size = named[0][2]
    picture = named[-1][2]
    # The last layer of StyleGAN-XL's stem works at the size of the pictures that the stem alone has made.
    stem_picture = picture if stem == len(named) else named[stem - 1][2] - 2 * MARGIN
    layers = []
    clamp = unsaid.number_or_none("conv_clamp", 256.0, 1, 60000)
    for place, (_, name, out) in enumerate(named):
        shapes = _shapes(f"synthesis.{name}", tensors)
        is_colour = place == len(named) - 1
        for direction in ("up", "down"):
            taps = shapes[f"{direction}_taps"]
            if is_colour:
                shapes[direction] = 1
            elif taps % TAPS_PER_STEP or taps < 2 * TAPS_PER_STEP:
                raise ValueError(f"synthesis.{name} has filters of {taps} taps, from which nothing can be concluded")
            else:
                shapes[direction] = taps // TAPS_PER_STEP
        # The filters are symmetric around the centre of the picture.
        up, down = shapes["up"], shapes["down"]
        total = (out - 1) * down + 1 - (size + shapes["kernel"] - 1) * up + shapes["up_taps"] + shapes["down_taps"] - 2
        before = (total + up) // 2
        pads = (0, 0, 0, 0) if is_colour else (before, total - before) * 2
        rate = min(out - 2 * MARGIN, picture) if place < len(named) - 2 else picture
        half = rate * 16 > (picture if place >= stem else stem_picture)
        layers.append(
            LayerConfig(
                in_size=(size, size),
                out_size=(out, out),
                padding=pads,
                is_colour=is_colour,
                half=half,
                clamp=clamp,
                **shapes,
            )
        )
        size = out
    return _network(
        tensors,
        names,
        tuple(layers),
        form="state dict",
        num_classes=None,
        mapping_layers=sum(re.fullmatch(r"mapping\.fc\d+\.weight", key) is not None for key in tensors),
        input_size=(input_size, input_size),
        input_rate=float(input_size - 2 * MARGIN),
        input_bandwidth=unsaid.number("first_cutoff", 2.0, 0.1, 1024),
        mapping_lr=unsaid.number("mapping_lr", 0.01, 1e-6, 10),
        output_scale=unsaid.number("output_scale", 0.25, 1e-6, 1000),
    )


def _is_stem(tensors: Mapping[str, torch.Tensor], count: int, sizes: list[int]) -> bool:
    """Return whether the first `count` layers are the stem of a StyleGAN-XL that makes larger pictures.

    It has new layers on a smaller network, the stem, and leaves out a number between the two. sizes: of all layers.
    """
    if count < 1 or any(key.startswith(f"synthesis.L{count}_") for key in tensors):
        return False
    return sizes[count] == sizes[count - 1] and sizes[-1] in [
        (sizes[count - 1] - 2 * MARGIN) * by for by in (2, 4, 8, 16)
    ]


def _shapes(path: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Return what the shapes of a layer's tensors tell about the layer."""
    weight = tensors.get(f"{path}.weight")
    if weight is None or weight.ndim != 4:
        raise ValueError(f"{path} has no weights")
    up, down = tensors.get(f"{path}.up_filter"), tensors.get(f"{path}.down_filter")
    return {
        "in_channels": weight.shape[1],
        "out_channels": weight.shape[0],
        "kernel": weight.shape[2],
        "up_taps": 1 if up is None or up.ndim == 0 else up.shape[0],
        "down_taps": 1 if down is None or down.ndim == 0 else down.shape[0],
        "radial": down is not None and down.ndim == 2,
    }


def _network(
    tensors: Mapping[str, torch.Tensor],
    names: list[str],
    layers: tuple[LayerConfig, ...],
    form: str,
    num_classes: int | None,
    **rest: Any,
) -> Network:
    """Return the network, with what both kinds of files have in common.

    num_classes: None if the tensors must tell it. rest: the other fields of the configuration.
    """
    average, table = tensors.get("mapping.w_avg"), tensors.get("mapping.embed.weight")
    first, features = tensors.get("mapping.fc0.weight"), tensors.get("synthesis.input.weight")
    if first is None or average is None or features is None or 0 in (first.ndim, average.ndim, features.ndim):
        raise ValueError("its mapping network is missing")
    is_xl = "mapping.embed_proj.weight" in tensors or (table is not None and "mapping.embed.bias" not in tensors)
    has_classes = "mapping.embed_proj.weight" in tensors if is_xl else table is not None
    width, w_dim, embedding = first.shape[-1], average.shape[-1], 0
    if has_classes:
        if table is None or table.ndim != 2:
            raise ValueError("its class embeddings are missing")
        if is_xl:
            # Half of the mapping network's input is z, the other half is the embedded class.
            width, embedding = width // 2, table.shape[1]
            known = average.shape[0] if average.ndim == 2 else table.shape[0]
        else:
            width, known = width - table.shape[0], table.shape[1]
        num_classes = known if num_classes is None else num_classes
        if is_xl and num_classes > table.shape[0]:
            raise ValueError(f"it has {num_classes} classes, but embeddings of {table.shape[0]} only")
    config = StyleGAN3Config(
        z_dim=width,
        w_dim=w_dim,
        input_channels=features.shape[0],
        layers=layers,
        num_classes=num_classes or 0,
        embedding=embedding,
        class_averages=average.ndim == 2,
        **rest,
    )

    ours: dict[str, torch.Tensor] = {"mapping.w_avg": average}
    for key, tensor in tensors.items():
        start, _, end = key.rpartition(".")
        if re.fullmatch(r"mapping\.fc\d+", start) or start in ("synthesis.input", "synthesis.input.affine"):
            ours[key] = tensor
        elif embedding and start == "mapping.embed_proj":
            ours[f"mapping.embed.{end}"] = tensor
        elif has_classes and not embedding and start == "mapping.embed":
            ours[key] = tensor
    if embedding and table is not None:
        ours["mapping.embedding"] = table[:num_classes]
    for index, (name, layer) in enumerate(zip(names, layers, strict=True)):
        for key in ("weight", "bias", "magnitude_ema", "affine.weight", "affine.bias", *layer.filters):
            if f"synthesis.{name}.{key}" in tensors:
                ours[f"synthesis.layers.{index}.{key}"] = tensors[f"synthesis.{name}.{key}"]
    return Network("stylegan3", config, ours, f"{'StyleGAN-XL' if is_xl else 'StyleGAN3'} {form} (PyTorch)")


def _child(module: Inert, path: str) -> Inert:
    child = submodule(module, path)
    if child is None:
        raise ValueError(f"{path} is missing")
    return child


def _plain(value: Any) -> Any:
    """Return numpy numbers and small arrays as Python numbers and lists; tuples become lists, too."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.size <= 4):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def _number(name: str, value: Any) -> float:
    value = _plain(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"{name} must be a number, not {str(value)[:40]!r}")
    return float(value)


def _whole(name: str, value: Any) -> int:
    number = _number(name, value)
    if number != int(number):
        raise ValueError(f"{name} must be a whole number, not {number}")
    return int(number)


def _pair(name: str, value: Any) -> tuple[int, int]:
    value = _plain(value)
    values = value if isinstance(value, list) else [value, value]
    if len(values) != 2:
        raise ValueError(f"{name} must be width and height")
    return _whole(name, values[0]), _whole(name, values[1])
