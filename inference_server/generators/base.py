"""What every generator offers: z to w, w to W+, truncation, and W+ to pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class GeneratorInfo:
    """What the add-on shows of a generator, and needs to know of it."""

    kind: str
    """The family of networks, for example ``"stylegan2"``."""
    name: str
    """For people: from the file's metadata, or the file's stem."""
    z_dim: int
    w_dim: int
    num_ws: int
    """Rows of the W+ matrix."""
    width: int
    height: int
    channels: int
    """Channels of the image: 1, 3 or 4."""
    num_classes: int
    """0 for an unconditional generator."""
    spaces: tuple[str, ...]
    """Spaces a latent may be given in: ``"z"`` and, where there is a mapping network, ``"w"``."""
    has_noise: bool
    licence: str = ""
    training: str = ""
    """One line about how it was trained."""

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return {**asdict(self), "spaces": list(self.spaces)}


class Generator(torch.nn.Module, ABC):
    """A generator network. Every picture of a batch is computed from its own latent alone."""

    info: GeneratorInfo

    @abstractmethod
    def map(self, z: torch.Tensor, classes: torch.Tensor | None = None) -> torch.Tensor:
        """Map z to w, without truncation.

        Args:
            z: float32 (n, z_dim), normally standard normal.
            classes: float32 (n, num_classes), one-hot or any blend of classes; required by a conditional generator.

        Returns:
            float32 (n, w_dim).

        Raises:
            ValueError: a shape is wrong, or classes are missing or given to an unconditional generator.
        """

    @abstractmethod
    def broadcast(self, w: torch.Tensor) -> torch.Tensor:
        """Repeat w (n, w_dim) for every layer: (n, num_ws, w_dim). A 3-D tensor is W+ already and is returned."""

    @abstractmethod
    def truncate(self, ws: torch.Tensor, psi: float | torch.Tensor, cutoff: int | None) -> torch.Tensor:
        """Pull W+ towards the average w: avg + psi (w - avg).

        Args:
            ws: float32 (n, num_ws, w_dim).
            psi: one number, or a tensor (n,) with one per picture.
            cutoff: rows of W+ that are truncated, from the first on; None is all of them.
        """

    @abstractmethod
    def synthesize(self, ws: torch.Tensor, noise: str | int) -> torch.Tensor:
        """Make pictures.

        Args:
            ws: float32 (n, num_ws, w_dim), truncated where wanted.
            noise: ``"const"`` for the maps stored with the weights, ``"none"``, or a seed: then each noisy layer in
                turn takes ``randn(h, w)`` of one ``numpy.random.RandomState(seed)``, the same for every picture, so
                that neither batch nor device decides it.

        Returns:
            float32 (n, channels, height, width), black at -1 and white at 1, not yet clamped.

        Raises:
            ValueError: ``ws`` has the wrong shape, or ``noise`` is neither of the two words nor a whole number.
        """


def best_device() -> torch.device:
    """The fastest device there is: CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")
