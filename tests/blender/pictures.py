"""Pictures and strokes for the tests of drawing and output: written by hand, read back as arrays."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np

from latent_lantern.latent_addon.core import png
from latent_lantern.latent_addon.scene import versions
from latent_lantern.latent_addon.scene.drawing import Drawing


def write_picture(path: Path, pixels: np.ndarray) -> Path:
    """Write (height, width, 3) uint8 pixels, top row first, as a PNG."""
    path.write_bytes(png.encode_png(pixels))
    return path


def read_picture(path: Path) -> np.ndarray:
    """The (height, width, 4) uint8 pixels of an image file, top row first."""
    image = bpy.data.images.load(str(path), check_existing=False)
    image.colorspace_settings.name = "Non-Color"
    width, height = image.size
    values = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(values)
    bpy.data.images.remove(image)
    return np.rint(values.reshape(height, width, 4)[::-1] * 255).astype(np.uint8)


def noise_picture(seed: int, width: int, height: int) -> np.ndarray:
    """A picture whose every pixel is different."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def fill_box(drawing: Drawing, box: tuple[float, float, float, float], frame: int, ink: str = "Fill White") -> None:
    """Draw a filled box (left, top, right, bottom), in picture pixels, as the drawing of layer Colour at `frame`."""
    left, top, right, bottom = box
    data = drawing.pencil.data
    frames = data.layers["Colour"].frames
    here = next((f for f in frames if f.frame_number == frame), None) or frames.new(frame)
    strokes = here.drawing
    strokes.remove_strokes()
    strokes.add_strokes([4])
    stroke = strokes.strokes[0]
    corners = drawing.place(np.array([(left, top), (right, top), (right, bottom), (left, bottom)]))
    for point, corner in zip(stroke.points, corners, strict=True):
        point.position = corner.tolist()
        point.radius = 0.001
        point.opacity = 1.0
    stroke.cyclic = True
    stroke.material_index = data.materials.find(ink)
    versions.set_fill(stroke, 1)


def image_strip(scene: bpy.types.Scene, pictures: list[Path], start: int) -> bpy.types.ImageStrip:
    """An image strip of these files, from timeline frame `start`."""
    editor = scene.sequence_editor_create()
    editor.show_missing_media = False
    strip = editor.strips.new_image("Pictures", str(pictures[0]), 1, start, fit_method="ORIGINAL")
    for picture in pictures[1:]:
        strip.elements.append(picture.name)
    return strip
