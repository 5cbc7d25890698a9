"""Features of some generators only: W+, canvases, transforms, classes, no truncation, latents from files."""

import json
import math

import bpy
import numpy as np
import pytest

from latent_lantern.latent_addon.core.transform import inverse_transform
from latent_lantern.latent_addon.scene import curves, keying, latent_keys, versions
from latent_lantern.latent_addon.scene.properties import settings_of
from latent_lantern.latent_addon.session.session import session
from stage import latents_of, planned, shown

# The fake generator has z and w of 8 numbers and 4 rows of W+; its w is half of z, and 3 more for class 3.


def requests_of(strip):
    return [frame.request for frame in session.plans.state_of(strip).plan.frames]


def write_latents(path, space, latents):
    path.write_text(json.dumps({"space": space, "latents": np.asarray(latents).tolist()}))
    return str(path)


def key_frames_of(strip):
    return latent_keys.latent_key_frames(strip.id_data, strip)


def use_facts(stage, **facts):
    stage.use_fake_server("--facts", json.dumps(facts))


@pytest.mark.parametrize("way", [("W+",), ("W", "W+")])
def test_keys_are_repeated_for_every_layer(stage, way):
    strip = stage.keyed_strip({1: 1, 12: 2})
    z = np.array([np.random.RandomState(seed).randn(8) for seed in (1, 2)])
    for space in way:
        assert bpy.ops.lantern.set_space(space=space) == {"FINISHED"}
    assert key_frames_of(strip) == [1, 12] and len(strip["latent"]) == 32
    stage.fill()
    assert {(request.space, request.shape) for request in requests_of(strip)} == {("w", (4, 8))}
    assert np.allclose(latents_of(strip)[[0, 11]], np.tile(z / 2, 4), atol=1e-4)
    with pytest.raises(RuntimeError, match=r"no way back from W\+ to W"):
        bpy.ops.lantern.set_space(space="W")


def test_a_seed_is_drawn_in_the_strip_s_space(stage):
    strip = stage.add_strip(3)
    for space, repeats, scale in (("W+", 4, 2), ("W", 1, 2), ("Z", 1, 1)):
        assert bpy.ops.lantern.set_space(space=space) == {"FINISHED"}  # without keys it is possible to go back
        bpy.ops.lantern.randomise(seed=7)
        assert np.allclose(strip["latent"][:], np.tile(np.random.RandomState(7).randn(8) / scale, repeats), atol=1e-6)
        stage.fill()


def test_a_projection_is_imported(stage, tmp_path):
    strip = stage.add_strip(6)
    stage.fill()
    projection = np.arange(32).reshape(1, 4, 8) / 16
    path = write_latents(tmp_path / "projected_w.npz", "w+", projection)
    assert bpy.ops.lantern.import_latents(filepath=path) == {"FINISHED"}
    assert settings_of(strip).space == "W+" and key_frames_of(strip) == []
    stage.fill()
    assert np.array_equal(latents_of(strip)[0], projection.ravel())


def test_several_latents_are_keyed_from_the_playhead_on(stage, tmp_path):
    strip = stage.add_strip(24)
    rows = np.arange(24).reshape(3, 8) / 8
    path = write_latents(tmp_path / "walk.npy", "w", rows)
    stage.scene.frame_set(5)
    assert bpy.ops.lantern.import_latents(filepath=path, spacing=4) == {"FINISHED"}
    assert key_frames_of(strip) == [5, 9, 13]
    stage.fill()
    assert np.array_equal(latents_of(strip)[[4, 8, 12]], rows)
    assert bpy.ops.lantern.import_latents(filepath=path) == {"FINISHED"}  # animated: keyed where the playhead is
    assert key_frames_of(strip) == [5, 9, 13]


def test_keys_of_another_space_are_removed(stage, tmp_path):
    strip = stage.keyed_strip()
    path = write_latents(tmp_path / "one.npy", "w", np.ones((1, 8)))
    assert bpy.ops.lantern.import_latents(filepath=path) == {"FINISHED"}
    assert key_frames_of(strip) == [] and settings_of(strip).space == "W"
    same = write_latents(tmp_path / "two.npy", "z", np.ones((1, 8)))
    assert bpy.ops.lantern.import_latents(filepath=same) == {"FINISHED"}
    assert settings_of(strip).space == "Z"
    stage.fill()


def test_latents_of_another_generator_are_refused(stage, tmp_path):
    strip = stage.keyed_strip()
    latent = strip["latent"][:]
    path = write_latents(tmp_path / "other.npy", "w+", np.ones((1, 18, 8)))
    with pytest.raises(RuntimeError, match=r"18 x 8 numbers in W\+, and Fake takes 4 x 8"):
        bpy.ops.lantern.import_latents(filepath=path)
    with pytest.raises(RuntimeError, match=r"nowhere\.npy"):
        bpy.ops.lantern.import_latents(filepath=str(tmp_path / "nowhere.npy"))
    assert strip["latent"][:] == latent and key_frames_of(strip) == [1, 12, 24]


def test_a_canvas_makes_a_larger_picture(stage):
    use_facts(stage, canvas_step=4, spaces=["z"], normalises_z=False, has_truncation=False)
    strip = stage.add_strip(3, seed=5)
    stage.fill()
    assert {request.shape for request in requests_of(strip)} == {(8,)}
    assert bpy.ops.lantern.set_canvas(columns=3, rows=2) == {"FINISHED"}
    assert np.allclose(strip["latent"][:], np.random.RandomState(5).randn(8 * 2 * 3))
    session.replan()
    assert session.plans.state_of(strip).placeholder == "placeholder_24x20.png"
    stage.key(1, 1)
    stage.key(3, 2)
    stage.fill()
    assert {(r.shape, r.width, r.height, r.settings.psi) for r in requests_of(strip)} == {((8, 2, 3), 24, 20, 1.0)}
    image = bpy.data.images.load(str(session.plans.store.folder / shown(strip)[0]))
    assert tuple(image.size) == (24, 20)
    assert bpy.ops.lantern.set_canvas(columns=3, rows=2) == {"CANCELLED"}
    assert bpy.ops.lantern.set_canvas(columns=1, rows=1) == {"FINISHED"}
    assert key_frames_of(strip) == [] and len(strip["latent"]) == 8
    with pytest.raises(RuntimeError, match="only the space Z"):
        bpy.ops.lantern.set_space(space="W")


def test_other_generators_have_no_canvas(stage):
    stage.add_strip(3)
    with pytest.raises(RuntimeError, match="one size only"):
        bpy.ops.lantern.set_canvas(columns=2)


def test_going_from_a_canvas_to_another_generator(stage, tmp_path):
    use_facts(stage, canvas_step=4)
    strip = stage.add_strip(3)
    bpy.ops.lantern.set_canvas(columns=3, rows=2)
    stage.use_fake_server()
    checkpoint = tmp_path / "other.pkl"
    checkpoint.write_bytes(b"other")
    bpy.ops.lantern.insert_latent_key()
    assert bpy.ops.lantern.choose_generator(filepath=str(checkpoint)) == {"FINISHED"}
    session.replan()
    assert "48 numbers" in session.problem(strip) and "Fit Latent" in session.problem(strip)
    assert bpy.ops.lantern.fit_latent() == {"FINISHED"}
    stage.fill()
    assert (requests_of(strip)[0].shape, requests_of(strip)[0].width) == ((8,), 16)


@pytest.mark.parametrize("choose", ["choose_generator", "drop_generator"])
def test_a_latent_without_keys_is_drawn_anew_where_it_does_not_fit(stage, tmp_path, choose):
    use_facts(stage, canvas_step=4)
    strip = stage.add_strip(3)
    bpy.ops.lantern.randomise(seed=5)
    first = list(strip["latent"])
    bpy.ops.lantern.set_canvas(columns=3, rows=2)
    assert len(strip["latent"]) == 48
    stage.use_fake_server()
    checkpoint = tmp_path / "other.pkl"
    for contents in (b"other", b"another"):
        checkpoint.write_bytes(contents)
        getattr(bpy.ops.lantern, choose)(filepath=str(checkpoint))
        assert list(strip["latent"]) == first  # of the same seed; the second time it fits
    stage.fill()


def test_going_to_a_generator_without_w(stage, tmp_path):
    strip = stage.keyed_strip()
    bpy.ops.lantern.set_space(space="W")
    use_facts(stage, spaces=["z"])
    checkpoint = tmp_path / "other.pkl"
    checkpoint.write_bytes(b"other")
    bpy.ops.lantern.choose_generator(filepath=str(checkpoint))
    session.replan()
    assert "only Z" in session.problem(strip)
    assert bpy.ops.lantern.fit_latent() == {"FINISHED"}
    stage.fill()
    assert settings_of(strip).space == "Z"


def test_moving_and_turning_are_keyed(stage):
    use_facts(stage, has_transform=True)
    strip = stage.add_strip(5)
    settings = settings_of(strip)
    for frame, x, turn in ((1, 0.0, 0.0), (5, 0.5, math.pi / 2)):
        settings.move_x, settings.turn = x, turn
        for name in ("move_x", "turn"):
            stage.scene.keyframe_insert(f"{curves.path_prefix(strip)}.latent_lantern.{name}", frame=frame)
    stage.fill()
    transforms = [request.settings.transform for request in requests_of(strip)]
    assert transforms[0] == ()
    assert np.allclose(transforms[-1], inverse_transform(0.5, 0.0, math.pi / 2, 1.0), atol=1e-4)
    assert len(set(planned(strip))) == 5
    stage.ordered()
    settings.zoom = 1.5
    stage.fill()
    assert len(stage.ordered()) == 5


def test_other_generators_know_no_transform(stage):
    strip = stage.add_strip(3)
    stage.fill()
    pictures = shown(strip)
    settings_of(strip).move_x = 0.5
    stage.fill()
    assert shown(strip) == pictures


def test_classes_are_chosen_and_blended_by_keys(stage):
    use_facts(stage, num_classes=4)
    strip = stage.add_strip(5)
    stage.fill()
    assert {request.settings.classes for request in requests_of(strip)} == {(1.0, 0.0, 0.0, 0.0)}
    assert bpy.ops.lantern.set_class(number=2) == {"FINISHED"}
    assert keying.main_class(strip) == (2, 1.0)
    assert bpy.ops.lantern.insert_class_key() == {"FINISHED"}
    stage.scene.frame_set(5)
    assert bpy.ops.lantern.set_class(number=99) == {"FINISHED"}  # the last one, and keyed
    for curve in versions.fcurves_of(stage.scene):
        for point in curve.keyframe_points:
            point.interpolation = "LINEAR"
        curve.update()
    stage.fill()
    classes = [request.settings.classes for request in requests_of(strip)]
    assert classes[0] == (0.0, 0.0, 1.0, 0.0) and classes[-1] == (0.0, 0.0, 0.0, 1.0)
    assert classes[2] == (0.0, 0.0, 0.5, 0.5) and len(set(planned(strip))) == 5
    assert bpy.ops.lantern.delete_class_key() == {"FINISHED"}
    assert bpy.ops.lantern.delete_class_key() == {"CANCELLED"}
    stage.fill()
    assert len(set(planned(strip))) == 1


def test_keys_are_mapped_with_the_classes_of_their_frames(stage):
    use_facts(stage, num_classes=4)
    strip = stage.add_strip(5)
    bpy.ops.lantern.insert_latent_key()
    bpy.ops.lantern.insert_class_key()
    stage.scene.frame_set(5)
    bpy.ops.lantern.insert_latent_key()
    bpy.ops.lantern.set_class(number=3)
    z = np.array(strip["latent"][:])
    assert bpy.ops.lantern.set_space(space="W") == {"FINISHED"}
    stage.fill()
    assert np.allclose(latents_of(strip)[[0, 4]], [z / 2, z / 2 + 3], atol=1e-4)


def test_generators_without_classes_have_none_to_choose(stage):
    stage.add_strip(3)
    with pytest.raises(RuntimeError, match="no classes"):
        bpy.ops.lantern.set_class(number=1)


def test_a_new_strip_starts_as_the_generator_s_authors_would(stage):
    use_facts(stage, default_cutoff=8)
    settings = settings_of(stage.add_strip(3))
    assert (round(settings.psi, 6), settings.cutoff, settings.interpolation) == (0.7, 8, "FCURVE")
    use_facts(stage, has_truncation=False, normalises_z=False, spaces=["z"])
    settings = settings_of(stage.add_strip(3, start=60))
    assert (settings.cutoff, settings.interpolation) == (0, "GREAT_CIRCLE")
