"""Which pictures a render of a scene shows: the frames of its latent strips, and of those in the scenes it shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, cast

from bpy.types import ImageStrip, MetaStrip, Scene, SceneStrip, Strip

from . import timing, versions
from .properties import is_latent

_DEEPEST = 8
"""Scenes within scenes that are looked into. Blender itself stops at a scene that shows itself."""


def shown_in_render(scene: Scene, rendered: range) -> Iterator[tuple[ImageStrip, set[int]]]:
    """Yield the latent strips that a render of these frames of the scene shows.

    With each come the frames whose pictures are shown; all frames of a strip that is retimed or under a Speed effect.
    Muted strips and channels show nothing. A strip that another one covers counts as shown.
    """
    yield from _shown(scene, rendered.start, rendered.stop, 0)


def in_words(frames: Mapping[str, list[int]]) -> str:
    """Return frames, ascending, by the name of their strip in words: frames 1-3, 7 of strip 'A' and frame 2 of ..."""
    return " and ".join(
        f"frame{'s' if len(numbers) > 1 else ''} {ranges(numbers)} of strip '{name}'"
        for name, numbers in frames.items()
    )


def ranges(frames: list[int]) -> str:
    """Return ascending frame numbers as ranges in words: 1-3, 7, 9-12."""
    runs = [[frame for _, frame in run] for _, run in groupby(enumerate(frames), lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _shown(scene: Scene, first: int, end: int, depth: int) -> Iterator[tuple[ImageStrip, set[int]]]:
    editor = scene.sequence_editor
    if editor is None or depth > _DEEPEST or not scene.render.use_sequencer:
        return
    under_speed = timing.under_speed(scene)
    for strip, muted in _with_muting(editor.strips, editor.channels):
        start, stop = max(first, versions.strip_start(strip)), min(end, versions.strip_end(strip))
        if start >= stop or (muted and strip.name not in under_speed):
            continue
        if is_latent(strip):
            if strip.name in under_speed or versions.is_retimed(strip):
                frames = set(range(*timing.shown_range(strip, whole=True)))
            else:
                frames = {timing.shown_frame(strip, frame) for frame in range(start, stop)}
            yield strip, frames
        elif isinstance(strip, SceneStrip) and strip.scene is not None and strip.scene_input == "SEQUENCER":
            inner = strip.scene
            shift = inner.frame_start - versions.content_start(strip)
            yield from _shown(inner, start + shift, stop + shift, depth + 1)


def _with_muting(strips: Iterable[Strip], channels: Any, muted: bool = False) -> Iterator[tuple[Strip, bool]]:
    """Yield all strips, also those in meta strips, each with whether it is muted."""
    for strip in strips:
        silent = muted or strip.mute or channels[strip.channel].mute
        if isinstance(strip, MetaStrip):
            yield from _with_muting(cast(Any, strip).strips, strip.channels, silent)
        else:
            yield strip, silent
