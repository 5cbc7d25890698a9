"""What a person is told in the tab: two lines in a place of their own, so that no message moves a button."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpy.props import BoolProperty, StringProperty
from bpy.types import Context, Event, Operator, UILayout

from .helping import Help, draw_help, helps_in
from .parts import ICON_WIDTH, wrapped, wrapped_to

if TYPE_CHECKING:
    from bpy.stub_internal.rna_enums import IconItems

LINES = 2
_DOTS = 20
"""Pixels that the dots at the end of a message that is cut off take."""

_POPUP = 420
"""Width in pixels, at an interface scale of 1, of the window that shows a whole message."""


class Message(NamedTuple):
    """A message. halted: whether work has stopped for this reason. problem: whether it needs the person."""

    text: str
    icon: IconItems = "NONE"
    halted: bool = False
    problem: bool = False

    @property
    def helps(self) -> list[Help]:
        """The buttons that help."""
        return helps_in(self.text, self.halted)


def draw_status(layout: UILayout, context: Context, message: Message) -> None:
    """Show the first lines of a message, and a button that shows the rest. The height is always the same."""
    lines = wrapped(context, message.text, less=ICON_WIDTH)
    cut = len(lines) > LINES
    if cut:
        lines = wrapped(context, message.text, less=2 * ICON_WIDTH + _DOTS)[:LINES]
        lines[-1] = f"{lines[-1].rstrip('.,')} ..."
    row = layout.row(align=True)
    column = row.column(align=True)
    column.alert = message.problem
    for i in range(LINES):
        icon = (message.icon if i == 0 else "BLANK1") if message.icon != "NONE" else "NONE"
        column.label(text=lines[i] if i < len(lines) else "", icon=icon)
    if cut:
        button = row.operator("lantern.show_message", text="", icon="THREE_DOTS", emboss=False)
        button.text, button.halted = message.text, message.halted


class LANTERN_OT_show_message(Operator):
    """Show the whole message"""

    bl_idname = "lantern.show_message"
    bl_label = "Show Message"
    bl_options = {"INTERNAL"}

    text: StringProperty(name="Message", description="What is shown", options={"SKIP_SAVE", "HIDDEN"})
    halted: BoolProperty(name="Halted", description="Work has stopped for this reason", options={"SKIP_SAVE", "HIDDEN"})

    @classmethod
    def description(cls, _context: Context, properties: LANTERN_OT_show_message) -> str:
        return properties.text or "Show the whole message"

    def execute(self, context: Context) -> set[str]:
        context.window_manager.clipboard = self.text
        self.report({"INFO"}, "Message copied")
        return {"FINISHED"}

    def invoke(self, context: Context, _event: Event) -> set[str]:
        scale = context.preferences.system.ui_scale
        return context.window_manager.invoke_popup(self, width=int(_POPUP * scale))

    def draw(self, context: Context) -> None:
        column = self.layout.column(align=True)
        for line in wrapped_to(context, self.text, _POPUP - ICON_WIDTH):
            column.label(text=line)
        row = self.layout.row(align=True)
        for each in helps_in(self.text, self.halted):
            draw_help(row, each)
        row.operator_context = "EXEC_DEFAULT"
        copy = row.operator("lantern.show_message", text="Copy", icon="COPYDOWN")
        copy.text = self.text


BLENDER_CLASSES = (LANTERN_OT_show_message,)
