"""Plans made in small pieces: the same as in one piece, the playhead first, and begun again after an edit."""

import bpy
import numpy as np
import pytest

from latent_lantern.latent_addon import handlers
from latent_lantern.latent_addon.plans import plan_pass, planning
from latent_lantern.latent_addon.scene import changes, curves, latent_keys
from latent_lantern.latent_addon.scene.properties import settings_of
from latent_lantern.latent_addon.session.session import session
from stage import latents_of, own_curves, planned, shown

PIECE = 4
A_THIRD = round(0.33 * 65536) / 65536


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Four frames in each piece, one step in each tick."""
    monkeypatch.setattr(plan_pass, "_NUMBERS", PIECE * 8)
    monkeypatch.setattr(planning, "_READ", 3)
    monkeypatch.setattr(planning, "_SURVEY", 5)
    monkeypatch.setattr(plan_pass, "_COVERED", 7)


def state_of(strip):
    return session.plans.state_of(strip)


def begin(strip):
    """Tick until the strip's new plan knows its first frames; return how many ticks this took."""
    before = state_of(strip).plan
    session.turn = session.longest_turn = 0.0
    for ticks in range(1000):
        session.tick()
        if state_of(strip).plan is not before and len(state_of(strip).plan.unknown) < len(state_of(strip).plan):
            return ticks
    raise AssertionError("no plan")


def finish():
    ticks = 0
    while session.plans.behind:
        session.tick()
        ticks += 1
    return ticks


@pytest.mark.parametrize("shadow", [False, True])
@pytest.mark.parametrize("motion", ["FCURVE", "SPHERICAL", "GREAT_CIRCLE"])
def test_slices_give_the_plan_that_one_go_gives(stage, motion, shadow):
    strip = stage.keyed_strip({1: 1, 12: 2, 24: 3})
    settings_of(strip).interpolation = motion
    settings_of(strip).show_shadow = shadow
    settings_of(strip).psi = 0.33
    stage.scene.frame_set(15)
    begin(strip)
    assert finish() > 5
    in_slices = planned(strip)
    assert in_slices == [frame.name for frame in planning.plan_of(strip).frames]
    session.plans.forget()
    session.replan()
    assert planned(strip) == in_slices


def test_the_playheads_frames_are_planned_first_and_ordered_while_the_rest_is_planned(stage):
    strip = stage.keyed_strip()
    stage.use_fake_server("--slow", 0.02)
    session.start_server()
    session.wait(lambda: session.client.state.value == "ready", 30)
    stage.scene.frame_set(15)
    stage.ordered()
    settings_of(strip).psi = 0.33
    begin(strip)
    plan = state_of(strip).plan
    assert list(plan.unknown) == [(0, 14), (18, 24)]
    assert session.feeder.has(plan.name_at(15)) and session.plans.behind
    known = [len(plan.unknown)]
    while session.plans.behind:
        session.tick()
        known.append(len(plan.unknown))
    assert known == sorted(known, reverse=True) and known[-1] == 0
    stage.fill()
    ordered = stage.ordered()
    assert ordered[0] == planned(strip)[14] and shown(strip) == planned(strip)
    assert sorted(ordered) == sorted(set(planned(strip)))  # nothing was made twice


def test_a_frame_that_is_looked_at_need_not_wait_for_those_that_filled_the_queue_before_it_was_planned(stage):
    strip = stage.keyed_strip({1: 1, 80: 2}, length=80)
    other = stage.add_strip(80, 1)
    stage.fill()
    stage.use_fake_server("--slow", 0.1)
    session.start_server()
    session.wait(lambda: session.client.state.value == "ready", 30)
    stage.scene.frame_set(40)
    stage.key(40, 7)  # of the other strip, the active one
    settings_of(strip).psi = 0.33
    stage.settle()
    session.turn = session.longest_turn = 0.0
    for step in range(4):
        settings_of(other).psi = 0.2 + step / 64
        before = state_of(other).plan
        while state_of(other).plan is before or state_of(other).plan.name_at(40) is None:
            session.tick()
        assert session.feeder.has(state_of(other).plan.name_at(40))
        finish()


def test_what_is_not_planned_again_yet_is_a_placeholder_and_never_the_old_picture(stage):
    strip = stage.keyed_strip()
    stage.scene.frame_set(15)
    old = shown(strip)
    stage.use_fake_server("--hang-after", 0)
    settings_of(strip).psi = 0.33
    begin(strip)
    plan = state_of(strip).plan
    covering = 0
    while {name for i, name in enumerate(shown(strip)) if i != 14} != {"placeholder_16x16.png"}:
        session.tick()
        covering += 1
        assert len(plan.unknown) == 20, "pieces are planned although older ones still show"
    assert covering <= 6
    assert shown(strip)[14] == old[14]  # the frame at the playhead waits for its replacement


def test_an_edit_at_one_place_names_only_what_it_reaches_and_leaves_the_rest_shown(stage, monkeypatch):
    strip = stage.keyed_strip({1: 1, 7: 2, 13: 3, 19: 4, 24: 5})
    for curve in own_curves(strip).latent.values():
        for point in curve.keyframe_points:
            point.interpolation = "LINEAR"
        curve.update()
    stage.fill()
    before, latents = shown(strip), latents_of(strip)
    stage.scene.frame_set(24)
    for curve in own_curves(strip).latent.values():
        curve.keyframe_points[1].co[1] += 0.25
        curve.update()
    changes.mark()
    begin(strip)
    plan = state_of(strip).plan
    assert list(plan.unknown) == [(0, 13)] and shown(strip)[13:] == before[13:]
    named = []
    recipe = type(plan.source)
    of_recipe = recipe.names
    monkeypatch.setattr(recipe, "names", lambda self, a, b: named.append((a, b)) or of_recipe(self, a, b))
    finish()
    assert sorted(i for a, b in named for i in range(a, b)) == list(range(13))
    stage.fill()
    changed = (latents_of(strip) != latents).any(axis=1)
    assert [i for i in range(24) if changed[i]] == list(range(1, 12))
    assert shown(strip) == planned(strip)


def test_an_edit_between_two_slices_begins_again(stage):
    strip = stage.keyed_strip()
    settings_of(strip).psi = 0.33
    begin(strip)
    half = state_of(strip).plan
    assert half.unknown
    settings_of(strip).psi = 0.44
    begin(strip)
    assert state_of(strip).plan is not half
    finish()
    assert {frame.request.settings.psi for frame in state_of(strip).plan.frames} == {round(0.44 * 65536) / 65536}
    stage.fill()
    assert shown(strip) == planned(strip)


def test_a_pass_that_is_begun_again_does_not_name_again_what_it_knows(stage):
    strip = stage.keyed_strip()
    settings_of(strip).psi = 0.33
    begin(strip)
    for _ in range(8):
        session.tick()
    plan, left = state_of(strip).plan, len(state_of(strip).plan.unknown)
    assert 0 < left < 24
    changes.mark()
    session.tick()
    finish()
    assert state_of(strip).plan is plan and not plan.unknown


@pytest.mark.parametrize("steps", (0, 4, 9))
@pytest.mark.parametrize("deed", ["delete", "curve", "undo", "cut", "scene", "rename", "move"])
def test_whatever_goes_between_two_slices_is_survived(stage, deed, steps):
    strip = stage.keyed_strip()
    other = stage.add_strip(12, 40)
    stage.fill()
    bpy.ops.ed.undo_push(message="two strips")
    settings_of(strip).psi = settings_of(other).psi = 0.33
    bpy.ops.ed.undo_push(message="paler")
    session.turn = session.longest_turn = 0.0
    session.tick()
    for _ in range(steps):
        session.tick()
    if deed == "delete":
        stage.scene.sequence_editor.strips.remove(strip)
    elif deed == "curve":
        latent_keys.remove_latent_curves(stage.scene, strip)
    elif deed == "undo":
        bpy.ops.ed.undo()
    elif deed == "cut":
        strip.split(frame=8, split_method="SOFT")
    elif deed == "scene":
        bpy.data.scenes.remove(bpy.data.scenes.new("Other"))
        bpy.context.window.scene = bpy.data.scenes.new("Another")
        bpy.data.scenes.remove(stage.scene if stage.scene.name == "Another" else bpy.data.scenes["Another"])
    elif deed == "rename":
        strip.name = "Another name"
    elif deed == "move":
        strip.channel = 5
        planning.versions.set_content_start(strip, 100)
    changes.hint()
    while session.plans.behind:
        session.tick()
    stage.fill()
    for scene in bpy.data.scenes:
        for each in scene.sequence_editor.strips if scene.sequence_editor else ():
            assert shown(each) == planned(each)
            assert planned(each) == [frame.name for frame in planning.plan_of(each).frames]


def test_a_strip_that_is_looked_at_is_planned_before_the_others(stage):
    first = stage.keyed_strip({1: 1, 12: 2, 24: 3})
    second = stage.add_strip(24, 101)
    third = stage.add_strip(24, 201)
    stage.fill()
    for strip in (first, second, third):
        settings_of(strip).psi = 0.33
    stage.scene.frame_set(110)
    done = []
    session.turn = session.longest_turn = 0.0
    session.tick()
    while session.plans.behind:
        session.tick()
        for strip in (first, second, third):
            plan = state_of(strip).plan
            if strip.name not in done and not plan.unknown and plan.frames[0].request.settings.psi == A_THIRD:
                done.append(strip.name)
                stage.scene.frame_set(5 if len(done) == 1 else 210)
    assert done == [second.name, first.name, third.name]


def test_stepping_through_frames_is_sliced_too_and_the_playhead_stays(stage):
    strip = stage.keyed_strip()
    stage.scene["hand"] = 0.0
    driver = stage.scene.driver_add(curves.path_prefix(strip) + '["latent"]', 5).driver
    driver.type, driver.expression = "SCRIPTED", "frame * 0.125"
    stage.scene.frame_set(7)
    seen = []
    note = lambda scene, *_: seen.append(scene.frame_current)  # noqa: E731 - a handler to take off again
    bpy.app.handlers.frame_change_post.append(note)
    session.turn = session.longest_turn = 0.0
    changes.mark()
    session.tick()
    per_tick = []
    while session.plans.behind:
        count = len(seen)
        session.tick()
        per_tick.append(len(seen) - count)
        assert stage.scene.frame_current == 7
    bpy.app.handlers.frame_change_post.remove(note)
    assert max(per_tick) == planning._STEP + 1 and set(range(1, 25)) <= set(seen)
    found = np.stack([np.frombuffer(f.request.latent, "<f4") for f in state_of(strip).plan.frames])
    assert np.allclose(found[:, 5], np.arange(1, 25) * 0.125)


def test_making_frames_and_cancelling_hold_for_what_a_pass_finds_later(stage):
    strip = stage.keyed_strip()
    stage.preferences.make_automatically = False
    stage.use_fake_server("--slow", 0.05)
    settings_of(strip).psi = 0.33
    begin(strip)
    session.make_missing()
    finish()
    assert session.feeder.busy
    settings_of(strip).psi = 0.44
    session.tick()
    session.halt("Stopped.")
    finish()
    assert session.halted == "Stopped." and not session.feeder.busy
    settings_of(strip).psi = 0.55
    session.tick()
    finish()
    assert not session.halted  # an edit after that is a new question


def test_the_timer_comes_back_soon_while_plans_are_made(stage):
    strip = stage.keyed_strip()
    assert session.wait(lambda: not session.working, 30)  # frames may be seen before the server reports them
    assert handlers.timer() == handlers._LATER
    settings_of(strip).psi = 0.33
    session.turn = session.longest_turn = 0.0
    assert handlers.timer() == handlers._AT_ONCE and session.plans.behind


def test_elements_are_added_at_once_and_keys_handles_and_folder_stay(stage):
    strip = stage.keyed_strip()
    settings_of(strip).length = 400
    session.replan()
    assert len(strip.elements) == 400 and len(planned(strip)) == 400
    keys = latent_keys.latent_key_frames(stage.scene, strip)
    before = planned(strip)
    planning.versions.set_handles(strip, -199, 401)
    session.replan()
    assert len(strip.elements) == 600 and planning.extent(strip) == (-199, 401, -199)
    assert latent_keys.latent_key_frames(stage.scene, strip) == keys
    assert planned(strip)[200:] == before
    assert stage.scene.sequence_editor.active_strip == strip
    stage.fill()
    assert shown(strip) == planned(strip)


def test_the_strip_that_is_edited_is_planned_before_others_at_the_playhead(stage):
    """Of many strips under the playhead, whichever is active."""
    strips = [stage.add_strip(3) for _ in range(6)]
    stage.fill()
    for edited in (strips[4], strips[1]):
        stage.scene.sequence_editor.active_strip = edited
        keys = [planning.StripKey(stage.scene.name, strip.name) for strip in strips]
        ranked = plan_pass.PlanPass(session.plans, keys)._nearest_first(keys)
        assert ranked[0].strip == edited.name and sorted(ranked) == sorted(keys)


def test_no_strip_is_added_where_all_channels_are_taken(stage):
    stage.add_strip(3)
    editor = stage.scene.sequence_editor
    while len(editor.strips) < 128:
        strip = editor.strips.new_image("Full", "//none.png", len(editor.strips) + 1, 1)
    assert strip.channel == 128
    with pytest.raises(RuntimeError, match="All 128 channels of the Sequencer are taken at frame 1"):
        bpy.ops.lantern.add_latent_strip()
    assert len(editor.strips) == 128
    stage.scene.frame_set(20)
    assert bpy.ops.lantern.add_latent_strip() == {"FINISHED"}
