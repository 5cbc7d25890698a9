"""A frame is named by what made it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from ...inference_server.protocol import PIXEL_REVISION, FrameOrder, ShadowOrder, ShadowSettings

_DIGITS = 40
"""Hexadecimal digits of SHA-256 in a file name: 160 bits, as Git's names."""


@dataclass(frozen=True, slots=True)
class GeneratorFacts:
    """What a plan needs to know of a generator, as the server describes it.

    sha256: of the checkpoint file, hexadecimal. z_dim, w_dim: lengths of a latent in either space. num_classes: 0 if
    unconditional. has_noise: whether noise changes the picture.
    """

    sha256: str
    name: str
    z_dim: int
    w_dim: int
    width: int
    height: int
    num_classes: int = 0
    has_noise: bool = True

    def latent_size(self, space: str) -> int:
        """Components of a latent in space "z" or "w"."""
        return self.w_dim if space == "w" else self.z_dim


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """Everything that decides one frame's pixels, and nothing else.

    checkpoint: sha256 of the generator's file. space: "z" or "w". latent: float32 little-endian, rounded to the grid.
    psi: truncation, rounded likewise. cutoff: truncated rows of W+, None for all. noise: "const", "none" or a seed.
    classes: class weights. width, height: pixels. shadow: how the colour frame is flattened, None to show it as it is.
    """

    checkpoint: str
    space: str
    latent: bytes
    psi: float
    cutoff: int | None
    noise: str | int
    classes: tuple[float, ...]
    width: int
    height: int
    shadow: ShadowSettings | None = None

    def normalised(self, generator: GeneratorFacts) -> FrameRequest:
        """Give equal requests to settings that make equal pixels, so that their frames are shared."""
        return replace(
            self,
            cutoff=None if self.psi == 1.0 else self.cutoff,
            noise=self.noise if generator.has_noise else "const",
            shadow=None if self.shadow is not None and self.shadow.mix == 0.0 else self.shadow,
        )

    def colour_name(self) -> str:
        """File name of the colour frame. The shadow settings have no part in it."""
        about = (
            f"{PIXEL_REVISION} {self.checkpoint} {self.space} {float(self.psi)!r} {self.cutoff} {self.noise} "
            f"{[float(weight) for weight in self.classes]!r} {self.width}x{self.height} "
        )
        return f"c_{hashlib.sha256(about.encode() + self.latent).hexdigest()[:_DIGITS]}.png"

    def name(self) -> str:
        """File name of the frame as it is shown: the colour frame, or the shadow made from it."""
        colour = self.colour_name()
        return colour if self.shadow is None else shadow_name(colour, self.shadow)


def shadow_name(colour: str, settings: ShadowSettings) -> str:
    """File name of the shadow that `settings` make from the colour frame of that name."""
    about = f"{PIXEL_REVISION} {colour} {settings.to_json()!r}"
    return f"s_{hashlib.sha256(about.encode()).hexdigest()[:_DIGITS]}.png"


def frame_order(request: FrameRequest, row: int, colour: str, name: str) -> FrameOrder:
    """The server's order for a request whose latent is row `row` of what is sent along."""
    shadows = () if request.shadow is None else (ShadowOrder(name, colour, request.shadow),)
    return FrameOrder(colour, row, request.psi, request.cutoff, request.noise, request.classes, shadows=shadows)
