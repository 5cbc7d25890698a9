"""The fake server's files: checkpoints (any file is one), runs of snapshots, and latents in JSON."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import fake_pictures
from lantern_protocol import errors

BUILT_IN_SHA256 = hashlib.sha256(b"built-in").hexdigest()
SUFFIXES = (".pkl", ".pt", ".pth", ".t7", ".safetensors")


def identity(path: str | None) -> tuple[str, int]:
    """SHA-256 and size in bytes of a checkpoint. Raises ProtocolError if it is missing or broken."""
    if path is None:
        return BUILT_IN_SHA256, 0
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe could wait for ever
            raise OSError(0, "it is not a file")
        contents = Path(path).read_bytes()
    except OSError as error:
        text = f"'{path}' cannot be read: {error.strerror}."
        raise errors.ProtocolError(errors.CHECKPOINT_UNREADABLE, text) from None
    if contents.startswith(b"broken"):
        raise errors.ProtocolError(errors.CHECKPOINT_UNREADABLE, f"'{path}' is no checkpoint.")
    return hashlib.sha256(contents).hexdigest(), len(contents)


def snapshots_of(folder: str) -> list[dict[str, Any]]:
    """The checkpoints in a folder, by name. Raises ProtocolError if there are none."""
    found = []
    for file in sorted(Path(folder).iterdir()):
        if file.suffix in SUFFIXES:
            sha256, size = identity(str(file))
            found.append({"name": file.stem, "path": str(file), "sha256": sha256, "bytes": size})
    if not found:
        text = f"There is no checkpoint in '{folder}'."
        raise errors.ProtocolError(errors.CHECKPOINT_UNREADABLE, text)
    return found


def found_in(folder: Path) -> list[dict[str, Any]]:
    """The library's entries in a folder: its checkpoints, and, as runs, its subfolders with several checkpoints."""
    entries = []
    for item in sorted(folder.iterdir()):
        files = [item] if item.is_file() else sorted(item.iterdir())
        files = [file for file in files if file.suffix in SUFFIXES]
        if files:
            size = sum(file.stat().st_size for file in files)
            entries.append({"path": str(item), "snapshots": 0 if item.is_file() else len(files), "bytes": size})
    return entries


def read_latents(path: str) -> dict[str, Any]:
    """The answer of latents/import. Raises ProtocolError for a file that cannot be read."""
    try:
        value = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        text = f"'{path}' holds no latents: {error}."
        raise errors.ProtocolError(errors.CHECKPOINT_UNREADABLE, text) from None
    flat, shape = value["latents"], []
    while isinstance(flat, list):
        shape.append(len(flat))
        flat = flat[0]
    rows = [_flattened(row) for row in value["latents"]]
    return {"latents": fake_pictures.pack_rows(rows) | {"shape": shape}, "space": value["space"]}


def _flattened(value: Any) -> list[float]:
    return [number for item in value for number in _flattened(item)] if isinstance(value, list) else [float(value)]
