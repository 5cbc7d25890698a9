"""The step of NVlabs/stylegan2-ada-pytorch for training.py: its networks, loss and phases, with our configuration.

Everything that computes is imported from the checkout; only the order and the intervals of its phases are here. Its
own loop cannot be called for this: it needs CUDA, and its step is not a function that can be called alone.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from inference_server.datasets.reading import Dataset
from inference_server.training.settings import Settings, network_channels


@dataclass(frozen=True)
class Phase:
    """One phase of the original's step, with the optimiser of its network; it comes every ``interval`` steps."""

    name: str
    network: torch.nn.Module
    adam: torch.optim.Adam
    interval: int


def networks(settings: Settings, dataset: Dataset, checkout: str) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Return the original's generator and discriminator, in float32, with the sizes of our networks."""
    sys.path.insert(0, str(Path(checkout).resolve()))
    from training.networks import Discriminator, Generator

    (side, _), widths = dataset.size, network_channels(settings, dataset.size)
    # Its widths are a number divided by the side, up to a limit, as ours are.
    width = {"channel_base": widths[-1] * side, "channel_max": widths[0]}
    common = {"c_dim": 0, "img_resolution": side, "img_channels": dataset.channels}
    generator = Generator(
        z_dim=settings.z_dim,
        w_dim=settings.w_dim,
        mapping_kwargs={"num_layers": settings.mapping_layers, "lr_multiplier": settings.mapping_lr},
        synthesis_kwargs={**width, "conv_clamp": 256, "use_noise": settings.use_noise},
        **common,
    )
    return generator, Discriminator(**common, **width, epilogue_kwargs={"mbstd_group_size": 4})


def original(settings: Settings, dataset: Dataset, device: torch.device, checkout: str) -> Callable[[int], None]:
    """Return the original's step on ready pictures, without its augmentation."""
    g, d = (network.train().requires_grad_(False).to(device) for network in networks(settings, dataset, checkout))
    from torch_utils.ops import conv2d_gradfix
    from training.loss import StyleGAN2Loss

    conv2d_gradfix.enabled = device.type == "cuda"
    average = copy.deepcopy(g).eval()
    loss = StyleGAN2Loss(
        device,
        g.mapping,
        g.synthesis,
        d,
        style_mixing_prob=settings.style_mixing,
        r1_gamma=settings.gamma,
        pl_weight=settings.path_weight,
    )
    adams = [torch.optim.Adam(one.parameters(), lr=settings.lr, betas=(0.0, 0.99), eps=1e-8) for one in (g, d)]
    phases = [Phase("Gmain", g, adams[0], 1), Phase("Dmain", d, adams[1], 1)]
    if settings.path_weight:
        phases.insert(1, Phase("Greg", g, adams[0], settings.path_interval))
    phases.append(Phase("Dreg", d, adams[1], settings.r1_interval))
    batch = settings.batch
    reals = torch.randn(batch, dataset.channels, *dataset.size, device=device).clamp(-1, 1)
    classes = torch.zeros(batch, 0, device=device)
    share = 1 - 0.5 ** (batch / settings.ema)

    def step(number: int) -> None:
        for phase in phases:
            if number % phase.interval:
                continue
            phase.adam.zero_grad(set_to_none=True)
            phase.network.requires_grad_(True)
            z = torch.randn(batch, settings.z_dim, device=device)
            loss.accumulate_gradients(phase.name, reals, classes, z, classes, sync=True, gain=phase.interval)
            phase.network.requires_grad_(False)
            for value in phase.network.parameters():
                if value.grad is not None:
                    torch.nan_to_num(value.grad, nan=0.0, posinf=1e5, neginf=-1e5, out=value.grad)
            phase.adam.step()
        with torch.no_grad():
            for own, value in zip(average.parameters(), g.parameters(), strict=True):
                own.lerp_(value, share)

    return step
