"""The names that people, scripts and files use: of operators, properties and panels, as plain values."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.types import Operator, Panel, Property, PropertyGroup, Struct

from latent_lantern.latent_addon.registration import (
    BLENDER_CLASSES,  # in Blender's order: what is registered, first to last
)
from tools.blender_session import EXTENSION

OF_THIS_MACHINE = {"training_folder", "setup_build"}
"""Properties whose default or items depend on the machine."""


def interface() -> dict[str, Any]:
    """Everything, by kind."""
    return {
        "operators": operators(),
        "properties": {name: properties_of(rna) for name, rna in groups().items()},
        "panels": panels(),
        "other classes": other_classes(),
    }


def operators() -> dict[str, Any]:
    """Label and properties of each operator, by bl_idname."""
    found = {}
    for name in sorted(dir(bpy.ops.lantern)):
        rna = getattr(bpy.ops.lantern, name).get_rna_type()
        found[f"lantern.{name}"] = {"label": rna.name, "properties": properties_of(rna)}
    return found


def groups() -> dict[str, Struct]:
    """The groups of properties, by their place."""
    strip = bpy.types.Strip.bl_rna.properties["latent_lantern"].fixed_type
    form = bpy.types.Scene.bl_rna.properties["latent_lantern_training"].fixed_type
    window_manager = bpy.types.WindowManager.bl_rna.properties
    library = window_manager["latent_lantern_library"].fixed_type
    trainings = window_manager["latent_lantern_trainings"].fixed_type
    preferences = bpy.context.preferences.addons[EXTENSION].preferences.bl_rna
    return {
        "Strip.latent_lantern": strip,
        "Strip.latent_lantern.snapshots[]": strip.properties["snapshots"].fixed_type,
        "Scene.latent_lantern_training": form,
        "WindowManager.latent_lantern_library": library,
        "WindowManager.latent_lantern_library.rows[]": library.properties["rows"].fixed_type,
        "WindowManager.latent_lantern_trainings": trainings,
        "WindowManager.latent_lantern_trainings.rows[]": trainings.properties["rows"].fixed_type,
        "preferences": preferences,
        "preferences.library_folders[]": preferences.properties["library_folders"].fixed_type,
    }


def properties_of(rna: Struct) -> dict[str, Any]:
    """The properties of a group or operator by identifier, except Blender's own."""
    return {name: property_of(prop) for name, prop in rna.properties.items() if name != "rna_type"}


def property_of(prop: Property) -> dict[str, Any]:
    """Type, label, default and limits. Files do not store default values: a new default would change old files."""
    about: dict[str, Any] = {"type": prop.type, "label": prop.name}
    items = {item.identifier: item.value for item in prop.enum_items} if prop.type == "ENUM" else {}
    if prop.type in ("POINTER", "COLLECTION") or prop.identifier in OF_THIS_MACHINE:
        return about
    if prop.type in ("BOOLEAN", "INT", "FLOAT") and prop.is_array:
        about["default"] = list(prop.default_array)
    elif prop.type != "ENUM" or items:  # a list that is made when it is shown has no default
        about["default"] = prop.default
    if prop.type in ("INT", "FLOAT"):
        about["limits"] = [prop.hard_min, prop.hard_max]
    if items:
        about["items"] = items  # files store the numbers
    return about


def panels() -> list[dict[str, str]]:
    """The panels in the order in which they are registered, and so drawn."""
    return [
        {
            "name": panel.bl_idname,
            "label": panel.bl_label,
            "space": panel.bl_space_type,
            "region": panel.bl_region_type,
            "tab": panel.bl_category,
            "inside": getattr(panel, "bl_parent_id", ""),
        }
        for panel in BLENDER_CLASSES
        if issubclass(panel, Panel)
    ]


def other_classes() -> dict[str, str]:
    """Everything else that is registered under a name: lists, and handlers for dropped files."""
    known = (Operator, Panel, PropertyGroup, bpy.types.AddonPreferences)
    others = [cls for cls in BLENDER_CLASSES if not issubclass(cls, known)]
    return {getattr(cls, "bl_idname", cls.__name__): cls.__mro__[1].__name__ for cls in others}
