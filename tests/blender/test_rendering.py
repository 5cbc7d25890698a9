"""Renders of scenes whose strips lack frames: what is made first, and what is said when it cannot be made."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest
from bpy.types import ImageStrip, Scene

from latent_lantern.latent_addon.scene import output, rendered, versions
from latent_lantern.latent_addon.scene.properties import settings_of
from latent_lantern.latent_addon.session.session import session
from pictures import read_picture
from stage import Stage, planned, shown


def lacking_strip(stage: Stage, length: int = 96, missing: range = range(1, 97)) -> ImageStrip:
    """A keyed strip without the frames `missing`, in a file that was just opened."""
    stage.scene.render.resolution_percentage = 100
    strip = stage.keyed_strip({1: 1, length: 2}, length)
    width, height = settings_of(strip).picture_size()
    stage.scene.render.resolution_x, stage.scene.render.resolution_y = width, height
    strip.transform.scale_x = strip.transform.scale_y = 1.0
    strip.transform.filter = "NEAREST"
    for frame in missing:
        (session.plans.store.folder / planned(strip)[frame - 1]).unlink(missing_ok=True)
    session.plans.store.doubt()
    session.replan()
    stage.ordered()
    return strip


def render(scene: Scene, folder: Path) -> list[np.ndarray]:
    """Render the scene's range as a person does without a window, and return the pictures."""
    versions.set_file_format(scene.render.image_settings, "PNG")
    scene.render.filepath = str(folder / "frame_####")
    bpy.ops.render.render(animation=True, scene=scene.name)
    frames = range(scene.frame_start, scene.frame_end + 1)
    return [read_picture(folder / f"frame_{frame:04}.png")[..., :3] for frame in frames]


def pictures(strip: ImageStrip, frames: range) -> list[np.ndarray]:
    return [read_picture(session.plans.store.folder / planned(strip)[frame - 1])[..., :3] for frame in frames]


def test_what_the_render_shows_is_made_first_wherever_the_playhead_is(stage: Stage) -> None:
    strip = lacking_strip(stage)
    scene = stage.scene
    scene.frame_start, scene.frame_end = 11, 14
    scene.frame_set(80)
    assert session.fill_for_render(scene)
    assert set(stage.ordered()[:4]) == set(planned(strip)[10:14])
    assert session.plans.missing_in_render(scene) == ([], 4)
    assert session.strips.before_render is None


def test_muted_strips_and_channels_are_not_waited_for(stage: Stage) -> None:
    strip = lacking_strip(stage, 8, range(1, 9))
    scene = stage.scene
    scene.frame_start, scene.frame_end = 1, 8
    assert session.plans.missing_in_render(scene)[1] == 8
    strip.mute = True
    assert session.plans.missing_in_render(scene) == ([], 0)
    strip.mute = False
    scene.sequence_editor.channels[strip.channel].mute = True
    assert session.plans.missing_in_render(scene) == ([], 0)


def test_strips_of_scenes_in_scenes_are_shown_with_their_own_frames(stage: Stage) -> None:
    strip = lacking_strip(stage, 8, range(1, 9))
    scene = stage.scene
    scene.frame_start, scene.frame_end = 1, 8
    outer = output.make_output_scene(scene)
    outer.frame_start, outer.frame_end = 3, 5
    assert list(rendered.shown_in_render(outer, range(3, 6))) == [(strip, {3, 4, 5})]
    picture = outer.sequence_editor.strips["Picture"]
    versions.set_content_start(picture, 101)
    assert list(rendered.shown_in_render(outer, range(103, 106))) == [(strip, {3, 4, 5})]


def test_a_render_without_a_window_makes_what_it_shows(stage: Stage, tmp_path: Path) -> None:
    strip = lacking_strip(stage, 12, range(3, 10))
    scene = stage.scene
    scene.frame_start, scene.frame_end = 2, 6
    found = render(scene, tmp_path)
    for ours, right in zip(found, pictures(strip, range(2, 7)), strict=True):
        assert (ours == right).all()
    assert session.renders.notice == "" and session.state.name != "RENDERING"


def test_so_does_a_render_of_the_composite(stage: Stage, tmp_path: Path) -> None:
    strip = lacking_strip(stage, 12, range(3, 10))
    scene = stage.scene
    scene.view_settings.view_transform, scene.render.dither_intensity, scene.camera = "Standard", 0.0, None
    scene.frame_start, scene.frame_end = 2, 6
    found = render(output.make_output_scene(scene), tmp_path)
    for ours, right in zip(found, pictures(strip, range(2, 7)), strict=True):
        assert (ours == right).all()


def test_a_render_that_shows_placeholders_says_so_and_why(
    stage: Stage, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    strip = lacking_strip(stage, 12, range(3, 6))
    stage.use_fake_server("--fail-writes")
    scene = stage.scene
    scene.frame_start, scene.frame_end = 1, 12
    render(scene, tmp_path)
    assert len(stage.ordered()) <= 3  # one attempt, not one for each frame
    said = "The last render shows placeholders: frames 3-5 of strip 'Latent' were not made. "
    assert session.renders.notice.startswith(said) and session.halted in session.renders.notice
    assert f"Latent Lantern: {session.renders.notice}" in capfd.readouterr().err
    assert [name.startswith("placeholder_") for name in shown(strip)] == [2 <= i < 5 for i in range(12)]
    stage.use_fake_server()
    render(scene, tmp_path)
    assert session.renders.notice == ""


def test_why_the_composite_is_not_rendered(stage: Stage, tmp_path: Path) -> None:
    lacking_strip(stage, 12, range(3, 6))
    session.client.stop()
    stage.preferences.server_python = str(tmp_path / "nothing")
    stage.scene.render.resolution_x = stage.scene.render.resolution_y = 64
    stage.scene.frame_start, stage.scene.frame_end = 4, 12
    with pytest.raises(RuntimeError, match=r"frames 4-5 of strip 'Latent' could not be made\. .*nothing"):
        bpy.ops.lantern.render_composite(filepath=str(tmp_path / "film.mp4"))


def test_an_odd_size_is_said_before_any_frame_is_made(stage: Stage, tmp_path: Path) -> None:
    lacking_strip(stage, 12, range(3, 6))
    stage.scene.render.resolution_x = 63
    with pytest.raises(RuntimeError, match="even width and height"):
        bpy.ops.lantern.render_composite(filepath=str(tmp_path / "film.mp4"))
    assert stage.ordered() == []
