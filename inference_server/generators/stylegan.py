"""The base class of all StyleGANs: a mapping network, a w for each layer, truncation, noise.

Karras, Laine, Aila: A Style-Based Generator Architecture for Generative Adversarial Networks, 1812.04948 (section 2;
truncation: appendix B).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .base import Generator, GeneratorInfo


class StyleGAN(Generator):
    """A generator with `mapping`, a module that takes z and classes and holds `w_avg`.

    Its `config` has z_dim, w_dim, num_ws and num_classes.
    """

    config: Any
    mapping: Any

    def __init__(self) -> None:
        super().__init__()
        self._seeded: tuple[tuple[int, torch.device, int], list[torch.Tensor]] | None = None

    def describe(self, kind: str, words: tuple[str, str, str], **more: Any) -> GeneratorInfo:
        """Return the description by the configuration. words: name, licence, training. more: further fields."""
        config, (name, licence, training) = self.config, words
        height, width = config.size
        return GeneratorInfo(
            kind=kind,
            name=name,
            z_dim=config.z_dim,
            w_dim=config.w_dim,
            num_ws=config.num_ws,
            width=width,
            height=height,
            channels=config.image_channels,
            num_classes=config.num_classes,
            spaces=("z", "w"),
            licence=licence,
            training=training,
            **more,
        )

    def map(self, z: torch.Tensor, classes: torch.Tensor | None = None) -> torch.Tensor:
        if z.ndim != 2 or z.shape[1] != self.config.z_dim:
            raise ValueError(f"z must have shape (n, {self.config.z_dim}), not {tuple(z.shape)}")
        if (classes is not None) != bool(self.config.num_classes):
            raise ValueError("classes are needed if the generator is conditional, and only then")
        if classes is not None and classes.shape != (len(z), self.config.num_classes):
            raise ValueError(f"classes must have shape (n, {self.config.num_classes}), not {tuple(classes.shape)}")
        z = z.to(self.device, torch.float32)
        return self.mapping(z, None if classes is None else classes.to(self.device, torch.float32))

    def broadcast(self, w: torch.Tensor) -> torch.Tensor:
        return w if w.ndim == 3 else w.unsqueeze(1).expand(-1, self.config.num_ws, -1)

    def average(self, classes: torch.Tensor | None) -> torch.Tensor:
        """Return the w that truncation pulls towards.

        Its shape is (w_dim,), or (n, 1, w_dim) if it depends on the classes (n, num_classes).
        """
        return self.mapping.w_avg

    def truncate(
        self, ws: torch.Tensor, psi: float | torch.Tensor, cutoff: int | None, classes: torch.Tensor | None = None
    ) -> torch.Tensor:
        weights = torch.as_tensor(psi, dtype=torch.float32, device=ws.device).reshape(-1, 1, 1)
        cut = torch.lerp(self.average(classes).to(ws.device), ws, weights)
        return cut if cutoff is None else torch.cat([cut[:, :cutoff], ws[:, cutoff:]], dim=1)

    def checked(self, ws: torch.Tensor, noise: str | int) -> torch.Tensor:
        """Return W+ on the device of the weights. Raises ValueError if ``synthesize`` cannot take it, or `noise`."""
        if ws.ndim != 3 or ws.shape[1:] != (self.config.num_ws, self.config.w_dim):
            expected = f"(n, {self.config.num_ws}, {self.config.w_dim})"
            raise ValueError(f"ws must have shape {expected}, not {tuple(ws.shape)}")
        if not (noise in ("const", "none") or (isinstance(noise, int) and not isinstance(noise, bool))):
            raise ValueError(f"noise must be 'const', 'none' or a whole number, not {noise!r}")
        return ws.to(self.device, torch.float32)

    def noise_maps(self, layers: Sequence[Any], noise: str | int) -> list[torch.Tensor] | None:
        """Return a noise map for each layer, or None for no noise; see ``Generator.synthesize``.

        A map is the layer's own `noise_const`, or a random map of the layer's `size`.
        """
        if noise == "none" or not self.info.has_noise:
            return None
        if isinstance(noise, str):
            return [layer.noise_const for layer in layers]
        key = (noise % 2**32, self.device, len(layers))
        if self._seeded is None or self._seeded[0] != key:
            random = np.random.RandomState(key[0])
            maps = [random.randn(*layer.size).astype(np.float32) for layer in layers]
            self._seeded = (key, [torch.from_numpy(values).to(self.device) for values in maps])
        return self._seeded[1]
