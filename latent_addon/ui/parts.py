"""What several panels draw: sentences that wrap, and what stands in the way."""

from __future__ import annotations

import textwrap

from bpy.types import Context, UILayout

from ..preferences import ROOT_PACKAGE


def wrapped(context: Context, text: str) -> list[str]:
    """Break a text into as many lines as the sidebar's width needs; Blender itself would cut its middle out."""
    width = context.region.width if context.region else 300
    scale = context.preferences.system.ui_scale
    return textwrap.wrap(text, max(20, int(width / (6.5 * scale)) - 6), break_on_hyphens=False)


def draw_message(layout: UILayout, context: Context, text: str, icon: str = "ERROR") -> None:
    """Show a sentence."""
    column = layout.box().column(align=True)
    for i, line in enumerate(wrapped(context, text)):
        column.label(text=line, icon=icon if i == 0 else "BLANK1")


def draw_problem(layout: UILayout, context: Context, text: str) -> None:
    """Show what stands in the way, and the button to where it is put right."""
    draw_message(layout, context, text)
    if "preferences" in text:
        layout.operator("preferences.addon_show", text="Preferences", icon="PREFERENCES").module = ROOT_PACKAGE


def heading(layout: UILayout, text: str) -> UILayout:
    """A row with a heading where property names are; a row's own heading is only drawn before properties."""
    split = layout.split(factor=0.4)
    label = split.row()
    label.alignment = "RIGHT"
    label.label(text=text)
    return split.row(align=True)
