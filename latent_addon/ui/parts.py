"""What several panels draw: sentences that wrap, problems, facts, headings."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING

import blf
from bpy.types import Context, UILayout

from ..preferences import ROOT_PACKAGE

if TYPE_CHECKING:
    from bpy.stub_internal.rna_enums import IconItems


class Content:
    """What a panel shows. `panels.py` makes a panel from it in each editor."""

    if TYPE_CHECKING:
        layout: UILayout
        inside: type[Content]


_EDGES = 72
"""Pixels, at an interface scale of 1, that the tabs, a panel and a box in it take from a sidebar's width."""

ICON_WIDTH = 24
"""Pixels that an icon takes."""

_BOX_AND_ICON = 36
"""Pixels that one more box and an icon take."""

_SEPARATORS = "/\\_-.:,"
"""Characters behind which a long word may be broken."""

_NARROWEST = 60
_UI_FONT = 0


def wrapped(context: Context, text: str, share: float = 1.0, less: int = 0) -> list[str]:
    """Return a text as lines that fit into the region's width; Blender itself would cut off the end of the text.

    share: part of the width that the text may use, 0 to 1. less: pixels, at a scale of 1, that something else takes.
    """
    scale = context.preferences.system.ui_scale
    width = context.region.width if context.region else 300 * scale
    return wrapped_to(context, text, max(_NARROWEST, (width / scale - _EDGES - less) * share))


def wrapped_to(context: Context, text: str, width: float) -> list[str]:
    """Return a text as lines of at most `width` pixels at an interface scale of 1."""
    scale = context.preferences.system.ui_scale
    text = text.encode("utf-8", "replace").decode()  # a path may be in no valid encoding, and Blender cannot show it
    return list(_lines(text, width * scale, context.preferences.ui_styles[0].widget.points * scale))


@functools.lru_cache(maxsize=512)
def _lines(text: str, room: float, size: float) -> tuple[str, ...]:
    """Break a text into lines of at most `room` pixels in the interface's font.

    Longer words are broken, if possible behind a character that separates the parts of a path.
    """
    blf.size(_UI_FONT, size)
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if _width(longer) <= room:
            line = longer
            continue
        if line:
            lines.append(line)
        while _width(word) > room and len(word) > 1:
            fitting = next(end for end in range(len(word) - 1, 0, -1) if _width(word[:end]) <= room or end == 1)
            parts = [end for end in range(fitting, fitting // 2, -1) if word[end - 1] in _SEPARATORS]
            fitting = parts[0] if parts else fitting
            lines.append(word[:fitting])
            word = word[fitting:]
        line = word
    return (*lines, line) if line else tuple(lines)


def _width(text: str) -> float:
    return blf.dimensions(_UI_FONT, text)[0]


def draw_message(layout: UILayout, context: Context, text: str, icon: IconItems = "ERROR") -> None:
    """Show a sentence."""
    column = layout.box().column(align=True)
    for i, line in enumerate(wrapped(context, text, less=_BOX_AND_ICON)):
        column.label(text=line, icon=icon if i == 0 else "BLANK1")


def draw_problem(layout: UILayout, context: Context, text: str) -> None:
    """Show a problem, and a button to the preferences if the text names them."""
    draw_message(layout, context, text)
    if "preferences" in text:
        layout.operator("preferences.addon_show", text="Preferences", icon="PREFERENCES").module = ROOT_PACKAGE


def draw_facts(layout: UILayout, context: Context, facts: Iterable[tuple[str, str]], factor: float) -> None:
    """Show names and values in two columns, the names in `factor` of the width; values wrap."""
    column = layout.column(align=True)
    for name, value in facts:
        for i, line in enumerate(wrapped(context, value, 1 - factor, less=10)):
            heading(column, "" if i else name, factor).label(text=line)


def heading(layout: UILayout, text: str, factor: float = 0.4) -> UILayout:
    """Return a row with a heading where property names are; a row's own heading is only drawn before properties."""
    split = layout.split(factor=factor)
    label = split.row()
    label.alignment = "RIGHT"
    label.label(text=text)
    return split.row(align=True)
