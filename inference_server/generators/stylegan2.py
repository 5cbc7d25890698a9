"""StyleGAN2 as a generator of the server.

The picture size can be any power of two times the constant's size, square or not. Blocks can have any number of
channels.
"""

from __future__ import annotations

from typing import Any

import torch

from .stylegan import StyleGAN
from .stylegan2_config import HALF_BLOCKS, StyleGAN2Config
from .stylegan2_inference import Prepared
from .stylegan2_layers import Mapping, Synthesis


class StyleGAN2(StyleGAN):
    """StyleGAN2 as a generator of the server; ``mapping`` and ``synthesis`` are the networks that are trained.

    Args:
        config: the network's shapes and arithmetic.
        name, licence, training: for ``info``.
    """

    def __init__(self, config: StyleGAN2Config, name: str = "StyleGAN2", licence: str = "", training: str = "") -> None:
        super().__init__()
        self.config = config
        self.mapping = Mapping(config)
        self.synthesis = Synthesis(config)
        self.info = self.describe("stylegan2", (name, licence, training), has_noise=config.use_noise)
        self._precision: torch.dtype | None = None
        self._prepared: tuple[tuple, Prepared] | None = None

    def set_precision(self, dtype: torch.dtype | None) -> None:
        self._precision = dtype

    def synthesize(self, ws: torch.Tensor, noise: str | int, transform: torch.Tensor | None = None) -> torch.Tensor:
        ws, dtypes = self.checked(ws, noise), self._dtypes()
        maps = self.noise_maps(self.synthesis.layers, noise)
        if torch.compiler.is_compiling() or (torch.is_grad_enabled() and self._is_trained(ws)):
            return self.synthesis(ws, maps, dtypes)
        with torch.no_grad():
            versions = self._versions()
            if self._prepared is None or self._prepared[0] != (dtypes, versions):
                self._prepared = (dtypes, versions), Prepared(self.synthesis, dtypes)
            return self._prepared[1](ws, maps)

    def weights_changed(self) -> None:
        """See ``Generator``."""
        self._prepared = None

    def _is_trained(self, ws: torch.Tensor) -> bool:
        return ws.requires_grad or any(parameter.requires_grad for parameter in self.synthesis.parameters())

    def _versions(self) -> int:
        """Return a number that changes when a weight is written in place, as training and averaging do."""
        return sum(0 if weight.is_inference() else weight._version for weight in self.synthesis.parameters())

    def _apply(self, *arguments: Any, **named: Any) -> StyleGAN2:
        self.weights_changed()
        return super()._apply(*arguments, **named)

    def load_state_dict(self, *arguments: Any, **named: Any) -> Any:
        """See ``torch.nn.Module``."""
        self.weights_changed()
        return super().load_state_dict(*arguments, **named)

    def _dtypes(self) -> tuple[torch.dtype, ...]:
        """Return the dtype that each block computes in."""
        blocks, half, dtype = len(self.config.channels), self.config.half_blocks, self._precision
        if dtype is None:
            trained = self.config.conv_clamp is not None and half > 0
            dtype = torch.float16 if trained and self.device.type == "cuda" else torch.float32
        return tuple(dtype if index >= blocks - (half or HALF_BLOCKS) else torch.float32 for index in range(blocks))
