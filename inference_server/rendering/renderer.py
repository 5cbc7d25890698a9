"""Make pixels from latents on the device: load generators, keep them loaded, make batches, and free the memory."""

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
    """Owns the device. Only one thread may use it; `identities` may be used from any thread.

    compiled: use torch.compile; None: an environment variable decides (see ``acceleration``). Raises DeviceError.
    """

    def __init__(self, device: str | None, compiled: bool | None = None):
        try:
            self.device = torch.device(device) if device else best_device()
            torch.empty(1, device=self.device)  # if the device is not available, fail here, not at the first frame
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise DeviceError(f"The device {device or 'chosen automatically'} cannot be used: {reason}") from None
        if self.device.type == "cpu":
            keep_freed_memory()
        # The same request must give the same pixels. So: no algorithm whose order of additions varies, no choice of
        # algorithm by a speed test, which may end differently next time, and no rounding to 10 bits (TF32).
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        self._compiled = compiled
        self._residents = Residents()
        self.identities = Identities(cache_folder() / "identities.json")
        self.cache = ConversionCache(cache_folder())

    def open(self, path: str | None, sha256: str | None, keep: bool = True, needed: tuple[str, ...] = ()) -> Loaded:
        """Return the generator in a file, loaded.

        Args:
            path: the file; None: the built-in generator.
            sha256: the hash that the file's contents must have; None: any.
            keep: the generator stays loaded, and others may be unloaded for it.
            needed: the sha256 of generators that must not be unloaded.

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
        """Return the file of a generator. For the built-in generator (None), it is the snapshot with this hash, or the
        last snapshot if none has it.

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
        """Return a generator with the blended weights of two: (1 - mix) of the first, mix of the second.

        toward: the second generator's path and sha256. If mix is 0, the first generator itself is returned; if mix is
        1, the second one. A blend is valid until the next blend is asked for.

        Raises ProtocolError as ``open`` does, and if the two are not of the same make.
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
        # One scratch network is used for all pairs of snapshots of a training: the next pair overwrites it.
        key = f"blend of {first.info.kind} {first.generator.config!r}"
        blend = self._residents.get(key)
        if blend is None:
            self._residents.make_space(first.weight_bytes, (first.sha256, second.sha256))
            scratch = self._guarded(lambda: scratch_like(first.generator), first.info)
            # Not accelerated: its weights change, so a recording would be out of date.
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
        """Return what `work` returns. If there is too little memory and `again`, unload all generators and try again.

        Raises ProtocolError OUT_OF_MEMORY if there is still too little.
        """
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
        """Return whether release() has anything to free."""
        return len(self._residents) > 0

    def release(self) -> int:
        """Unload all generators and return the device's cached memory to the system; return the bytes freed."""
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

    def map(self, loaded: Loaded, latents: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
        """Return w, float32 (n, w_dim), of z, float32 (n, z_dim), without truncation.

        Raises ProtocolError if the latents or classes do not fit the generator.
        """
        check_latents(loaded.info, "z", latents)
        check_classes(loaded.info, "z", classes)
        with torch.inference_mode():
            return loaded.generator.map(self._tensor(latents), self._tensor(classes)).float().cpu().numpy()

    def images(self, loaded: Loaded, frames: Frames) -> torch.Tensor:
        """Return pictures float32 (n, channels, height, width) on the device, made in one batch."""
        generator = loaded.generator
        latents, classes = self._tensor(frames.latents), self._tensor(frames.classes)
        w = generator.map(latents, classes) if frames.space == "z" else latents
        ws = generator.broadcast(w)
        psi = self._tensor(frames.psi)
        cutoffs = [each.cutoff for each in frames.settings]
        if len(set(cutoffs)) == 1:
            ws = generator.truncate(ws, psi, cutoffs[0], classes)
        else:
            rows = [slice(i, i + 1) for i in range(len(cutoffs))]
            ws = torch.cat(
                [
                    generator.truncate(ws[row], psi[row], cutoff, None if classes is None else classes[row])
                    for row, cutoff in zip(rows, cutoffs, strict=True)
                ]
            )
        return loaded.synthesizer.synthesize(ws, frames.noise, self._tensor(frames.transform))

    def render(self, loaded: Loaded, frames: Frames) -> list[Picture]:
        """Return the pictures of the frames. They may still be on their way from the device: reading them waits.

        Frames are made in batches; if there is too little memory, the batch is halved. Raises ProtocolError
        OUT_OF_MEMORY if one frame does not fit.
        """

        def make(part: Frames) -> list[Picture]:
            pictures = Pictures(self.images(loaded, part), loaded.info)
            return [Picture(pictures, index) for index in range(len(pictures))]

        made = self.batched(loaded, frames, make)
        return [picture for part in made for picture in part]

    def batched(self, loaded: Loaded, frames: Frames, make: Callable[[Frames], T]) -> Iterator[T]:
        """Yield make(batch) for batches of the frames, each of at most `frames_at_once` frames.

        If there is too little memory, other generators are unloaded, then the batch is halved. Raises ProtocolError
        OUT_OF_MEMORY if one frame does not fit.
        """
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
            logger.warning("Memory is short on %s: other generators were unloaded.", self.device_name())
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
        """Return the same numbers on the device, without waiting until they are there."""
        if values is None:
            return None
        tensor = torch.tensor(values)
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)


def frames_at_once(loaded: Loaded, latent_shape: tuple[int, ...]) -> int:
    """Return how many latents of this shape make a batch; the larger the pictures, the fewer."""
    width, height = picture_size(loaded.info, latent_shape)
    return max(1, loaded.batch * loaded.info.width * loaded.info.height // (width * height))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that there is too little memory, on any device."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return "out of memory" in text or "not enough memory" in text or "can't allocate memory" in text
