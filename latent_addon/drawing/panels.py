"""The panel of what is made from the pictures: drawing, composite, sequence file."""

from __future__ import annotations

from bpy.types import Context

from ..scene import drawing, output
from ..scene.context import current_strip, working_scene
from ..ui.parts import Content
from . import composite


class DrawingPanel(Content):
    """From the strip to the composite."""

    bl_label = "Drawing"

    @classmethod
    def poll(cls, context: Context) -> bool:
        return current_strip(context) is not None

    def draw(self, context: Context) -> None:
        scene = working_scene(context)
        column = self.layout.column(align=True)
        set_up = drawing.pencil_of(scene) is not None
        column.operator("lantern.set_up_drawing", icon="CHECKMARK" if set_up else "GREASEPENCIL")
        made = output.output_scene_of(scene) is not None
        column.operator("lantern.make_output_scene", icon="CHECKMARK" if made else "SCENE_DATA")
        waiting = composite.preparing
        if waiting is None:
            column.operator("lantern.render_composite", icon="RENDER_ANIMATION")
        else:
            row = column.row(align=True)
            row.progress(factor=1 - waiting.left / max(1, waiting.total), text=waiting.text)
            row.operator("lantern.cancel", text="", icon="CANCEL")
        self.layout.operator("lantern.export_sequence", icon="EXPORT")
