"""Loading the extension again from disk, where another Blender has replaced it with another version under this one."""

from __future__ import annotations

import sys

import addon_utils
import bpy

from ..preferences import ROOT_PACKAGE


def reload_soon() -> None:
    """Load the extension again as soon as Blender has nothing else to do: no operator of its own may be under way."""
    if not bpy.app.timers.is_registered(reload_now):
        bpy.app.timers.register(reload_now, first_interval=0.1, persistent=True)


def reload_now() -> None:
    """Load the extension again, every module of it. Its preferences, and what the .blend holds, stay."""
    addon_utils.disable(ROOT_PACKAGE, default_set=False)
    for name in list(sys.modules):
        if name == ROOT_PACKAGE or name.startswith(f"{ROOT_PACKAGE}."):
            del sys.modules[name]
    addon_utils.enable(ROOT_PACKAGE, default_set=False)
