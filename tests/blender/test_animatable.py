"""The table of what can be animated and the strip's properties say the same, both ways."""

from __future__ import annotations

import dataclasses
import inspect

import bpy
import pytest

from latent_lantern.lantern_protocol.orders import ShadowSettings
from latent_lantern.latent_addon.core import animatable, transform
from latent_lantern.latent_addon.core.animatable import COLOUR, SETTINGS, SWITCH, Part, Setting
from latent_lantern.latent_addon.scene import curves, evaluation
from latent_lantern.latent_addon.scene.animatable import PATHS, WHOLE_NUMBER_PATHS, owner_of
from latent_lantern.latent_addon.scene.properties import settings_of


def animatable_properties(stage) -> dict[str, bpy.types.Property]:
    rna = settings_of(stage.add_strip(3)).bl_rna
    return {prop.identifier: prop for prop in rna.properties if prop.is_animatable and not prop.is_readonly}


def kind_of(prop: bpy.types.Property) -> tuple[int, bool]:
    """Components, and whether Blender rounds what a curve of the property gives."""
    return prop.array_length or 1, prop.type in {"INT", "BOOLEAN"}


def test_every_animatable_property_is_in_the_table_and_the_reverse(stage):
    found = {name: kind_of(prop) for name, prop in animatable_properties(stage).items()}
    assert found == {each.name: (each.kind.components, each.kind.whole_number) for each in SETTINGS}


def test_switches_and_colours_are_those_of_blender(stage):
    found = animatable_properties(stage)
    assert {name for name, prop in found.items() if prop.type == "BOOLEAN"} == {
        each.name for each in SETTINGS if each.kind is SWITCH
    }
    assert {name for name, prop in found.items() if prop.subtype == "COLOR_GAMMA"} == {
        each.name for each in SETTINGS if each.kind is COLOUR
    }


def test_each_row_fills_an_argument_of_its_own():
    rows = [(each.part, each.argument) for each in SETTINGS]
    assert len(set(rows)) == len(rows) and len({each.name for each in SETTINGS}) == len(SETTINGS)
    filled = {part: {argument for of, argument in rows if of is part} for part in Part}
    assert filled[Part.SHADOW] == {field.name for field in dataclasses.fields(ShadowSettings)}
    assert filled[Part.TRANSFORM] == set(inspect.signature(transform.inverse_transform).parameters)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_key_of_each_setting_is_found_by_its_path(stage, setting: Setting):
    strip = stage.add_strip(3)
    path = curves.path_prefix(strip) + PATHS[setting.name]
    assert stage.scene.keyframe_insert(path, frame=1)
    assert owner_of(path) == (curves.path_prefix(strip), setting.name)
    own = curves.curves_of_scene(stage.scene)[curves.path_prefix(strip)].settings
    assert set(own) == {(setting.name, component) for component in range(setting.kind.components)}
    whole = evaluation.read_curve(own[setting.name, 0], 1, 4, 1.0).samples is not None
    assert whole == setting.kind.whole_number == path.endswith(WHOLE_NUMBER_PATHS)


def test_one_more_row_is_all_that_a_request_needs(monkeypatch):
    """A row more, and the part of the request has one more argument."""
    more = Setting("shadow_grain", animatable.COUNT, Part.SHADOW, "grain")
    now = {each.name: [1.0] * each.kind.components for each in (*SETTINGS, more)}
    before = animatable.arguments(Part.SHADOW, now)
    monkeypatch.setitem(animatable._OF_PART, Part.SHADOW, (*animatable._OF_PART[Part.SHADOW], more))
    assert animatable.arguments(Part.SHADOW, now) == before | {"grain": 1}
