"""Latents in, pixels out, on the device: loads generators, keeps them, batches, and gives the memory back."""

from __future__ import annotations

import gc
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .checkpoints import BUILTIN_WEIGHTS, CheckpointError, load_generator, sha256_of
from .generators.base import Generator, GeneratorInfo, best_device
from .heap import give_freed_memory_back, keep_freed_memory
from .protocol import (
    CHECKPOINT_CHANGED,
    CHECKPOINT_UNREADABLE,
    INVALID_PARAMS,
    LATENT_MISMATCH,
    NOT_A_PICTURE,
    OUT_OF_MEMORY,
    ProtocolError,
)

MEMORY_BUDGET_BYTES = 2 << 30
"""Weights kept loaded, in bytes; the generator used longest ago goes first."""

BATCH_PIXELS = {"cpu": 4 * 128 * 128, "other": 2 * 1024 * 1024}
LARGEST_BATCH = 32

Log = Callable[[str, str], None]
"""Takes a level ("info", "warning") and a sentence for a person."""


class DeviceError(Exception):
    """The device cannot be used; the text is a sentence for a person."""


@dataclass
class Loaded:
    """A generator on the device. `batch` is how many frames it is given at once; lack of memory lowers it."""

    generator: Generator
    sha256: str
    path: Path
    file_bytes: int
    weight_bytes: int
    batch: int

    @property
    def info(self) -> GeneratorInfo:
        """What the generator says of itself."""
        return self.generator.info


@dataclass(frozen=True)
class Frames:
    """What a batch is made from: latents float32 (n, z_dim), (n, w_dim) or (n, num_ws, w_dim), and a value per frame.

    psi float32 (n,); cutoffs n of None or int; noise as in protocol.FrameOrder; classes float32 (n, num_classes), None.
    """

    space: str
    latents: np.ndarray
    psi: np.ndarray
    cutoffs: Sequence[int | None]
    noise: str | int
    classes: np.ndarray | None

    def part(self, rows: slice) -> Frames:
        """Return some of the frames."""
        classes = None if self.classes is None else self.classes[rows]
        return Frames(self.space, self.latents[rows], self.psi[rows], self.cutoffs[rows], self.noise, classes)


class Renderer:
    """Owns the device. Used from one thread only."""

    def __init__(self, device: str | None, log: Log):
        try:
            self.device = torch.device(device) if device else best_device()
            torch.empty(1, device=self.device)  # fails here, not at the first frame, if the device is not to be had
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise DeviceError(f"The device {device or 'chosen automatically'} cannot be used: {reason}") from None
        if self.device.type == "cpu":
            keep_freed_memory()
        # The same request gives the same pixels: no algorithm that adds up in any order, no rounding to 10 bits.
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.allow_tf32 = False
        self._log = log
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._hashes: dict[str, tuple[int, int, str]] = {}

    # --- generators --------------------------------------------------------------------------------------------------

    def open(self, path: str | None, sha256: str | None) -> Loaded:
        """Return a generator by its file (None: the built-in one) and, unless None, the hash its contents must have."""
        file = Path(path) if path is not None else BUILTIN_WEIGHTS
        size, found = self._hash(file)
        if sha256 is not None and found != sha256:
            raise ProtocolError(
                CHECKPOINT_CHANGED,
                f"The checkpoint {file} has changed since it was chosen. Press Reload Generator to use what is in the "
                "file now, or put the old file back.",
                {"path": str(file), "sha256": found},
            )
        if found not in self._loaded:
            self._load(file, size, found)
        self._loaded.move_to_end(found)
        return self._loaded[found]

    def _hash(self, file: Path) -> tuple[int, str]:
        try:
            status = os.stat(file)
            key = (status.st_size, status.st_mtime_ns)
            known = self._hashes.get(str(file))
            if known is None or known[:2] != key:
                known = (*key, sha256_of(file))
                self._hashes[str(file)] = known
        except FileNotFoundError:
            message = f"The checkpoint {file} is not there. Put it back or choose another one."
            raise ProtocolError(CHECKPOINT_UNREADABLE, message, {"path": str(file)}) from None
        except (OSError, CheckpointError) as error:
            message = f"The checkpoint {file} cannot be read: {getattr(error, 'strerror', None) or error}."
            raise ProtocolError(CHECKPOINT_UNREADABLE, message, {"path": str(file)}) from None
        return status.st_size, known[2]

    def _load(self, file: Path, size: int, sha256: str) -> None:
        try:
            generator = load_generator(file)
        except (CheckpointError, OSError) as error:
            raise ProtocolError(CHECKPOINT_UNREADABLE, str(error), {"path": str(file)}) from None
        weight_bytes = _bytes_of(generator)
        while self._loaded and sum(kept.weight_bytes for kept in self._loaded.values()) + weight_bytes > (
            MEMORY_BUDGET_BYTES
        ):
            self._loaded.popitem(last=False)
        generator.eval().requires_grad_(False)
        try:
            generator.to(self.device)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self.release()
            try:
                generator.to(self.device)
            except (RuntimeError, MemoryError):
                raise self._no_memory(generator.info) from None
        batch = batch_size(generator.info, self.device.type)
        self._loaded[sha256] = Loaded(generator, sha256, file, size, weight_bytes, batch)

    @property
    def holds_generators(self) -> bool:
        """Whether there is anything for release() to free."""
        return bool(self._loaded)

    def release(self) -> int:
        """Take all generators off the device and return its cached memory; return the bytes freed."""
        before = self._allocated()
        freed = sum(loaded.weight_bytes for loaded in self._loaded.values())
        self._loaded.clear()
        self._empty_caches()
        give_freed_memory_back()
        return max(freed, before - self._allocated())

    def _empty_caches(self) -> None:
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.device.type == "mps":
            torch.mps.empty_cache()

    def _allocated(self) -> int:
        return torch.cuda.memory_reserved(self.device) if self.device.type == "cuda" else 0

    def device_name(self) -> str:
        """Return the device's name for people."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return {"cpu": f"CPU, {torch.get_num_threads()} threads", "mps": "Apple GPU"}.get(
            self.device.type, str(self.device)
        )

    # --- latents -----------------------------------------------------------------------------------------------------

    def map(self, loaded: Loaded, latents: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
        """Return w, float32 (n, w_dim), of z, float32 (n, z_dim); without truncation."""
        check_latents(loaded.info, "z", latents)
        check_classes(loaded.info, classes)
        with torch.inference_mode():
            return loaded.generator.map(*self._tensors(latents, classes)).float().cpu().numpy()

    # --- frames ------------------------------------------------------------------------------------------------------

    def images(self, loaded: Loaded, frames: Frames) -> torch.Tensor:
        """Return pictures float32 (n, channels, height, width) on the device, made in one batch."""
        generator = loaded.generator
        latents, classes = self._tensors(frames.latents, frames.classes)
        w = generator.map(latents, classes) if frames.space == "z" else latents
        ws = generator.broadcast(w)
        psi = torch.from_numpy(frames.psi).to(self.device)
        if len(set(frames.cutoffs)) == 1:
            ws = generator.truncate(ws, psi, frames.cutoffs[0])
        else:
            rows = [generator.truncate(ws[i : i + 1], psi[i : i + 1], cut) for i, cut in enumerate(frames.cutoffs)]
            ws = torch.cat(rows)
        return generator.synthesize(ws, frames.noise)

    def render(self, loaded: Loaded, frames: Frames) -> list[np.ndarray | ProtocolError]:
        """Return the 8-bit pixels (H, W, C) of each frame, or its error. Lack of memory halves the batch."""
        return self.batched(loaded, frames, lambda part: to_pixels(self.images(loaded, part), loaded.info))

    def batched(self, loaded: Loaded, frames: Frames, make: Callable[[Frames], list]) -> list:
        """Return make() of all frames in batches of at most `loaded.batch`, halving that on lack of memory."""
        results: list = []
        count = len(frames.latents)
        while len(results) < count:
            try:
                with torch.inference_mode():
                    results += make(frames.part(slice(len(results), len(results) + loaded.batch)))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._make_room(loaded)
        return results

    def _make_room(self, loaded: Loaded) -> None:
        others = [key for key, other in self._loaded.items() if other is not loaded]
        for key in others:
            del self._loaded[key]
        self._empty_caches()
        if others:
            self._log("warning", f"Memory is short on {self.device_name()}: other generators were let go.")
        elif loaded.batch > 1:
            loaded.batch //= 2
            self._log(
                "warning",
                f"Memory is short on {self.device_name()}, which is shared with Blender: frames are made "
                f"{loaded.batch} at a time from now on.",
            )
        else:
            raise self._no_memory(loaded.info)

    def _no_memory(self, info: GeneratorInfo) -> ProtocolError:
        return ProtocolError(
            OUT_OF_MEMORY,
            f"There is not enough memory on {self.device_name()} for one frame of '{info.name}' ({info.width} x "
            f"{info.height}). It is shared with Blender: use a lighter viewport or close other programs.",
        )

    def _tensors(self, latents: np.ndarray, classes: np.ndarray | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        on_device = torch.tensor(latents, device=self.device)
        return on_device, None if classes is None else torch.tensor(classes, device=self.device)


def to_pixels(images: torch.Tensor, info: GeneratorInfo) -> list[np.ndarray | ProtocolError]:
    """Return floor(x * 127.5 + 128), clamped to 0..255, as uint8 (H, W, C) for each float32 picture (C, H, W).

    A picture that holds NaN or infinity becomes an error, not a black frame.
    """
    sound = torch.isfinite(images.sum(dim=(1, 2, 3))).cpu()
    scaled = images.mul(127.5).add_(128).clamp_(0, 255).to(torch.uint8)
    pixels = scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return [frame if good else not_finite(info) for frame, good in zip(pixels, sound.tolist(), strict=True)]


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


def check_latents(info: GeneratorInfo, space: str, latents: np.ndarray) -> None:
    """Raise ProtocolError unless latents (n, z_dim), (n, w_dim) or, in w, (n, num_ws, w_dim) fit the generator."""
    if space not in info.spaces:
        raise ProtocolError(INVALID_PARAMS, f"'{info.name}' has no latent space '{space}', only {list(info.spaces)}.")
    length = info.z_dim if space == "z" else info.w_dim
    fits = latents.ndim == 2 and latents.shape[1] == length
    fits = fits or (space == "w" and latents.shape[1:] == (info.num_ws, info.w_dim))
    if not fits:
        sizes = f"{info.z_dim} (z)" + (f" or {info.w_dim} (w)" if "w" in info.spaces else "")
        given = latents.shape[-1] if latents.ndim == 2 else f"{' x '.join(map(str, latents.shape[1:])) or 'no'}"
        raise ProtocolError(
            LATENT_MISMATCH,
            f"The strip's latent has {given} values and is used as {space}; '{info.name}' takes {sizes}. Choose the "
            "checkpoint the strip was made with, or add a new latent strip for this one.",
            {"given": list(latents.shape[1:]), "z_dim": info.z_dim, "w_dim": info.w_dim, "num_ws": info.num_ws},
        )
    if not np.isfinite(latents).all():
        raise ProtocolError(
            LATENT_MISMATCH, "The strip's latent holds values that are not numbers. Look at its curves."
        )


def check_classes(info: GeneratorInfo, classes: np.ndarray | None) -> None:
    """Raise ProtocolError unless class weights (n, num_classes) are there exactly where the generator needs them."""
    given = 0 if classes is None else classes.shape[-1]
    if given != info.num_classes:
        raise ProtocolError(
            INVALID_PARAMS,
            f"'{info.name}' takes {info.num_classes or 'no'} class weights for a frame, not {given}.",
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Tell lack of memory, on any device, from other errors."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return "out of memory" in text or "not enough memory" in text or "can't allocate memory" in text


def _bytes_of(module: torch.nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in (*module.parameters(), *module.buffers()))
