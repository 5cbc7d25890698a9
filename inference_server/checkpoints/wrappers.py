"""The networks that a value may hold, free of what wraps them: one place for all readers.

Trainers put a network into dicts under many names, put words before the names of its tensors, and split its weights
into parts (spectral and weight normalisation). ``candidates`` yields the value as it is, and then everything in it that
may be a generator, cleaned, the averaged weights first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch

WRAPPERS = ("module.", "_orig_mod.", "_forward_module.", "_fsdp_wrapped_module.")
"""Words before the names of all tensors: DistributedDataParallel, torch.compile, Lightning's strategies."""
AVERAGED = (
    "g_ema",
    "gema",
    "generator_ema",
    "ema_generator",
    "netg_ema",
    "ema_model",
    "params_ema",
    "ema",
    "g_running",
)
"""Names of averaged generators; they make better pictures, so they come first. Lower case, without underscores too."""
GENERATORS = ("g", "gs", "netg", "gen", "generator", "decoder", "params", "state_dict", "model", "model_state_dict")
GENERATORS += ("net", "network", "weights", "module", "g_state_dict", "generator_state_dict", "netg_state_dict")
OTHERS = re.compile(
    r"(net)?d(isc(riminator)?)?(_.*)?|d_.*|.*disc(riminator)?.*|.*optim.*|opt.*|.*sched.*|.*encoder.*|lpips.*|vgg.*|"
    r".*percept.*|augment.*|online_model"
)
"""Names of what is no generator."""
MOST, DEPTH = 200, 4
_NORMED = re.compile(r"(.*?)(parametrizations\.weight\.(?:original[01]?|0\._[uv])|weight_(?:orig|u|v|g))$")


def candidates(value: Any) -> Iterator[Any]:
    """Yield the value as it is, then what it may hold: state dicts and modules, each once, the best first."""
    yield value
    yield from islice(_inside(value, 0), MOST)


def _inside(value: Any, depth: int) -> Iterator[Any]:
    if not isinstance(value, dict) or depth > DEPTH:
        return
    tensors = _tensors(value)
    if tensors:
        cleaned = without_norms(without_wrappers(tensors))
        if cleaned.keys() != tensors.keys() and _is_one(cleaned):
            yield _with_average(cleaned, value)
        for part in _parts(cleaned):
            yield _with_average(part, value)
            yield from _inside_part(part, depth, value)
    names = [name for name in value if isinstance(name, str) and not isinstance(value[name], torch.Tensor)]
    for name in sorted(names[:MOST], key=likelihood):
        if likelihood(name) < 3 and not isinstance(value[name], str | int | float | bool | None | list | tuple):
            yield value[name]
            yield from _inside(value[name], depth + 1)


def _inside_part(part: dict[str, torch.Tensor], depth: int, whole: dict[Any, Any]) -> Iterator[Any]:
    """Yield what is in a part whose names begin with a further word."""
    if depth < DEPTH:
        for inner in _parts(part):
            yield _with_average(inner, whole)
            yield from _inside_part(inner, depth + 1, whole)


def likelihood(name: str) -> int:
    """Return how likely a name is that of a generator: 0 averaged, 1 a generator, 2 unknown, 3 something else."""
    plain = name.lower()
    if plain in AVERAGED or plain.replace("_", "") in AVERAGED or (plain.endswith("_ema") and plain[0] != "d"):
        return 0
    if plain in GENERATORS:
        return 1
    return 3 if OTHERS.fullmatch(plain) else 2


def _parts(tensors: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    """Return the groups of tensors whose names begin with the same word, without this word, the best group first."""
    groups: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        first, _, rest = name.partition(".")
        if rest:
            groups.setdefault(first, {})[rest] = tensor
    ranked = sorted((name for name in groups if likelihood(name) < 3), key=likelihood)
    return [groups[name] for name in ranked if likelihood(name) < 2 or len(groups) == 1]


def _tensors(value: dict[Any, Any]) -> dict[str, torch.Tensor]:
    return {
        name: tensor for name, tensor in value.items() if isinstance(name, str) and isinstance(tensor, torch.Tensor)
    }


def _is_one(tensors: dict[str, torch.Tensor]) -> bool:
    """Return whether the tensors may be one network: none is named like a discriminator's or an optimiser's."""
    return not any(likelihood(name.partition(".")[0]) == 3 for name in tensors)


def _with_average(tensors: dict[str, torch.Tensor], whole: dict[Any, Any]) -> dict[str, torch.Tensor]:
    """Keep the average w that encoders and rosinality's code store next to the network."""
    average = whole.get("latent_avg")
    return {**tensors, "latent_avg": average} if isinstance(average, torch.Tensor) else tensors


def without_wrappers(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors without the words of wrappers in their names, at the beginning and further in."""
    cleaned = {}
    for name, tensor in tensors.items():
        for word in WRAPPERS:
            while name.startswith(word):
                name = name[len(word) :]
            name = name.replace(f".{word}", ".")
        cleaned[name] = tensor
    cleaned.pop("n_averaged", None)  # of torch.optim.swa_utils.AveragedModel
    return cleaned


def without_norms(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors with the weights of spectral and weight normalisation put together.

    Spectral normalisation (1802.05957, section 2.1; ``torch.nn.utils.spectral_norm`` and its parametrization): the
    weight divided by u^T W v. Weight normalisation (1602.07868, section 2): g v / |v|. Both as in evaluation.
    """
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if match := _NORMED.fullmatch(name):
            parts.setdefault(match[1], {})[match[2].rpartition(".")[2].removeprefix("weight")] = tensor
    made = {module: weight for module, own in parts.items() if (weight := _weight(own)) is not None}
    cleaned: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        match = _NORMED.fullmatch(name)
        if match is None or match[1] not in made:
            cleaned[name] = tensor
        else:
            cleaned[f"{match[1]}weight"] = made[match[1]]
    return cleaned


def _weight(own: dict[str, torch.Tensor]) -> torch.Tensor | None:
    """Return the weight of its parts, None if they are not those of a known normalisation."""
    if {"_g", "_v"} <= own.keys() or {"original0", "original1"} <= own.keys():
        size, way = (own["_g"], own["_v"]) if "_g" in own else (own["original0"], own["original1"])
        size, way = size.float(), way.float()
        if size.ndim != way.ndim or size.ndim < 2:
            return None
        axes = [axis for axis in range(way.ndim) if size.shape[axis] == 1]
        return size * way / way.pow(2).sum(dim=axes, keepdim=True).sqrt() if axes else None
    whole = own.get("_orig", own.get("original"))
    u, v = own.get("_u"), own.get("_v")
    if whole is None or u is None or u.ndim != 1 or whole.ndim < 2:
        return None
    whole, u = whole.float(), u.float()
    best: tuple[float, torch.Tensor] | None = None
    for axis in (0, 1):  # the outputs: the first axis, of transposed convolutions the second
        if whole.shape[axis] != len(u):
            continue
        matrix = whole.movedim(axis, 0).flatten(1)
        right = v.float() if v is not None and len(v) == matrix.shape[1] else matrix.t() @ u
        right = right / right.norm().clamp_min(1e-12)
        product = matrix @ right
        # u and v belong to the largest singular value. On the wrong axis they do not fit each other.
        fit = float(torch.dot(product, u) / product.norm().clamp_min(1e-12))
        if best is None or fit > best[0]:
            best = (fit, whole / torch.dot(u, product))
    return None if best is None else best[1]
