"""What every generator offers: z to w, w to W+, truncation, and W+ to pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
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
    origin: str = ""
    """The format that the weights came in, for people: "StyleGAN2-ADA pickle (PyTorch)". Set by who read them."""
    has_truncation: bool = True
    default_cutoff: int | None = None
    """Rows of W+ that the original truncates when it is not told how many; None is all of them."""
    has_transform: bool = False
    """Whether ``synthesize`` takes a transform: the picture can be moved and turned in the plane."""
    normalises_z: bool = True
    """Whether only the direction of z counts. Where it does not, a straight line between two z passes through pictures
    that are paler than either."""
    canvas_step: int = 0
    """Pixels by which the picture grows with every further column or row of z; 0 when z is always one vector.
    Otherwise z may be (n, z_dim, rows, columns)."""

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return {**asdict(self), "spaces": list(self.spaces)}


class Generator(torch.nn.Module, ABC):
    """A generator network. Every picture of a batch is computed from its own latent alone.

    A generator without a mapping network has W+ of one row: ``map`` returns z, ``broadcast`` gives it that row.
    """

    info: GeneratorInfo
    config: Any
    """The kind's own configuration, see ``kinds.py``."""
    compiles = True
    """Whether torch.compile can make a whole of its passes; where they are many small pieces, tracing never pays."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def set_origin(self, origin: str) -> None:
        """Say what format the weights came in."""
        self.info = replace(self.info, origin=origin)

    def weights_changed(self) -> None:
        """Forget what was computed from the weights: they have other values, or lie elsewhere, from now on."""

    def set_precision(self, dtype: torch.dtype | None) -> None:
        """Choose what the expensive layers compute in; weights stay float32.

        Args:
            dtype: torch.float32, torch.float16 or torch.bfloat16 (the upper layers, as the papers' authors choose
                them), or None: float16 on CUDA where the network was trained for it, else float32.
        """
        raise NotImplementedError

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
    def truncate(
        self,
        ws: torch.Tensor,
        psi: float | torch.Tensor,
        cutoff: int | None,
        classes: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Pull W+ towards the average w: avg + psi (w - avg). Without truncation (``info``), return W+ as it is.

        Args:
            ws: float32 (n, num_ws, w_dim).
            psi: one number, or a tensor (n,) with one per picture.
            cutoff: rows of W+ that are truncated, from the first on; None is all of them.
            classes: as for ``map``; only generators with an average for each class look at them.
        """

    @abstractmethod
    def synthesize(self, ws: torch.Tensor, noise: str | int, transform: torch.Tensor | None = None) -> torch.Tensor:
        """Make pictures.

        Args:
            ws: float32 (n, num_ws, w_dim), truncated where wanted.
            noise: ``"const"`` for the maps stored with the weights, ``"none"``, or a seed: then each noisy layer in
                turn takes ``randn(h, w)`` of one ``numpy.random.RandomState(seed)``, the same for every picture, so
                that neither batch nor device decides it.
            transform: float32 (n, 3, 3), in place of the transform stored with the weights (2106.12423, section 4.2:
                an inverse transform in picture heights, applied to the sampling grid). Others than StyleGAN3 ignore it.

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
