"""Operators, properties and panels keep their names, labels and defaults: more may come, but nothing goes."""

from __future__ import annotations

import json
from typing import Any

import bpy
import pytest

from kept_interface import interface
from kept_shot import KEPT

RECORDED: dict[str, Any] = json.loads((KEPT / "interface.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return interface()


def check_properties(found: dict[str, Any], kept: dict[str, Any], owner: str) -> None:
    assert set(kept) <= set(found), f"{owner} has lost a property"
    for name, before in kept.items():
        now = found[name]
        items = before.get("items", {})
        assert items.items() <= now.get("items", {}).items(), f"{owner}.{name} has lost a choice, or its number"
        rest = {key: value for key, value in before.items() if key != "items"}
        assert {key: now.get(key) for key in rest} == rest, f"{owner}.{name} is another"


@pytest.mark.parametrize("name", RECORDED["operators"])
def test_an_operator_is_what_it_was(found: dict[str, Any], name: str) -> None:
    kept = RECORDED["operators"][name]
    assert name in found["operators"]
    assert found["operators"][name]["label"] == kept["label"]
    check_properties(found["operators"][name]["properties"], kept["properties"], name)


@pytest.mark.parametrize("name", RECORDED["properties"])
def test_a_group_of_properties_is_what_it_was(found: dict[str, Any], name: str) -> None:
    check_properties(found["properties"][name], RECORDED["properties"][name], name)


def test_panels_are_what_they_were_in_the_same_order(found: dict[str, Any]) -> None:
    names = [panel["name"] for panel in RECORDED["panels"]]
    assert [panel for panel in found["panels"] if panel["name"] in names] == RECORDED["panels"]
    assert all(hasattr(bpy.types, name) for name in names)


def test_lists_and_what_takes_dropped_files_are_there(found: dict[str, Any]) -> None:
    assert RECORDED["other classes"].items() <= found["other classes"].items()
    assert all(hasattr(bpy.types, name) for name in RECORDED["other classes"])
