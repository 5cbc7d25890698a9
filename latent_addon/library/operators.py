"""Operators of the library of generators: look for them, choose the folders, copy a checkpoint's SHA-256."""

import bpy
from bpy.props import IntProperty, StringProperty
from bpy.types import Context, Event, Operator

from ..preferences import preferences
from ..session.session import session
from .library import library
from .properties import library_rows


class LANTERN_OT_refresh_library(Operator):
    """Look for generators in the folders that the preferences name"""

    bl_idname = "lantern.refresh_library"
    bl_label = "Look for Generators"

    def execute(self, _context: Context) -> set[str]:
        session.arm()
        library.refresh(preferences().library_paths())
        return {"FINISHED"}


class LANTERN_OT_copy_sha256(Operator):
    """Copy the SHA-256 of the checkpoint. Two files with the same SHA-256 are the same"""

    bl_idname = "lantern.copy_sha256"
    bl_label = "Copy SHA-256"

    @classmethod
    def poll(cls, _context: Context) -> bool:
        card = library.card(library_rows().chosen)
        if card is None or card.about is None:
            cls.poll_message_set("Choose a generator in the list")
            return False
        return True

    def execute(self, context: Context) -> set[str]:
        card = library.card(library_rows().chosen)
        context.window_manager.clipboard = card.about.sha256
        self.report({"INFO"}, f"SHA-256 of {card.name} copied")
        return {"FINISHED"}


class LANTERN_OT_add_library_folder(Operator):
    """Add a folder in which generators are looked for"""

    bl_idname = "lantern.add_library_folder"
    bl_label = "Add Folder"

    directory: StringProperty(
        name="Folder", description="Folder that holds generators", subtype="DIR_PATH", options={"SKIP_SAVE"}
    )

    def invoke(self, context: Context, _event: Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: Context) -> set[str]:
        folders = preferences().library_folders
        folder = bpy.path.abspath(self.directory)
        if not folder or any(entry.path == folder for entry in folders):
            self.report({"INFO"}, "That folder is in the list")
            return {"CANCELLED"}
        folders.add().path = folder
        context.preferences.is_dirty = True
        return {"FINISHED"}


class LANTERN_OT_remove_library_folder(Operator):
    """Stop looking for generators in this folder. Nothing is deleted"""

    bl_idname = "lantern.remove_library_folder"
    bl_label = "Remove Folder"

    index: IntProperty(name="Number", description="Which folder of the list, from 0", min=0, options={"SKIP_SAVE"})

    def execute(self, context: Context) -> set[str]:
        folders = preferences().library_folders
        if self.index >= len(folders):
            return {"CANCELLED"}
        folders.remove(self.index)
        context.preferences.is_dirty = True
        return {"FINISHED"}


BLENDER_CLASSES = (
    LANTERN_OT_refresh_library,
    LANTERN_OT_copy_sha256,
    LANTERN_OT_add_library_folder,
    LANTERN_OT_remove_library_folder,
)
