"""A run of snapshots as one generator: stepped through, keyed, blended, reloaded and exported."""

import json

import bpy
import numpy as np
import pytest

import fake_files
import fake_pictures
from latent_lantern.latent_addon.core.frame_request import frame_order
from latent_lantern.latent_addon.scene import curves, versions
from latent_lantern.latent_addon.scene.properties import settings_of
from latent_lantern.latent_addon.session.session import session
from stage import latents_of, planned, shown


@pytest.fixture
def run(tmp_path):
    """A folder of four snapshots; every file is a checkpoint to the fake server."""
    folder = tmp_path / "run"
    folder.mkdir()
    for step in (100, 200, 300, 400):
        (folder / f"network-snapshot-{step:06}.pkl").write_bytes(b"weights %d" % step)
    return folder


def hashes(run):
    return [fake_files.identity(str(file))[0] for file in sorted(run.iterdir())]


def key_snapshots(strip, keys, interpolation="LINEAR"):
    path = curves.path_prefix(strip) + ".latent_lantern.snapshot"
    for frame, number in keys.items():
        settings_of(strip).snapshot = number
        strip.id_data.keyframe_insert(path, frame=frame)
    for curve in versions.fcurves_of(strip.id_data):
        if curve.data_path == path:
            for point in curve.keyframe_points:
                point.interpolation = interpolation
            curve.update()


def weights_of(strip):
    """(generator, toward, mix) of every planned frame."""
    requests = [frame.request for frame in session.plans.state_of(strip).plan.frames]
    return [(request.checkpoint, request.toward, request.settings.mix) for request in requests]


def generated(stage):
    """{file name: (sha256, sha256 of toward, mix)} of the frames ordered since the journal was last emptied."""
    orders = {}
    for line in stage.journal_path.read_text().splitlines():
        entry = json.loads(line)
        if entry["method"] == "frames/generate":
            params = entry["params"]
            toward = params.get("toward", {"sha256": ""})["sha256"]
            for frame in params["frames"]:
                orders[frame["name"]] = (params["generator"]["sha256"], toward, frame["mix"])
    return orders


@pytest.mark.parametrize("how", ["the folder", "a file of it"])
def test_a_folder_is_chosen_as_one_generator(stage, run, how):
    strip = stage.add_strip(4)
    file = run / "network-snapshot-000200.pkl"
    choice = {"filepath": str(run) + "/"} if how == "the folder" else {"filepath": str(file), "whole_folder": True}
    assert bpy.ops.lantern.choose_generator(**choice) == {"FINISHED"}
    settings = settings_of(strip)
    assert [snapshot.sha256 for snapshot in settings.snapshots] == hashes(run)
    assert settings.snapshots[1].name == "network-snapshot-000200"
    assert (settings.generator, settings.snapshot) == (str(run), 4.0)
    stage.fill()
    assert set(weights_of(strip)) == {(hashes(run)[3], "", 0.0)}
    assert bpy.ops.lantern.choose_generator(filepath=str(file)) == {"FINISHED"}
    stage.fill()
    assert len(settings.snapshots) == 0
    assert set(weights_of(strip)) == {(hashes(run)[1], "", 0.0)}


def test_stepping_keeps_everything_else(stage, run):
    strip = stage.add_strip(12, generator=str(run))
    stage.key(1, 1)
    stage.key(12, 2)
    settings = settings_of(strip)
    settings.psi = 0.5
    settings.interpolation = "SPHERICAL"
    stage.fill()
    before, pictures = latents_of(strip), shown(strip)
    kept = settings.seed, settings.psi, settings.interpolation, settings.space, settings.noise
    assert bpy.ops.lantern.step_snapshot(next=True) == {"CANCELLED"}
    assert bpy.ops.lantern.step_snapshot(next=False) == {"FINISHED"}
    stage.fill()
    assert settings.snapshot == 3.0 and settings.snapshot_name() == "network-snapshot-000300"
    assert (settings.seed, settings.psi, settings.interpolation, settings.space, settings.noise) == kept
    assert np.array_equal(latents_of(strip), before)
    assert not set(shown(strip)) & set(pictures)
    assert set(weights_of(strip)) == {(hashes(run)[2], "", 0.0)}
    stage.ordered()
    assert bpy.ops.lantern.choose_snapshot(snapshot="4") == {"FINISHED"}
    stage.fill()
    assert shown(strip) == pictures and stage.ordered() == []


def test_training_time_is_a_channel(stage, run):
    """From 1 to 3 over five frames: the snapshots and the blends half way between them; nothing else is ordered."""
    strip = stage.add_strip(5, generator=str(run))
    stage.fill()
    stage.ordered()
    key_snapshots(strip, {1: 1.0, 5: 3.0})
    stage.fill()
    first, second, third, _ = hashes(run)
    weights = [(first, "", 0.0), (first, second, 0.5), (second, "", 0.0), (second, third, 0.5), (third, "", 0.0)]
    assert weights_of(strip) == weights
    assert generated(stage) == dict(zip(planned(strip), weights, strict=True))
    assert len(stage.ordered()) == 5


def test_moving_cutting_and_undo_order_nothing(stage, run):
    strip = stage.add_strip(9, generator=str(run))
    key_snapshots(strip, {1: 1.0, 9: 3.0})
    stage.fill()
    pictures = shown(strip)
    bpy.ops.ed.undo_push(message="keyed")
    stage.ordered()
    versions.set_content_start(strip, 101)
    stage.fill()
    assert shown(strip) == pictures
    bpy.ops.ed.undo_push(message="moved")
    settings_of(strip).psi = 0.25
    stage.fill()
    assert len(stage.ordered()) == 9
    bpy.ops.ed.undo_push(message="psi")
    bpy.ops.ed.undo()
    stage.fill()
    assert shown(stage.scene.sequence_editor.strips[0]) == pictures
    assert stage.ordered() == []


def test_beyond_the_last_snapshot_it_stays_the_last(stage, run):
    strip = stage.add_strip(3, generator=str(run))
    settings_of(strip).snapshot = 17.5
    stage.fill()
    assert set(weights_of(strip)) == {(hashes(run)[3], "", 0.0)}
    assert settings_of(strip).snapshot_name() == "network-snapshot-000400"
    assert bpy.ops.lantern.step_snapshot(next=False) == {"FINISHED"}
    assert settings_of(strip).snapshot == 3.0


def test_stepping_keys_an_animated_snapshot(stage, run):
    strip = stage.add_strip(9, generator=str(run))
    key_snapshots(strip, {1: 1.0})
    stage.scene.frame_set(5)
    assert bpy.ops.lantern.step_snapshot(next=True) == {"FINISHED"}
    stage.scene.frame_set(9)
    assert bpy.ops.lantern.choose_snapshot(snapshot="4") == {"FINISHED"}
    path = curves.path_prefix(strip) + ".latent_lantern.snapshot"
    (curve,) = (curve for curve in versions.fcurves_of(stage.scene) if curve.data_path == path)
    assert [tuple(point.co) for point in curve.keyframe_points] == [(1.0, 1.0), (5.0, 2.0), (9.0, 4.0)]


def test_snapshots_are_saved_with_the_file(stage, run, tmp_path):
    strip = stage.add_strip(5, generator=str(run))
    key_snapshots(strip, {1: 1.0, 5: 3.0})
    stage.fill()
    pictures = shown(strip)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    stage.ordered()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    stage.fill()
    strip = stage.scene.sequence_editor.strips[0]
    assert shown(strip) == pictures and stage.ordered() == []
    assert [snapshot.path for snapshot in settings_of(strip).snapshots] == [f.name for f in sorted(run.iterdir())]


def test_a_missing_snapshot_is_named(stage, run):
    strip = stage.add_strip(3, generator=str(run))
    stage.fill()
    (run / "network-snapshot-000200.pkl").unlink()
    settings_of(strip).snapshot = 2.0
    assert not session.fill(timeout=60)
    assert "network-snapshot-000200.pkl" in session.problem(strip)
    settings_of(strip).snapshot = 1.0
    stage.fill()
    assert session.problem(strip) == ""


def test_reloading_finds_new_snapshots_and_keys_keep_their_meaning(stage, run):
    strip = stage.add_strip(5, generator=str(run))
    key_snapshots(strip, {1: 1.0, 5: 3.0})
    stage.fill()
    pictures = shown(strip)
    (run / "network-snapshot-000150.pkl").write_bytes(b"weights 150")
    (run / "network-snapshot-000100.pkl").rename(run.parent / "gone.pkl")
    stage.ordered()
    assert bpy.ops.lantern.reload_generator() == {"FINISHED"}
    stage.fill()
    names = [snapshot.path for snapshot in settings_of(strip).snapshots]
    assert names == [f"network-snapshot-000{step}.pkl" for step in (100, 200, 300, 400, 150)]
    assert shown(strip) == pictures and stage.ordered() == []


def test_frames_between_snapshots_hold_what_both_say(stage, run):
    strip = stage.add_strip(2, generator=str(run))
    settings_of(strip).snapshot = 2.25
    stage.fill()
    planned_frame = session.plans.state_of(strip).plan.frames[0]
    order = frame_order(planned_frame.request, 0, planned_frame.colour, planned_frame.name)
    expected = fake_pictures.picture(order, latents_of(strip)[0].tolist(), 16, 16, tuple(hashes(run)[1:3]))
    contents = (session.plans.store.folder / planned_frame.name).read_bytes()
    assert fake_pictures.decode_png(contents)[0] == expected
    assert settings_of(strip).snapshot_name() == "25% from network-snapshot-000200 to network-snapshot-000300"


def test_the_sequence_file_names_the_snapshots_that_are_used(stage, run, tmp_path):
    strip = stage.add_strip(5, generator=str(run))
    key_snapshots(strip, {1: 1.0, 5: 3.0})
    stage.fill()
    target = tmp_path / "shot.lantern.json"
    bpy.ops.lantern.export_sequence(filepath=str(target))
    value = json.loads(target.read_text())
    names = [f"network-snapshot-000{step}" for step in (100, 200, 300)]
    assert [(each["name"], each["path"]) for each in value["generators"]] == [(n, f"run/{n}.pkl") for n in names]
    told = [(frame["generator"], frame["toward"], frame["mix"]) for frame in value["frames"]]
    assert told == [(0, None, 0.0), (0, 1, 0.5), (1, None, 0.0), (1, 2, 0.5), (2, None, 0.0)]


def test_stepping_is_refused_where_there_is_no_run(stage):
    stage.add_strip(3)
    with pytest.raises(RuntimeError, match="single file"):
        bpy.ops.lantern.step_snapshot()


def test_what_a_file_says_of_snapshots_is_not_believed(stage, run):
    """Lists without a folder, places that are not numbers: nothing crashes; only the built-in generator is opened."""
    strip = stage.add_strip(3)
    stage.fill()
    pictures = shown(strip)
    entry = settings_of(strip).snapshots.add()
    entry.name, entry.path, entry.sha256 = "stray", "../../stray.pkl", "ab" * 32
    settings_of(strip)["snapshot"] = float("nan")
    settings_of(strip).snapshot = float("inf")
    assert not session.fill(timeout=60)
    assert "has changed" in session.halted
    bpy.ops.lantern.reload_generator()
    assert not settings_of(strip).snapshots
    stage.fill()
    assert shown(strip) == pictures
    settings_of(strip).width = 10**6
    session.replan()
    assert "1000000 x 16 pixels" in session.problem(strip)
