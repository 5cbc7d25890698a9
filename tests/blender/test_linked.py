"""Every operator on a strip that is linked, muted or locked: it does its work, or leaves no trace and says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from bpy.types import ImageStrip, Scene

from latent_lantern.latent_addon import registration
from latent_lantern.latent_addon.scene import drawing, latent_keys, output
from latent_lantern.latent_addon.scene.properties import settings_of
from latent_lantern.latent_addon.session.session import session
from latent_lantern.latent_addon.ui.asking import AskingOperator
from latent_lantern.latent_addon.ui.context import StripOperator
from stage import Stage, planned, shown, to_shadow

EDITING = [
    found
    for found in registration.BLENDER_CLASSES
    if issubclass(found, StripOperator | AskingOperator) and found.bl_idname != "lantern.use_training"
]


def call(name: str) -> Any:
    return getattr(bpy.ops.lantern, name.removeprefix("lantern."))


def picture_of(scene: Scene) -> str:
    """Everything that an operator could change, as text."""
    strips = []
    for strip in scene.sequence_editor.strips_all:
        settings = settings_of(strip)
        values = {name: str(getattr(settings, name)) for name in sorted(settings.bl_rna.properties.keys())}
        latent = strip.get("latent")
        strips.append((strip.name, list(latent) if latent is not None else None, values, len(strip.elements)))
    keys = latent_keys.latent_key_frames(scene, scene.sequence_editor.strips_all[0])
    render = scene.render
    rest = (render.resolution_x, render.film_transparent, scene.view_settings.view_transform, str(scene.camera))
    return json.dumps([strips, keys, rest, scene.frame_end, len(bpy.data.objects), len(bpy.data.scenes)])


@pytest.fixture
def linked(stage: Stage, tmp_path: Path) -> ImageStrip:
    """A linked scene in the window, with a strip whose frames are there."""
    stage.scene.name = "Shot"
    stage.keyed_strip({1: 1, 12: 2}, 12)
    path = tmp_path / "source.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    with bpy.data.libraries.load(str(path), link=True) as (_there, here):
        here.scenes = ["Shot"]
    scene = next(scene for scene in bpy.data.scenes if scene.library is not None)
    bpy.context.window.scene = scene
    session.replan()
    return scene.sequence_editor.strips[0]


def test_nothing_edits_a_linked_scene(linked: ImageStrip) -> None:
    before = picture_of(linked.id_data)
    assert len(EDITING) > 20
    for operator in EDITING:
        assert not call(operator.bl_idname).poll(), operator.bl_idname
        with pytest.raises(RuntimeError) as refused:
            call(operator.bl_idname)()
        assert "linked from source.blend. Press Make Local, or edit that file" in str(refused.value)
    assert picture_of(linked.id_data) == before


def test_make_local_makes_it_one_s_own(linked: ImageStrip) -> None:
    assert bpy.ops.lantern.make_local.poll()
    assert bpy.ops.lantern.make_local() == {"FINISHED"}
    scene = bpy.context.scene
    strip = scene.sequence_editor.strips[0]
    assert scene.library is None and scene.animation_data.action.library is None
    assert not bpy.ops.lantern.make_local.poll()
    assert bpy.ops.lantern.insert_latent_key() == {"FINISHED"}
    scene.frame_set(5)
    before = np.array(strip["latent"][:])
    assert bpy.ops.lantern.randomise(seed=5) == {"FINISHED"}
    assert latent_keys.latent_key_frames(scene, strip) == [1, 5, 12]
    assert (np.array(strip["latent"][:]) != before).all()
    assert bpy.ops.lantern.set_up_drawing() == {"FINISHED"}
    assert session.fill(timeout=60)


def test_a_scene_with_linked_keys_says_so(linked: ImageStrip) -> None:
    scene = linked.id_data.make_local()
    bpy.context.window.scene = scene
    with pytest.raises(RuntimeError, match="The keys of scene 'Shot' are linked from source"):
        bpy.ops.lantern.insert_latent_key()
    assert bpy.ops.lantern.make_local() == {"FINISHED"}
    assert bpy.ops.lantern.insert_latent_key() == {"FINISHED"}


def mute(strip: ImageStrip) -> None:
    strip.mute = True


def lock(strip: ImageStrip) -> None:
    strip.lock = True


def mute_channel(strip: ImageStrip) -> None:
    strip.id_data.sequence_editor.channels[strip.channel].mute = True


def lock_channel(strip: ImageStrip) -> None:
    strip.id_data.sequence_editor.channels[strip.channel].lock = True


Effect = Callable[[Scene, ImageStrip], Any]
DEEDS: dict[str, tuple[dict[str, Any], Effect]] = {
    "insert_latent_key": ({}, lambda scene, strip: latent_keys.latent_key_frames(scene, strip) == [1, 7, 12]),
    "randomise": ({"seed": 3}, lambda _scene, strip: settings_of(strip).seed == 3),
    "fit_latent": ({}, lambda scene, strip: latent_keys.latent_key_frames(scene, strip) == []),
    "set_space": ({"space": "W"}, lambda _scene, strip: settings_of(strip).space == "W"),
    "shadow_preset": ({}, lambda _scene, strip: settings_of(strip).show_shadow),
    "set_up_drawing": ({}, lambda scene, _strip: drawing.pencil_of(scene) is not None),
    "make_output_scene": ({}, lambda scene, _strip: output.output_scene_of(scene) is not None),
    "make_frames": ({}, lambda scene, _strip: not session.plans.missing(scene)),
    "jump_to_latent_key": ({}, lambda scene, _strip: scene.frame_current == 12),
    "reload_generator": ({}, lambda _scene, strip: settings_of(strip).sha256 != ""),
    "add_latent_strip": ({}, lambda scene, _strip: len(scene.sequence_editor.strips) == 2),
}


@pytest.mark.parametrize("state", [mute, lock, mute_channel, lock_channel], ids=lambda state: state.__name__)
@pytest.mark.parametrize("name", DEEDS)
def test_a_muted_or_locked_strip_is_worked_on_like_any_other(
    stage: Stage, name: str, state: Callable[[ImageStrip], None]
) -> None:
    strip = stage.keyed_strip({1: 1, 12: 2}, 12)
    stage.scene.frame_set(7)
    state(strip)
    options, effect = DEEDS[name]
    assert call(name)(**options) == {"FINISHED"}
    assert effect(stage.scene, strip), name
    assert session.fill(timeout=60)


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("how", ["append", "make local"])
def test_frames_beside_the_source_come_along_and_stay_there(
    stage: Stage, tmp_path: Path, saved: bool, how: str
) -> None:
    stage.scene.name = "Shot"
    strip = stage.keyed_strip({1: 1, 12: 2}, 12)
    to_shadow(strip)
    (tmp_path / "source").mkdir()
    (tmp_path / "other").mkdir()
    source = tmp_path / "source" / "source.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(source))
    stage.fill()
    (session.plans.store.folder / planned(strip)[4]).unlink()  # one shadow is lacking; its colour frame is there
    theirs = {path: path.stat().st_mtime_ns for path in session.plans.store.folder.iterdir()}
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    if saved:
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "other" / "other.blend"))
    if how == "append":
        bpy.ops.wm.append(directory=f"{source}/Scene/", filename="Shot")
    else:
        with bpy.data.libraries.load(str(source), link=True) as (_there, here):
            here.scenes = ["Shot"]
        bpy.context.window.scene = next(scene for scene in bpy.data.scenes if scene.library is not None)
        bpy.ops.lantern.make_local()
    bpy.context.window.scene = next(scene for scene in bpy.data.scenes if scene.name.startswith("Shot"))
    stage.ordered()
    stage.fill()
    strip = stage.scene.sequence_editor.strips[0]
    folder = session.plans.store.folder
    assert folder != tmp_path / "source" / "latent_lantern" / "frames"
    assert Path(bpy.path.abspath(strip.directory)) == folder and shown(strip) == planned(strip)
    assert set(planned(strip)) <= {path.name for path in folder.iterdir()}
    orders = stage.methods()
    assert "frames/generate" not in orders and orders.count("shadows/derive") == 1
    assert {path: path.stat().st_mtime_ns for path in theirs} == theirs
