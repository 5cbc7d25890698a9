"""Compare evaluated latents with what Blender itself evaluates for the strip at each frame."""

import bpy
import numpy as np
import pytest

from latent_lantern.latent_addon.core import interpolation
from latent_lantern.latent_addon.scene import curves, evaluation, versions
from latent_lantern.latent_addon.scene.properties import settings_of
from latent_lantern.latent_addon.session.session import session
from stage import latents_by_playhead, latents_of, own_curves, planned, shown

LENGTH = 24
BLENDERS_OWN_ERROR = 2e-5
"""Blender evaluates in float32; rounding to the grid adds up to half of 2**-16."""


@pytest.fixture
def strip(stage):
    return stage.keyed_strip({1: 1, 9: 2, 10: 3, 20: 4})


def linear_extrapolation(strip):
    for curve in own_curves(strip).latent.values():
        curve.extrapolation = "LINEAR"
        curve.keyframe_points[0].handle_left_type = "FREE"
        curve.keyframe_points[0].handle_left = (-3.0, curve.keyframe_points[0].co[1] + 0.5)
        curve.update()


def mixed_kinds(strip):
    for curve in own_curves(strip).latent.values():
        for point, kind in zip(curve.keyframe_points, ("CONSTANT", "LINEAR", "BEZIER", "BEZIER"), strict=True):
            point.interpolation = kind
        curve.update()


def penner_easings(strip):
    for curve in own_curves(strip).latent.values():
        for point, kind in zip(curve.keyframe_points, ("BOUNCE", "ELASTIC", "BACK", "SINE"), strict=True):
            point.interpolation = kind
        curve.update()


def free_handles(strip):
    for i, curve in enumerate(own_curves(strip).latent.values()):
        for point in curve.keyframe_points:
            point.handle_left_type = point.handle_right_type = "FREE"
            point.handle_right = (point.co[0] + 0.7 * i, point.co[1] + 1.0)
            point.handle_left = (point.co[0] - 30.0, point.co[1] - 1.0)
        curve.update()


def keys_between_frames(strip):
    for curve in own_curves(strip).latent.values():
        curve.keyframe_points[1].co[0] = 7.3
        curve.update()


def one_muted_curve(strip):
    own_curves(strip).latent[3].mute = True
    strip["latent"][3] = 0.25


def a_muted_group(strip):
    versions.channelbag(strip.id_data).groups["Latent"].mute = True


def a_modifier(strip):
    modifier = own_curves(strip).latent[2].modifiers.new("NOISE")
    modifier.strength, modifier.scale = 2.0, 3.0


def components_without_curves(strip):
    found = versions.fcurves_of(strip.id_data)
    for index in (0, 7):
        found.remove(own_curves(strip).latent[index])


FAST = [
    lambda strip: None,
    linear_extrapolation,
    mixed_kinds,
    penner_easings,
    free_handles,
    keys_between_frames,
    one_muted_curve,
    a_muted_group,
    a_modifier,
    components_without_curves,
]


@pytest.mark.parametrize("change", FAST, ids=lambda change: change.__name__)
def test_latents_are_what_blender_says_and_the_playhead_stays(strip, change):
    change(strip)
    strip.id_data.frame_set(7)
    moves = []
    note = lambda *_: moves.append(1)  # noqa: E731 - a handler to take off again
    bpy.app.handlers.frame_change_post.append(note)
    found = latents_of(strip)
    bpy.app.handlers.frame_change_post.remove(note)
    assert not moves and strip.id_data.frame_current == 7
    assert not evaluation.needs_sweep(strip.id_data, strip)
    np.testing.assert_allclose(found, latents_by_playhead(strip, 1, LENGTH), atol=BLENDERS_OWN_ERROR)


def add_driver(strip):
    strip.id_data["hand"] = 0.0
    path = curves.path_prefix(strip) + '["latent"]'
    driver = strip.id_data.driver_add(path, 5).driver
    driver.type = "SCRIPTED"
    driver.expression = "frame * 0.125"


def add_nla(strip):
    data = strip.id_data.animation_data
    action, slot = data.action, data.action_slot
    track = data.nla_tracks.new()
    nla_strip = track.strips.new("half", 1, action)
    nla_strip.action_slot = slot
    nla_strip.influence = 0.5
    data.action = None
    strip["latent"] = [0.5] * 8


@pytest.mark.parametrize("change", [add_driver, add_nla])
def test_drivers_and_nla_are_heeded_by_stepping_through(stage, strip, change):
    change(strip)
    stage.scene.frame_set(7)
    assert evaluation.needs_sweep(stage.scene, strip)
    stage.fill()
    assert stage.scene.frame_current == 7
    found = np.stack([np.frombuffer(f.request.latent, "<f4") for f in session.plans.state_of(strip).plan.frames])
    np.testing.assert_allclose(found, latents_by_playhead(strip, 1, LENGTH), atol=BLENDERS_OWN_ERROR)
    assert len(np.unique(found[:, 5])) > 10
    assert shown(strip) == planned(strip)


def test_a_muted_nla_track_and_drivers_of_others_need_no_stepping(stage, strip):
    add_driver(strip)
    other = stage.add_strip(5, 40)
    assert not evaluation.needs_sweep(stage.scene, other)
    stage.scene.driver_remove(curves.path_prefix(strip) + '["latent"]', 5)
    track = stage.scene.animation_data.nla_tracks.new()
    assert not evaluation.needs_sweep(stage.scene, strip)
    track.mute = True
    assert not evaluation.needs_sweep(stage.scene, strip)


def keys_of(*seeds):
    return np.stack([np.random.RandomState(seed).randn(8) for seed in seeds])


def slerp(a, b, t):
    """The same formula again, as in a textbook."""
    angle = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    unit = np.sin((1 - t) * angle) * a / np.linalg.norm(a) + np.sin(t * angle) * b / np.linalg.norm(b)
    return unit / np.sin(angle) * ((1 - t) * np.linalg.norm(a) + t * np.linalg.norm(b))


def test_great_circle_runs_at_constant_speed_whatever_the_curves_do(strip):
    penner_easings(strip)
    settings_of(strip).interpolation = "GREAT_CIRCLE"
    found = latents_of(strip)
    a, b = keys_of(3, 4)
    wanted = [slerp(a, b, (frame - 10) / 10) for frame in range(10, 21)]
    np.testing.assert_allclose(found[9:20], wanted, atol=BLENDERS_OWN_ERROR)
    np.testing.assert_allclose(found[20:], np.tile(b, (4, 1)), atol=BLENDERS_OWN_ERROR)


def test_great_circle_heeds_held_keys(strip):
    mixed_kinds(strip)
    settings_of(strip).interpolation = "GREAT_CIRCLE"
    found = latents_of(strip)
    assert (found[0:8] == found[0]).all()
    assert not (found[9:19] == found[9]).all()


def test_spherical_keeps_the_keys_length(strip):
    free = latents_of(strip)
    settings_of(strip).interpolation = "SPHERICAL"
    found = latents_of(strip)
    lengths = np.linalg.norm(keys_of(1, 2, 3, 4), axis=1)
    wanted = np.interp(np.arange(1, 25), [1, 9, 10, 20], lengths)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), wanted, atol=1e-4)
    cosines = (found * free).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(free, axis=1)
    np.testing.assert_allclose(cosines, 1, atol=1e-6)
    assert np.linalg.norm(free, axis=1).min() < 0.9 * wanted.min()


def test_keys_of_some_components_are_counted(strip):
    strip.keyframe_insert('["latent"]', index=2, frame=15)
    settings_of(strip).interpolation = "GREAT_CIRCLE"
    session.replan()
    assert session.plans.state_of(strip).partial_keys == 1


def test_nothing_is_computed_twice(strip):
    session.replan()
    first = session.plans.state_of(strip).plan
    strip.id_data.frame_set(20)  # changes what is stored, not what is shown
    session.replan()
    assert session.plans.state_of(strip).plan is first
    own_curves(strip).latent[0].keyframe_points[2].co[1] += 1
    session.replan()
    assert session.plans.state_of(strip).plan is not first


def test_a_curve_that_runs_away_is_a_message_not_a_crash(stage, strip):
    own_curves(strip).latent[0].keyframe_points[1].co[1] = float("inf")
    session.replan()
    assert "beyond 65536" in session.problem(strip)
    own_curves(strip).latent[0].keyframe_points[1].co[1] = 0.0
    own_curves(strip).latent[0].update()
    stage.fill()
    assert not session.problem(strip)


def test_the_grid_is_where_it_is_documented(strip):
    found = latents_of(strip).astype(np.float64) * interpolation.GRID
    np.testing.assert_array_equal(found, np.rint(found))
