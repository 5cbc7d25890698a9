"""Convert each foreign checkpoint once, and keep the conversion in our own format in the user's cache folder.

The folder is $LATENT_LANTERN_CACHE if that is set, otherwise the platform's folder for caches. Its files are named
`<sha256>-r<revision>.safetensors`, after the SHA-256 of the checkpoint's contents, and hold float32. All of them may be
deleted at any time. Without the folder everything works, but slower.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from lantern_protocol.part_files import remove_stale_parts

from ..generators.base import Generator, GeneratorInfo
from .errors import CheckpointError
from .file_kinds import is_native
from .native import read_info, read_make, read_native, sha256_of, write_native
from .opening import load_generator

logger = logging.getLogger(__name__)

REVISION = 3
"""Increase it when a reader makes different tensors or a different configuration from the same file."""

BUDGET_BYTES = 20 << 30
"""The most bytes that the conversions may take on disk; the one used longest ago is deleted first."""

SPARE_BYTES = 1 << 30
"""Bytes that stay free on the disk."""

_NAME = re.compile(r"[0-9a-f]{64}-r(\d{1,9})\.safetensors")


def cache_folder() -> Path:
    """Return the folder for files that can be made again. It is not created here."""
    chosen = os.environ.get("LATENT_LANTERN_CACHE")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "latent-lantern" / "generators"


class ConversionCache:
    """Loads checkpoints of any kind, and keeps the conversions of foreign ones in `folder`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._complained = False

    def load(self, path: Path, sha256: str) -> Generator:
        """Return the generator of the file, whose contents have this SHA-256; on the CPU, in float32, ready for use.

        Raises:
            CheckpointError: the file cannot be read; the message is a sentence for the user.
        """
        if is_native(path):
            return read_native(path)
        kept = self._place(sha256)
        if kept.exists():
            try:
                generator = read_native(kept, path.stem)
            except (CheckpointError, OSError, ValueError):
                logger.info("The conversion of %s in the cache was damaged; it is made again.", path.name)
                with suppress(OSError):
                    kept.unlink()
            else:
                with suppress(OSError):
                    os.utime(kept)
                return generator
        generator = load_generator(path)
        self._keep(generator, path, sha256)
        return generator

    def info(self, path: Path, sha256: str) -> GeneratorInfo | None:
        """Return what the file says about itself, or None if that is not known without loading it."""
        try:
            return read_info(path if is_native(path) else self._place(sha256), path.stem)
        except (CheckpointError, OSError, ValueError):
            return None

    def make(self, path: Path, sha256: str) -> Any:
        """Return a value that is equal for networks of the same kind and configuration.

        None if it is not known without loading the file.
        """
        try:
            return read_make(path if is_native(path) else self._place(sha256))[:2]
        except (CheckpointError, OSError, ValueError):
            return None

    def _place(self, sha256: str) -> Path:
        return self.folder / f"{sha256}-r{REVISION}.safetensors"

    def _keep(self, generator: Generator, path: Path, sha256: str) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_stale_parts(self.folder)
            tensors = {key: value.detach().contiguous() for key, value in generator.state_dict().items()}
            size = sum(tensor.nbytes for tensor in tensors.values())
            if size > BUDGET_BYTES:
                return
            if shutil.disk_usage(self.folder).free < size + SPARE_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            # The file may have been replaced since it was hashed; a conversion of the wrong file would stay for ever.
            if sha256_of(path) != sha256:
                return
            info = generator.info
            about = {"licence": info.licence, "training": info.training, "origin": info.origin, "assumed": info.assumed}
            if info.name != path.stem:
                about["name"] = info.name
            part = self.folder / f".part-{os.getpid()}-{time.time_ns()}"
            write_native(part, self._place(sha256), info.kind, generator.config, tensors, about)
            self._trim(self._place(sha256))
        except (OSError, CheckpointError) as error:
            if not self._complained:
                self._complained = True
                reason = getattr(error, "strerror", None) or error
                logger.warning(
                    "Conversions cannot be kept in %s (%s): such checkpoints take longer to load.", self.folder, reason
                )

    def _trim(self, newest: Path) -> None:
        """Delete conversions of older revisions, then those used longest ago until the rest fits the budget."""
        kept: list[tuple[float, int, Path]] = []
        for entry in os.scandir(self.folder):
            match = _NAME.fullmatch(entry.name)
            if match is None:
                continue
            with suppress(OSError):
                if int(match[1]) < REVISION:
                    os.unlink(entry.path)
                else:
                    status = entry.stat()
                    kept.append((status.st_mtime, status.st_size, Path(entry.path)))
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total <= BUDGET_BYTES:
                return
            if path != newest:
                with suppress(OSError):  # Windows does not delete a file that is in use.
                    path.unlink()
                    total -= size
