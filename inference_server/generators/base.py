"""The interface of every generator: z to w, w to W+, truncation, and W+ to pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch


@dataclass(frozen=True)
class GeneratorInfo:
    """What the add-on shows about a generator, and needs to know about it."""

    kind: str
    """The family of networks, for example ``"stylegan2"``."""
    name: str
    """The name that people see: from the file's metadata, or the file name without its extension."""
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
    """The spaces that a latent may be given in: ``"z"`` and, if there is a mapping network, ``"w"``."""
    has_noise: bool
    licence: str = ""
    training: str = ""
    """One line about how it was trained."""
    origin: str = ""
    """The format that the weights came in, as people see it: "StyleGAN2-ADA pickle (PyTorch)". The code that reads the
    weights sets it."""
    assumed: str = ""
    """What the file did not say and was taken as usual: "activation=relu, output=tanh". The code that reads the weights
    sets it."""
    has_truncation: bool = True
    default_cutoff: int | None = None
    """How many rows of W+ the original truncates by default; None is all of them."""
    has_transform: bool = False
    """Whether ``synthesize`` takes a transform: the picture can be moved and turned in the plane."""
    normalises_z: bool = True
    """Whether only the direction of z counts. If it is False, a straight line between two z passes through pictures
    that are paler than the pictures at its ends."""
    canvas_step: int = 0
    """Pixels by which the picture grows with every further column or row of z; 0 if z is always one vector.
    If it is not 0, z may be (n, z_dim, rows, columns)."""

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain JSON values."""
        return {**asdict(self), "spaces": list(self.spaces)}


class Generator(torch.nn.Module, ABC):
    """A generator network. Every picture of a batch is computed from its own latent alone.

    In a generator without a mapping network, W+ has one row: ``map`` returns z, and ``broadcast`` makes z that row.
    """

    info: GeneratorInfo
    config: Any
    """The kind's own configuration, see ``kinds.py``."""
    compiles = True
    """Whether torch.compile can compile a pass as a whole. If a pass is many small pieces, tracing costs more time than
    it saves."""

    @property
    def device(self) -> torch.device:
        """Return the device that the weights are on."""
        return next(self.parameters()).device

    def set_origin(self, origin: str, assumed: str = "") -> None:
        """Set ``info.origin``, the format that the weights came in, and ``info.assumed``."""
        self.info = replace(self.info, origin=origin, assumed=assumed)

    def weights_changed(self) -> None:
        """Drop everything that was computed from the weights. Call it after their values or their device changed."""

    def set_precision(self, dtype: torch.dtype | None) -> None:
        """Choose the dtype that the expensive layers compute in; weights stay float32.

        Args:
            dtype: torch.float32, torch.float16 or torch.bfloat16 (for the upper layers, as the papers' authors choose
                them), or None: float16 on CUDA if the network was trained for it, else float32.
        """
        raise NotImplementedError

    @abstractmethod
    def map(self, z: torch.Tensor, classes: torch.Tensor | None = None) -> torch.Tensor:
        """Map z to w, without truncation.

        Args:
            z: float32 (n, z_dim), normally standard normal.
            classes: float32 (n, num_classes), one-hot or any blend of classes; a conditional generator requires it.

        Returns:
            float32 (n, w_dim).

        Raises:
            ValueError: if a shape is wrong, if classes are missing, or if an unconditional generator is given classes.
        """

    @abstractmethod
    def broadcast(self, w: torch.Tensor) -> torch.Tensor:
        """Repeat w (n, w_dim) for every layer: (n, num_ws, w_dim). A 3-D tensor is W+ already, and is returned."""

    @abstractmethod
    def truncate(
        self,
        ws: torch.Tensor,
        psi: float | torch.Tensor,
        cutoff: int | None,
        classes: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Pull W+ towards the average w: avg + psi (w - avg).

        A generator without truncation (``info.has_truncation``) returns W+ as it is.

        Args:
            ws: float32 (n, num_ws, w_dim).
            psi: one number, or a tensor (n,) with one per picture.
            cutoff: how many rows of W+ are truncated, counted from the first; None is all of them.
            classes: as for ``map``; only generators with an average for each class use them.
        """

    @abstractmethod
    def synthesize(self, ws: torch.Tensor, noise: str | int, transform: torch.Tensor | None = None) -> torch.Tensor:
        """Make pictures.

        Args:
            ws: float32 (n, num_ws, w_dim), truncated already if that is wanted.
            noise: ``"const"`` for the maps stored with the weights, ``"none"``, or a seed. With a seed, each layer with
                noise in turn takes ``randn(h, w)`` of one ``numpy.random.RandomState(seed)``. The maps are the same for
                every picture, so they do not depend on the batch or the device.
            transform: float32 (n, 3, 3), replaces the transform stored with the weights (2106.12423, section 4.2:
                an inverse transform in picture heights, applied to the sampling grid). Only StyleGAN3 uses it.

        Returns:
            float32 (n, channels, height, width), black at -1 and white at 1, not yet clamped.

        Raises:
            ValueError: if ``ws`` has the wrong shape, or ``noise`` is not one of the two words or a whole number.
        """


def best_device() -> torch.device:
    """Return the fastest device of this machine: CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")
