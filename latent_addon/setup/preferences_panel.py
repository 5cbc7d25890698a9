"""The preferences as Blender shows them."""

from bpy.types import AddonPreferences, Context

from ..preferences import ROOT_PACKAGE, PreferencesProperties
from .panels import draw_inference


class LanternPreferences(PreferencesProperties, AddonPreferences):
    """Shown under Edit > Preferences > Add-ons > Latent Lantern."""

    bl_idname = ROOT_PACKAGE

    def draw(self, context: Context) -> None:
        """Draw the preferences."""
        layout = self.layout
        layout.use_property_split = True
        draw_inference(layout, context)
        layout.prop(self, "frame_folder")
        layout.prop(self, "budget")
        layout.prop(self, "make_automatically")
        layout.prop(self, "training_folder")
        layout.prop(self, "keep_training")
        header = layout.row()
        header.label(text="Folders with Generators")
        header.operator("lantern.add_library_folder", text="", icon="ADD")
        for i, folder in enumerate(self.library_folders):
            row = layout.row(align=True)
            row.use_property_split = False
            row.prop(folder, "path", text="")
            row.operator("lantern.remove_library_folder", text="", icon="X").index = i
