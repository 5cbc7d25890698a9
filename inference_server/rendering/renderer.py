"""Latents in, pixels out, on the device: loads generators, keeps them, batches, and gives the memory back."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import torch

from lantern_protocol.errors import (
    CHECKPOINT_CHANGED,
    CHECKPOINT_UNREADABLE,
    INVALID_PARAMS,
    OUT_OF_MEMORY,
    ProtocolError,
)

from ..checkpoints import BUILTIN_RUN, CheckpointError
from ..checkpoints.cache import ConversionCache, cache_folder
from ..checkpoints.snapshots import find_snapshots
from ..generators.base import GeneratorInfo, best_device
from .acceleration import accelerate
from .batches import Frames, Picture, Pictures, batch_size, check_classes, check_latents, picture_size
from .blending import blend_into, check_blend, scratch_like
from .heap import give_freed_memory_back, keep_freed_memory
from .identities import Identities
from .residents import Loaded, Residents, bytes_of

T = TypeVar("T")
logger = logging.getLogger(__name__)


class DeviceError(Exception):
    """The device cannot be used; the text is a sentence for a person."""


class Renderer:
    """Owns the device. Used from one thread only, but for `identities`, which any thread may ask.

    compiled: use torch.compile; None leaves that to the environment (see ``acceleration``).
    """

    def __init__(self, device: str | None, compiled: bool | None = None):
        try:
            self.device = torch.device(device) if device else best_device()
            torch.empty(1, device=self.device)  # fails here, not at the first frame, if the device is not to be had
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise DeviceError(f"The device {device or 'chosen automatically'} cannot be used: {reason}") from None
        if self.device.type == "cpu":
            keep_freed_memory()
        # The same request gives the same pixels: no algorithm that adds up in any order, no rounding to 10 bits, and
        # none chosen by a race that another may win next time.
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        self._compiled = compiled
        self._residents = Residents()
        self.identities = Identities(cache_folder() / "identities.json")
        self.cache = ConversionCache(cache_folder())

    # --- generators --------------------------------------------------------------------------------------------------

    def open(self, path: str | None, sha256: str | None, keep: bool = True, needed: tuple[str, ...] = ()) -> Loaded:
        """Return a generator by its file (None: the built-in one), and, unless None, the hash its contents must have.

        keep: it stays loaded, and others may be let go for it, but not those whose sha256 are `needed`.

        Raises ProtocolError CHECKPOINT_UNREADABLE or CHECKPOINT_CHANGED.
        """
        file = self.file_of(path, sha256)
        size, found = self.identities.of(file)
        if sha256 is not None and found != sha256.lower():
            raise ProtocolError(
                CHECKPOINT_CHANGED,
                f"The checkpoint {file} has changed since it was chosen. Press Reload Generator to use what is in the "
                "file now, or put the old file back.",
                {"path": str(file), "sha256": found},
            )
        loaded = self._residents.get(found)
        if loaded is None:
            loaded = self._load(file, size, found, keep, needed)
            if keep:
                self._residents.add(found, loaded)
        return loaded

    def file_of(self, path: str | None, sha256: str | None) -> Path:
        """Return the file of a generator. Of the built-in one's snapshots it is that of the hash, else the last one.

        Raises ProtocolError CHECKPOINT_UNREADABLE.
        """
        if path is not None:
            return Path(path)
        try:
            files = find_snapshots(BUILTIN_RUN)
        except CheckpointError as error:
            raise ProtocolError(CHECKPOINT_UNREADABLE, str(error), {"path": str(BUILTIN_RUN)}) from None
        wanted = None if sha256 is None else sha256.lower()
        return next((file for file in files if wanted and self.identities.of(file)[1] == wanted), files[-1])

    def open_between(
        self, path: str | None, sha256: str | None, toward: tuple[str | None, str | None] | None, mix: float
    ) -> Loaded:
        """Return the generator whose weights lie `mix` of the way to those of another, `toward`: its path and sha256.

        Where mix is 0 or 1, that is the one or the other itself. A blend is valid until the next one is asked for.

        Raises ProtocolError, as ``open`` does, or if the two are not of one make.
        """
        if mix == 0:
            return self.open(path, sha256)
        if toward is None:
            raise ProtocolError(INVALID_PARAMS, "'mix' needs 'toward'.")
        if mix == 1:
            return self.open(*toward)
        first = self.open(path, sha256)
        second = self.open(*toward, needed=(first.sha256,))
        check_blend(first.generator, second.generator)
        # One scratch network serves all pairs of a training: the next pair overwrites it.
        key = f"blend of {first.info.kind} {first.generator.config!r}"
        blend = self._residents.get(key)
        if blend is None:
            self._residents.make_space(first.weight_bytes, (first.sha256, second.sha256))
            scratch = self._guarded(lambda: scratch_like(first.generator), first.info)
            # Not accelerated: its weights change, and with them all that would have been recorded.
            blend = Loaded(scratch, scratch, key, first.path, 0, first.weight_bytes, first.batch)
            self._residents.add(key, blend)
        wanted = (first.sha256, second.sha256, mix)
        if blend.mixed != wanted:
            blend.mixed = None
            blend_into(blend.generator, first.generator, second.generator, mix)
            blend.mixed = wanted
        return blend

    def _load(self, file: Path, size: int, sha256: str, keep: bool, needed: tuple[str, ...]) -> Loaded:
        try:
            generator = self.cache.load(file, sha256)
        except (CheckpointError, OSError) as error:
            raise ProtocolError(CHECKPOINT_UNREADABLE, str(error), {"path": str(file)}) from None
        weight_bytes = bytes_of(generator)
        if keep:
            self._residents.make_space(weight_bytes, needed)
        generator.eval().requires_grad_(False)
        self._guarded(lambda: generator.to(self.device), generator.info, keep)
        generator.weights_changed()
        synthesizer = accelerate(generator, self.device, self._compiled)
        batch = batch_size(generator.info, self.device.type)
        return Loaded(generator, synthesizer, sha256, file, size, weight_bytes, batch)

    def _guarded(self, work: Callable[[], Any], info: GeneratorInfo, again: bool = True) -> Any:
        """Return what `work` gives; if memory is short, let everything go and try `again`."""
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if not again:
                raise self._no_memory(info) from None
        self.release()
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise self._no_memory(info) from None

    @property
    def holds_generators(self) -> bool:
        """Whether there is anything for release() to free."""
        return len(self._residents) > 0

    def release(self) -> int:
        """Take all generators off the device and return its cached memory; return the bytes freed."""
        before = self._allocated()
        freed = self._residents.weight_bytes
        self._residents.clear()
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
        check_classes(loaded.info, "z", classes)
        with torch.inference_mode():
            return loaded.generator.map(self._tensor(latents), self._tensor(classes)).float().cpu().numpy()

    # --- frames ------------------------------------------------------------------------------------------------------

    def images(self, loaded: Loaded, frames: Frames) -> torch.Tensor:
        """Return pictures float32 (n, channels, height, width) on the device, made in one batch."""
        generator = loaded.generator
        latents, classes = self._tensor(frames.latents), self._tensor(frames.classes)
        w = generator.map(latents, classes) if frames.space == "z" else latents
        ws = generator.broadcast(w)
        psi = self._tensor(frames.psi)
        if len(set(frames.cutoffs)) == 1:
            ws = generator.truncate(ws, psi, frames.cutoffs[0], classes)
        else:
            rows = [slice(i, i + 1) for i in range(len(frames.cutoffs))]
            ws = torch.cat(
                [
                    generator.truncate(ws[row], psi[row], cutoff, None if classes is None else classes[row])
                    for row, cutoff in zip(rows, frames.cutoffs, strict=True)
                ]
            )
        return loaded.synthesizer.synthesize(ws, frames.noise, self._tensor(frames.transform))

    def render(self, loaded: Loaded, frames: Frames) -> list[Picture]:
        """Return the pictures of the frames, on their way from the device. Lack of memory halves the batch."""

        def make(part: Frames) -> list[Picture]:
            pictures = Pictures(self.images(loaded, part), loaded.info)
            return [Picture(pictures, index) for index in range(len(pictures))]

        made = self.batched(loaded, frames, make)
        return [picture for part in made for picture in part]

    def batched(self, loaded: Loaded, frames: Frames, make: Callable[[Frames], T]) -> Iterator[T]:
        """Yield make() of the frames in batches of at most `frames_at_once`, halving that on lack of memory."""
        start = 0
        while start < len(frames.latents):
            try:
                part = frames.part(slice(start, start + frames_at_once(loaded, frames.latents.shape[1:])))
                with torch.inference_mode():
                    made = make(part)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._make_room(loaded, frames.latents.shape[1:])
                continue
            start += len(part.latents)
            yield made

    def _make_room(self, loaded: Loaded, latent_shape: tuple[int, ...]) -> None:
        others = self._residents.keep_only(loaded)
        self._empty_caches()
        at_once = frames_at_once(loaded, latent_shape)
        if others:
            logger.warning("Memory is short on %s: other generators were let go.", self.device_name())
        elif at_once > 1:
            while frames_at_once(loaded, latent_shape) == at_once:
                loaded.batch //= 2
            logger.warning(
                "Memory is short on %s, which is shared with Blender: frames are made %d at a time from now on.",
                self.device_name(),
                frames_at_once(loaded, latent_shape),
            )
        else:
            raise self._no_memory(loaded.info)

    def _no_memory(self, info: GeneratorInfo) -> ProtocolError:
        return ProtocolError(
            OUT_OF_MEMORY,
            f"There is not enough memory on {self.device_name()} for one frame of '{info.name}' ({info.width} x "
            f"{info.height}). It is shared with Blender: use a lighter viewport or close other programs.",
        )

    @overload
    def _tensor(self, values: np.ndarray) -> torch.Tensor: ...

    @overload
    def _tensor(self, values: np.ndarray | None) -> torch.Tensor | None: ...

    def _tensor(self, values: np.ndarray | None) -> torch.Tensor | None:
        """The same numbers on the device, sent without waiting for it."""
        if values is None:
            return None
        tensor = torch.tensor(values)
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)


def frames_at_once(loaded: Loaded, latent_shape: tuple[int, ...]) -> int:
    """Return how many latents of this shape make a batch: of larger canvases fewer."""
    width, height = picture_size(loaded.info, latent_shape)
    return max(1, loaded.batch * loaded.info.width * loaded.info.height // (width * height))


def is_out_of_memory(error: BaseException) -> bool:
    """Tell lack of memory, on any device, from other errors."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return "out of memory" in text or "not enough memory" in text or "can't allocate memory" in text
