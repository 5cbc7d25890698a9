"""The panel of the generators that the user has."""

from __future__ import annotations

from typing import Any

from bpy.types import Context, UILayout, UIList

from ..preferences import preferences
from ..scene.context import current_strip
from ..ui.parts import Content, draw_message, wrapped
from .library import Card, library
from .properties import LibraryRow, library_rows


class LANTERN_UL_generators(UIList):
    """One line for each generator: its picture, its name, what it is."""

    def draw_item(
        self,
        _context: Context,
        layout: UILayout,
        _data: Any,
        _row: LibraryRow,
        _icon: int,
        _active: Any,
        _active_property: str,
        index: int = 0,
        _filter: int = 0,
    ) -> None:
        card = library.card(index)
        if card is None:
            return
        row = layout.row()
        if card.icon:
            row.label(text=card.name, icon_value=card.icon)
        else:
            row.label(text=card.name, icon="ERROR" if card.error else "IMAGE_DATA" if card.about else "SORTTIME")
        if card.about is not None:
            short = row.row()
            short.alignment = "RIGHT"
            short.label(text=f"{card.about.width} x {card.about.height}")


class GeneratorsPanel(Content):
    """The generators that were found, and the card of the chosen one."""

    bl_label = "Generators"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Context) -> None:
        layout = self.layout
        row = layout.row(align=True)
        row.operator(
            "lantern.refresh_library", text="Refresh" if library.asked else "Look for Generators", icon="FILE_REFRESH"
        )
        row.operator("lantern.add_library_folder", text="", icon="NEWFOLDER")
        if not library.asked:
            if not preferences().library_folders:
                draw_message(layout, context, "Name the folders that hold your checkpoints.", icon="INFO")
            return
        rows = library_rows()
        layout.template_list("LANTERN_UL_generators", "", rows, "rows", rows, "chosen", rows=4)
        for problem in library.problems:
            draw_message(layout, context, problem)
        card = library.card(rows.chosen)
        if card is not None:
            _draw_card(layout, context, card)


def _draw_card(layout: UILayout, context: Context, card: Card) -> None:
    box = layout.box().column()
    if card.error:
        draw_message(box, context, card.error)
    if card.about is None:
        if not card.error:
            box.label(text="Being looked at ..." if library.looking else "Not looked at", icon="SORTTIME")
        return
    if card.icon:
        box.template_icon(icon_value=card.icon, scale=6.0)
    for line in wrapped(context, card.name):
        box.label(text=line)
    column = box.column(align=True)
    column.scale_y = 0.8
    for heading, text in _lines(card):
        for i, line in enumerate(wrapped(context, f"{heading}: {text}")):
            column.label(text=line if i == 0 else f"    {line}")
    row = box.row(align=True)
    row.label(text=f"SHA-256 {card.about.sha256[:12]} ...")
    row.operator("lantern.copy_sha256", text="", icon="COPYDOWN")
    row = box.row(align=True)
    row.operator_context = "EXEC_DEFAULT"
    use = row.row(align=True)
    use.enabled = current_strip(context) is not None
    use.operator("lantern.choose_generator", text="Use").filepath = card.path
    row.operator("lantern.add_latent_strip", text="Add Strip").generator = card.path


def _lines(card: Card) -> list[tuple[str, str]]:
    about = card.about
    lines = [
        ("Kind", about.kind),
        ("Pictures", f"{about.width} x {about.height}, {about.channels} channels"),
        (
            "Latent",
            f"z {about.z_dim}"
            + (f", w {about.w_dim}, W+ {about.num_ws} x {about.w_dim}" if "w" in about.spaces else ""),
        ),
        ("Classes", about.num_classes),
        ("Snapshots", card.snapshots),
        ("Size", f"{card.bytes / 1e6:.1f} MB" if card.bytes else ""),
        ("Origin", about.origin),
        ("Assumed", about.assumed),
        ("Training", about.training),
        ("Licence", about.licence),
    ]
    return [(heading, str(text)) for heading, text in lines if text]
