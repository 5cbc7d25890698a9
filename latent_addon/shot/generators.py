"""Operators that choose a strip's generator (a file or a run of snapshots), its snapshot, and read it again."""

import os
from collections.abc import Callable
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty
from bpy.types import Context, Event
from bpy_extras.io_utils import ImportHelper

from ..core.frame_request import GeneratorFacts
from ..scene import keying
from ..scene.choosing import choose_generator
from ..scene.context import current_strip, the_strip, working_scene
from ..scene.fitting import size_kept
from ..scene.properties import settings_of
from ..session.session import session
from ..ui.asking import AskingStripOperator
from ..ui.context import StripOperator

SUFFIXES = (".pkl", ".pt", ".pth", ".t7", ".safetensors", ".ckpt", ".bin", ".tar", ".pickle")
"""File name endings of generators. The server finds out from its contents what a file really is. The file browser can
show all files, and a folder is looked through by contents, so other endings can be chosen, too."""

FILTER = ";".join(f"*{suffix}" for suffix in SUFFIXES)


def chosen_path(filepath: str, whole_folder: bool) -> str:
    """Return what a file browser's choice means: the file; or the folder, if it was asked for or no file was chosen."""
    if bpy.path.abspath(filepath) and os.path.isdir(bpy.path.abspath(filepath)):
        return filepath.rstrip("/\\") or filepath
    return os.path.dirname(filepath) if whole_folder else filepath


class GeneratorBrowser(ImportHelper):
    """A file browser for checkpoints, with a choice between a file and its whole folder."""

    filename_ext = ".pkl"
    filter_glob: StringProperty(default=FILTER, options={"HIDDEN"})

    whole_folder: BoolProperty(
        name="Whole Folder as Snapshots",
        description="Take all checkpoints of the folder as the snapshots of one run, so that training time can be "
        "keyed. Choosing a folder instead of a file does the same",
        options={"SKIP_SAVE"},
    )

    def invoke(self, context: Context, event: Event) -> set[str]:
        # Without this, a file name from the last time would count as the choice when the user accepts a folder.
        self.filepath = os.path.join(os.path.dirname(self.filepath), "")
        return ImportHelper.invoke(self, context, event)

    def chosen(self) -> str:
        """Return the path of the file or folder."""
        return chosen_path(self.filepath, self.whole_folder)


class LANTERN_OT_choose_generator(GeneratorBrowser, AskingStripOperator):
    """Choose a different checkpoint file, or a folder of snapshots, to make the strip's pictures. Keys stay"""

    any_generator = True
    bl_idname = "lantern.choose_generator"
    bl_label = "Choose Generator"
    bl_options = {"REGISTER", "UNDO"}

    def ask(self, _context: Context, answered: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        session.describe(self.chosen(), answered, failed)

    def act(self, context: Context, answer: GeneratorFacts) -> set[str]:
        choose_generator(working_scene(context), the_strip(context), self.chosen(), answer)
        return {"FINISHED"}


class LANTERN_OT_reload_generator(AskingStripOperator):
    """Read the strip's checkpoint file, or its folder of snapshots, again. New snapshots follow the known ones"""

    any_generator = True
    bl_idname = "lantern.reload_generator"
    bl_label = "Reload Generator"
    bl_options = {"REGISTER", "UNDO"}

    def ask(self, context: Context, answered: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        session.describe(settings_of(the_strip(context)).generator, answered, failed)

    def act(self, context: Context, answer: GeneratorFacts) -> set[str]:
        image_strip = the_strip(context)
        with size_kept(image_strip):
            settings_of(image_strip).set_facts(answer)
        return {"FINISHED"}


class SnapshotOperator(StripOperator):
    """An operator on a strip whose generator is a run of snapshots."""

    @classmethod
    def poll(cls, context: Context) -> bool:
        if not super().poll(context):
            return False
        if not settings_of(the_strip(context)).snapshots:
            cls.poll_message_set("The strip's generator is a single file. Choose the folder of a run")
            return False
        return True


class LANTERN_OT_step_snapshot(SnapshotOperator):
    """Show the next or the previous snapshot. If the snapshot is animated, key it at the playhead"""

    bl_idname = "lantern.step_snapshot"
    bl_label = "Step Snapshot"
    bl_options = {"REGISTER", "UNDO"}

    next: BoolProperty(name="Next", description="The next snapshot, not the previous one", default=True)

    def execute(self, context: Context) -> set[str]:
        session.arm()
        scene, image_strip = working_scene(context), the_strip(context)
        settings = settings_of(image_strip)
        now = min(settings.snapshot, float(len(settings.snapshots)))
        number = now // 1 + 1 if self.next else -(-now // 1) - 1
        if not 1 <= number <= len(settings.snapshots):
            self.report({"INFO"}, f"There is no {'later' if self.next else 'earlier'} snapshot")
            return {"CANCELLED"}
        keying.set_snapshot(scene, image_strip, number)
        return {"FINISHED"}


_kept_items: list[tuple[str, str, str]] = []
"""The items of the list, kept here because Blender does not keep the strings of a list that Python makes each time."""


def _snapshot_items(_self: Any, context: Context | None) -> list[tuple[str, str, str]]:
    image_strip = current_strip(context) if context else None
    run = settings_of(image_strip).snapshots if image_strip else ()
    _kept_items[:] = [(str(number), entry.name, entry.path) for number, entry in enumerate(run, start=1)]
    return _kept_items


class LANTERN_OT_choose_snapshot(SnapshotOperator):
    """Jump to a snapshot by its name. If the snapshot is animated, key it at the playhead"""

    bl_idname = "lantern.choose_snapshot"
    bl_label = "Choose Snapshot"
    bl_options = {"REGISTER", "UNDO"}
    bl_property = "snapshot"

    snapshot: EnumProperty(name="Snapshot", description="Snapshot of the run", items=_snapshot_items)

    def invoke(self, context: Context, _event: Event) -> set[str]:
        context.window_manager.invoke_search_popup(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: Context) -> set[str]:
        session.arm()
        keying.set_snapshot(working_scene(context), the_strip(context), float(self.snapshot))
        return {"FINISHED"}


BLENDER_CLASSES = (
    LANTERN_OT_choose_generator,
    LANTERN_OT_reload_generator,
    LANTERN_OT_step_snapshot,
    LANTERN_OT_choose_snapshot,
)
