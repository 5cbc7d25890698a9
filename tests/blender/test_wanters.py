"""A wanter other than the strips: a sheet of latents, which never delays the frame at the playhead."""

from __future__ import annotations

from dataclasses import replace

import bpy
import numpy as np
import pytest

from latent_lantern.lantern_protocol.params import GeneratorFile
from latent_lantern.latent_addon.core.frame_plan import FramePlan
from latent_lantern.latent_addon.core.frame_request import DIGEST
from latent_lantern.latent_addon.scene.properties import settings_of
from latent_lantern.latent_addon.session.session import session
from latent_lantern.latent_addon.session.states import SessionState
from stage import kill_server, planned, shown

SLOW = 0.02


class Cards:
    """The latents of a sheet as a plan's source."""

    start = 0
    width = 8

    def __init__(self, request, count, seed):
        latents = np.random.default_rng(seed).standard_normal((count, self.width)).astype("<f4")
        self._requests = [replace(request, latent=latent.tobytes()) for latent in latents]

    def __len__(self):
        return len(self._requests)

    def requests(self, first, end):
        return self._requests[first:end]

    def names(self, first, end):
        names = [request.colour_name() for request in self._requests[first:end]]
        digests = np.frombuffer(b"".join(bytes.fromhex(name[2:-4]) for name in names), np.uint8).reshape(-1, DIGEST)
        return digests, digests


class Sheet:
    """64 pictures that someone wants to choose from; of a lower priority than strips."""

    priority = 1

    def __init__(self, strip, count=64, seed=1):
        settings = settings_of(strip)
        self.request = session.plans.state_of(strip).plan.frames[0].request
        self.source = GeneratorFile(settings.sources()[self.request.checkpoint], self.request.checkpoint)
        self.failures = []
        self.hovered = None
        self.show(count, seed)

    def show(self, count=64, seed=1):
        self.plan = FramePlan(Cards(self.request, count, seed))
        self.plan.complete(session.plans.store.names())

    @property
    def names(self):
        return self.plan.names(0, len(self.plan))

    def plans(self):
        return [(self.plan, 0)]

    def looked_at(self):
        return () if self.hovered is None else {self.names[self.hovered]}

    def generator(self, sha256):
        return self.source if sha256 == self.source.sha256 else None

    def files_in_use(self):
        return self.plan.files()

    def made(self, names):
        self.plan.note(names)

    def failed(self, reason):
        self.failures.append(reason)

    def look_again(self, present):
        self.plan.fill_in(0, len(self.plan), present)


@pytest.fixture
def strip(stage):
    """A strip whose frames are there, and a slow server."""
    strip = stage.keyed_strip()
    stage.use_fake_server("--slow", SLOW)
    stage.ordered()
    return strip


@pytest.fixture
def sheet(strip):
    """A sheet of which nothing is made yet."""
    sheet = Sheet(strip)
    session.add_wanter(sheet)
    yield sheet
    session.remove_wanter(sheet)


def completed(sheet, timeout=60):
    return session.wait(lambda: not sheet.plan.missing(), timeout)


def begun(sheet, count=3):
    assert session.wait(lambda: sheet.plan.done >= count, 30)


def stands_still(sheet):
    session.wait(lambda: False, 0.3)  # what the device had begun
    done = sheet.plan.done
    session.wait(lambda: False, 0.3)
    return done == sheet.plan.done < len(sheet.plan)


def test_the_playhead_s_frame_goes_before_the_rest_of_a_sheet(stage, strip, sheet):
    stage.use_fake_server("--slow", 0.05)
    begun(sheet)
    stage.scene.frame_set(10)
    settings_of(strip).psi = 0.4
    stage.settle()
    at_playhead = planned(strip)[9]
    assert session.feeder.has(at_playhead) and not session.feeder.busy_for(sheet)
    assert session.wait(lambda: at_playhead in session.plans.store.names(), 30)
    assert len(sheet.plan.missing()) > 32
    stage.fill()
    assert shown(strip) == planned(strip) and sheet.plan.missing()
    assert completed(sheet)
    assert set(sheet.names) <= session.plans.store.names() and sheet.failures == []
    ordered = stage.ordered()
    again = ordered[ordered.index(at_playhead) :]
    assert set(again[: len(set(planned(strip)))]) == set(planned(strip))  # nothing of the sheet in between
    session.wait(lambda: not session.feeder.busy, 10)
    assert not session.feeder.busy


def test_the_picture_that_someone_looks_at_comes_before_the_rest_of_a_sheet(stage, strip):
    """It is so far from the sheet's playhead that it is not among the frames that are ordered at once."""
    sheet = Sheet(strip, count=200)
    session.add_wanter(sheet)
    begun(sheet)
    sheet.hovered = 190
    job = session.feeder.job
    assert session.wait(lambda: session.feeder.has(sheet.names[190]), 30)
    assert session.wait(lambda: sheet.names[190] in session.plans.store.names(), 30)
    assert sheet.plan.done < 64
    sheet.hovered = 30  # it is there, or on order
    assert completed(sheet)
    assert session.feeder.job <= job + 2 and len(stage.ordered()) < 2 * 200
    session.remove_wanter(sheet)


def test_filling_strips_does_not_wait_for_a_sheet(stage, strip, sheet):
    settings_of(strip).psi = 0.4
    stage.fill()
    assert shown(strip) == planned(strip) and sheet.plan.missing()
    assert session.plans.progress(strip) == (24, 24)
    stage.fill()  # while the sheet's frames are on order
    begun(sheet)
    stage.fill()
    assert sheet.plan.missing()
    assert completed(sheet)


def test_a_frame_of_strips_that_is_deleted_comes_before_the_sheet(stage, strip, sheet):
    begun(sheet)
    deleted = planned(strip)[5]
    (session.plans.store.folder / deleted).unlink()
    assert session.wait(lambda: session.feeder.has(deleted), 30)
    assert not session.feeder.busy_for(sheet)
    stage.fill()
    assert completed(sheet)


def test_a_sheet_s_frame_that_is_deleted_is_made_again(stage, strip, sheet):
    assert completed(sheet)
    (session.plans.store.folder / sheet.names[7]).unlink()
    assert session.wait(lambda: sheet.plan.missing() == [7], 30)
    assert completed(sheet)


def test_a_failure_of_a_sheet_does_not_halt_the_strips(stage, strip, sheet, tmp_path):
    sheet.source = GeneratorFile(str(tmp_path / "gone.pkl"), sheet.source.sha256)
    (tmp_path / "gone.pkl").write_bytes(b"not the generator")
    assert session.wait(lambda: sheet.failures, 30)
    assert "has changed" in sheet.failures[0]
    assert session.state is SessionState.ARMED and session.problem(strip) == ""
    session.wait(lambda: False, 0.3)
    assert len(sheet.failures) == 1 and not session.feeder.busy  # it is not asked again and again
    settings_of(strip).psi = 0.4
    stage.fill()
    assert shown(strip) == planned(strip) and sheet.plan.done == 0
    sheet.source = GeneratorFile(None, sheet.source.sha256)
    session.wanter_changed(sheet)
    assert completed(sheet) and len(sheet.failures) == 1


def test_a_sheet_whose_generator_is_not_known_is_told_once_and_holds_nobody_up(stage, strip, sheet):
    after = Sheet(strip, count=8, seed=2)
    after.priority = sheet.priority + 1
    source, sheet.source = sheet.source, GeneratorFile(None, "ab" * 32)
    session.add_wanter(after)
    assert completed(after)
    assert len(sheet.failures) == 1 and "not known" in sheet.failures[0] and sheet.plan.done == 0
    session.remove_wanter(after)
    sheet.source = source
    session.wanter_changed(sheet)
    assert completed(sheet) and len(sheet.failures) == 1


@pytest.mark.parametrize("fault", ["--fail-writes", "--lie"])
def test_a_fault_of_the_server_over_a_sheet_does_not_halt_the_strips(stage, strip, sheet, fault):
    stage.use_fake_server(fault)
    assert session.wait(lambda: sheet.failures, 30)
    session.wait(lambda: False, 0.3)
    assert len(sheet.failures) == 1 and not session.feeder.busy
    assert session.state is SessionState.ARMED and session.problem(strip) == ""
    stage.use_fake_server()
    session.wanter_changed(sheet)
    assert completed(sheet)


def test_a_server_that_dies_of_a_sheet_is_started_again_without_it(stage, strip, sheet):
    stage.use_fake_server("--crash-after", 0)
    assert session.wait(lambda: sheet.failures, 60)
    assert "stopped" in sheet.failures[0]
    session.wait(lambda: False, 0.3)
    assert session.state is SessionState.ARMED and session.problem(strip) == "" and len(sheet.failures) == 1
    stage.use_fake_server()
    settings_of(strip).psi = 0.4
    stage.fill()
    assert sheet.plan.done == 0


def test_a_failure_of_strips_halts_all(stage, strip, sheet):
    stage.use_fake_server("--fail-writes")
    settings_of(strip).psi = 0.4
    assert not session.fill(timeout=20)
    session.wait(lambda: False, 0.3)
    assert session.state is SessionState.HALTED and session.problem(strip)
    assert sheet.failures == [] and sheet.plan.done == 0 and not session.feeder.busy


def test_a_sheet_is_completed_after_a_death_of_the_server(stage, strip, sheet):
    begun(sheet)
    kill_server()
    assert completed(sheet)
    assert sheet.failures == [] and session.state is SessionState.ARMED


def test_cancel_stops_a_sheet_too_and_an_edit_lets_it_go_on(stage, strip, sheet):
    begun(sheet)
    assert bpy.ops.lantern.cancel() == {"FINISHED"}
    assert session.state is SessionState.HALTED
    assert stands_still(sheet)
    settings_of(strip).psi = 0.4
    assert completed(sheet)


def test_a_sheet_is_made_when_strips_are_made_by_hand_only(stage, strip, sheet):
    stage.preferences.make_automatically = False
    settings_of(strip).psi = 0.4
    assert completed(sheet)
    assert session.plans.progress(strip)[0] == 0
    stage.fill()


def test_what_is_removed_is_not_made(stage, strip, sheet):
    begun(sheet)
    session.remove_wanter(sheet)
    assert not session.feeder.busy
    session.wait(lambda: False, 0.3)  # what the device had begun
    present = set(session.plans.store.names())
    session.wait(lambda: False, 0.3)
    assert session.plans.store.names() == present and not present.issuperset(sheet.names)


def test_the_budget_never_takes_what_a_sheet_shows(stage, strip, sheet, monkeypatch):
    assert completed(sheet)
    other = planned(strip)
    settings_of(strip).psi = 0.4
    stage.fill()
    session.wait(lambda: not session.feeder.busy, 10)
    monkeypatch.setattr("latent_lantern.latent_addon.session.budget.GIGABYTE", 1.0)
    in_use = session.files_in_use()
    assert in_use == {*planned(strip), *sheet.names}
    stage.preferences.budget = sum((session.plans.store.folder / name).stat().st_size for name in in_use) + 10
    settings_of(strip).psi = 0.6
    stage.fill()
    session.tick()
    present = session.plans.store.names()
    assert {*planned(strip), *sheet.names} <= present
    assert not set(other) & present and session.halted == ""


def test_frames_of_a_sheet_come_along_when_the_file_is_saved_elsewhere(stage, strip, sheet, tmp_path):
    assert completed(sheet)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / folder / "one.blend"))
        stage.ordered()
        stage.fill()
        assert not sheet.plan.missing() and stage.ordered() == []
        assert set(sheet.names) <= {path.name for path in (tmp_path / folder / "latent_lantern/frames").iterdir()}


def test_another_frame_folder_has_the_sheet_made_there(stage, strip, sheet, tmp_path):
    assert completed(sheet)
    stage.preferences.frame_folder = str(tmp_path / "big disk")
    stage.fill()
    assert completed(sheet)
    assert set(sheet.names) <= {path.name for path in (tmp_path / "big disk").iterdir()}


def test_opening_a_file_makes_nothing_of_a_sheet(stage, strip, sheet, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "one.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "one.blend"))
    stage.ordered()
    assert list(session.ordering.wanters) == [session.strips] and session.state is SessionState.NOT_ARMED
    session.wait(lambda: False, 0.2)
    session.arm()
    session.wait(lambda: False, 0.2)
    assert stage.ordered() == []
