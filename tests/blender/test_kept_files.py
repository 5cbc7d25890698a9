"""A file that an earlier version has saved opens without a change: same keys, same frames, and nothing is made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import bpy
import pytest

from kept_shot import KEPT, describe, files_below, open_shot
from latent_lantern.latent_addon.server.client import ServerState
from latent_lantern.latent_addon.session.session import session
from stage import Stage, planned, shown

SHOT: dict[str, Any] = json.loads((KEPT / "shot.json").read_text(encoding="utf-8"))
STRIPS = list(SHOT["strips"])


@pytest.fixture
def folder(stage: Stage, tmp_path: Path) -> Path:
    """A copy of the kept shot's folder, with a fake server that starts only if it is needed."""
    return Path(shutil.copytree(KEPT / "shot", tmp_path / "shot"))


def strips() -> dict[str, Any]:
    return {strip.name: strip for strip in bpy.context.scene.sequence_editor.strips if strip.type == "IMAGE"}


def same(found: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    """The description that was found, without the parts that only newer versions have."""
    return {name: value for name, value in found.items() if name in kept}


def test_scene_drawing_and_output_are_what_they_were(folder: Path) -> None:
    found = describe(open_shot(folder))
    for part in ("frames", "size", "view", "drawing", "output"):
        assert found[part] == SHOT[part], part
    assert list(found["strips"]) == STRIPS


@pytest.mark.parametrize("name", STRIPS)
def test_a_strip_is_what_it_was(folder: Path, name: str) -> None:
    found, kept = describe(open_shot(folder))["strips"][name], SHOT["strips"][name]
    for part in ("extent", "latent", "classes", "curves", "directory"):
        assert found[part] == kept[part], part
    assert same(found["settings"], kept["settings"]) == kept["settings"]
    pairs = zip(found["snapshots"], kept["snapshots"], strict=True)
    assert [same(snapshot, before) for snapshot, before in pairs] == kept["snapshots"]


@pytest.mark.parametrize("name", STRIPS)
def test_a_strip_wants_and_shows_the_frames_that_it_did(folder: Path, name: str) -> None:
    found, kept = describe(open_shot(folder))["strips"][name], SHOT["strips"][name]
    assert found["planned"] == kept["planned"]
    assert found["colours"] == kept["colours"]
    assert found["shown"] == kept["planned"]


def test_opening_starts_no_server_and_touches_no_file(folder: Path) -> None:
    before = files_below(folder)
    open_shot(folder)
    assert not session.armed and session.client.state is ServerState.STOPPED
    assert all(session.problem(strip) == "" for strip in strips().values())
    assert files_below(folder) == before


def test_asking_for_its_frames_makes_none(folder: Path, stage: Stage) -> None:
    before = files_below(folder)
    open_shot(folder)
    session.arm()
    stage.settle()
    stage.fill()
    assert stage.ordered() == [] and session.client.state is ServerState.STOPPED
    assert files_below(folder) == before
    for name, strip in strips().items():
        assert shown(strip) == planned(strip) == SHOT["strips"][name]["planned"]


def test_a_frame_that_was_lost_is_made_again_and_no_other(folder: Path, stage: Stage) -> None:
    open_shot(folder)
    lost = SHOT["strips"]["Snapshots"]["planned"][3]
    (folder / "latent_lantern" / "frames" / lost).unlink()
    stage.fill()
    assert stage.ordered() == [lost]
    assert shown(strips()["Snapshots"]) == SHOT["strips"]["Snapshots"]["planned"]


def test_saving_it_again_keeps_everything(folder: Path, stage: Stage) -> None:
    open_shot(folder)
    stage.fill()
    frames = files_below(folder / "latent_lantern")
    bpy.ops.wm.save_mainfile()
    found = describe(open_shot(folder))
    for name, kept in SHOT["strips"].items():
        for part in ("extent", "latent", "classes", "curves", "directory", "planned", "shown"):
            assert found["strips"][name][part] == kept[part], (name, part)
    assert files_below(folder / "latent_lantern") == frames and stage.ordered() == []


def test_a_strip_exports_the_sequence_file_that_it_did(folder: Path) -> None:
    open_shot(folder)
    for name, strip in strips().items():
        bpy.context.scene.sequence_editor.active_strip = strip
        for other in strips().values():
            other.select = other == strip
        bpy.context.scene.frame_set(SHOT["strips"][name]["extent"][0])
        kept = folder / f"{name.lower().replace(' ', '_')}.lantern.json"
        before = kept.read_bytes()
        kept.unlink()
        assert bpy.ops.lantern.export_sequence(filepath=str(kept)) == {"FINISHED"}
        assert kept.read_bytes() == before, name
