"""The kinds of generators: how each is configured, and how its network is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from .base import Generator
from .dcgan import DCGAN, DCGANConfig
from .dcgan import state_shapes as dcgan_shapes
from .glu import GLUConfig, GLUGenerator
from .glu import state_shapes as glu_shapes
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
        """Return plain JSON values; ``from_dict`` reads them."""
        ...

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """Return a configuration from JSON values, which may come from any file and are checked.

        Raises ValueError that names the value if a value is impossible.
        """
        ...


@dataclass(frozen=True)
class Kind:
    """One kind of generator.

    shapes: returns the name and shape of every tensor of the network's state, without making the network.
    network: makes the network from (config, name, licence, training); its weights mean nothing yet.
    """

    config: type[Config]
    shapes: Callable[[Any], dict[str, tuple[int, ...]]]
    network: Callable[[Any, str, str, str], Generator]


KINDS: Mapping[str, Kind] = {
    "dcgan": Kind(DCGANConfig, dcgan_shapes, DCGAN),
    "glu": Kind(GLUConfig, glu_shapes, GLUGenerator),
    "stylegan1": Kind(StyleGAN1Config, stylegan1_shapes, StyleGAN1),
    "stylegan2": Kind(StyleGAN2Config, stylegan2_shapes, StyleGAN2),
    "stylegan3": Kind(StyleGAN3Config, stylegan3_shapes, StyleGAN3),
}
"""Every kind; the keys are the values of ``GeneratorInfo.kind``."""


def build(kind: str, config: Any, tensors: Mapping[str, torch.Tensor], about: Mapping[str, str]) -> Generator:
    """Make a generator from given weights, on the CPU, ready for use.

    Args:
        kind: a key of KINDS.
        config: a configuration of that kind.
        tensors: the weights; names and shapes are those of ``shapes(config)``. Any floating dtype is converted to
            float32.
        about: ``name``, ``licence``, ``training``, ``origin``, ``assumed``, each optional.

    Raises:
        ValueError: if a tensor is missing, unknown, or of the wrong shape or dtype; names it.
    """
    expected = KINDS[kind].shapes(config)
    for key in sorted(expected.keys() ^ tensors.keys()):
        raise ValueError(f"{key} is missing" if key in expected else f"there is an unknown tensor {key}")
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
    generator.set_origin(about.get("origin", ""), about.get("assumed", ""))
    return generator.eval().requires_grad_(False)
