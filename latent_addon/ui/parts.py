"""What several panels draw: sentences that wrap, and what stands in the way."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bpy.types import Context, UILayout

from ..preferences import ROOT_PACKAGE

if TYPE_CHECKING:
    from bpy.stub_internal.rna_enums import IconItems


class Content:
    """What a panel shows. `panels.py` makes a panel of it in each editor."""

    if TYPE_CHECKING:
        layout: UILayout
        inside: type[Content]


def wrapped(context: Context, text: str, share: float = 1.0) -> list[str]:
    """Break a text into as many lines as the region's width needs; Blender itself would cut its middle out.

    share: which part of the width there is for it.
    """
    width = context.region.width if context.region else 300
    scale = context.preferences.system.ui_scale
    return textwrap.wrap(text, max(20, int((width / (6.5 * scale) - 6) * share)), break_on_hyphens=False)


def draw_message(layout: UILayout, context: Context, text: str, icon: IconItems = "ERROR") -> None:
    """Show a sentence."""
    column = layout.box().column(align=True)
    for i, line in enumerate(wrapped(context, text)):
        column.label(text=line, icon=icon if i == 0 else "BLANK1")


def draw_problem(layout: UILayout, context: Context, text: str) -> None:
    """Show what stands in the way, and the button to where it is put right."""
    draw_message(layout, context, text)
    if "preferences" in text:
        layout.operator("preferences.addon_show", text="Preferences", icon="PREFERENCES").module = ROOT_PACKAGE


def draw_facts(layout: UILayout, context: Context, facts: Iterable[tuple[str, str]], factor: float) -> None:
    """Show names and values in two columns, the names in `factor` of the width; values wrap."""
    column = layout.column(align=True)
    for name, value in facts:
        for i, line in enumerate(wrapped(context, value, 1 - factor)):
            heading(column, "" if i else name, factor).label(text=line)


def heading(layout: UILayout, text: str, factor: float = 0.4) -> UILayout:
    """A row with a heading where property names are; a row's own heading is only drawn before properties."""
    split = layout.split(factor=factor)
    label = split.row()
    label.alignment = "RIGHT"
    label.label(text=text)
    return split.row(align=True)
