"""The only module that handles differences between Blender versions (4.5 LTS to 5.2 LTS)."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import bpy
from bpy.types import ImageStrip, Material, Scene, Strip


# Blender 5.1 renamed the properties of a strip's frames and deprecated the old names.
@functools.cache
def _has(name: str) -> bool:
    return name in ImageStrip.bl_rna.properties


def strip_start(strip: Strip) -> int:
    """Return the first timeline frame that the strip shows."""
    return int(strip.left_handle if _has("left_handle") else strip.frame_final_start)


def strip_end(strip: Strip) -> int:
    """Return the first timeline frame after `strip_start` that the strip does not show."""
    return int(strip.right_handle if _has("right_handle") else strip.frame_final_end)


def content_start(strip: Strip) -> int:
    """Return the timeline frame of the strip's first element, whether it is shown or trimmed off."""
    return round(strip.content_start if _has("content_start") else strip.frame_start)


def set_content_start(strip: Strip, frame: int) -> None:
    """Move the strip so that its first element is at `frame`. The handles and the strip's F-curve keys move with it."""
    setattr(strip, "content_start" if _has("content_start") else "frame_start", frame)


def hard_trims(strip: ImageStrip) -> tuple[int, int]:
    """Return how many elements are cut off at the start and at the end, as by a hard split: no handle reaches them."""
    start, end = _HARD_TRIMS[_has("content_trim_start")]
    return getattr(strip, start), getattr(strip, end)


def clear_hard_trims(strip: ImageStrip) -> None:
    """Give the strip back the elements that were cut off. Its frames move."""
    for name in _HARD_TRIMS[_has("content_trim_start")]:
        setattr(strip, name, 0)


_HARD_TRIMS = (("animation_offset_start", "animation_offset_end"), ("content_trim_start", "content_trim_end"))


def is_retimed(strip: ImageStrip) -> bool:
    """Return whether the strip has retiming keys."""
    return len(getattr(strip, "retiming_keys", ())) > 0


def set_handles(strip: Strip, start: int, end: int) -> None:
    """Set the handles so that the strip shows the frames start .. end - 1."""
    left, right = ("left_handle", "right_handle") if _has("left_handle") else ("frame_final_start", "frame_final_end")
    if start < strip_end(strip):  # a handle may not move beyond the other handle
        setattr(strip, left, start)
        setattr(strip, right, end)
    else:
        setattr(strip, right, end)
        setattr(strip, left, start)


def set_elements(scene: Scene, strip: ImageStrip, names: list[str]) -> None:
    """Give the strip these elements in one step.

    Appending elements one by one would copy all existing ones each time, and leave the size of the new one unset.
    The strip's start, handles, folder and keys stay as they are.
    """
    editor = scene.sequence_editor
    active, directory = editor.active_strip, strip.directory
    own: dict[str, Any] = {"scene": scene}
    if hasattr(bpy.context, "sequencer_scene"):
        own["sequencer_scene"] = scene
    override: Any = bpy.context.temp_override(**own)
    files: Any = [{"name": name} for name in names]
    editor.active_strip = strip
    try:
        with override:
            # Absolute, because Blender prints a warning if it begins with //.
            bpy.ops.sequencer.change_path(directory=bpy.path.abspath(directory), files=files)
    finally:
        strip.directory = directory
        editor.active_strip = active


def sequencer_scene(context: bpy.types.Context) -> Scene:
    """Return the scene that the Sequencer shows; the window's scene before Blender 5.0, or if none is chosen."""
    return getattr(context, "sequencer_scene", None) or context.scene


def show_in_sequencer(context: bpy.types.Context, scene: Scene) -> None:
    """Let a Sequencer that shows no scene yet show this one; before Blender 5.0 it always shows the window's scene."""
    workspace = context.workspace
    if workspace is not None and getattr(workspace, "sequencer_scene", scene) is None:
        workspace.sequencer_scene = scene


# Blender 5.0 removed Action.fcurves, and only 5.0 and later have helpers for channelbags.
def channelbag(owner: Any, ensure: bool = False) -> Any:
    """Return the channelbag of the Action that animates the ID `owner`, or None.

    If `ensure`, it is made if it is missing, with Action and slot.
    """
    data = owner.animation_data
    if ensure:
        data = data or owner.animation_data_create()
        if data.action is None:
            data.action = bpy.data.actions.new(f"{owner.name}Action")
        action = data.action
        if data.action_slot is None:
            suitable = list(data.action_suitable_slots)
            data.action_slot = suitable[0] if suitable else action.slots.new(owner.id_type, owner.name)
        layer: Any = action.layers[0] if action.layers else action.layers.new("Layer")
        keyframes = layer.strips[0] if layer.strips else layer.strips.new(type="KEYFRAME")
        return keyframes.channelbag(data.action_slot, ensure=True)
    if data is None or data.action is None or data.action_slot is None:
        return None
    layers = data.action.layers
    if not layers or not layers[0].strips:
        return None
    return layers[0].strips[0].channelbag(data.action_slot)


def fcurves_of(owner: Any, ensure: bool = False) -> Any:
    """Return the F-curves of the Action that animates the ID `owner`, or None; if `ensure`, the Action is made.

    Assigning a group to F-curves changes their order.
    """
    bag = channelbag(owner, ensure)
    return bag.fcurves if bag else None


# Up to Blender 4.5, `bpy.data.grease_pencils` held annotations.
def grease_pencils() -> Any:
    """Return the collection of Grease Pencil data (version 3) in the open file."""
    return getattr(bpy.data, "grease_pencils_v3", bpy.data.grease_pencils)


# Up to Blender 5.0 a material decides what is filled; later each stroke does.
def set_ink(material: Material, fill: bool) -> None:
    """Make a Grease Pencil material draw fills without a line, or lines without a fill."""
    style = material.grease_pencil
    if "show_fill" in style.bl_rna.properties:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            style.show_stroke, style.show_fill = not fill, fill


def set_fill(stroke: Any, fill: int) -> None:
    """Make a stroke a fill without a line. Strokes of one drawing with the same `fill` (from 1) make one shape."""
    if hasattr(stroke, "fill_id"):
        stroke.fill_id = fill
        stroke.hide_stroke = True


# Blender 5.0 grouped the file formats by kind of media, and offers only the formats of the kind that is set.
def set_file_format(settings: Any, file_format: str) -> None:
    """Choose the file format of a scene's `render.image_settings`: "PNG", or "FFMPEG" for a movie."""
    if hasattr(settings, "media_type"):
        settings.media_type = "VIDEO" if file_format == "FFMPEG" else "IMAGE"
    settings.file_format = file_format


def file_format_fields(settings: Any) -> tuple[str, ...]:
    """Return the attributes to save before `set_file_format`, and to restore afterwards in this order."""
    fields = ("file_format", "color_mode", "color_depth", "compression", "quality")
    return ("media_type", *fields) if hasattr(settings, "media_type") else fields
