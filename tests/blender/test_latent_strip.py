"""Latent strips: added, keyed, moved, cut, trimmed and stretched."""

import bpy
import numpy as np
import pytest

from latent_lantern.latent_addon.scene import curves, latent_keys, versions
from latent_lantern.latent_addon.scene.properties import settings_of
from latent_lantern.latent_addon.session.session import session
from stage import latents_of, own_curves, planned, shown, to_shadow


def sequencer(operator, **properties):
    """Run an operator of the Sequencer."""
    area = bpy.context.window.screen.areas[0]
    area.type = "SEQUENCE_EDITOR"
    versions.show_in_sequencer(bpy.context, bpy.context.scene)
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(area=area, region=region):
        return getattr(bpy.ops.sequencer, operator)(**properties)


def key_frames_of(strip):
    return latent_keys.latent_key_frames(strip.id_data, strip)


def test_a_strip_is_added_at_the_playhead(stage):
    strip = stage.add_strip(length=96, start=10, seed=5)
    assert (versions.strip_start(strip), versions.strip_end(strip)) == (10, 106)
    assert len(strip.elements) == 96
    assert np.allclose(strip["latent"][:], np.random.RandomState(5).randn(8))
    assert strip["latent"].typecode == "d"
    settings = settings_of(strip)
    assert (settings.z_dim, settings.width, settings.height, settings.seed) == (8, 16, 16, 5)
    assert not stage.scene.sequence_editor.show_missing_media
    stage.fill()
    assert len(set(shown(strip))) == 1  # one latent, one picture
    assert shown(strip) == planned(strip)


def test_strips_do_not_cover_each_other(stage):
    first, second, later = stage.add_strip(24, 1), stage.add_strip(24, 20), stage.add_strip(24, 60)
    assert [strip.channel for strip in (first, second, later)] == [1, 2, 1]


def test_a_key_holds_the_whole_vector_in_one_group(stage):
    strip = stage.add_strip()
    bpy.ops.lantern.insert_latent_key()
    found = versions.fcurves_of(stage.scene)
    assert sorted(curve.array_index for curve in found) == list(range(8))
    assert {curve.group.name for curve in found} == {"Latent"}
    other = stage.add_strip(24, 30)
    bpy.ops.lantern.insert_latent_key()
    assert {curve.group.name for curve in own_curves(other).latent.values()} == {f"Latent {other.name}"}
    assert {curve.group.name for curve in own_curves(strip).latent.values()} == {"Latent"}


def test_deleting_and_jumping(stage):
    strip = stage.keyed_strip()
    stage.scene.frame_set(5)
    assert bpy.ops.lantern.jump_to_latent_key(next=True) == {"FINISHED"} and stage.scene.frame_current == 12
    bpy.ops.lantern.jump_to_latent_key(next=True)
    assert stage.scene.frame_current == 24
    assert bpy.ops.lantern.jump_to_latent_key(next=True) == {"CANCELLED"}
    bpy.ops.lantern.jump_to_latent_key(next=False)
    assert stage.scene.frame_current == 12
    assert bpy.ops.lantern.delete_latent_key() == {"FINISHED"}
    assert key_frames_of(strip) == [1, 24]
    assert bpy.ops.lantern.delete_latent_key() == {"CANCELLED"}


def test_randomising_an_animated_latent_keys_it(stage):
    strip = stage.add_strip()
    bpy.ops.lantern.randomise(seed=3)
    assert key_frames_of(strip) == []
    stage.key(1, 3)
    stage.scene.frame_set(10)
    bpy.ops.lantern.randomise(seed=4)
    assert key_frames_of(strip) == [1, 10]
    assert np.allclose(latents_of(strip)[9], np.random.RandomState(4).randn(8), atol=1e-4)
    bpy.ops.lantern.randomise()
    assert settings_of(strip).seed != 4


def test_operators_need_a_latent_strip_and_say_so(stage):
    with pytest.raises(RuntimeError, match="latent strip"):
        bpy.ops.lantern.insert_latent_key()


def test_moving_renaming_and_splitting_need_no_inference(stage):
    strip = stage.keyed_strip()
    pictures = shown(strip)
    stage.ordered()
    versions.set_content_start(strip, 101)
    stage.settle()
    assert shown(strip) == pictures and key_frames_of(strip) == [101, 112, 124]
    strip.name = 'Shot "7"'
    stage.settle()
    assert shown(strip) == pictures == planned(strip)
    sequencer("split", frame=110, channel=1, type="SOFT", side="BOTH")
    stage.fill()
    left, right = sorted(stage.scene.sequence_editor.strips, key=versions.strip_start)
    assert shown(left) + shown(right) == pictures
    assert planned(left) + planned(right) == pictures
    assert len({curve.group.name for curve in versions.fcurves_of(stage.scene)}) == 2
    assert stage.ordered() == []


def test_trimming_needs_no_inference_and_comes_back(stage):
    strip = stage.keyed_strip()
    pictures = shown(strip)
    stage.ordered()
    versions.set_handles(strip, 5, 20)
    stage.settle()
    assert shown(strip) == pictures[4:19] == planned(strip)
    versions.set_handles(strip, 1, 25)
    stage.fill()
    assert shown(strip) == pictures
    assert stage.ordered() == []


@pytest.mark.parametrize(("start", "end"), [(1, 31), (-5, 25), (-9, 40), (3, 30)])
def test_stretching_adds_only_the_frames_beyond(stage, start, end):
    strip = stage.keyed_strip()
    for curve in own_curves(strip).latent.values():
        curve.extrapolation = "LINEAR"
    stage.fill()
    pictures = dict(zip(range(1, 25), shown(strip), strict=True))
    stage.ordered()
    versions.set_handles(strip, start, end)
    stage.fill()
    assert (versions.strip_start(strip), versions.strip_end(strip)) == (start, end)
    assert len(strip.elements) == max(end, 25) - min(start, 1)
    assert key_frames_of(strip) == [1, 12, 24]
    assert shown(strip) == planned(strip)
    after = dict(zip(range(start, end), shown(strip), strict=True))
    assert all(after[frame] == pictures[frame] for frame in after if frame in pictures)
    assert len(stage.ordered()) == len(set(after) - set(pictures))


def test_a_strip_of_ten_thousand_frames(stage):
    strip = stage.add_strip(10_000)
    stage.key(1, 1)
    stage.key(10_000, 2)
    session.replan()
    assert len(planned(strip)) == 10_000
    assert len(set(planned(strip))) > 9_900  # where the curves start and end flat, frames are the same


def test_duplicates_share_frames_and_have_their_own_group(stage):
    strip = stage.keyed_strip()
    stage.ordered()
    sequencer("duplicate")
    stage.fill()
    one, other = stage.scene.sequence_editor.strips
    assert shown(one) == shown(other)
    groups = [{c.group.name for c in own_curves(each).latent.values()} for each in (one, other)]
    assert len(groups[0]) == len(groups[1]) == 1 and groups[0] != groups[1]
    assert stage.ordered() == []
    assert strip.name in ("Latent", "Latent.001")


def test_toggling_shadows_generates_nothing(stage):
    strip = stage.keyed_strip()
    colours = shown(strip)
    stage.ordered()
    to_shadow(strip)
    stage.fill()
    assert stage.methods().count("frames/generate") == 0
    assert sorted(stage.ordered()) == sorted(set(shown(strip)))
    settings_of(strip).show_shadow = False
    stage.fill()
    assert shown(strip) == colours and stage.ordered() == []


def test_shadow_settings_are_animatable(stage):
    strip = stage.keyed_strip()
    to_shadow(strip)
    path = curves.path_prefix(strip) + ".latent_lantern.shadow_threshold"
    for frame, value in ((1, 20.0), (24, 200.0)):
        settings_of(strip).shadow_threshold = value
        stage.scene.keyframe_insert(path, frame=frame)
    stage.fill()
    thresholds = [frame.request.shadow.threshold for frame in session.plans.state_of(strip).plan.frames]
    assert thresholds[0] == 20.0 and thresholds[-1] == 200.0 and sorted(set(thresholds)) == thresholds
    curve = next(iter(own_curves(strip).settings.values()))
    assert np.allclose(thresholds, [curve.evaluate(frame) for frame in range(1, 25)], atol=2**-16)


def test_values_are_limited_as_blender_limits_them(stage):
    strip = stage.add_strip(5)
    for frame, value in ((1, -9.0), (5, 9.0)):
        settings_of(strip).psi = value
        stage.scene.keyframe_insert(curves.path_prefix(strip) + ".latent_lantern.psi", frame=frame)
    curve = own_curves(strip).settings["psi", 0]
    curve.keyframe_points[0].co[1], curve.keyframe_points[1].co[1] = -9.0, 9.0
    curve.update()
    session.replan()
    psis = [frame.request.settings.psi for frame in session.plans.state_of(strip).plan.frames]
    assert psis[0] == -4.0 and psis[-1] == 4.0


def test_marrows_preset(stage):
    strip = stage.keyed_strip()
    to_shadow(strip, threshold=99.0, invert=True)
    bpy.ops.lantern.shadow_preset()
    session.replan()
    settings = session.plans.state_of(strip).plan.frames[0].request.shadow
    assert settings == type(settings)()


def test_keys_are_mapped_into_w(stage):
    strip = stage.keyed_strip()
    curve = own_curves(strip).latent[0]
    assert bpy.ops.lantern.set_space(space="W") == {"FINISHED"}
    assert settings_of(strip).space == "W" and key_frames_of(strip) == [1, 12, 24]
    assert {curve.group.name for curve in own_curves(strip).latent.values()} == {"Latent"}
    stage.fill()
    assert all(frame.request.space == "w" for frame in session.plans.state_of(strip).plan.frames)
    with pytest.raises(RuntimeError, match="no way back"):
        bpy.ops.lantern.set_space(space="Z")
    assert curve is not None
