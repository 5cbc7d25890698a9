"""The panel of the shadow."""

from __future__ import annotations

from bpy.types import Context

from ..scene.context import current_strip, the_strip
from ..scene.properties import settings_of
from ..ui.parts import Content


class ShadowPanel(Content):
    """The flat shadow."""

    bl_label = "Shadow"

    @classmethod
    def poll(cls, context: Context) -> bool:
        return current_strip(context) is not None

    def draw_header(self, context: Context) -> None:
        self.layout.prop(settings_of(the_strip(context)), "show_shadow", text="")

    def draw(self, context: Context) -> None:
        layout = self.layout
        settings = settings_of(the_strip(context))
        layout.use_property_split = True
        layout.active = settings.show_shadow
        layout.prop(settings, "shadow_threshold")
        layout.prop(settings, "shadow_softness")
        layout.prop(settings, "shadow_fill_holes")
        layout.prop(settings, "shadow_min_area")
        layout.prop(settings, "shadow_invert")
        layout.prop(settings, "shadow_figure")
        layout.prop(settings, "shadow_ground")
        layout.prop(settings, "shadow_mix")
        layout.operator("lantern.shadow_preset", icon="PRESET")
