"""The one place that knows that Blenders differ (4.5 LTS to 5.2 LTS). Nothing else asks for a version."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.types import ID, ImageStrip, Scene

# --- strips ----------------------------------------------------------------------------------------------------------
# Blender 5.1 renamed a strip's frames and deprecated the old names.


def _has(name: str) -> bool:
    return name in ImageStrip.bl_rna.properties


def strip_start(strip: ImageStrip) -> int:
    """First timeline frame that the strip shows."""
    return int(strip.left_handle if _has("left_handle") else strip.frame_final_start)


def strip_end(strip: ImageStrip) -> int:
    """First timeline frame after `strip_start` that the strip does not show."""
    return int(strip.right_handle if _has("right_handle") else strip.frame_final_end)


def content_start(strip: ImageStrip) -> int:
    """Timeline frame of the strip's first element, shown or trimmed off."""
    return round(strip.content_start if _has("content_start") else strip.frame_start)


def set_content_start(strip: ImageStrip, frame: int) -> None:
    """Move the strip so that its first element lies at `frame`. Handles and the strip's F-curve keys move along."""
    setattr(strip, "content_start" if _has("content_start") else "frame_start", frame)


def set_handles(strip: ImageStrip, start: int, end: int) -> None:
    """Show the frames start..end-1."""
    left, right = ("left_handle", "right_handle") if _has("left_handle") else ("frame_final_start", "frame_final_end")
    if start < strip_end(strip):  # a handle may not pass the other one
        setattr(strip, left, start)
        setattr(strip, right, end)
    else:
        setattr(strip, right, end)
        setattr(strip, left, start)


def sequencer_scene(context: bpy.types.Context) -> Scene:
    """The scene that the Sequencer shows, or the window's scene where Blender has only that or none is chosen."""
    return getattr(context, "sequencer_scene", None) or context.scene


# --- F-curves --------------------------------------------------------------------------------------------------------
# Blender 5.0 removed Action.fcurves; its helpers for channelbags came only then.


def channelbag(owner: ID, ensure: bool = False) -> Any:
    """The channelbag of the Action that animates `owner`, or None; made, with Action and slot, if `ensure`."""
    data = owner.animation_data
    if ensure:
        data = data or owner.animation_data_create()
        if data.action is None:
            data.action = bpy.data.actions.new(f"{owner.name}Action")
        action = data.action
        if data.action_slot is None:
            suitable = list(data.action_suitable_slots)
            data.action_slot = suitable[0] if suitable else action.slots.new(owner.id_type, owner.name)
        layer = action.layers[0] if action.layers else action.layers.new("Layer")
        keyframes = layer.strips[0] if layer.strips else layer.strips.new(type="KEYFRAME")
        return keyframes.channelbag(data.action_slot, ensure=True)
    if data is None or data.action is None or data.action_slot is None:
        return None
    layers = data.action.layers
    if not layers or not layers[0].strips:
        return None
    return layers[0].strips[0].channelbag(data.action_slot)


def fcurves_of(owner: ID, ensure: bool = False) -> Any:
    """The F-curves of the Action that animates `owner`, or None; made if `ensure`. Assigning groups re-orders them."""
    bag = channelbag(owner, ensure)
    return bag.fcurves if bag else None
