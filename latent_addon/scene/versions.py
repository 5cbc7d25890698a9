"""The one place that knows that Blenders differ (4.5 LTS to 5.2 LTS). Nothing else asks for a version."""

from __future__ import annotations

import warnings
from typing import Any

import bpy
from bpy.types import ImageStrip, Material, Scene, Strip

# --- strips ----------------------------------------------------------------------------------------------------------
# Blender 5.1 renamed a strip's frames and deprecated the old names.


def _has(name: str) -> bool:
    return name in ImageStrip.bl_rna.properties


def strip_start(strip: Strip) -> int:
    """First timeline frame that the strip shows."""
    return int(strip.left_handle if _has("left_handle") else strip.frame_final_start)


def strip_end(strip: Strip) -> int:
    """First timeline frame after `strip_start` that the strip does not show."""
    return int(strip.right_handle if _has("right_handle") else strip.frame_final_end)


def content_start(strip: Strip) -> int:
    """Timeline frame of the strip's first element, shown or trimmed off."""
    return round(strip.content_start if _has("content_start") else strip.frame_start)


def set_content_start(strip: Strip, frame: int) -> None:
    """Move the strip so that its first element lies at `frame`. Handles and the strip's F-curve keys move along."""
    setattr(strip, "content_start" if _has("content_start") else "frame_start", frame)


def set_handles(strip: Strip, start: int, end: int) -> None:
    """Show the frames start..end-1."""
    left, right = ("left_handle", "right_handle") if _has("left_handle") else ("frame_final_start", "frame_final_end")
    if start < strip_end(strip):  # a handle may not pass the other one
        setattr(strip, left, start)
        setattr(strip, right, end)
    else:
        setattr(strip, right, end)
        setattr(strip, left, start)


def set_elements(scene: Scene, strip: ImageStrip, names: list[str]) -> None:
    """Give the strip these elements, at once: appending one copies all that are there, and leaves its size unset.

    Where it starts, what its handles show, its folder and its keys stay as they are.
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
            # Blender prints a warning where this one begins with //.
            bpy.ops.sequencer.change_path(directory=bpy.path.abspath(directory), files=files)
    finally:
        strip.directory = directory
        editor.active_strip = active


def sequencer_scene(context: bpy.types.Context) -> Scene:
    """The scene that the Sequencer shows, or the window's scene where Blender has only that or none is chosen."""
    return getattr(context, "sequencer_scene", None) or context.scene


def show_in_sequencer(context: bpy.types.Context, scene: Scene) -> None:
    """Let a Sequencer that shows no scene yet show this one; before 5.0 it always shows the window's."""
    workspace = context.workspace
    if workspace is not None and getattr(workspace, "sequencer_scene", scene) is None:
        workspace.sequencer_scene = scene


# --- F-curves --------------------------------------------------------------------------------------------------------
# Blender 5.0 removed Action.fcurves; its helpers for channelbags came only then.


def channelbag(owner: Any, ensure: bool = False) -> Any:
    """The channelbag of the Action that animates the ID `owner`, or None; made, with Action and slot, if `ensure`."""
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
    """The F-curves of the Action that animates the ID `owner`, or None; made if `ensure`.

    Assigning groups re-orders them.
    """
    bag = channelbag(owner, ensure)
    return bag.fcurves if bag else None


# --- Grease Pencil ---------------------------------------------------------------------------------------------------
# Until 4.5, `bpy.data.grease_pencils` held annotations. Up to 5.0 a material says what is filled, then a stroke.


def grease_pencils() -> Any:
    """The collection of Grease Pencil data (version 3) of the open file."""
    return getattr(bpy.data, "grease_pencils_v3", bpy.data.grease_pencils)


def set_ink(material: Material, fill: bool) -> None:
    """Make a Grease Pencil material draw fills without a line, or lines without a fill."""
    style = material.grease_pencil
    if "show_fill" in style.bl_rna.properties:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            style.show_stroke, style.show_fill = not fill, fill


def set_fill(stroke: Any, fill: int) -> None:
    """Let a stroke be a fill without a line. Strokes of one drawing with the same `fill` (from 1) make one shape."""
    if hasattr(stroke, "fill_id"):
        stroke.fill_id = fill
        stroke.hide_stroke = True


# --- rendering -------------------------------------------------------------------------------------------------------
# Blender 5.0 sorted the file formats by kind of media, and offers only those of the kind that is set.


def set_file_format(settings: Any, file_format: str) -> None:
    """Choose the file format of a scene's `render.image_settings`: "PNG", or "FFMPEG" for a movie."""
    if hasattr(settings, "media_type"):
        settings.media_type = "VIDEO" if file_format == "FFMPEG" else "IMAGE"
    settings.file_format = file_format


def file_format_fields(settings: Any) -> tuple[str, ...]:
    """The attributes to save, and to restore in this order, round a `set_file_format`."""
    fields = ("file_format", "color_mode", "color_depth", "compression", "quality")
    return ("media_type", *fields) if hasattr(settings, "media_type") else fields
