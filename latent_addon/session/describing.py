"""Names a strip's generator in requests to the server, and reads the server's description of a generator."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import bpy

from ...lantern_protocol.errors import quoted, readable
from ..core.frame_request import GeneratorFacts, Snapshot
from ..scene.properties import LatentStripSettings


def generator_of(settings: LatentStripSettings) -> dict[str, Any]:
    """Return a strip's generator as requests name it; of a run, the snapshot that is shown now."""
    run = settings.snapshots
    sha256 = run[settings.current_snapshot()].sha256 if run else settings.sha256
    return {"path": settings.sources()[sha256], "sha256": sha256}


def location_of(path: str) -> str | None:
    """Return the path of a checkpoint that a strip names, None for the built-in one."""
    return bpy.path.abspath(path) if path else None


def facts_of(answer: dict[str, Any]) -> GeneratorFacts:
    """Read the server's description of a generator. Raises LookupError, TypeError or ValueError if it is not one."""
    cutoff = answer["default_cutoff"]
    return GeneratorFacts(
        sha256=readable(str(answer["sha256"])),
        name=readable(str(answer["name"])),
        z_dim=_length(answer["z_dim"]),
        w_dim=_length(answer["w_dim"]),
        width=_length(answer["width"]),
        height=_length(answer["height"]),
        num_classes=_length(answer["num_classes"]),
        has_noise=bool(answer["has_noise"]),
        num_ws=_length(answer["num_ws"]),
        has_w="w" in answer["spaces"],
        has_truncation=bool(answer["has_truncation"]),
        default_cutoff=None if cutoff is None else _length(cutoff),
        has_transform=bool(answer["has_transform"]),
        normalises_z=bool(answer["normalises_z"]),
        canvas_step=_length(answer["canvas_step"]),
        snapshots=tuple(_snapshot(item, answer["path"]) for item in answer["snapshots"]),
    )


def _length(value: Any) -> int:
    """Return a count that Blender's properties can hold. Raises ValueError for anything else."""
    if not isinstance(value, int) or not 0 <= value < 1 << 31:
        raise ValueError(f"{quoted(value)} is no length")
    return value


def _snapshot(item: dict[str, Any], folder: str | None) -> Snapshot:
    path = str(item["path"])
    if folder is None:  # built-in: the .blend must not hold the path of the extension
        return Snapshot(str(item["name"]), os.path.basename(path), str(item["sha256"]))
    with contextlib.suppress(ValueError):  # if it is on a different drive
        path = os.path.relpath(path, folder).replace("\\", "/")
    return Snapshot(str(item["name"]), path, str(item["sha256"]))
