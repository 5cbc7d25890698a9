"""The button beside a message is the one that helps, and it is there whatever the message."""

from __future__ import annotations

import shutil
from pathlib import Path

import bpy
import pytest

from latent_lantern.latent_addon.scene import latent_keys
from latent_lantern.latent_addon.scene.properties import settings_of
from latent_lantern.latent_addon.session.session import session
from latent_lantern.latent_addon.shot.strip_panel import StripPanel
from latent_lantern.latent_addon.ui.helping import HELPS, helps_in
from layout import drawn
from stage import Stage


def buttons(text: str) -> list[str]:
    return [each.label for each in helps_in(text, halted=True)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("The checkpoint a.pkl has changed since it was chosen. Press Reload Generator to use what is in the file now, "
         "or put the old file back.", ["Reload Generator"]),
        ("Frames cannot be written to /f: no space. Free some space, or choose another frame folder in the "
         "preferences.", ["Preferences", "Try Again"]),
        ("The inference server stopped (exit code 1). Try again.", ["Try Again"]),
        ("The inference server was killed while starting. Close other programs, then try again.", ["Try Again"]),
        ("The latent of strip 'A' has 3 numbers, but B takes 4 in space Z. Choose the generator it was made with, or "
         "press Fit Latent to start from a new one.", ["Choose Generator", "Fit Latent"]),
        ("The checkpoint /a.pkl is not there. Put it back or choose another one.", ["Choose Generator"]),
        ("Stopped. Press Make Frames to continue.", ["Make Frames"]),
        ("Choose fewer columns and rows at Canvas.", ["Canvas"]),
        ("Scene 'A' is linked from b.blend. Press Make Local, or edit that file.", ["Make Local"]),
    ],
)  # fmt: skip
def test_the_buttons_that_a_message_names(text: str, wanted: list[str]) -> None:
    assert buttons(text) == wanted


def test_a_message_without_a_problem_offers_nothing_that_it_does_not_name() -> None:
    assert helps_in("3 keys", halted=False) == []


def test_every_button_is_an_operator_that_is_there() -> None:
    for each in HELPS:
        group, _, name = each.operator.partition(".")
        assert getattr(getattr(bpy.ops, group), name).get_rna_type()


def operators() -> list[str]:
    return [name for name, _ in drawn(StripPanel).operators]


def test_a_checkpoint_that_changed_is_reloaded_by_the_button_beside_the_message(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "net.pkl"
    path.write_bytes(b"first")
    strip = stage.add_strip(4, generator=str(path))
    stage.fill()
    assert operators().count("lantern.reload_generator") == 1
    session.halt("The checkpoint net.pkl has changed since it was chosen. Press Reload Generator to use what is in the "
                 "file now, or put the old file back.")  # fmt: skip
    assert operators().count("lantern.reload_generator") == 2 and "lantern.make_frames" not in operators()
    shutil.copy(__file__, path)
    assert bpy.ops.lantern.reload_generator() == {"FINISHED"}
    stage.fill()
    assert session.problem(strip) == ""


def test_a_long_message_is_shortened_and_shown_whole_on_demand(stage: Stage) -> None:
    stage.add_strip(4)
    text = "Something long and unpleasant stands in the way, and there is very much to say about it. " * 3
    session.halt(text)
    panel = drawn(StripPanel)
    shown = [values for name, values in panel.operators if name == "lantern.show_message"]
    assert shown == [{"text": text, "halted": True}]
    assert any(line.endswith(" ...") for line in panel.texts)
    assert bpy.ops.lantern.show_message(text=text) == {"FINISHED"}
    assert bpy.context.window_manager.clipboard in (text, "")  # no clipboard without a window


def test_key_says_what_it_did(stage: Stage, capfd: pytest.CaptureFixture) -> None:
    stage.add_strip(8)
    bpy.ops.lantern.insert_latent_key()
    stage.scene.frame_set(5)
    stage.fill()
    assert "1 key" in drawn(StripPanel).texts
    bpy.ops.lantern.insert_latent_key()
    assert "Latent keyed at frame 5: 2 keys" in capfd.readouterr().out
    stage.fill()
    assert session.plans.state_of(stage.scene.sequence_editor.active_strip).key_frames == {1, 5}
    assert latent_keys.latent_key_frames(stage.scene, stage.scene.sequence_editor.active_strip) == [1, 5]


def test_another_view_transform_is_said_and_one_click_mends_it(stage: Stage) -> None:
    stage.add_strip(4)
    stage.fill()
    stage.scene.view_settings.view_transform = "AgX"
    assert any("view transform AgX" in text for text in drawn(StripPanel).texts)
    assert "lantern.use_standard_view" in operators()
    assert bpy.ops.lantern.use_standard_view() == {"FINISHED"}
    assert "lantern.use_standard_view" not in operators()
    assert settings_of(stage.scene.sequence_editor.active_strip).is_latent
