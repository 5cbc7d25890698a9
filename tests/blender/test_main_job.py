"""The main task with operators, the real server and the built-in generator: keys, shadows, drawing, film."""

import json
import os
import subprocess

import bpy
import numpy as np
import pytest

from latent_lantern.latent_addon.scene import drawing, output
from latent_lantern.latent_addon.scene.properties import settings_of
from latent_lantern.latent_addon.scene.rendered import ranges
from latent_lantern.latent_addon.session.session import session
from pictures import read_picture
from stage import planned, shown, to_shadow

FILM_PERCENTAGE = 25
"""Of the composite's size, which a person chooses. A processor draws these films: a whole one takes half a minute."""


@pytest.fixture
def real(stage, server_python):
    """The stage with the real server."""
    session.client.stop()
    stage.preferences.server_python = server_python
    return stage


def test_from_keys_to_the_composite(real, tmp_path, root, server_python):
    strip = real.add_strip(8)
    assert settings_of(strip).width >= 128
    for frame, seed in ((1, 1), (8, 2)):
        real.key(frame, seed)
    to_shadow(strip)
    real.scene.frame_start, real.scene.frame_end = 1, 8
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    real.fill()
    assert bpy.ops.lantern.set_up_drawing() == {"FINISHED"}
    assert drawing.pencil_of(real.scene) is not None
    real.scene.render.resolution_percentage = FILM_PERCENTAGE
    assert bpy.ops.lantern.make_output_scene() == {"FINISHED"}
    assert output.output_scene_of(real.scene) is not None
    assert bpy.ops.lantern.render_composite(filepath=str(tmp_path / "film.mp4")) == {"FINISHED"}
    assert (tmp_path / "film.mp4").stat().st_size > 1000
    # The same shot without Blender gives the same pictures, byte for byte.
    assert bpy.ops.lantern.export_sequence(filepath=str(tmp_path / "shot.lantern.json")) == {"FINISHED"}
    command = [server_python, "-m", "inference_server", "render", str(tmp_path / "shot.lantern.json")]
    command += ["--out", str(tmp_path / "frames")]
    environment = {"PYTHONPATH": str(root), "PATH": os.environ["PATH"]}
    subprocess.run(command, check=True, env=environment, cwd=tmp_path)
    for i, name in enumerate(planned(strip), start=1):
        theirs = read_picture(tmp_path / "frames" / f"frame_{i:04}.png")
        assert np.array_equal(read_picture(session.plans.store.folder / name), theirs)
    figures = read_picture(session.plans.store.folder / shown(strip)[0])[..., 0] < 128
    assert 0.1 < figures.mean() < 0.6  # shadows of people: neither one blot nor empty


def test_training_time_of_the_built_in_generator_can_be_scrubbed(real, tmp_path):
    strip = real.add_strip(2)
    settings = settings_of(strip)
    count = len(settings.snapshots)
    assert count >= 4
    assert settings.snapshot == count
    assert set(settings.sources().values()) == {None}
    pictures = []
    for snapshot in (count, 1, 1.5):
        settings.snapshot = snapshot
        real.fill()
        pictures.append(read_picture(session.plans.store.folder / shown(strip)[0]).astype(int))
    trained, begun, between = pictures
    assert np.abs(trained - begun).mean() > 4
    assert 0 < np.abs(between - begun).mean() < np.abs(trained - begun).mean()
    assert bpy.ops.lantern.export_sequence(filepath=str(tmp_path / "shot.lantern.json")) == {"FINISHED"}
    assert bpy.ops.lantern.reload_generator() == {"FINISHED"}
    assert (len(settings.snapshots), settings.snapshot) == (count, 1.5)


def test_the_background_follows_the_playhead(stage):
    strip = stage.keyed_strip()
    bpy.ops.lantern.set_up_drawing()
    camera = drawing.camera_of(stage.scene)
    for frame in (3, 20):
        stage.scene.frame_set(frame)
        image = camera.data.background_images[0].image
        assert os.path.basename(image.filepath) == planned(strip)[frame - 1]
    stage.scene.frame_set(60)
    assert not camera.data.background_images[0].show_background_image


def test_the_background_follows_edits_at_the_playhead(stage):
    strip = stage.keyed_strip()
    bpy.ops.lantern.set_up_drawing()
    stage.scene.frame_set(3)
    to_shadow(strip)
    stage.fill()
    session.tick()
    image = drawing.camera_of(stage.scene).data.background_images[0].image
    assert os.path.basename(image.filepath) == planned(strip)[2]


def test_the_composite_is_refused_with_the_missing_frames_numbers(stage, tmp_path):
    strip = stage.keyed_strip()
    stage.scene.frame_start, stage.scene.frame_end = 1, 24
    stage.use_fake_server("--fail-writes")
    bpy.ops.lantern.set_up_drawing()
    for number in (4, 5, 6, 20):
        (session.plans.store.folder / planned(strip)[number - 1]).unlink()
    with pytest.raises(RuntimeError, match=r"Not rendered: frames 4-6, 20 of strip 'Latent' could not be made. "):
        bpy.ops.lantern.render_composite(filepath=str(tmp_path / "film.mp4"))
    assert not (tmp_path / "film.mp4").exists()


def test_missing_frames_are_made_before_the_composite(stage, tmp_path):
    strip = stage.keyed_strip()
    stage.scene.frame_start, stage.scene.frame_end = 1, 4
    bpy.ops.lantern.set_up_drawing()
    stage.scene.render.resolution_percentage = FILM_PERCENTAGE
    (session.plans.store.folder / planned(strip)[2]).unlink()
    assert bpy.ops.lantern.render_composite(filepath=str(tmp_path / "film.mp4")) == {"FINISHED"}
    assert planned(strip)[2] in session.plans.store.names()


def test_ranges_of_frames():
    assert ranges([1, 2, 3, 7, 9, 10]) == "1-3, 7, 9-10"
    assert ranges([]) == ""


def test_a_sequence_file_is_plain_json(stage, tmp_path):
    stage.keyed_strip()
    bpy.ops.lantern.export_sequence(filepath=str(tmp_path / "shot.lantern.json"))
    assert json.loads((tmp_path / "shot.lantern.json").read_text())["version"] == 2
