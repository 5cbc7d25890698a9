"""Blender as a Python module, with the built extension in it. Runs in Blender; the tests and the runner use it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import bpy

EXTENSION = "bl_ext.user_default.latent_lantern"


def install_extension(archive: Path, server_python: str) -> None:
    """Install the zip into this Blender, enable it, and tell it which Python runs the inference server."""
    if not os.environ.get("BLENDER_USER_RESOURCES"):
        raise RuntimeError(
            "BLENDER_USER_RESOURCES is not set; the extension would land in your own Blender. Use dev.py."
        )
    bpy.ops.extensions.package_install_files(filepath=str(archive), repo="user_default", enable_on_install=True)
    if EXTENSION not in bpy.context.preferences.addons:
        raise RuntimeError(f"Blender {bpy.app.version_string} did not enable {archive}; the reason is printed above.")
    set_preferences(server_python)


def set_preferences(server_python: str) -> None:
    """Set the extension's preferences to their defaults, except the server's Python."""
    found = bpy.context.preferences.addons[EXTENSION].preferences
    for name, prop in found.bl_rna.properties.items():
        if (not prop.is_readonly or prop.type == "COLLECTION") and name != "bl_idname":
            found.property_unset(name)
    found.server_python = server_python


def start_clean() -> None:
    """Go back to an unsaved factory start. Unlike `read_factory_settings`, this leaves the extension enabled."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, app_template="")


def leave(status: int) -> NoReturn:
    """End the process at once: Blender 4.5 as a module hangs at a normal exit while it holds Python callables."""
    if EXTENSION in bpy.context.preferences.addons:
        bpy.ops.preferences.addon_disable(module=EXTENSION)
    shutil.rmtree(bpy.app.tempdir, ignore_errors=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
