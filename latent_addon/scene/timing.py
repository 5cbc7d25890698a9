"""How time runs in a scene: which of a strip's pictures it shows at a frame, and when Blender evaluates F-curves.

Each picture of a latent strip belongs to the frame of the timeline at which its element lies. A strip that is reversed,
strobed, retimed or under a Speed effect shows its pictures in another order, and may show some that lie beyond its
handles. *Time Stretching* moves no picture, but it moves the F-curves under them.
"""

from __future__ import annotations

from typing import Any

from bpy.types import ImageStrip, Scene

from . import versions


def stretch(scene: Scene) -> float:
    """Return how many frames of the timeline one frame of the F-curves takes: 1, unless Time Stretching is set."""
    return scene.render.frame_map_new / scene.render.frame_map_old


def key_time(scene: Scene, frame: float) -> float:
    """Return the frame at which Blender evaluates F-curves when the playhead is at `frame`. Keys belong there."""
    ratio = stretch(scene)
    return frame if ratio == 1 else frame / ratio


def origin(strip: ImageStrip) -> int:
    """Return the timeline frame at which the strip's first element lies, whether it is shown or not."""
    return versions.content_start(strip) - versions.hard_trims(strip)[0]


def under_speed(scene: Scene) -> set[str]:
    """Return the names of the strips that a Speed effect shows. It takes any of their elements."""
    editor = scene.sequence_editor
    effects: list[Any] = [each for each in editor.strips_all if each.type == "SPEED"] if editor else []
    return {effect.input_1.name for effect in effects if effect.input_1 is not None}


def shown_range(strip: ImageStrip, whole: bool) -> tuple[int, int]:
    """Return the first frame whose picture the strip shows, and the frame after the last one.

    whole: whether any of its elements may be shown, because it is under a Speed effect.
    """
    start, end = versions.strip_start(strip), versions.strip_end(strip)
    first = origin(strip)
    last = first + len(strip.elements) - 1
    if whole or versions.is_retimed(strip):
        return first, last + 1
    if strip.use_reverse_frames:
        start, end = first + last - end + 1, first + last - start + 1
    if strip.strobe > 1:
        start = first + int((start - first) // strip.strobe * strip.strobe)
    return start, end


def shown_frame(strip: ImageStrip, frame: int) -> int:
    """Return the frame whose picture the strip shows at a timeline frame."""
    first = origin(strip)
    if versions.is_retimed(strip):
        shown = strip.strip_elem_from_frame(frame)
        return next((first + i for i, element in enumerate(strip.elements) if element == shown), frame)
    number = frame - first
    if strip.use_reverse_frames:
        number = len(strip.elements) - 1 - number
    if strip.strobe > 1:
        number = int(number // strip.strobe * strip.strobe)
    return first + number
