"""The two networks of a training, and how they make pictures while they learn."""

from __future__ import annotations

import random as chance
from typing import TYPE_CHECKING, Any

import torch

from ..generators.dcgan import DCGAN, BatchNorm, DCGANConfig
from ..generators.glu import GLUConfig, GLUGenerator, StyledNorm
from ..generators.stylegan2 import StyleGAN2
from ..generators.stylegan2_config import StyleGAN2Config
from ..terminal.jobs import JobError
from .discriminator import Discriminator
from .settings import Settings, doublings, network_channels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..generators.base import Generator

AVERAGED = 8192
"""Number of latents whose w are averaged for truncation."""
COUNTED = 1024
"""Number of latents whose features give batch normalisation its statistics."""


def make_generator(
    config: StyleGAN2Config | DCGANConfig | GLUConfig, name: str = "", licence: str = ""
) -> StyleGAN2 | DCGAN | GLUGenerator:
    """Return a generator with random weights, on the CPU."""
    if isinstance(config, StyleGAN2Config):
        return StyleGAN2(config, name or "StyleGAN2", licence)
    if isinstance(config, GLUConfig):
        return GLUGenerator(config, name or "GLU", licence)
    return DCGAN(config, name or "DCGAN", licence)


def make_discriminator(settings: Settings, size: tuple[int, int], channels: int) -> Discriminator:
    """Return a discriminator with random weights, for pictures of a size (height, width).

    Raises JobError if the settings have channels for another number of blocks.
    """
    count = doublings(size)
    widths = settings.d_channels or network_channels(settings, size)
    if len(widths) != count + 1:
        raise JobError(f"The discriminator needs channels for {count + 1} blocks, not {len(widths)}.")
    return Discriminator(channels, widths, (size[0] >> count, size[1] >> count))


def make_room(generator: Generator, discriminator: Discriminator, level: int) -> None:
    """Make the blocks above ``level`` add nothing to pictures and scores, until they are trained."""
    with torch.no_grad():
        if isinstance(generator, StyleGAN2):
            for block in list(generator.synthesis.blocks)[level + 1 :]:
                if block.torgb is not None:
                    block.torgb.weight.zero_()
                    block.torgb.bias.zero_()
        if isinstance(generator, GLUGenerator):
            for colours in list(generator.colours)[level + 1 :]:
                colours.weight.zero_()
                colours.bias.zero_()
    blocks: list[Any] = list(discriminator.blocks)
    for block in blocks[level:]:
        block.add_nothing()


def training_latents(generator: Generator, z: torch.Tensor, mixing: float, random: torch.Generator) -> torch.Tensor:
    """Return W+ (n, num_ws, w_dim) of z (n, z_dim).

    With the probability ``mixing``, a W+ is made from two z (1812.04948, section 3.1).
    """
    ws = generator.broadcast(generator.map(z))
    if mixing and ws.shape[1] > 1:
        n, rows, _ = ws.shape
        other = torch.randn(z.shape, generator=random, device=z.device)
        cut = torch.randint(1, rows, (n, 1), generator=random, device=z.device)
        cut = torch.where(torch.rand(n, 1, generator=random, device=z.device) < mixing, cut, rows)
        first = torch.arange(rows, device=z.device)[None] < cut
        ws = torch.where(first[..., None], ws, generator.broadcast(generator.map(other)))
    return ws


def training_pictures(
    generator: Generator, ws: torch.Tensor, level: int, dtype: torch.dtype, random: torch.Generator
) -> torch.Tensor:
    """Return pictures float32 (n, c, h, w) of the size of a level, with random noise; gradients flow to all weights."""
    if isinstance(generator, DCGAN):
        generator.use_batch_statistics(True)
        generator.set_precision(dtype)
        return generator.synthesize(ws, "none")
    if isinstance(generator, GLUGenerator):
        generator.use_batch_statistics(True)
        generator.set_precision(dtype)
        return generator.pictures(ws, level)
    assert isinstance(generator, StyleGAN2)
    n, noise = len(ws), None
    if generator.config.use_noise:
        layers = [layer for block in list(generator.synthesis.blocks)[: level + 1] for layer in block.layers]
        noise = [torch.randn(n, 1, *layer.size, generator=random, device=ws.device) for layer in layers]
    return generator.synthesis(ws, noise, [dtype] * (level + 1))


@torch.no_grad()
def finish(average: Generator, seed: int) -> None:
    """Give the averaged generator what pictures also need: the mean w, the statistics of features."""
    random = torch.Generator().manual_seed(seed)
    if isinstance(average, StyleGAN2 | GLUGenerator):
        z = torch.randn(AVERAGED, average.config.z_dim, generator=random)
        average.mapping.w_avg.copy_(average.map(z).mean(dim=0))
        average.weights_changed()
    # Layer by layer: each layer's statistics must come from the layers before it, in the form in which they are used.
    if isinstance(average, GLUGenerator):
        average.use_batch_statistics(False)
        average.set_precision(None)
        ws = average.map(torch.randn(COUNTED, average.config.z_dim, generator=random)).split(64)
        _count(average.stem.norm, [average.stem.multiplied(w) for w in ws])
        pieces = [average.stem(w, torch.float32) for w in ws]
        for block in average.blocks:
            _count(block.norm, [block.multiplied(piece) for piece in pieces])
            pieces = [block(piece, w) for piece, w in zip(pieces, ws, strict=True)]
    elif isinstance(average, DCGAN):
        average.use_batch_statistics(False)
        average.set_precision(None)
        x = torch.randn(COUNTED, average.config.z_dim, 1, 1, generator=random).to(average.device)
        pieces = list(x.split(64))
        for step in average.steps:
            if step.norm is not None:
                _count(step.norm, [step.multiplied(piece) for piece in pieces])
            pieces = [step(piece) for piece in pieces]


def _count(norm: BatchNorm | StyledNorm, features: list[torch.Tensor]) -> None:
    """Give a normalisation the mean and variance of features, which come in pieces of the same size."""
    axes = [0, *range(2, features[0].ndim)]
    mean = torch.stack([feature.mean(dim=axes) for feature in features]).mean(dim=0)
    squares = torch.stack([feature.square().mean(dim=axes) for feature in features]).mean(dim=0)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_((squares - mean.square()).clamp_min(0))


def averaged(average: Generator, generator: Generator, share: float) -> None:
    """Move the average ``share`` of the way towards the generator."""
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(generator.parameters()), share)  # pyright: ignore[reportPrivateImportUsage]


def fitting(network: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return those tensors that the network has too, with the same name and shape."""
    own = network.state_dict()
    return {key: value for key, value in tensors.items() if key in own and own[key].shape == value.shape}


def seeded(device: torch.device, *numbers: int) -> torch.Generator:
    """Return a random generator that the numbers decide, so that a step draws the same in a run that was stopped."""
    return torch.Generator(device).manual_seed(chance.Random(repr(numbers)).getrandbits(63))
