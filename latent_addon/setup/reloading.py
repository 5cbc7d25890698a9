"""Loads the extension again from disk, when another Blender has replaced its files with a different version."""

from __future__ import annotations

import sys

import addon_utils
import bpy

from ..preferences import ROOT_PACKAGE


def reload_soon() -> None:
    """Load the extension again as soon as Blender is idle: none of the extension's operators may be running then."""
    if not bpy.app.timers.is_registered(reload_now):
        bpy.app.timers.register(reload_now, first_interval=0.1, persistent=True)


def reload_now() -> None:
    """Load every module of the extension again. Its preferences, and what the .blend holds, stay."""
    addon_utils.disable(ROOT_PACKAGE, default_set=False)
    for name in list(sys.modules):
        if name == ROOT_PACKAGE or name.startswith(f"{ROOT_PACKAGE}."):
            del sys.modules[name]
    addon_utils.enable(ROOT_PACKAGE, default_set=False)
