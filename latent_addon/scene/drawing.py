"""Set up drawing over a shot: camera, picture behind the drawing, Grease Pencil object and inks, aligned to the pixel.

The picture is in a plane that faces the camera. One pixel of the composite is a hundredth of a Blender unit, because
Blender's pencils are a few hundredths wide; and drawings still fit when another generator makes smaller or larger
pictures. The origin of a drawing's own coordinates is the middle of the picture, with x to the right and z up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import bpy
import numpy as np
from bpy.types import Camera, CameraBackgroundImage, Context, GreasePencil, Image, ImageStrip, Material, Object, Scene

from . import versions, view
from .fitting import fit_strip

PIXEL = 0.01
"""Length of a pixel of the composite in Blender units."""

FINE_SIDE = 1024
"""The composite's shorter side has at least this many pixels, so that a line over a small picture is fine."""

ROLE = "lantern_role"
"""Custom property that marks what the add-on made, because the artist may change names."""

# The plane is away from the origin, and the camera sees only 5 units beyond it: so a start-up cube is not visible.
PLANE_Y = -20.0
CAMERA_DISTANCE = 5.0

LAYERS = ("Colour", "Ink")
"""Layers from the bottom to the top: fills are under the line."""


class Ink(NamedTuple):
    """A Grease Pencil material, for fills or for lines. colour: sRGB, from 0 to 1."""

    name: str
    colour: tuple[float, float, float]
    fill: bool


# White is easiest to see over a black shadow, so it is the first and the active ink. Black fills repair or extend a
# shadow.
INKS = (
    Ink("Ink White", (1.0, 1.0, 1.0), False),
    Ink("Ink Black", (0.0, 0.0, 0.0), False),
    Ink("Ink Warm", (0.98, 0.78, 0.42), False),
    Ink("Fill White", (1.0, 1.0, 1.0), True),
    Ink("Fill Black", (0.0, 0.0, 0.0), True),
    Ink("Fill Warm", (0.98, 0.78, 0.42), True),
)


@dataclass(frozen=True, slots=True)
class Drawing:
    """What `set_up_drawing` made or found.

    width, height: of the picture in pixels. factor: pixels of the composite for one pixel of the picture, in each
    direction.
    """

    camera: Object
    pencil: Object
    width: int
    height: int
    factor: int

    @property
    def pixel(self) -> float:
        """Length of a pixel of the picture in Blender units."""
        return self.factor * PIXEL

    def place(self, points: np.ndarray) -> np.ndarray:
        """Return the drawing's coordinates (n, 3) of picture positions (n, 2), in pixels from the upper left corner."""
        points = np.asarray(points, dtype=np.float32)
        placed = np.zeros((len(points), 3), dtype=np.float32)
        placed[:, 0] = (points[:, 0] - self.width / 2) * self.pixel
        placed[:, 2] = (self.height / 2 - points[:, 1]) * self.pixel
        return placed


def drawing_factor(width: int, height: int) -> int:
    """Return how many times larger than the picture the composite is.

    It is a whole number that makes both sides of the composite even, as H.264 needs.
    """
    factor = max(1, math.ceil(FINE_SIDE / min(width, height)))
    return factor + factor % 2 if width % 2 or height % 2 else factor


def set_up_drawing(
    scene: Scene, width: int, height: int, strips: Iterable[ImageStrip] = (), factor: int | None = None
) -> Drawing:
    """Make everything that is needed to draw over pictures of width x height pixels; repair it if it exists already.

    Strokes, and anything the artist added or renamed, stay as they are. `strips` are scaled to fill the frame.
    """
    factor = factor or drawing_factor(width, height)
    _set_render(scene, width * factor, height * factor)
    camera = _camera(scene)
    pencil = _pencil(scene)
    scene.camera = camera
    for strip in strips:
        fit_strip(strip, width, height)
    return Drawing(camera, pencil, width, height, factor)


def camera_of(scene: Scene) -> Object | None:
    """Return the scene's camera that looks at the picture, or None."""
    return _find(scene, "CAMERA", "camera", scene.camera)


def pencil_of(scene: Scene) -> Object | None:
    """Return the scene's Grease Pencil object for drawing over the picture, or None."""
    return _find(scene, "GREASEPENCIL", "pencil", None)


def show_background(scene: Scene, path: str | Path | None) -> None:
    """Show the picture at `path` behind the drawing; hide it if `path` is None or the file is missing.

    Made for frame changes: as long as the path stays the same, nothing is changed, and so no file is read again.
    """
    if bpy.app.is_job_running("RENDER"):  # a final render does not show it, and its thread must not change data
        return
    camera = camera_of(scene)
    background = _background(camera) if camera else None
    if background is None:
        return
    absolute = bpy.path.abspath(str(path)) if path else ""
    found = bool(absolute) and Path(absolute).is_file()
    if found:
        image = background.image
        if bpy.path.abspath(image.filepath) != absolute:
            image.filepath = _as_saved(absolute)
        elif not background.show_background_image:  # the file may have been made again with other pixels
            image.reload()
    if background.show_background_image != found:
        background.show_background_image = found


def enter_draw_mode(context: Context, drawing: Drawing) -> None:
    """Start draw mode: the drawing is active, seen through its camera, and strokes stay in the picture's plane."""
    pencil = drawing.pencil
    if bpy.app.background:
        return
    context.view_layer.update()  # before that, a view layer does not know an object that was just linked
    if context.view_layer.objects.get(pencil.name) != pencil:  # the window shows another scene
        return
    if context.object and context.object.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    for other in context.selected_objects:
        other.select_set(False)
    pencil.hide_set(False)
    pencil.select_set(True)
    context.view_layer.objects.active = pencil
    tools = context.scene.tool_settings
    tools.gpencil_stroke_placement_view3d = "ORIGIN"
    tools.gpencil_sculpt.lock_axis = "AXIS_Y"
    tools.use_keyframe_insert_auto = True  # a stroke on a new frame starts a new drawing instead of changing an old one
    bpy.ops.object.mode_set(mode="PAINT_GREASE_PENCIL")
    for area in context.screen.areas:
        if area.type == "VIEW_3D":
            space = area.spaces.active
            space.region_3d.view_perspective = "CAMERA"
            area.tag_redraw()


def _find(scene: Scene, kind: str, role: str, first: Object | None) -> Object | None:
    candidates = [first] if first else []
    for ob in (*candidates, *scene.objects):
        if ob.type == kind and ob.get(ROLE) == role:
            return ob
    return None


def _as_saved(path: str) -> str:
    """Return the path as the .blend stores it: relative if possible, so that the shot can move to another machine."""
    if not bpy.data.filepath:
        return path
    try:
        return bpy.path.relpath(path)
    except ValueError:  # on a different drive
        return path


def _set_render(scene: Scene, width: int, height: int) -> None:
    render = scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, 100
    render.pixel_aspect_x = render.pixel_aspect_y = 1.0
    render.film_transparent = True
    render.dither_intensity = 0.0  # flat ink on flat shadows stays flat
    view.use_standard(scene)


def _camera(scene: Scene) -> Object:
    camera = camera_of(scene)
    if camera is None:
        camera = bpy.data.objects.new("Lantern Camera", bpy.data.cameras.new("Lantern Camera"))
        camera[ROLE] = "camera"
        scene.collection.objects.link(camera)
        # It draws Grease Pencil like the other engines, but ten times faster.
        scene.render.engine = "BLENDER_WORKBENCH"  # pyright: ignore[reportAttributeAccessIssue]
    camera.location = (0.0, PLANE_Y - CAMERA_DISTANCE, 0.0)
    camera.rotation_mode = "XYZ"
    camera.rotation_euler = (math.pi / 2, 0.0, 0.0)
    camera.scale = (1.0, 1.0, 1.0)
    data = cast(Camera, camera.data)
    data.type, data.sensor_fit = "ORTHO", "AUTO"
    data.ortho_scale = max(scene.render.resolution_x, scene.render.resolution_y) * PIXEL
    data.shift_x = data.shift_y = 0.0
    data.clip_start, data.clip_end = 0.1, 2 * CAMERA_DISTANCE
    data.show_background_images = True
    if _background(camera) is None:
        background = data.background_images.new()
        background.image = _background_image(scene)
        background.show_background_image = False
        background.frame_method, background.display_depth, background.alpha = "STRETCH", "BACK", 1.0
    return camera


def _background(camera: Object) -> CameraBackgroundImage | None:
    for background in cast(Camera, camera.data).background_images:
        if background.image and background.image.get(ROLE) == "background":
            return background
    return None


def _background_image(scene: Scene) -> Image:
    image = bpy.data.images.new(f"{scene.name} Picture", 1, 1)
    image.source = "FILE"
    image[ROLE] = "background"
    return image


def _pencil(scene: Scene) -> Object:
    pencil = pencil_of(scene)
    if pencil is None:
        pencil = bpy.data.objects.new("Lantern Drawing", versions.grease_pencils().new("Lantern Drawing"))
        pencil[ROLE] = "pencil"
        scene.collection.objects.link(pencil)
        pencil.location = (0.0, PLANE_Y, 0.0)
    data = cast(GreasePencil, pencil.data)
    _ensure_layers(data, scene)
    _ensure_inks(data)
    return pencil


def _ensure_layers(data: GreasePencil, scene: Scene) -> None:
    missing = [name for name in LAYERS if name not in data.layers]
    for name in missing:
        layer = data.layers.new(name, set_active=False)
        layer.use_lights = False  # ink keeps its colour whatever lights the scene has
        layer.frames.new(scene.frame_start)  # without a keyframe there is nothing to draw on
    if LAYERS[0] in missing and len(data.layers) > 1:
        data.layers.move_bottom(data.layers[LAYERS[0]])
    if missing:
        data.layers.active = data.layers[LAYERS[-1]]


def _ensure_inks(data: GreasePencil) -> None:
    present = {material.get(ROLE) for material in data.materials if material}
    for ink in INKS:
        if ink.name not in present:
            data.materials.append(_ink_material(ink))


def _ink_material(ink: Ink) -> Material:
    for material in bpy.data.materials:
        if material.get(ROLE) == ink.name and material.is_grease_pencil:
            return material
    material = bpy.data.materials.new(ink.name)
    material[ROLE] = ink.name
    bpy.data.materials.create_gpencil_data(material)
    versions.set_ink(material, ink.fill)
    style = material.grease_pencil
    colour: Any = (*map(_to_linear, ink.colour), 1.0)
    style.color = style.fill_color = colour
    return material


def _to_linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
