"""Operators that wait for the server act on the strip they asked about, and on no other."""

from __future__ import annotations

import bpy
import pytest

from latent_lantern.latent_addon.scene.properties import settings_of
from latent_lantern.latent_addon.session.session import session

QUESTIONS = {"set_space": {"space": "W"}, "fit_latent": {}, "randomise": {"seed": 5}}


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("then", ["another is selected", "it is deleted"])
def test_what_is_selected_while_the_server_thinks_is_left_alone(stage, monkeypatch, name, then):
    asked, other = stage.add_strip(4), stage.add_strip(4, 20)
    settings_of(asked).space = settings_of(other).space = "W"
    stage.fill()
    editor = stage.scene.sequence_editor
    editor.active_strip = asked
    before = [(list(strip["latent"]), settings_of(strip).space) for strip in (asked, other)]
    wait = session.wait

    def wait_and_select(done, timeout):
        answered = wait(done, timeout)
        if then == "it is deleted":
            editor.strips.remove(asked)
        editor.active_strip = other
        return answered

    monkeypatch.setattr(session, "wait", wait_and_select)
    assert getattr(bpy.ops.lantern, name)(**QUESTIONS[name]) == {"CANCELLED"}
    left = [other] if then == "it is deleted" else [asked, other]
    assert [(list(strip["latent"]), settings_of(strip).space) for strip in left] == before[-len(left) :]
    assert not session.halted


def test_the_strip_that_was_asked_about_is_changed(stage):
    strip = stage.add_strip(4)
    assert bpy.ops.lantern.set_space(space="W") == {"FINISHED"}
    assert settings_of(strip).space == "W"
