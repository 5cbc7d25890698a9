"""Operators that make frames, set Marrow's shadow, and write a sequence file for the server's command line."""

from pathlib import Path

import bpy
from bpy.props import StringProperty
from bpy.types import Context, Event, Operator
from bpy_extras.io_utils import ExportHelper

from ...lantern_protocol.sequence_file import SUFFIX, SequenceFileError
from ..scene.context import current_strip, the_strip, working_scene
from ..scene.properties import settings_of
from ..scene.sequence import sequence_of
from ..session.session import session
from ..ui.context import StripOperator

MARROW = {
    "shadow_threshold": 50.0,
    "shadow_softness": 0.0,
    "shadow_fill_holes": 0,
    "shadow_min_area": 0,
    "shadow_invert": False,
    "shadow_figure": (0.0, 0.0, 0.0, 1.0),
    "shadow_ground": (1.0, 1.0, 1.0, 1.0),
    "shadow_mix": 1.0,
}


class LANTERN_OT_make_frames(StripOperator):
    """Make all frames that are missing, the one at the playhead first"""

    any_generator = True
    bl_idname = "lantern.make_frames"
    bl_label = "Make Frames"

    def invoke(self, _context: Context, _event: Event) -> set[str]:
        session.make_missing()
        return {"FINISHED"}

    def execute(self, context: Context) -> set[str]:
        scene = working_scene(context)
        if not session.fill(scene):
            lacking = [current_strip(context), *(image_strip for image_strip, _ in session.plans.missing(scene))]
            self.report({"ERROR"}, next(filter(None, map(session.problem, lacking)), session.client.message))
            return {"CANCELLED"}
        return {"FINISHED"}


class LANTERN_OT_cancel(Operator):
    """Stop making frames. Frames that are already made are kept"""

    bl_idname = "lantern.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, _context: Context) -> bool:
        if not session.feeder.busy:
            cls.poll_message_set("No frames are being made")
            return False
        return True

    def execute(self, _context: Context) -> set[str]:
        session.halt("Stopped. Press Make Frames to continue.")
        return {"FINISHED"}


class LANTERN_OT_shadow_preset(StripOperator):
    """Marrow's rule: black where the picture is brighter than 50, white elsewhere, hard edges"""

    bl_idname = "lantern.shadow_preset"
    bl_label = "Marrow's Shadow"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Context) -> set[str]:
        settings = settings_of(the_strip(context))
        for name, value in MARROW.items():
            setattr(settings, name, value)
        settings.show_shadow = True
        return {"FINISHED"}


class LANTERN_OT_export_sequence(StripOperator, ExportHelper):
    """Write the strip as a sequence file, from which the server renders numbered frames without Blender"""

    bl_idname = "lantern.export_sequence"
    bl_label = "Export Sequence File"

    filename_ext = SUFFIX
    filter_glob: StringProperty(default=f"*{SUFFIX}", options={"HIDDEN"})

    def execute(self, context: Context) -> set[str]:
        session.replan()
        image_strip = the_strip(context)
        state = session.plans.state_of(image_strip)
        if state is None or state.plan is None:
            self.report({"ERROR"}, session.problem(image_strip))
            return {"CANCELLED"}
        target = Path(bpy.path.abspath(self.filepath))  # pyright: ignore[reportAttributeAccessIssue]
        try:
            sequence = sequence_of(working_scene(context), image_strip, state.plan, target.parent)
            sequence.write(target)
        except (OSError, SequenceFileError) as error:
            self.report({"ERROR"}, f"The sequence could not be written to {target}: {error}")
            return {"CANCELLED"}
        self.report({"INFO"}, f"{len(sequence.frames)} frames written to {target.name}")
        return {"FINISHED"}


BLENDER_CLASSES = (
    LANTERN_OT_make_frames,
    LANTERN_OT_cancel,
    LANTERN_OT_shadow_preset,
    LANTERN_OT_export_sequence,
)
