"""Every button says what it does, and, if it cannot be pressed, why."""

from __future__ import annotations

from types import SimpleNamespace

import bpy
import pytest

from latent_lantern.latent_addon.registration import BLENDER_CLASSES
from latent_lantern.latent_addon.session.runtime import runtime
from latent_lantern.latent_addon.setup import operators as inference_operators
from latent_lantern.latent_addon.training.properties import training_form
from latent_lantern.latent_addon.ui import context as ui_context

OPERATORS = [cls for cls in BLENDER_CLASSES if issubclass(cls, bpy.types.Operator)]
CHOOSY = [cls for cls in OPERATORS if any("poll" in vars(base) for base in cls.__mro__[:-2])]
"""Those that cannot always be pressed."""


def reasons(operator: type[bpy.types.Operator], monkeypatch: pytest.MonkeyPatch) -> list[str] | None:
    """The reason in its tooltip why an operator cannot run now; None if it can."""
    said: list[str] = []
    monkeypatch.setattr(operator, "poll_message_set", staticmethod(said.append), raising=False)
    return None if operator.poll(bpy.context) else said


def check_all(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of the operators that cannot run now, each of which has given one reason."""
    refused = set()
    for operator in CHOOSY:
        said = reasons(operator, monkeypatch)
        if said is not None:
            refused.add(operator.bl_idname)
            assert len(said) == 1, f"{operator.bl_idname} gives {len(said)} reasons"
            # Blender adds the full stop.
            assert said[0][:1].isupper() and not said[0].endswith("."), said[0]
    return refused


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.bl_idname)
def test_every_operator_has_a_tooltip(operator):
    group, _, name = operator.bl_idname.partition(".")
    about = getattr(getattr(bpy.ops, group), name).get_rna_type()
    assert len(about.description) > 10 and not about.description.endswith("."), about.description
    assert about.name
    for prop in about.properties:
        if not prop.is_hidden and prop.identifier != "rna_type":
            assert prop.name and prop.description, f"{operator.bl_idname}: {prop.identifier} has no tooltip"


def test_every_refusal_gives_its_reason(stage, preferences, monkeypatch):
    stage.use_fake_server()
    refused = check_all(monkeypatch)
    assert {"lantern.randomise", "lantern.cancel", "lantern.stop_server", "lantern.set_up_inference"} <= refused
    preferences.server_python = ""
    refused |= check_all(monkeypatch)
    for changes in ({"source": "FOLDER"}, {"source": "STRIP"}, {"source": "FILM", "film": "/a.mp4"}):
        for name, value in changes.items():
            setattr(training_form(stage.scene), name, value)
        refused |= check_all(monkeypatch)
    with monkeypatch.context() as patched:
        patched.setattr(type(runtime), "changing", property(lambda self: True))
        refused |= check_all(monkeypatch)
    offline = SimpleNamespace(online_access=False, online_access_override=True)
    with monkeypatch.context() as patched:
        patched.setattr(inference_operators, "bpy", SimpleNamespace(app=offline))
        refused |= check_all(monkeypatch)
    stage.use_fake_server()
    stage.add_strip(3)
    refused |= check_all(monkeypatch)
    with monkeypatch.context() as patched:
        patched.setattr(ui_context, "why_not_editable", lambda _scene: "It is linked")
        refused |= check_all(monkeypatch)
    assert {"lantern.set_class", "lantern.set_canvas"} <= refused
    assert {operator.bl_idname for operator in CHOOSY} - refused == set()
