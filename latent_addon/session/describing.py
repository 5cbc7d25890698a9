"""Names a strip's generator in requests to the server."""

from __future__ import annotations

import bpy

from ...lantern_protocol.params import GeneratorFile
from ..scene.properties import LatentStripSettings


def generator_of(settings: LatentStripSettings) -> GeneratorFile:
    """Return a strip's generator as requests name it; of a run, the snapshot that is shown now."""
    run = settings.snapshots
    sha256 = run[settings.current_snapshot()].sha256 if run else settings.sha256
    return GeneratorFile(settings.sources()[sha256], sha256)


def location_of(path: str) -> str | None:
    """Return the path of a checkpoint that a strip names, None for the built-in one."""
    return bpy.path.abspath(path) if path else None
