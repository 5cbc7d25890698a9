"""One picture of the whole film: frames at even distances, and the parts of one frame."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bl_ext.user_default.latent_lantern.latent_addon.scene import versions
from pixels import Bytes, read_picture

COLUMNS, ROWS, TILE, GAP = 4, 4, 384, 12
PAPER = (236, 228, 212)


def contact_sheet(working: bpy.types.Scene, film: Path, colour: Path, shadow: Path, frame: int) -> Bytes:
    """Return the sheet: frames of `film`, and below them colour, shadow, drawing and composite of `frame`."""
    first, last = working.frame_start, working.frame_end
    count = COLUMNS * ROWS
    numbers = [first + k * (last - first + 1) // count for k in range(count)]
    with tempfile.TemporaryDirectory(prefix="lantern-sheet-") as folder:
        bench = _Bench(Path(folder), working)
        tiles = [bench.picture(number, lambda strips: _film(strips, film, first)) for number in numbers]
        tiles.append(bench.picture(frame, lambda strips: _still(strips, colour, frame)))
        tiles.append(bench.picture(frame, lambda strips: _still(strips, shadow, frame)))
        tiles.append(bench.picture(frame, lambda strips: _drawing(strips, working)))
        tiles.append(bench.picture(frame, lambda strips: _film(strips, film, first)))
        bench.close()
    return _laid_out(tiles)


class _Bench:
    """A scene that renders single pictures, as large as a tile."""

    def __init__(self, folder: Path, working: bpy.types.Scene) -> None:
        self.folder = folder
        self.scene = bpy.data.scenes.new("Contact Sheet")
        render = self.scene.render
        render.resolution_x = render.resolution_y = TILE
        render.resolution_percentage = 100
        render.dither_intensity = 0.0
        render.filepath = str(folder / "tile.png")
        versions.set_file_format(render.image_settings, "PNG")
        self.scene.view_settings.view_transform = "Standard"
        self.scene.frame_start, self.scene.frame_end = working.frame_start, working.frame_end
        self.window = bpy.context.window
        self.before = self.window.scene
        self.window.scene = self.scene

    def picture(self, frame: int, lay: Callable[[Any], None]) -> Bytes:
        """Render what `lay` puts into the sequencer, over the sheet's paper; return the pixels (TILE, TILE, 3)."""
        self.scene.sequence_editor_clear()
        strips = self.scene.sequence_editor_create().strips
        lay(strips)
        for strip in strips:
            strip.blend_type = "ALPHA_OVER"
        self.scene.frame_set(frame)
        bpy.ops.render.render(write_still=True, scene=self.scene.name)
        pixels = read_picture(self.folder / "tile.png").astype(float)
        alpha = pixels[..., 3:] / 255
        return np.rint(pixels[..., :3] + (1 - alpha) * np.array(PAPER) * 0.72).clip(0, 255).astype(np.uint8)

    def close(self) -> None:
        """Remove the scene, and show the scene that was shown before."""
        self.window.scene = self.before
        bpy.data.scenes.remove(self.scene)


def _film(strips: Any, film: Path, first: int) -> None:
    strips.new_movie("Film", str(film), 1, first, fit_method="FIT")


def _still(strips: Any, path: Path, frame: int) -> None:
    strip = strips.new_image("Still", str(path), 1, frame, fit_method="FIT")
    strip.transform.filter = "NEAREST"


def _drawing(strips: Any, working: bpy.types.Scene) -> None:
    strip = strips.new_scene("Drawing", working, 1, working.frame_start)
    strip.scene_input = "CAMERA"
    strip.transform.scale_x = strip.transform.scale_y = TILE / working.render.resolution_x


def _laid_out(tiles: list[Bytes]) -> Bytes:
    rows = (len(tiles) + COLUMNS - 1) // COLUMNS
    sheet = np.empty((rows * (TILE + GAP) + 2 * GAP, COLUMNS * (TILE + GAP) + GAP, 3), np.uint8)
    sheet[:] = PAPER
    for k, tile in enumerate(tiles):
        row, column = divmod(k, COLUMNS)
        top = GAP + row * (TILE + GAP) + (GAP if row == rows - 1 else 0)
        left = GAP + column * (TILE + GAP)
        sheet[top : top + TILE, left : left + TILE] = tile
    return sheet
