"""A latent strip as a sequence file, which the server renders without Blender."""

from __future__ import annotations

import os
from pathlib import Path

import bpy
from bpy.types import ImageStrip, Scene

from ...inference_server.sequence_file import SequenceFile, SequenceFrame, SequenceGenerator
from ..core.frame_plan import FramePlan
from .properties import settings_of


def sequence_of(scene: Scene, strip: ImageStrip, plan: FramePlan, folder: Path) -> SequenceFile:
    """The shown frames of `strip`. The checkpoint's path is given relative to `folder`, where the file will lie."""
    settings = settings_of(strip)
    path = bpy.path.abspath(settings.generator) if settings.generator else None
    if path:
        try:
            path = os.path.relpath(path, folder)
        except ValueError:  # on another drive
            path = os.path.abspath(path)
    rows = {latent: row for row, latent in enumerate(dict.fromkeys(f.request.latent for f in plan.frames))}
    frames = []
    for i, planned in enumerate(plan.frames):
        request = planned.request
        frames.append(
            SequenceFrame(
                frame=plan.start + i,
                row=rows[request.latent],
                psi=request.psi,
                cutoff=request.cutoff,
                noise=request.noise,
                classes=request.classes,
                shadow=request.shadow,
            )
        )
    size = len(plan.frames[0].request.latent) // 4
    return SequenceFile(
        name=strip.name,
        fps=scene.render.fps / scene.render.fps_base,
        generators=(SequenceGenerator(path, settings.sha256, settings.generator_name),),
        space=settings.space.lower(),
        latents=b"".join(rows),
        shape=(len(rows), size),
        frames=tuple(frames),
    )
