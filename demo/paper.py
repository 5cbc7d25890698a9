"""Write strokes to Grease Pencil: each drawing is a keyframe, written in bulk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bl_ext.user_default.latent_lantern.latent_addon.scene import versions
from bl_ext.user_default.latent_lantern.latent_addon.scene.drawing import Drawing
from hand import Stroke


def write_drawings(drawing: Drawing, layer: str, drawings: Mapping[int, Sequence[Stroke]], scale: float) -> None:
    """Replace what is on `layer` with these drawings; the keys are the frames at which they start.

    scale: pixels of the picture for a unit of the strokes.
    """
    frames = drawing.pencil.data.layers[layer].frames
    for number in [frame.frame_number for frame in frames]:
        frames.remove(number)
    for number, strokes in drawings.items():
        sheet = frames.new(number).drawing
        if strokes:
            _write(sheet, drawing, strokes, scale)


def _write(sheet: Any, drawing: Drawing, strokes: Sequence[Stroke], scale: float) -> None:
    materials = drawing.pencil.data.materials
    sheet.add_strokes([len(stroke.points) for stroke in strokes])
    for index, (line, stroke) in enumerate(zip(sheet.strokes, strokes, strict=True)):
        line.material_index = materials.find(stroke.ink)
        if stroke.fill:
            line.cyclic = True
            versions.set_fill(line, index + 1)
    positions = drawing.place(np.concatenate([stroke.points for stroke in strokes]) * scale)
    radii = np.concatenate([stroke.radius for stroke in strokes]).astype(np.float32) * drawing.pixel * scale
    sheet.attributes["position"].data.foreach_set("vector", positions.ravel())
    _attribute(sheet, "radius").data.foreach_set("value", radii)
    _attribute(sheet, "opacity").data.foreach_set("value", np.ones_like(radii))
    sheet.tag_positions_changed()


def _attribute(sheet: Any, name: str) -> Any:
    return sheet.attributes.get(name) or sheet.attributes.new(name, "FLOAT", "POINT")
