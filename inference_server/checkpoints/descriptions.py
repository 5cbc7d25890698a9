"""Describe to the user what a file holds that no reader knows."""

from __future__ import annotations

import re
from itertools import islice, pairwise
from typing import Any

import numpy as np
import torch

from .inert import Inert

READ = (
    "Latent Lantern reads generators of StyleGAN, StyleGAN2 (also ADA's and rosinality's), StyleGAN3 (also XL) "
    "and DCGAN"
)


def describe(value: Any) -> str:
    """Return one or two sentences about the value; the first one continues "<file> "."""
    kind = _known_stranger(value)
    if kind:
        return f"{kind}. {READ}."
    return f"holds {_contents(value)}, and no generator that is known. {READ}."


def _known_stranger(value: Any) -> str | None:
    """Return a description of a value that is recognised but not read, or None."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return f"holds a tensor of shape {tuple(value.shape)} and no network; if it is a latent, import it as one"
    if isinstance(value, Inert) and "iscriminator" in value.name:
        return "holds a discriminator only; the generator is in another file"
    if isinstance(value, (tuple, list)) and any(isinstance(item, Inert) and item.name == "Network" for item in value):
        return "holds networks of TensorFlow that are neither StyleGAN nor StyleGAN2, such as a Progressive GAN"
    if not isinstance(value, dict):
        return None
    keys = {key for key in value if isinstance(key, str)}
    if stranger := _stranger_by_names(value):
        return stranger
    if _is_of_plain_convolutions(value):
        return (
            "looks like a generator of Upsample and Conv2d layers; a state dict does not say where it enlarges. Save "
            "the whole module, torch.save(generator, path), in the program that made it, and choose that"
        )
    if keys >= {"state", "param_groups"}:
        return "holds the state of an optimizer and no network; choose the generator's checkpoint of the same training"
    if "GAN" in keys:
        return "is from lucidrains' stylegan2-pytorch or a project based on it: a different network, which is not read"
    if keys & {"D", "d", "discriminator", "netD"} and not keys & {"G", "G_ema", "g", "g_ema", "generator", "netG"}:
        return "holds a discriminator only; the generator is in another file"
    if any(key.startswith(("final_conv.", "final_linear.")) for key in keys) or "b4.fc.weight" in keys:
        return "holds a discriminator only; the generator is in another file"
    if keys & {"g_running", "generator"}:
        return "is a checkpoint of a training whose generator is not known"
    if any(key.startswith(("model.diffusion_model.", "first_stage_model.", "down_blocks.")) for key in keys):
        return "holds a diffusion model and no GAN"
    if keys & {"shared.weight", "generator.gen_z.weight", "gen_z.weight"}:
        return "is a BigGAN, which is not read"
    if any(isinstance(value.get(key), (torch.Tensor, np.ndarray)) for key in ("w", "z", "latent", "latents")):
        return "holds latents and no network; import it as a latent"
    return None


NAMES = (
    (r"(module\.)?(init\.init\.0|feat_4\.\d|se_64\.main|to_big)\..*", "FastGAN (also called lightweight GAN)"),
    (r".*main\.(init|feat_8|se_64|feat_16)\..*", "Projected GAN's FastGAN"),
    (r"(.*\.)?MainLayers\.\d+\..*|(.*\.)?AggregationLayer\..*", "R3GAN"),
    (
        r"(.*\.)?(layer0|initBlock|formatLayer|scaleLayers|toRGBLayers|progression_\d|rgb_converters)\..*",
        "Progressive GAN",
    ),
    (r"(.*\.)?generator\.layers\.\d+\.(bn_0|conv_0)\..*|embeddings\.weight", "BigGAN of Hugging Face"),
    (r"(.*\.)?(to_rgbs?\.?\d*\.)?(iwt|dwt)\.(ll|lh|hl|hh)", "SWAGAN, StyleGAN2 with wavelets"),
)
"""Names of tensors by which kinds of networks are known that are not read."""


def _stranger_by_names(value: dict[Any, Any]) -> str | None:
    """Return what a dict, or a dict in it, is by the names of its tensors; None if they are not known."""
    held = [value, *(item for item in list(value.values())[:50] if isinstance(item, dict))]
    for names in held:
        texts = [name for name in islice(names, 2000) if isinstance(name, str)]
        for pattern, kind in NAMES:
            if sum(re.fullmatch(pattern, name[:200]) is not None for name in texts) > 0:
                return f"is a {kind}: a different network, which is not read"
    return None


def _is_of_plain_convolutions(value: dict[Any, Any]) -> bool:
    """Return whether a state dict begins with a linear layer and goes on with convolutions that end in a picture."""
    weights = [tensor for key, tensor in value.items() if isinstance(tensor, torch.Tensor) and tensor.ndim in (2, 4)]
    if len(weights) < 3 or weights[0].ndim != 2 or any(weight.ndim != 4 for weight in weights[1:]):
        return False
    fits = all(before.shape[0] == after.shape[1] for before, after in pairwise(weights[1:]))
    return fits and weights[-1].shape[0] in (1, 3, 4)


def _contents(value: Any) -> str:
    if isinstance(value, dict):
        # Never print a whole value: even a small file can hold a value whose text is endless.
        keys = [key[:40] if isinstance(key, str) else type(key).__name__ for key in islice(value, 6)]
        more = len(value) - len(keys)
        return f"a dict of {', '.join(keys) or 'nothing'}" + (f" and {more} more" if more else "")
    if isinstance(value, Inert):
        return f"an object of the class {value.module}.{value.name}"[:120]
    if isinstance(value, (tuple, list)):
        kinds = [item.name[:40] if isinstance(item, Inert) else type(item).__name__ for item in value[:4]]
        return f"{len(value)} objects ({', '.join(kinds)})"
    return f"a {type(value).__name__}"
