"""StyleGAN2 as a generator of the server.

Any picture size that is a power of two times the constant's size, square or not; any number of channels per block.
Truncation is that of 1812.04948, appendix B.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .base import Generator, GeneratorInfo
from .stylegan2_config import HALF_BLOCKS, StyleGAN2Config
from .stylegan2_inference import Prepared
from .stylegan2_layers import Mapping, Synthesis


class StyleGAN2(Generator):
    """StyleGAN2 as a generator of the server; ``mapping`` and ``synthesis`` are the networks that are trained.

    Args:
        config: shapes and arithmetic.
        name, licence, training: for ``info``.
    """

    def __init__(self, config: StyleGAN2Config, name: str = "StyleGAN2", licence: str = "", training: str = "") -> None:
        super().__init__()
        self.config = config
        self.mapping = Mapping(config)
        self.synthesis = Synthesis(config)
        height, width = config.size
        self.info = GeneratorInfo(
            kind="stylegan2",
            name=name,
            z_dim=config.z_dim,
            w_dim=config.w_dim,
            num_ws=config.num_ws,
            width=width,
            height=height,
            channels=config.image_channels,
            num_classes=config.num_classes,
            spaces=("z", "w"),
            has_noise=config.use_noise,
            licence=licence,
            training=training,
        )
        self._precision: torch.dtype | None = None
        self._prepared: tuple[tuple, Prepared] | None = None
        self._seeded: tuple[int, torch.device, list[torch.Tensor]] | None = None

    def set_precision(self, dtype: torch.dtype | None) -> None:
        self._precision = dtype

    def map(self, z: torch.Tensor, classes: torch.Tensor | None = None) -> torch.Tensor:
        if z.ndim != 2 or z.shape[1] != self.config.z_dim:
            raise ValueError(f"z must have shape (n, {self.config.z_dim}), not {tuple(z.shape)}")
        if (classes is not None) != bool(self.config.num_classes):
            raise ValueError("classes are needed exactly when the generator is conditional")
        if classes is not None and classes.shape != (len(z), self.config.num_classes):
            raise ValueError(f"classes must have shape (n, {self.config.num_classes}), not {tuple(classes.shape)}")
        z = z.to(self.device, torch.float32)
        return self.mapping(z, None if classes is None else classes.to(self.device, torch.float32))

    def broadcast(self, w: torch.Tensor) -> torch.Tensor:
        return w if w.ndim == 3 else w.unsqueeze(1).expand(-1, self.config.num_ws, -1)

    def truncate(
        self, ws: torch.Tensor, psi: float | torch.Tensor, cutoff: int | None, classes: torch.Tensor | None = None
    ) -> torch.Tensor:
        weights = torch.as_tensor(psi, dtype=torch.float32, device=ws.device).reshape(-1, 1, 1)
        cut = torch.lerp(self.mapping.w_avg.to(ws.device), ws, weights)
        return cut if cutoff is None else torch.cat([cut[:, :cutoff], ws[:, cutoff:]], dim=1)

    def synthesize(self, ws: torch.Tensor, noise: str | int, transform: torch.Tensor | None = None) -> torch.Tensor:
        if ws.ndim != 3 or ws.shape[1:] != (self.config.num_ws, self.config.w_dim):
            expected = f"(n, {self.config.num_ws}, {self.config.w_dim})"
            raise ValueError(f"ws must have shape {expected}, not {tuple(ws.shape)}")
        ws, maps, dtypes = ws.to(self.device, torch.float32), self._noise_maps(noise), self._dtypes()
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
        """Changes whenever a weight is written to in place, as training and averaging do."""
        return sum(0 if weight.is_inference() else weight._version for weight in self.synthesis.parameters())

    def _apply(self, *arguments: Any, **named: Any) -> StyleGAN2:
        self.weights_changed()
        return super()._apply(*arguments, **named)

    def load_state_dict(self, *arguments: Any, **named: Any) -> Any:
        """See ``torch.nn.Module``."""
        self.weights_changed()
        return super().load_state_dict(*arguments, **named)

    def _dtypes(self) -> tuple[torch.dtype, ...]:
        """What each block computes in."""
        blocks, half, dtype = len(self.config.channels), self.config.half_blocks, self._precision
        if dtype is None:
            trained = self.config.conv_clamp is not None and half > 0
            dtype = torch.float16 if trained and self.device.type == "cuda" else torch.float32
        return tuple(dtype if index >= blocks - (half or HALF_BLOCKS) else torch.float32 for index in range(blocks))

    def _noise_maps(self, noise: str | int) -> list[torch.Tensor] | None:
        if not (noise in ("const", "none") or (isinstance(noise, int) and not isinstance(noise, bool))):
            raise ValueError(f"noise must be 'const', 'none' or a whole number, not {noise!r}")
        if noise == "none" or not self.config.use_noise:
            return None
        if isinstance(noise, str):
            return [layer.noise_const for layer in self.synthesis.layers]
        seed = noise % 2**32
        if self._seeded is None or self._seeded[:2] != (seed, self.device):
            random = np.random.RandomState(seed)
            maps = [random.randn(*layer.size).astype(np.float32) for layer in self.synthesis.layers]
            self._seeded = (seed, self.device, [torch.from_numpy(values).to(self.device) for values in maps])
        return self._seeded[2]
