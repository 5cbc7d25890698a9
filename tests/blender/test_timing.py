"""What a strip shows when Blender changes its time: reversed, strobed, split, sped up, retimed, stretched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np
import pytest
from bpy.types import ImageStrip, Scene

from latent_lantern.lantern_protocol.sequence_file import SequenceFile
from latent_lantern.latent_addon.scene import latent_keys, timing, versions
from latent_lantern.latent_addon.scene.properties import settings_of
from latent_lantern.latent_addon.session.session import session
from pictures import image_strip, read_picture, write_picture
from stage import Stage, latents_by_playhead, latents_of

LENGTH = 24
KEYS = {1: 1, 9: 2, 24: 3}


def reverse(strip: ImageStrip) -> None:
    strip.use_reverse_frames = True


def reverse_a_part(strip: ImageStrip) -> None:
    reverse(strip)
    versions.set_handles(strip, 5, 20)


def reverse_more(strip: ImageStrip) -> None:
    versions.set_handles(strip, -3, 30)
    reverse(strip)


def strobe_a_part(strip: ImageStrip) -> None:
    versions.set_handles(strip, 6, 25)
    strip.strobe = 4


def strobe_in_reverse(strip: ImageStrip) -> None:
    strobe_a_part(strip)
    reverse(strip)


def split(strip: ImageStrip) -> None:
    for name, count in zip(versions._HARD_TRIMS[versions._has("content_trim_start")], (3, 2), strict=True):
        setattr(strip, name, count)


def speed(strip: ImageStrip, factor: float) -> None:
    versions.set_handles(strip, 6, 20)
    length = {"length": 14} if bpy.app.version >= (5, 0) else {"frame_end": 20}
    editor = strip.id_data.sequence_editor
    effect = editor.strips.new_effect(name="Speed", type="SPEED", channel=5, frame_start=6, input1=strip, **length)
    effect.speed_control, effect.speed_factor = "MULTIPLY", factor


def speed_up(strip: ImageStrip) -> None:
    speed(strip, 2.0)


def slow_down(strip: ImageStrip) -> None:
    speed(strip, 0.5)


def retime(strip: ImageStrip, to: int) -> None:
    strip.retiming_keys.add(timeline_frame=12)
    strip.retiming_keys[1].timeline_frame = to


def retime_slower(strip: ImageStrip) -> None:
    retime(strip, 20)


def retime_faster(strip: ImageStrip) -> None:
    retime(strip, 6)


OF_THE_STRIP = [reverse, reverse_a_part, reverse_more, strobe_a_part, strobe_in_reverse, split]
CHANGES: list[Callable[[ImageStrip], None]] = [*OF_THE_STRIP, speed_up, slow_down]
if bpy.app.version >= (5, 1):  # before, Blender crashes when a script adds retiming keys without a window
    CHANGES += [retime_slower, retime_faster]


def rendered(scene: Scene, frames: range, folder: Path) -> list[np.ndarray]:
    """What a render shows at these frames."""
    pictures = []
    for frame in frames:
        scene.frame_set(frame)
        scene.render.filepath = str(folder / "rendered.png")
        bpy.ops.render.render(write_still=True)
        pictures.append(read_picture(folder / "rendered.png")[..., :3])
    return pictures


def elements_shown(change: Callable[[ImageStrip], None], start: int, count: int, folder: Path) -> list[int]:
    """Which elements Blender itself shows when the same is done to a strip of `count` numbered pictures.

    Its first picture is at `start`. At first it shows the frames 1 .. LENGTH.
    """
    scene = bpy.data.scenes.new("Numbered")
    prepare(scene, 8, 8)
    bpy.context.window.scene = scene
    colours = [np.full((8, 8, 3), 3 * i, np.uint8) for i in range(count)]
    paths = [write_picture(folder / f"n{i:02}.png", colour) for i, colour in enumerate(colours)]
    strip = image_strip(scene, paths, start)
    versions.set_handles(strip, 1, LENGTH + 1)
    change(strip)
    shown = range(versions.strip_start(strip), versions.strip_end(strip))
    return [round(int(picture[0, 0, 0]) / 3) for picture in rendered(scene, shown, folder)]


def prepare(scene: Scene, width: int, height: int) -> None:
    """Let renders show pictures of this size to the pixel."""
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.render.dither_intensity = 0.0
    scene.view_settings.view_transform = "Standard"
    versions.set_file_format(scene.render.image_settings, "PNG")


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_every_picture_that_is_shown_is_made_and_is_that_of_its_frame(
    stage: Stage, tmp_path: Path, change: Callable[[ImageStrip], None]
) -> None:
    scene = stage.scene
    strip = stage.keyed_strip(KEYS, LENGTH)
    prepare(scene, *settings_of(strip).picture_size())
    strip.transform.scale_x = strip.transform.scale_y = 1.0
    change(strip)
    latents = dict(zip(range(-10, 40), latents_by_playhead(strip, -10, 50), strict=True))
    session.replan()
    stage.fill()

    shown = range(versions.strip_start(strip), versions.strip_end(strip))
    pictures = rendered(scene, shown, tmp_path)
    plan, first, count = session.plans.state_of(strip).plan, timing.origin(strip), len(strip.elements)
    elements = elements_shown(change, 1 if count == LENGTH else first, count, tmp_path)
    for frame, picture, element in zip(shown, pictures, elements, strict=True):
        planned = plan.at(first + element)
        latent = np.frombuffer(planned.request.latent, "<f4")
        np.testing.assert_allclose(latent, latents[first + element], atol=2e-5, err_msg=str(frame))
        assert (picture == read_picture(session.plans.store.folder / planned.name)[..., :3]).all(), (frame, element)
        if change in OF_THE_STRIP:
            assert versions.content_start(strip) + element == timing.shown_frame(strip, frame)


@pytest.mark.parametrize("old, new", [(100, 200), (100, 50), (24, 30)])
@pytest.mark.parametrize("interpolation", ["FCURVE", "GREAT_CIRCLE"])
def test_stretched_time_moves_the_latent_as_blender_moves_it(
    stage: Stage, old: int, new: int, interpolation: str
) -> None:
    strip = stage.keyed_strip(KEYS, LENGTH)
    settings_of(strip).interpolation = interpolation
    plain = latents_of(strip)
    stage.scene.render.frame_map_old, stage.scene.render.frame_map_new = old, new
    stretched = latents_of(strip)
    if interpolation == "FCURVE":
        np.testing.assert_allclose(stretched, latents_by_playhead(strip, 1, LENGTH), atol=2e-5)
    else:
        same = {frame: frame * old // new for frame in range(1, LENGTH + 1) if frame * old % new == 0}
        same = {frame: at for frame, at in same.items() if 1 <= at <= LENGTH}
        assert len(same) > 3
        for frame, at in same.items():
            np.testing.assert_allclose(stretched[frame - 1], plain[at - 1], atol=2e-5)


def test_in_stretched_time_a_key_belongs_to_the_picture_at_the_playhead(stage: Stage) -> None:
    scene, strip = stage.scene, stage.keyed_strip(KEYS, LENGTH)
    scene.render.frame_map_new = 200
    scene.frame_set(13)
    assert bpy.ops.lantern.randomise(seed=77) == {"FINISHED"}
    wanted = np.array(strip["latent"][:])
    np.testing.assert_allclose(latents_of(strip)[12], wanted, atol=2e-5)
    assert latent_keys.latent_key_frames(scene, strip) == [2, 13, 18, 48]
    scene.frame_set(2)
    assert bpy.ops.lantern.jump_to_latent_key() == {"FINISHED"} and scene.frame_current == 13
    assert bpy.ops.lantern.delete_latent_key() == {"FINISHED"}
    assert latent_keys.latent_key_frames(scene, strip) == [2, 18, 48]


def test_a_sequence_file_has_the_pictures_in_the_order_that_is_shown(stage: Stage, tmp_path: Path) -> None:
    strip = stage.keyed_strip(KEYS, LENGTH)
    forward = latents_of(strip)
    reverse_a_part(strip)
    target = tmp_path / "shot.lantern.json"
    assert bpy.ops.lantern.export_sequence(filepath=str(target)) == {"FINISHED"}
    written = SequenceFile.read(target)
    rows = np.frombuffer(written.latents, "<f4").reshape(written.shape)
    assert [frame.frame for frame in written.frames] == list(range(5, 20))
    assert (rows[[frame.row for frame in written.frames]] == forward[19:4:-1]).all()
