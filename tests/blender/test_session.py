"""The session at work: what is made, in which order, and what undo, saving and opening do to it."""

import json
import shutil
from pathlib import Path

import bpy
import numpy as np
import pytest

import fake_pictures
from latent_lantern.lantern_protocol import methods
from latent_lantern.lantern_protocol.params import Nothing
from latent_lantern.latent_addon.core.frame_request import frame_order
from latent_lantern.latent_addon.scene import versions
from latent_lantern.latent_addon.scene.properties import settings_of
from latent_lantern.latent_addon.session.session import session
from stage import latents_of, own_curves, planned, shown, to_shadow

FIVE_KEYS = {1: 1, 7: 2, 13: 3, 19: 4, 24: 5}


def save(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert bpy.ops.wm.save_as_mainfile(filepath=str(path)) == {"FINISHED"}


def the_strip():
    return bpy.context.scene.sequence_editor.strips[0]


def move_key(strip, number, by):
    for curve in own_curves(strip).latent.values():
        curve.keyframe_points[number].co[1] += by
        curve.update()


def test_exactly_the_frames_whose_latent_changed_are_made_again(stage):
    strip = stage.keyed_strip(FIVE_KEYS)
    before = latents_of(strip)
    stage.ordered()
    move_key(strip, 2, 0.5)
    stage.fill()
    changed = (latents_of(strip) != before).any(axis=1)
    assert 0 < changed.sum() < 24
    assert sorted(stage.ordered()) == sorted({name for name, new in zip(planned(strip), changed, strict=True) if new})
    assert shown(strip) == planned(strip)


def test_undo_and_redo_bring_pictures_back_without_inference(stage):
    strip = stage.keyed_strip(FIVE_KEYS)
    bpy.ops.ed.undo_push(message="five keys")
    first = shown(strip)
    stage.key(13, 99)
    stage.fill()
    bpy.ops.ed.undo_push(message="another third key")
    second = shown(the_strip())
    assert first != second
    stage.ordered()
    bpy.ops.ed.undo()
    stage.fill()
    assert shown(the_strip()) == first
    bpy.ops.ed.redo()
    stage.fill()
    assert shown(the_strip()) == second
    assert stage.ordered() == []


def test_the_frame_under_the_playhead_comes_first_then_outward(stage):
    strip = stage.keyed_strip()
    stage.scene.frame_set(10)
    stage.ordered()
    settings_of(strip).psi = 0.5
    stage.fill()
    ordered = stage.ordered()
    by_frame = dict(zip(range(1, 25), planned(strip), strict=True))
    outward = sorted(by_frame, key=lambda frame: (abs(frame - 10), frame < 10))
    assert ordered == list(dict.fromkeys(by_frame[frame] for frame in outward))


def test_the_newest_edit_wins(stage):
    strip = stage.keyed_strip()
    stage.use_fake_server("--slow", 0.02)
    settings_of(strip).psi = 0.1
    stage.settle()
    assert session.wait(lambda: session.plans.progress(strip)[0] > 2, 30)
    old = set(planned(strip))
    stage.ordered()
    settings_of(strip).psi = 0.2
    stage.fill()
    assert shown(strip) == planned(strip)
    assert not old & set(stage.ordered())
    present = session.plans.store.names()
    assert len(old - present) > 5  # frames that nobody needed any more were not made


def test_the_playhead_is_followed_while_frames_are_made(stage):
    strip = stage.keyed_strip()
    stage.use_fake_server("--slow", 0.05)
    settings_of(strip).psi = 0.3
    stage.settle()
    assert session.wait(lambda: session.feeder.busy, 30)
    far = planned(strip)[23]
    stage.scene.frame_set(24)
    assert session.wait(lambda: far in session.plans.store.names(), 30)
    assert session.plans.progress(strip)[0] < 24
    stage.fill()


def test_colour_and_shadow_come_from_one_pass(stage):
    strip = stage.add_strip()
    to_shadow(strip)
    stage.key(1, 1)
    stage.key(24, 2)
    stage.ordered()
    stage.fill()
    lines = [name for name in stage.ordered() if name.startswith("s_")]
    assert set(lines) == set(planned(strip))
    assert {frame.colour for frame in session.plans.state_of(strip).plan.frames} <= session.plans.store.names()


def test_cancelling_keeps_what_is_made_and_can_go_on(stage):
    strip = stage.keyed_strip()
    stage.use_fake_server("--slow", 0.02)
    settings_of(strip).psi = 0.4
    stage.settle()
    assert session.wait(lambda: session.plans.progress(strip)[0] > 3, 30)
    assert bpy.ops.lantern.cancel() == {"FINISHED"}
    assert "Make Frames" in session.problem(strip)
    done = session.plans.progress(strip)[0]
    session.wait(lambda: False, 0.2)
    assert session.plans.progress(strip)[0] <= done + 2  # the batch that is being made
    stage.fill()
    assert session.problem(strip) == ""


def test_frames_that_someone_deletes_are_made_again(stage):
    strip = stage.keyed_strip()
    shutil.rmtree(session.plans.store.folder)
    session.wait(lambda: session.feeder.busy, 10)
    stage.fill()
    assert shown(strip) == planned(strip)


def test_a_damaged_colour_frame_is_generated_again(stage):
    strip = stage.keyed_strip()
    damaged = session.plans.store.folder / planned(strip)[5]
    damaged.write_bytes(b"")
    to_shadow(strip)
    stage.fill()
    assert damaged.stat().st_size > 0


def test_missing_frames_show_the_placeholder_but_for_the_one_that_is_looked_at(stage):
    strip = stage.keyed_strip()
    stage.scene.frame_set(5)
    before = shown(strip)
    stage.use_fake_server("--hang-after", 0)
    settings_of(strip).psi = 0.9
    stage.settle()
    assert shown(strip)[4] == before[4]
    assert {name for i, name in enumerate(shown(strip)) if i != 4} == {"placeholder_16x16.png"}
    assert (session.plans.store.folder / "placeholder_16x16.png").exists()
    bpy.ops.lantern.cancel()  # nothing is being made any more: no old picture is shown as a new one
    assert set(shown(strip)) == {"placeholder_16x16.png"}


def test_a_dragged_slider_is_seen_to_move(stage):
    """Every step of a drag replaces the previous one; at the playhead, the pictures of replaced steps are shown too."""
    strip = stage.keyed_strip()
    stage.scene.frame_set(5)
    stage.use_fake_server("--slow", 0.02)
    session.start_server()
    session.wait(lambda: session.client.state.value == "ready", 30)
    seen = set()
    for step in range(12):
        settings_of(strip).psi = 0.1 + step / 64
        session.tick()
        session.wait(lambda: False, 0.03)
        seen.add(shown(strip)[4])
    assert len(seen) > 4 and "placeholder_16x16.png" not in seen
    stage.fill()
    assert shown(strip) == planned(strip)


def test_a_strip_deleted_while_its_frames_are_made(stage):
    strip = stage.keyed_strip()
    other = stage.add_strip(6, 40)
    stage.fill()
    stage.use_fake_server("--slow", 0.02)
    settings_of(strip).psi = settings_of(other).psi = 0.15
    stage.settle()
    assert session.wait(lambda: session.plans.progress(strip)[0] > 1, 30)
    stage.scene.sequence_editor.strips.remove(strip)
    session.tick()
    stage.fill()
    assert shown(other) == planned(other)


def test_the_first_save_moves_frames_beside_the_file(stage, tmp_path):
    strip = stage.keyed_strip()
    temporary = session.plans.store.folder
    pictures = shown(strip)
    stage.ordered()
    save(tmp_path / "shots" / "one.blend")
    assert strip.directory == "//latent_lantern/frames/"
    assert not [name for name in temporary.iterdir() if name.name.startswith("c_")]
    assert {path.name for path in (tmp_path / "shots/latent_lantern/frames").iterdir()} >= set(pictures)
    assert session.plans.store.folder == tmp_path / "shots/latent_lantern/frames"
    stage.fill()
    assert stage.ordered() == []


@pytest.mark.parametrize("how", ["copy", "blocked", "full"])
def test_frames_stay_where_they_are_until_the_file_is_saved(stage, tmp_path, monkeypatch, how):
    strip = stage.keyed_strip()
    temporary = session.plans.store.folder
    pictures = shown(strip)
    stage.ordered()
    target = tmp_path / "shots" / "one.blend"
    target.parent.mkdir()
    if how == "copy":
        assert bpy.ops.wm.save_as_mainfile(filepath=str(target), copy=True) == {"FINISHED"}
        assert set(pictures) <= {path.name for path in (tmp_path / "shots/latent_lantern/frames").iterdir()}
    else:
        if how == "full":
            come = []

            def link(source, target):
                if len(come) > 5:
                    raise OSError(28, "No space left on device")
                come.append(target)

            monkeypatch.setattr("os.link", link)
            monkeypatch.setattr("shutil.copyfile", link)
        target.mkdir()  # no file can replace it
        with pytest.raises(RuntimeError):
            bpy.ops.wm.save_as_mainfile(filepath=str(target))
        assert bool(session.halted) == (how == "full")
    stage.fill()
    assert bpy.data.filepath == "" and stage.ordered() == []
    assert session.plans.store.folder == temporary and shown(strip) == pictures
    assert Path(bpy.path.abspath(strip.directory)) == temporary


def test_a_saved_file_opens_elsewhere_with_every_picture(stage, tmp_path):
    pictures = shown(stage.keyed_strip())
    save(tmp_path / "shots" / "one.blend")
    session.client.stop()
    (tmp_path / "shots").rename(tmp_path / "moved")
    stage.ordered()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "moved" / "one.blend"))
    assert shown(the_strip()) == pictures
    assert Path(bpy.path.abspath(the_strip().directory)) == tmp_path / "moved/latent_lantern/frames"
    session.tick()
    assert session.plans.progress(the_strip()) == (24, 24)
    assert session.client.pid is None and stage.methods() == []
    stage.fill()
    assert stage.ordered() == []


def test_save_as_elsewhere_brings_the_frames_in_use(stage, tmp_path):
    strip = stage.keyed_strip()
    save(tmp_path / "a" / "one.blend")
    stage.key(12, 50)
    stage.fill()
    pictures = set(shown(strip))
    stage.ordered()
    save(tmp_path / "b" / "deep" / "two.blend")
    assert strip.directory == "//latent_lantern/frames/"
    here = {path.name for path in (tmp_path / "b/deep/latent_lantern/frames").iterdir()}
    assert pictures <= here
    assert pictures <= {path.name for path in (tmp_path / "a/latent_lantern/frames").iterdir()}
    stage.fill()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "b" / "deep" / "two.blend"))
    assert the_strip().directory == "//latent_lantern/frames/"
    assert stage.ordered() == []


def test_save_copy_leaves_the_open_file_where_it_is(stage, tmp_path):
    strip = stage.keyed_strip()
    save(tmp_path / "a" / "one.blend")
    (tmp_path / "b").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "b" / "copy.blend"), copy=True)
    assert strip.directory == "//latent_lantern/frames/"
    assert session.plans.store.folder == tmp_path / "a/latent_lantern/frames"
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "b" / "copy.blend"))
    session.tick()
    assert session.plans.progress(the_strip()) == (24, 24)


def test_opening_a_file_starts_reads_and_writes_nothing(stage, tmp_path):
    stage.keyed_strip()
    save(tmp_path / "a" / "one.blend")
    session.client.stop()
    shutil.rmtree(tmp_path / "a" / "latent_lantern")
    stage.ordered()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a" / "one.blend"))
    for _ in range(5):
        session.tick()
    assert session.plans.progress(the_strip()) == (0, 24)
    assert session.client.pid is None and not stage.journal_path.exists()
    assert not (tmp_path / "a" / "latent_lantern").exists()
    assert bpy.ops.lantern.make_frames() == {"FINISHED"}
    assert session.plans.progress(the_strip()) == (24, 24)


def test_frames_can_be_kept_elsewhere(stage, tmp_path):
    strip = stage.keyed_strip()
    stage.preferences.frame_folder = str(tmp_path / "big disk")
    stage.fill()
    assert strip.directory == str(tmp_path / "big disk") + "/"
    assert set(shown(strip)) <= {path.name for path in (tmp_path / "big disk").iterdir()}


def test_the_budget_never_takes_what_is_shown(stage, monkeypatch):
    strip = stage.keyed_strip()
    size = session.plans.store.size()
    for psi in (0.1, 0.2, 0.3):
        settings_of(strip).psi = psi
        stage.fill()
    assert session.plans.store.size() > 3 * size
    monkeypatch.setattr("latent_lantern.latent_addon.session.budget.GIGABYTE", size / 10)
    stage.preferences.budget = 12
    settings_of(strip).psi = 0.4
    stage.fill()
    session.tick()
    assert set(shown(strip)) <= session.plans.store.names()
    assert session.plans.store.size() <= 1.2 * size


def test_by_hand_only(stage):
    strip = stage.keyed_strip()
    stage.preferences.make_automatically = False
    stage.ordered()
    settings_of(strip).psi = 0.6
    session.wait(lambda: False, 0.2)
    assert stage.ordered() == []
    stage.fill()
    assert set(stage.ordered()) == set(planned(strip))


def test_a_sequence_file_says_what_the_strip_shows(stage, tmp_path):
    strip = stage.keyed_strip()
    to_shadow(strip, threshold=77.0)
    target = tmp_path / "shot.lantern.json"
    assert bpy.ops.lantern.export_sequence(filepath=str(target)) == {"FINISHED"}
    written = json.loads(target.read_text())
    assert [frame["frame"] for frame in written["frames"]] == list(range(1, 25))
    assert written["frames"][0]["shadow"]["threshold"] == 77.0
    assert written["fps"] == 24.0 and written["generators"][0]["sha256"] == settings_of(strip).sha256


def test_frames_hold_what_the_request_says(stage):
    """The fake server's pictures are a function of the request: the file under a name must be that function's value."""
    strip = stage.keyed_strip()
    frame = session.plans.state_of(strip).plan.frames[6]
    latent = np.frombuffer(frame.request.latent, "<f4").tolist()
    order = frame_order(frame.request, 0, frame.colour, frame.name)
    made = fake_pictures.decode_png((session.plans.store.folder / frame.name).read_bytes())
    assert made == (fake_pictures.picture(order, latent, 16, 16), 16, 16)


@pytest.mark.parametrize("frames", [1, 2])
def test_the_shortest_strips(stage, frames):
    strip = stage.add_strip(frames)
    stage.fill()
    assert shown(strip) == planned(strip) and len(shown(strip)) == frames


def test_scenes_have_their_own_playheads(stage):
    stage.keyed_strip()
    other = bpy.data.scenes.new("Other")
    other.sequence_editor_create()
    session.replan()
    assert versions.strip_start(the_strip()) == 1 and session.plans.missing(other) == []


def test_strips_are_pointed_at_new_frames_a_few_times_a_second_but_at_once_where_someone_looks(stage, monkeypatch):
    stage.use_fake_server("--slow", 0.02)
    strip = stage.keyed_strip(length=48)
    settings_of(strip).psi = 0.6
    given = []
    show_made = session.plans.show_made

    def record(names):
        given.append(list(names))
        show_made(names)

    monkeypatch.setattr(session.plans, "show_made", record)
    monkeypatch.setattr("latent_lantern.latent_addon.session.showing._SHOW_AGAIN", 1e6)
    stage.settle()
    assert session.wait(lambda: not session.feeder.busy and not session.plans.behind, 60)
    session.tick()
    looked_at = session.plans.state_of(strip).plan.name_at(stage.scene.frame_current)
    assert looked_at in given[0] and len(given) == 2  # the frame at the playhead, and the others when all existed
    assert sorted([name for names in given for name in names]) == sorted(set(planned(strip)))
    assert shown(strip) == planned(strip)


def test_a_strip_waits_longer_for_its_new_frames_while_the_animation_plays(stage, monkeypatch):
    stage.use_fake_server("--slow", 0.02)
    strip = stage.keyed_strip(length=48)
    settings_of(strip).psi = 0.6
    monkeypatch.setattr(session.plans, "playing", lambda: True)
    monkeypatch.setattr("latent_lantern.latent_addon.session.showing._SHOW_WHILE_PLAYING", 1e6)
    stage.settle()
    plan = session.plans.state_of(strip).plan
    assert session.wait(lambda: plan.done > 3, 60)  # counted at once
    assert not any(name in shown(strip) for name in session.showing._arrived)
    path = stage.folder / "shot.blend"
    save(path)  # the saved file shows all existing frames
    assert (
        session.showing._arrived == []
        and sum(name == want for name, want in zip(shown(strip), planned(strip), strict=True)) > 3
    )
    stage.fill()
    assert shown(strip) == planned(strip)


def test_a_question_tells_its_progress_and_its_work_can_be_cancelled(stage):
    answers, progress, failures = [], [], []
    session.arm()
    number = session.ask(methods.PING, Nothing(), answers.append, failures.append, lambda *far: progress.append(far))
    session.client._notified({"method": methods.PROGRESS, "params": {"id": number, "done": 1, "total": 4}})
    session.cancel_work(number)
    assert session.wait(lambda: answers and not session.client.pending, 30)
    assert progress == [(1, 4)] and failures == []

    def cancelled() -> list[dict]:
        asked = map(json.loads, stage.journal_path.read_text().splitlines())
        return [each["params"] for each in asked if each["method"] == "work/cancel"]

    assert session.wait(cancelled, 30)  # it has no answer, so it may be read after the question's
    assert cancelled() == [{"id": number}]
    session.halt("Stopped.")
    assert session.ask(methods.PING, Nothing(), answers.append, failures.append) is None
    assert failures == ["Stopped."] and len(answers) == 1
