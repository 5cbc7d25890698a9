"""Enabling and disabling the extension: nothing of it is left, and enabling it again gives the same."""

from __future__ import annotations

import logging
import os
import sys
import threading
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path

import bpy
import pytest

from tools.blender_session import EXTENSION, start_clean


def disable() -> None:
    bpy.ops.preferences.addon_disable(module=EXTENSION)


def enable() -> None:
    bpy.ops.preferences.addon_enable(module=EXTENSION)


def own(thing: object) -> bool:
    """Whether a class or function was defined by the extension."""
    return str(getattr(thing, "__module__", "")).startswith(EXTENSION)


def blender_types() -> Iterator[tuple[str, type]]:
    """Every class that Blender knows by name, built in or registered."""
    for name in sorted(dir(bpy.types)):
        found = getattr(bpy.types, name, None)
        if isinstance(found, type):
            yield name, found


def properties() -> set[str]:
    """Every property of every type, as "Type.property"."""
    return {
        f"{name}.{key}"
        for name, kind in blender_types()
        if hasattr(kind, "bl_rna")
        for key, _ in kind.bl_rna.properties.items()
    }


def handlers() -> dict[str, list[str]]:
    """The extension's functions in each list of handlers."""
    lists = {name: getattr(bpy.app.handlers, name) for name in dir(bpy.app.handlers)}
    return {
        name: [function.__qualname__ for function in found if own(function)]
        for name, found in lists.items()
        if isinstance(found, list)
    }


def drawn_into() -> set[str]:
    """The extension's functions that other menus, headers and panels draw."""
    return {
        f"{name}: {function.__qualname__}"
        for name, kind in blender_types()
        for function in getattr(getattr(kind, "draw", None), "_draw_funcs", ())
        if own(function)
    }


def timers() -> set[str]:
    """The extension's functions that a timer will call."""
    modules = [module for name, module in list(sys.modules.items()) if name.startswith(EXTENSION)]
    functions = {
        thing for module in modules for thing in vars(module).values() if isinstance(thing, types.FunctionType)
    }
    return {function.__qualname__ for function in functions if bpy.app.timers.is_registered(function)}


def key_bindings() -> list[str]:
    """Every key binding that add-ons have added."""
    configuration = bpy.context.window_manager.keyconfigs.addon
    return sorted(f"{keymap.name}: {item.idname}" for keymap in configuration.keymaps for item in keymap.keymap_items)


def log_handlers() -> dict[str, object]:
    """Each of the extension's loggers that is not as Python makes it; pytest's handlers are not the extension's."""
    found = {}
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith(EXTENSION) and isinstance(logger, logging.Logger):
            found[name] = [type(each).__name__ for each in logger.handlers if own(type(each))], logger.level
            found[name] += (logger.propagate,)
    return {name: about for name, about in found.items() if about != ([], logging.NOTSET, True)}


def traces() -> dict[str, object]:
    """Everything that registering can leave behind."""
    return {
        "classes": {name for name, _ in blender_types()},
        "properties": properties(),
        "handlers": handlers(),
        "timers": timers(),
        "drawn into": drawn_into(),
        "keys": key_bindings(),
        "log": log_handlers(),
        "threads": {thread.name for thread in threading.enumerate()},
    }


@pytest.fixture(autouse=True)
def enabled_afterwards() -> Iterator[None]:
    yield
    if EXTENSION not in bpy.context.preferences.addons:
        enable()


def test_the_installed_zip_is_what_runs() -> None:
    import latent_lantern.latent_addon.registration as registration

    installed = Path(registration.__file__).resolve()
    assert installed.is_relative_to(Path(os.environ["BLENDER_USER_RESOURCES"]).resolve())
    manifest = tomllib.loads((installed.parent.parent / "blender_manifest.toml").read_text("utf-8"))
    assert bpy.app.version >= tuple(map(int, manifest["blender_version_min"].split(".")))


def test_disabling_leaves_nothing_and_enabling_again_brings_everything_back() -> None:
    enabled = traces()
    disable()
    disabled = traces()
    assert [name for name, kind in blender_types() if own(kind)] == []
    assert not any(disabled["handlers"].values())
    assert (disabled["timers"], disabled["drawn into"]) == (set(), set())
    assert (enabled["log"], disabled["log"]) == ({EXTENSION: (["LogHandler"], logging.INFO, False)}, {})
    assert disabled["classes"] < enabled["classes"]
    assert disabled["properties"] < enabled["properties"]
    enable()
    assert traces() == enabled
    disable()
    assert traces() == disabled


def test_a_new_file_keeps_what_is_registered() -> None:
    before = traces()
    start_clean()
    assert traces() == before


def test_every_operator_says_what_it_does_and_belongs_to_the_lantern() -> None:
    operators = [kind for _, kind in blender_types() if own(kind) and issubclass(kind, bpy.types.Operator)]
    assert operators
    for operator in operators:
        assert operator.bl_idname.startswith("lantern."), operator
        assert operator.bl_label, operator
        assert operator.__doc__ or getattr(operator, "bl_description", ""), operator
