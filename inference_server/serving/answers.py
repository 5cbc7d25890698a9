"""Answers the add-on's questions about generators and latents."""

from __future__ import annotations

import logging
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lantern_protocol.answers import (
    Device,
    GeneratorDescription,
    Greeting,
    ImportedLatents,
    Latents,
    LibraryCard,
    SnapshotFile,
)
from lantern_protocol.errors import CHECKPOINT_CHANGED, CHECKPOINT_UNREADABLE, LATENT_MISMATCH, ProtocolError
from lantern_protocol.params import CardParams, ImportParams, MapParams
from lantern_protocol.vectors import Floats
from lantern_protocol.versions import PIXEL_REVISION, PROTOCOL_VERSION, SERVER_VERSION

from ..checkpoints import BUILTIN_RUN, CheckpointError
from ..checkpoints.latents import read_latents
from ..generators.base import GeneratorInfo
from ..rendering.batches import check_latents
from ..rendering.library import read_run
from ..rendering.renderer import Renderer
from ..rendering.thumbnails import thumbnail_of

logger = logging.getLogger(__name__)

Run = tuple[SnapshotFile, ...]
"""The snapshots of a folder, in the order of training; empty for a single file."""


class Answers:
    """Asks the renderer. All methods belong to the device thread, except `look_at`. They raise ProtocolError."""

    def __init__(self, renderer: Renderer):
        self._renderer = renderer

    def greeting(self) -> Greeting:
        """Answer initialize."""
        return Greeting(
            protocol=PROTOCOL_VERSION,
            pixel_revision=PIXEL_REVISION,
            server=SERVER_VERSION,
            python=platform.python_version(),
            torch=torch.__version__,
            device=Device(self._renderer.device.type, self._renderer.device_name()),
            pid=os.getpid(),
        )

    def look_at(self, path: str | None) -> Run:
        """Return the snapshots of a folder or of the built-in generator; empty for a single file.

        The hashes of the files are known after that. Called on the files thread.
        """
        place = BUILTIN_RUN if path is None else Path(path)
        if os.path.isdir(place):  # a path that is too long gives False, not an error
            return tuple(read_run(place, self._renderer.identities, self._renderer.cache))
        self._renderer.identities.of(place)
        return ()

    def description(self, path: str | None, run: Run) -> GeneratorDescription:
        """Answer generator/describe. Of a folder of snapshots, the last one is loaded and described."""
        loaded = self._renderer.open(*_last(path, run))
        return self._describe(loaded.info, path, loaded.sha256, loaded.file_bytes, run)

    def card(self, params: CardParams, run: Run) -> LibraryCard:
        """Answer library/card. No loaded generator is unloaded for it."""
        file, known = _last(params.path, run)
        place = self._renderer.file_of(file, known)
        size, sha256 = self._renderer.identities.of(place)
        picture = ""
        if params.thumbnail:
            try:
                picture = str(thumbnail_of(self._renderer, file, sha256))
            except ProtocolError as error:
                if error.code in (CHECKPOINT_UNREADABLE, CHECKPOINT_CHANGED):
                    raise
                logger.warning("There is no thumbnail of %s: %s", place.name, error)
        info = self._renderer.cache.info(place, sha256) or self._renderer.open(file, known, keep=False).info
        return LibraryCard(self._describe(info, params.path, sha256, size, run), picture)

    def _describe(
        self, info: GeneratorInfo, path: str | None, sha256: str, size: int, run: Run
    ) -> GeneratorDescription:
        facts: dict[str, Any] = vars(info)
        return GeneratorDescription(
            **facts,
            sha256=sha256,
            path=path,
            bytes=size,
            device=self._renderer.device.type,
            dtype="float32",
            snapshots=run,
        )

    def imported_latents(self, params: ImportParams) -> ImportedLatents:
        """Answer latents/import."""
        info = self._renderer.open(params.generator.path, params.generator.sha256).info
        try:
            latents, space = read_latents(params.path, info.z_dim, info.w_dim, info.num_ws)
        except CheckpointError as error:
            raise ProtocolError(LATENT_MISMATCH, str(error), {"path": params.path}) from None
        check_latents(info, space[0], latents)
        return ImportedLatents(_floats_of(latents), space)

    def mapped(self, params: MapParams) -> Latents:
        """Answer latents/map."""
        loaded = self._renderer.open(params.generator.path, params.generator.sha256)
        weights = None if params.classes is None else array_of(params.classes)
        return Latents(_floats_of(self._renderer.map(loaded, array_of(params.latents), weights)))


def array_of(floats: Floats) -> np.ndarray:
    """Return the numbers of a message as a float32 array, which must not be written to."""
    return np.frombuffer(floats.data, dtype=np.float32).reshape(floats.shape)


def _floats_of(values: np.ndarray) -> Floats:
    return Floats(np.ascontiguousarray(values, dtype=np.float32).tobytes(), values.shape)


def _last(path: str | None, run: Run) -> tuple[str | None, str | None]:
    """Return the file and sha256 that a path stands for: the file itself, or the last snapshot of a folder."""
    return (run[-1].path, run[-1].sha256) if run else (path, None)
