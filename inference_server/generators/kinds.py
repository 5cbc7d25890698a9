"""The kinds of generators there are: how each is configured, and how its network is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from .base import Generator
from .dcgan import DCGAN, DCGANConfig
from .dcgan import state_shapes as dcgan_shapes
from .stylegan1 import StyleGAN1, StyleGAN1Config
from .stylegan1 import state_shapes as stylegan1_shapes
from .stylegan2 import StyleGAN2
from .stylegan2_config import StyleGAN2Config
from .stylegan2_config import state_shapes as stylegan2_shapes
from .stylegan3 import StyleGAN3, StyleGAN3Config
from .stylegan3 import state_shapes as stylegan3_shapes


class Config(Protocol):
    """What decides a network's shapes and arithmetic: a frozen dataclass that checks itself when it is made."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``from_dict`` takes them back."""
        ...

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """From JSON values of any origin; raises ValueError naming the value that cannot be."""
        ...


@dataclass(frozen=True)
class Kind:
    """One kind of generator.

    shapes: name and shape of every tensor of the network's state, without making it. network: makes it from
    (config, name, licence, training), with weights that mean nothing yet.
    """

    config: type[Config]
    shapes: Callable[[Any], dict[str, tuple[int, ...]]]
    network: Callable[[Any, str, str, str], Generator]


KINDS: Mapping[str, Kind] = {
    "dcgan": Kind(DCGANConfig, dcgan_shapes, DCGAN),
    "stylegan1": Kind(StyleGAN1Config, stylegan1_shapes, StyleGAN1),
    "stylegan2": Kind(StyleGAN2Config, stylegan2_shapes, StyleGAN2),
    "stylegan3": Kind(StyleGAN3Config, stylegan3_shapes, StyleGAN3),
}
"""By ``GeneratorInfo.kind``."""


def build(kind: str, config: Any, tensors: Mapping[str, torch.Tensor], about: Mapping[str, str]) -> Generator:
    """Make a generator of given weights, on the CPU, ready for use.

    Args:
        kind: a key of KINDS. config: its configuration.
        tensors: by the names of ``shapes(config)``, of those shapes; any floating dtype, taken over as float32.
        about: ``name``, ``licence``, ``training``, ``origin``, each optional.

    Raises:
        ValueError: naming a tensor that is missing, unknown, or of the wrong shape or kind.
    """
    expected = KINDS[kind].shapes(config)
    for key in sorted(expected.keys() ^ tensors.keys()):
        raise ValueError(f"{key} is missing" if key in expected else f"there is a tensor {key} that has no place")
    for key, shape in expected.items():
        found = tensors[key]
        if tuple(found.shape) != shape or not found.is_floating_point():
            raise ValueError(f"{key} is {found.dtype} of shape {tuple(found.shape)}, not numbers of shape {shape}")
    with torch.device("meta"):
        generator = KINDS[kind].network(
            config, about.get("name", ""), about.get("licence", ""), about.get("training", "")
        )
    own = {key: value.detach().to("cpu", torch.float32).contiguous() for key, value in tensors.items()}
    generator.load_state_dict(own, assign=True)
    generator.set_origin(about.get("origin", ""))
    return generator.eval().requires_grad_(False)
