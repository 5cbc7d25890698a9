"""Panels of the latent: how it moves, its space, how the generator uses it, and the transform of the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpy.types import Context, ImageStrip, UILayout

from ..scene import keying
from ..scene.context import current_strip, the_strip
from ..scene.properties import LatentStripSettings, settings_of
from ..ui.parts import Content, heading

if TYPE_CHECKING:
    from bpy.stub_internal.rna_enums import IconItems


class LatentPanel(Content):
    """How the latent moves, and how the generator uses it."""

    bl_label = "Latent"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        return current_strip(context) is not None

    def draw(self, context: Context) -> None:
        layout = self.layout
        strip = the_strip(context)
        settings = settings_of(strip)
        layout.use_property_split = True
        layout.prop(settings, "interpolation")
        if settings.has_w:
            row = heading(layout, "Space")
            for space in ("Z", "W", "W+"):
                row.operator("lantern.set_space", text=space, depress=settings.space == space).space = space
        heading(layout, "").operator("lantern.import_latents", icon="IMPORT")
        if settings.canvas_step:
            row = heading(layout, "Canvas")
            row.operator("lantern.set_canvas", text=f"{settings.columns} x {settings.rows}", icon="MESH_GRID")
        if settings.num_classes:
            _draw_classes(layout, strip, settings)
        if settings.has_truncation:
            layout.prop(settings, "psi")
            layout.prop(settings, "cutoff")
        if settings.has_noise:
            layout.prop(settings, "noise")
            if settings.noise == "SEED":
                layout.prop(settings, "noise_seed")


def _draw_classes(layout: UILayout, strip: ImageStrip, settings: LatentStripSettings) -> None:
    number, share = keying.main_class(strip)
    row = heading(layout, "Class")
    name = f"{number}" if share == 1.0 else f"{number}: {share:.0%}"
    steps: tuple[tuple[int, IconItems], ...] = ((-1, "TRIA_LEFT"), (0, "NONE"), (1, "TRIA_RIGHT"))
    for step, icon in steps:
        part = row.row(align=True)
        part.enabled = 0 <= number + step < settings.num_classes
        part.operator_context = "EXEC_DEFAULT" if step else "INVOKE_DEFAULT"
        part.operator("lantern.set_class", text="" if step else name, icon=icon).number = max(0, number + step)
    row.operator("lantern.insert_class_key", text="", icon="KEY_HLT")
    row.operator("lantern.delete_class_key", text="", icon="KEY_DEHLT")


class TransformPanel(Content):
    """The transform: the generator itself moves the picture in its plane."""

    bl_label = "Transform"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        strip = current_strip(context)
        return strip is not None and settings_of(strip).has_transform

    def draw(self, context: Context) -> None:
        layout = self.layout
        settings = settings_of(the_strip(context))
        layout.use_property_split = True
        column = layout.column(align=True)
        column.prop(settings, "move_x")
        column.prop(settings, "move_y", text="Y")
        layout.prop(settings, "turn")
        layout.prop(settings, "zoom")
