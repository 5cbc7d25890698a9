"""A layout that draws nothing and checks everything, so that panels can be drawn in background Blender."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import bpy

LONGEST_LINE = 46
"""Characters that the sidebar shows at its default width."""


def icons() -> set[str]:
    """Names of Blender's icons."""
    return {item.identifier for item in bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items}


class OperatorProperties:
    """The properties that a button sets for its operator; only properties that the operator has."""

    def __init__(self, idname: str):
        group, _, name = idname.partition(".")
        self.__dict__["rna"] = getattr(getattr(bpy.ops, group), name).get_rna_type()
        self.__dict__["values"] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        assert name in self.rna.properties, f"{self.rna.identifier} has no property {name}"
        self.values[name] = value


class Layout:
    """Imitates a UILayout. texts: of labels and buttons. props, operators: the properties and operators shown."""

    def __init__(self, parent: Layout | None = None):
        self.texts: list[str] = parent.texts if parent else []
        self.props: list[str] = parent.props if parent else []
        self.operators: list[tuple[str, dict[str, Any]]] = parent.operators if parent else []

    def _part(self, *_: Any, **__: Any) -> Layout:
        return Layout(self)

    row = column = box = split = _part

    def label(self, text: str = "", icon: str = "NONE", icon_value: int = 0) -> None:
        assert icon in icons() and isinstance(icon_value, int)
        assert len(text) <= LONGEST_LINE, text
        self.texts.append(text)

    def prop(
        self,
        data: Any,
        name: str,
        text: str | None = None,
        icon: str = "NONE",
        placeholder: str | None = None,
        emboss: bool = True,
    ) -> None:
        assert icon in icons()
        assert name in data.bl_rna.properties, f"{data} has no property {name}"
        self.props.append(name)
        if placeholder:
            self.texts.append(placeholder)

    def operator(
        self, idname: str, text: str | None = None, icon: str = "NONE", depress: bool = False, emboss: bool = True
    ) -> OperatorProperties:
        assert icon in icons()
        properties = OperatorProperties(idname)
        self.operators.append((idname, properties.values))
        self.texts.append(text if text is not None else properties.rna.name)
        return properties

    def operator_menu_enum(self, idname: str, prop: str, text: str = "", icon: str = "NONE") -> None:
        assert icon in icons() and OperatorProperties(idname).rna.properties[prop].type == "ENUM"
        self.operators.append((idname, {}))
        self.texts.append(text)

    def progress(self, factor: float = 0.0, text: str = "") -> None:
        assert 0 <= factor <= 1
        self.texts.append(text)

    def template_list(self, kind: str, name: str, data: Any, prop: str, active: Any, index: str, rows: int) -> None:
        assert hasattr(bpy.types, kind) and len(getattr(data, prop)) >= 0 and getattr(active, index) >= 0

    def template_icon(self, icon_value: int, scale: float) -> None:
        assert icon_value


def window_context() -> SimpleNamespace:
    """A context to draw in: background Blender has one without regions, and an interface of scale 0."""
    styles = bpy.context.preferences.ui_styles
    preferences = SimpleNamespace(system=SimpleNamespace(ui_scale=1.0), ui_styles=styles)
    return SimpleNamespace(
        scene=bpy.context.scene,
        area=None,
        region=SimpleNamespace(width=300),
        preferences=preferences,
        window_manager=bpy.context.window_manager,
    )


def drawn_preferences(preferences: bpy.types.AddonPreferences) -> Layout:
    """The layout that the extension's preferences draw now."""
    shown = SimpleNamespace(layout=Layout(), bl_rna=preferences.bl_rna, library_folders=preferences.library_folders)
    type(preferences).draw(shown, window_context())
    return shown.layout


def drawn(content: type) -> Layout | None:
    """The layout that a panel's content draws now; None if its poll hides it."""
    context = window_context()
    if hasattr(content, "poll") and not content.poll(context):
        return None
    panel = content()
    panel.layout = Layout()
    if hasattr(panel, "draw_header"):
        panel.draw_header(context)
    panel.draw(context)
    return panel.layout
