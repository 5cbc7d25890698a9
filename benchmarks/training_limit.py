"""Count what a step of training must compute and move, for training.py: weights, multiply-adds, bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from training_original import networks, original
from training_pass import bare

from inference_server.datasets.reading import Dataset
from inference_server.training.networks import make_discriminator, make_generator
from inference_server.training.settings import Settings, network_config


class Counting(TorchDispatchMode):
    """Counts multiply-adds, and the bytes that operations read and write. Views move no bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.multiply_adds = self.bytes = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the operation and count."""
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        if function._overloadpacket in flop_registry:
            self.multiply_adds += flop_registry[function._overloadpacket](*args, **kwargs, out_val=result) // 2
        if not function.is_view:
            found = {id(one): one for one in tree_leaves((args, kwargs, result)) if isinstance(one, torch.Tensor)}
            self.bytes += sum(one.numel() * one.element_size() for one in found.values())
        return result


def count(settings: Settings, dataset: Dataset, checkout: Path | None) -> None:
    """Print weights, and operations and bytes for a picture: a line for our networks, and a line for the original's."""
    device = torch.device("cpu")
    g = make_generator(network_config(settings, dataset.size, dataset.channels))
    ours = (g, make_discriminator(settings, dataset.size, dataset.channels))
    _tell("ours", settings, dataset, ours, bare(settings, dataset, device))
    if checkout and settings.kind == "stylegan2":
        theirs = networks(settings, dataset, str(checkout))
        _tell("original", settings, dataset, theirs, original(settings, dataset, device, str(checkout)))


def _tell(
    who: str, settings: Settings, dataset: Dataset, pair: tuple[torch.nn.Module, ...], step: Callable[[int], None]
) -> None:
    weights = [sum(value.numel() for value in network.parameters()) / 1e6 for network in pair]
    with Counting() as plain:
        step(1)
    with Counting() as regularised:
        step(0)
    batch = settings.batch
    work, moved = (
        (15 * getattr(plain, name) + getattr(regularised, name)) / 16 / batch for name in ("multiply_adds", "bytes")
    )
    print(
        f"{settings.kind:9} {dataset.size[0]:4} {who:9} weights {weights[0]:6.2f} + {weights[1]:6.2f} million; "
        f"a picture {work / 1e9:7.3f} GMAC and {moved / 2**20:7.1f} MiB",
        flush=True,
    )
