"""Batches of frames: the latents and settings that they are made from, checks of these, and the 8-bit pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lantern_protocol.answers import LARGEST_SIDE
from lantern_protocol.errors import INVALID_PARAMS, LATENT_MISMATCH, NOT_A_PICTURE, ProtocolError
from lantern_protocol.orders import RenderSettings

from ..generators.base import GeneratorInfo

BATCH_PIXELS = {"cpu": 4 * 128 * 128, "other": 2 * 1024 * 1024}
LARGEST_BATCH = 32


@dataclass(frozen=True)
class Frames:
    """What a batch is made from: latents, and how each of them is rendered.

    space: "z" or "w". latents: float32 (n, z_dim), (n, w_dim), (n, num_ws, w_dim) which is W+, or (n, z_dim, rows,
    columns) for generators with a ``canvas_step``. settings: n, with equal ``batch_key``.
    """

    space: str
    latents: np.ndarray
    settings: tuple[RenderSettings, ...]

    @classmethod
    def of(cls, space: str, latents: np.ndarray, settings: RenderSettings | Sequence[RenderSettings]) -> Frames:
        """Return frames of latents with settings for each of them, or with the same settings for all."""
        each = (settings,) * len(latents) if isinstance(settings, RenderSettings) else tuple(settings)
        return cls(space, latents, each)

    def __len__(self) -> int:
        return len(self.latents)

    def part(self, rows: slice) -> Frames:
        """Return some of the frames."""
        return Frames(self.space, self.latents[rows], self.settings[rows])

    @property
    def psi(self) -> np.ndarray:
        """Truncation, float32 (n,)."""
        return np.array([each.psi for each in self.settings], dtype=np.float32)

    @property
    def noise(self) -> str | int:
        """The noise of all frames, as in ``RenderSettings``."""
        return self.settings[0].noise

    @property
    def classes(self) -> np.ndarray | None:
        """Class weights, float32 (n, num_classes), or None."""
        if not self.settings or not self.settings[0].classes:
            return None
        return np.array([each.classes for each in self.settings], dtype=np.float32)

    @property
    def transform(self) -> np.ndarray | None:
        """Transforms of the input grid, float32 (n, 3, 3), or None."""
        if not self.settings or not self.settings[0].transform:
            return None
        return np.array([each.transform for each in self.settings], dtype=np.float32).reshape(-1, 3, 3)


class Pictures:
    """The 8-bit pixels of a batch, floor(x * 127.5 + 128) clamped to 0..255, on their way from the device.

    images: float32 (n, channels, height, width). On CUDA nothing here waits for the device: the pixels are copied
    after the work that makes them, and only a caller that asks for a frame waits for it.
    """

    def __init__(self, images: torch.Tensor, info: GeneratorInfo):
        self._info = info
        sound = torch.isfinite(images.sum(dim=(1, 2, 3)))
        pixels = images.mul(127.5).add_(128).clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        self._event: torch.cuda.Event | None = None
        if images.device.type == "cuda":
            pixels, sound = (torch.empty_like(t, device="cpu", pin_memory=True).copy_(t, True) for t in (pixels, sound))
            self._event = torch.cuda.Event()
            self._event.record()
        self._pixels, self._sound = pixels.cpu().numpy(), sound.cpu().numpy()

    def __len__(self) -> int:
        return len(self._pixels)

    def frame(self, index: int) -> np.ndarray:
        """Return uint8 (height, width, channels). A picture that holds NaN or infinity raises ProtocolError."""
        if self._event is not None:
            self._event.synchronize()
        if not self._sound[index]:
            raise not_finite(self._info)
        return self._pixels[index]


@dataclass(frozen=True)
class Picture:
    """One picture of a batch. Its pixels are fetched when they are asked for, which may be in another thread."""

    batch: Pictures
    index: int

    def pixels(self) -> np.ndarray:
        """As ``Pictures.frame``."""
        return self.batch.frame(self.index)


def not_finite(info: GeneratorInfo) -> ProtocolError:
    """Return the error for a picture with values that are not numbers."""
    return ProtocolError(
        NOT_A_PICTURE,
        f"'{info.name}' gave values that are not numbers for this frame. Bring truncation and latent closer to their "
        "usual range; if every frame fails, the checkpoint is damaged.",
    )


def batch_size(info: GeneratorInfo, device_type: str) -> int:
    """Return how many frames to make at once: enough to fill the device, few enough to be stopped soon."""
    pixels = BATCH_PIXELS["cpu" if device_type == "cpu" else "other"]
    return max(1, min(LARGEST_BATCH, pixels // (info.width * info.height)))


def picture_size(info: GeneratorInfo, latent_shape: tuple[int, ...]) -> tuple[int, int]:
    """Return width and height of the picture of a latent of this shape, without the batch's dimension."""
    rows, columns = latent_shape[1:] if len(latent_shape) == 3 else (1, 1)
    return info.width + info.canvas_step * (columns - 1), info.height + info.canvas_step * (rows - 1)


def check_frames(info: GeneratorInfo, frames: Frames) -> None:
    """Raise ProtocolError unless the generator can make these frames, as the three checks below say."""
    check_latents(info, frames.space, frames.latents)
    if len(frames):
        check_classes(info, frames.space, frames.classes)
        check_transform(info, frames.transform)


def check_latents(info: GeneratorInfo, space: str, latents: np.ndarray) -> None:
    """Raise ProtocolError unless the latents have a shape and a space that the generator takes, and are finite."""
    if space not in info.spaces:
        raise ProtocolError(INVALID_PARAMS, f"'{info.name}' has no latent space '{space}', only {list(info.spaces)}.")
    shape = latents.shape[1:]
    if space == "z":
        fits = shape == (info.z_dim,) or (
            info.canvas_step > 0 and len(shape) == 3 and shape[0] == info.z_dim and min(shape) > 0
        )
    else:
        fits = shape in ((info.w_dim,), (info.num_ws, info.w_dim))
    if not fits:
        sizes = f"{info.z_dim} (z)"
        if info.canvas_step:
            sizes += f", {info.z_dim} x rows x columns"
        if "w" in info.spaces:
            sizes += f", {info.w_dim} (w) or {info.num_ws} x {info.w_dim} (W+)"
        raise ProtocolError(
            LATENT_MISMATCH,
            f"The strip's latent has {' x '.join(map(str, shape)) or 'no'} values and is used as {space}; "
            f"'{info.name}' takes {sizes}. Choose the checkpoint the strip was made with, or add a new latent strip "
            "for this one.",
            {"given": list(shape), "z_dim": info.z_dim, "w_dim": info.w_dim, "num_ws": info.num_ws},
        )
    if max(picture_size(info, shape)) > LARGEST_SIDE:
        raise ProtocolError(
            LATENT_MISMATCH,
            f"The canvas would be {' x '.join(map(str, picture_size(info, shape)))} pixels; {LARGEST_SIDE} a side is "
            "the limit. Choose fewer columns and rows.",
        )
    if not np.isfinite(latents).all():
        raise ProtocolError(
            LATENT_MISMATCH, "The strip's latent holds values that are not numbers. Look at its curves."
        )


def check_classes(info: GeneratorInfo, space: str, classes: np.ndarray | None) -> None:
    """Raise ProtocolError unless there are class weights (n, num_classes), or none for an unconditional generator.

    In w they may be absent; if given, generators with an average for each class truncate towards that of these classes.
    """
    given = 0 if classes is None else classes.shape[-1]
    if given != info.num_classes and not (space == "w" and not given):
        raise ProtocolError(
            INVALID_PARAMS,
            f"'{info.name}' takes {info.num_classes or 'no'} class weights for a frame, not {given}.",
        )


def check_transform(info: GeneratorInfo, transform: np.ndarray | None) -> None:
    """Raise ProtocolError if a transform is given to a generator whose pictures cannot be moved."""
    if transform is None:
        return
    if not info.has_transform:
        raise ProtocolError(
            INVALID_PARAMS, f"'{info.name}' cannot move or turn its picture in the plane; only StyleGAN3 can."
        )
    if not np.isfinite(transform).all():
        raise ProtocolError(INVALID_PARAMS, "The transform holds values that are not numbers.")
