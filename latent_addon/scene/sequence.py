"""A latent strip as a sequence file, which the server renders without Blender."""

from __future__ import annotations

import os
from pathlib import Path

from bpy.types import ImageStrip, Scene

from ...lantern_protocol.sequence_file import SequenceFile, SequenceFrame, SequenceGenerator
from ..core.frame_plan import FramePlan
from . import timing, versions
from .properties import settings_of


def sequence_of(scene: Scene, strip: ImageStrip, plan: FramePlan, folder: Path) -> SequenceFile:
    """Return the shown frames of `strip`. Paths of checkpoints are relative to `folder`, where the file will be."""
    sources = settings_of(strip).sources()
    shown = range(versions.strip_start(strip), versions.strip_end(strip))
    numbers = [timing.shown_frame(strip, frame) - plan.start for frame in shown]
    requests = [planned.request for planned in plan.frames_of(numbers)]
    used = dict.fromkeys(sha256 for r in requests for sha256 in (r.checkpoint, r.toward) if sha256)
    places = {sha256: place for place, sha256 in enumerate(used)}
    rows = {latent: row for row, latent in enumerate(dict.fromkeys(request.latent for request in requests))}
    frames = []
    for frame, request in zip(shown, requests, strict=True):
        frames.append(
            SequenceFrame(
                frame=frame,
                row=rows[request.latent],
                settings=request.settings,
                generator=places[request.checkpoint],
                toward=places.get(request.toward),
                shadow=request.shadow,
            )
        )
    return SequenceFile(
        name=strip.name,
        fps=scene.render.fps / scene.render.fps_base,
        generators=tuple(_generator(strip, sha256, sources[sha256], folder) for sha256 in used),
        space=requests[0].space,
        latents=b"".join(rows),
        shape=(len(rows), *requests[0].shape),
        frames=tuple(frames),
    )


def _generator(strip: ImageStrip, sha256: str, path: str | None, folder: Path) -> SequenceGenerator:
    settings = settings_of(strip)
    names = {snapshot.sha256: snapshot.name for snapshot in settings.snapshots}
    if path is not None:
        try:
            path = os.path.relpath(path, folder)
        except ValueError:  # on a different drive
            path = os.path.abspath(path)
    return SequenceGenerator(path, sha256, names.get(sha256, settings.generator_name))
