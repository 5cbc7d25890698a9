"""The Output scene: its render is the composite of the working scene's sequencer and of the working scene's camera.

A Scene strip that shows its own scene renders nothing. So the composite is in a second scene, whose sequencer holds
two Scene strips of the working scene: its sequencer (pictures and sound) below, its camera (the drawing) above.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
from bpy.types import Scene, SpaceImageEditor, Window

from . import versions

WORKING_SCENE = "lantern_working_scene"
"""Custom property of an Output scene that points at the scene it renders."""

PICTURE_STRIP, DRAWING_STRIP = "Picture", "Drawing"
MOVIE_SUFFIXES = (".mp4", ".m4v")
_LAST_FRAME = 1048574  # Blender's own limit


def output_scene_of(scene: Scene) -> Scene | None:
    """Return the Output scene of a working scene, or None."""
    for other in bpy.data.scenes:
        if other.get(WORKING_SCENE) == scene and other != scene:
            return other
    return None


def make_output_scene(scene: Scene) -> Scene:
    """Make the Output scene of a working scene, or update the one that exists, and return it.

    Size, frame rate, frame range and view transform are copied at each call. Strips that a person added to the Output
    scene stay. The add-on's two strips are made again if they were deleted.
    """
    output = output_scene_of(scene)
    if output is None:
        output = bpy.data.scenes.new("Output" if "Output" not in bpy.data.scenes else f"Output {scene.name}")
        output[WORKING_SCENE] = scene
        # Every Blender has this engine; the sequencer needs none.
        output.render.engine = "BLENDER_WORKBENCH"  # pyright: ignore[reportAttributeAccessIssue]
        _set_movie_format(output)  # in a scene made by a script the encoder has no valid settings
    _follow(output, scene)
    editor = output.sequence_editor_create()
    picture = _scene_strip(editor, scene, PICTURE_STRIP, "SEQUENCER")
    drawing = _scene_strip(editor, scene, DRAWING_STRIP, "CAMERA")
    if drawing.channel < picture.channel:
        drawing.channel = max(strip.channel for strip in editor.strips) + 1
    drawing.blend_type = "ALPHA_OVER"
    drawing.volume = 0.0  # each Scene strip plays its scene's whole sound: two would be twice as loud
    drawing.mute = scene.camera is None
    for strip in (picture, drawing):
        versions.set_content_start(strip, scene.frame_start)
        versions.set_handles(strip, scene.frame_start, scene.frame_end + 1)
    return output


def refresh_output(scene: Scene) -> Scene:
    """Update the Output scene of a working scene right before it is rendered, and return it.

    Since Blender 5.0 Scene strips are cached, and the cache does not notice edits made by scripts and in other scenes.
    """
    output = make_output_scene(scene)
    for layer in scene.view_layers:
        layer.update()
    for owner in (scene, output):
        drop_kept_pictures(owner)
    return output


def drop_kept_pictures(scene: Scene) -> None:
    """Let the next render of the scene read the pictures of its strips again."""
    for strip in scene.sequence_editor.strips_all if scene.sequence_editor else ():
        strip.invalidate_cache("RAW")


def check_movie_size(scene: Scene) -> None:
    """Raise ValueError if an H.264 movie cannot have the scene's size, because the width or the height is odd."""
    render = scene.render
    if render.resolution_x % 2 or render.resolution_y % 2:
        size = f"{render.resolution_x} x {render.resolution_y}"
        raise ValueError(
            f"An H.264 movie needs an even width and height, and this one is {size} pixels. Change the resolution in "
            "the Output properties."
        )


def render_settings_for_movie(output: Scene, filepath: str | Path) -> None:
    """Set `output` to render an H.264 movie in MP4 that every player reads, with AAC sound if there is any.

    Raises ValueError if the width or the height is odd.
    """
    check_movie_size(output)
    render = output.render
    render.filepath = str(filepath)
    _set_movie_format(output)
    render.ffmpeg.audio_codec = "AAC" if _has_sound(output) else "NONE"


def render_settings_for_frames(output: Scene, folder: str | Path) -> None:
    """Set `output` to render numbered PNGs with alpha in `folder`: `frame_0001.png` and so on."""
    render = output.render
    render.filepath = str(Path(folder) / "frame_####")
    render.use_file_extension = True
    versions.set_file_format(render.image_settings, "PNG")
    render.image_settings.color_mode, render.image_settings.color_depth = "RGBA", "8"
    render.image_settings.compression = 15


def start_render(scene: Scene, path: str | Path) -> None:
    """Start to render the composite as a movie in Blender's own render window, which shows progress and stops on Esc.

    The movie appears at `path` when it is complete; the file of a stopped render is deleted. Needs a window.
    Raises ValueError if a movie cannot have this size.
    """
    target = Path(bpy.path.abspath(str(path)))
    part = _part_of(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    output = refresh_output(scene)
    render_settings_for_movie(output, part)

    def ended(*_: object) -> None:
        bpy.app.handlers.render_complete.remove(completed)
        bpy.app.handlers.render_cancel.remove(ended)
        part.unlink(missing_ok=True)
        output.render.filepath = str(target)

    def completed(*_: object) -> None:
        if part.is_file():
            os.replace(part, target)
        ended()

    bpy.app.handlers.render_complete.append(completed)
    bpy.app.handlers.render_cancel.append(ended)
    working = bpy.context.window  # afterwards the context's window is the one that Blender opens for the render
    bpy.ops.render.render("INVOKE_DEFAULT", animation=True, scene=output.name)
    for window in bpy.context.window_manager.windows:
        if window != working and _shows_result(window):
            window.scene = output  # a window shows only renders of its own scene


def _shows_result(window: Window) -> bool:
    """Return whether this window shows only the rendered picture."""
    spaces = [area.spaces.active for area in window.screen.areas]
    space = spaces[0] if len(spaces) == 1 else None
    return isinstance(space, SpaceImageEditor) and space.image is not None and space.image.type == "RENDER_RESULT"


def _part_of(target: Path) -> Path:
    return target.with_name(f"{target.stem}.part{target.suffix}")


def render_composite(scene: Scene, path: str | Path, on_frame: Callable[[int], None] | None = None) -> Path:
    """Render the composite of a working scene, wait until it is written, and return the absolute path.

    A `path` that ends in .mp4 or .m4v becomes a movie, which is written completely or not at all; any other path is a
    folder for PNGs. `on_frame` is called with the number of each frame after it is rendered. Playheads and render
    settings are restored at the end. Raises ValueError if a movie cannot have this size, RuntimeError if Blender cannot
    render or write.
    """
    target = Path(bpy.path.abspath(str(path)))
    is_movie = target.suffix.lower() in MOVIE_SUFFIXES
    part = _part_of(target)
    (target.parent if is_movie else target).mkdir(parents=True, exist_ok=True)
    output = refresh_output(scene)
    with _settings_kept(output), _playheads_kept(scene, output), _called_for_each_frame(on_frame):
        if is_movie:
            render_settings_for_movie(output, part)
        else:
            render_settings_for_frames(output, target)
        try:
            done = bpy.ops.render.render(animation=True, scene=output.name)
            if "FINISHED" not in done or (is_movie and not part.is_file()):
                raise RuntimeError(
                    f"Blender did not finish rendering {target}. Look whether the disk has room, then try again."
                )
            if is_movie:
                os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    return target


def _follow(output: Scene, scene: Scene) -> None:
    fields = (
        "resolution_x", "resolution_y", "resolution_percentage", "pixel_aspect_x", "pixel_aspect_y", "fps", "fps_base",
        "dither_intensity",
    )  # fmt: skip
    _copy(scene.render, output.render, fields)
    _copy(scene.display_settings, output.display_settings, ("display_device",))
    _copy(scene.view_settings, output.view_settings, ("view_transform", "look", "exposure", "gamma"))
    _copy(scene.sequencer_colorspace_settings, output.sequencer_colorspace_settings, ("name",))
    if output.frame_start > scene.frame_end:  # the end may never be before the start, not even between the two steps
        _copy(scene, output, ("frame_start", "frame_end"))
    else:
        _copy(scene, output, ("frame_end", "frame_start"))
    output.frame_step = 1
    output.render.use_sequencer = True


def _set_movie_format(output: Scene) -> None:
    versions.set_file_format(output.render.image_settings, "FFMPEG")
    output.render.image_settings.color_mode = "RGB"  # the encoder then writes yuv420p
    movie = output.render.ffmpeg
    movie.format, movie.codec, movie.audio_codec = "MPEG4", "H264", "AAC"
    movie.constant_rate_factor, movie.ffmpeg_preset, movie.gopsize = "HIGH", "GOOD", 12
    movie.audio_bitrate = 192


def _copy(source: Any, target: Any, fields: tuple[str, ...]) -> None:
    for field in fields:
        setattr(target, field, getattr(source, field))


def _scene_strip(editor: Any, scene: Scene, name: str, scene_input: str) -> Any:
    for strip in editor.strips:
        if strip.type == "SCENE" and strip.scene == scene and strip.scene_input == scene_input:
            return strip
    used = {strip.channel for strip in editor.strips}
    channel = 1 if scene_input == "SEQUENCER" else 2
    while channel in used:
        channel += 1
    # A Scene strip gets the length that its scene has when the strip is made. Made at full length, it follows the range
    # later with its handles alone.
    end = scene.frame_end
    scene.frame_end = _LAST_FRAME
    try:
        strip = editor.strips.new_scene(name, scene, channel, scene.frame_start)
    finally:
        scene.frame_end = end
    strip.scene_input = scene_input
    return strip


def _has_sound(output: Scene) -> bool:
    scenes = (output, output.get(WORKING_SCENE))
    editors = [scene.sequence_editor for scene in scenes if scene and scene.sequence_editor]
    return any(strip.type == "SOUND" and not strip.mute for editor in editors for strip in editor.strips_all)


@contextmanager
def _settings_kept(output: Scene) -> Iterator[None]:
    render = output.render
    movie = ("format", "codec", "constant_rate_factor", "ffmpeg_preset", "gopsize", "audio_codec", "audio_bitrate")
    groups = (
        (render, ("filepath", "use_file_extension")),
        (render.ffmpeg, movie),
        (render.image_settings, versions.file_format_fields(render.image_settings)),
    )
    saved = [(owner, field, getattr(owner, field)) for owner, fields in groups for field in fields]
    try:
        yield
    finally:
        for owner, field, value in saved:
            setattr(owner, field, value)


@contextmanager
def _playheads_kept(*scenes: Scene) -> Iterator[None]:
    saved = [(scene, scene.frame_current, scene.frame_subframe) for scene in scenes]
    try:
        yield
    finally:
        for scene, frame, subframe in saved:
            scene.frame_set(frame, subframe=subframe)


@contextmanager
def _called_for_each_frame(on_frame: Callable[[int], None] | None) -> Iterator[None]:
    if on_frame is None:
        yield
        return

    def rendered(scene: Scene, *_: object) -> None:
        on_frame(scene.frame_current)

    bpy.app.handlers.render_write.append(rendered)
    try:
        yield
    finally:
        bpy.app.handlers.render_write.remove(rendered)
