"""Runs in the Blender with a window: carries out the tests' scripts on the main thread, while the window works.

A script is the file N.py in a folder; its answer is N.json: {"value"} or {"error"}. The value is what the script has
put into `value`. A script begins in the second tick after it was seen, so that earlier moves of the pointer have
arrived.
"""

import importlib
import json
import os
import sys
import traceback
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parent))
import measuring

FOLDER = Path(os.environ["LANTERN_DRIVER"])
EVERY = 0.01
EXTENSION = "bl_ext.user_default.latent_lantern"

_seen = set()


def windows():
    """The open windows, the first one first."""
    return list(bpy.context.window_manager.windows)


def place_of(area_type):
    """The window and the largest area of a type, in the newest window that has one."""
    for window in reversed(windows()):
        found = [area for area in window.screen.areas if area.type == area_type]
        if found:
            return window, max(found, key=lambda area: area.width * area.height)
    raise LookupError(f"no window has an area {area_type}")


def region_of(area, region_type):
    """The area's region of a type: the one that is visible."""
    found = [region for region in area.regions if region.type == region_type]
    return max(found, key=lambda region: region.width * region.height)


def rectangle(area_type, region_type):
    """Left, bottom, width and height of a region, in pixels of the screen from its lower left corner."""
    window, area = place_of(area_type)
    region = region_of(area, region_type)
    return window.x + region.x, window.y + region.y, region.width, region.height


def whole(area_type):
    """Left, bottom, width and height of an editor."""
    window, area = place_of(area_type)
    return window.x + area.x, window.y + area.y, area.width, area.height


def context_of(area_type, region_type="WINDOW"):
    """The context of a region, for steps that the test does not test."""
    window, area = place_of(area_type)
    return bpy.context.temp_override(window=window, area=area, region=region_of(area, region_type))


def place_in_view(area_type, x, y, region_type="WINDOW"):
    """The place on the screen of a point in a region's view: frame and value, or frame and channel."""
    window, area = place_of(area_type)
    region = region_of(area, region_type)
    across, up = region.view2d.view_to_region(x, y, clip=False)
    return window.x + region.x + across, window.y + region.y + up


def under_pointer(area_type, region_type):
    """What the button under the pointer does: its operator in Python, or the property's path; "" if there is none."""
    manager = bpy.context.window_manager
    manager.clipboard = ""
    with context_of(area_type, region_type):
        for operator, options in (
            (bpy.ops.ui.copy_python_command_button, {}),
            (bpy.ops.ui.copy_data_path_button, {"full_path": True}),
        ):
            if operator.poll():
                try:
                    operator(**options)
                except RuntimeError:
                    continue  # a button without a path
            if manager.clipboard:
                return manager.clipboard
    return ""


def addon(module):
    """A module of the installed extension: addon("session.session")."""
    return importlib.import_module(f"{EXTENSION}.latent_addon.{module}")


def panel_labels(area_type):
    """Names of the add-on's panels that a sidebar shows, from the top, without panels inside others."""
    contents = [content for content in addon("panels").CONTENTS if not hasattr(content, "inside")]
    with context_of(area_type, "UI"):
        return [each.bl_label for each in contents if not hasattr(each, "poll") or each.poll(bpy.context)]


def waiting_operators():
    """The add-on's operators that wait for an answer."""
    return [found.bl_idname for found in windows()[0].modal_operators if found.bl_idname.startswith("LANTERN_OT_")]


def changes_waiting():
    """Return whether there is an edit that no plan contains yet."""
    changes = addon("scene.changes")
    return changes._marked or changes._hinted


def latent_strips():
    """The strips of the window's scene, from the lowest channel, then from the left."""
    editor = windows()[0].scene.sequence_editor
    strips = list(editor.strips) if editor else []
    return sorted(strips, key=lambda strip: (strip.channel, addon("scene.versions").strip_start(strip)))


def strip_rows():
    """Name, channel, first and last frame of each strip."""
    versions = addon("scene.versions")
    return [
        [strip.name, strip.channel, versions.strip_start(strip), versions.strip_end(strip) - 1]
        for strip in latent_strips()
    ]


def shown_names(which):
    """File names at the frames that a strip shows."""
    strip, versions = latent_strips()[which], addon("scene.versions")
    frames = range(versions.strip_start(strip), versions.strip_end(strip))
    return [strip.strip_elem_from_frame(frame).filename for frame in frames]


def key_frames():
    """Frames at which any curve of the window's scene has a key."""
    found = set()
    for curves in addon("scene.curves").curves_of_scene(windows()[0].scene).values():
        for curve in curves.latent.values():
            found |= {round(point.co.x) for point in curve.keyframe_points}
    return sorted(found)


def strokes():
    """The number of strokes in all drawings."""
    versions = addon("scene.versions")
    return sum(
        len(frame.drawing.strokes)
        for data in versions.grease_pencils()
        for layer in data.layers
        for frame in layer.frames
    )


def cut_in_panels(area_type):
    """Texts with too little room in the add-on's panels, all drawn in the present sidebar: [[panel, text, pixels]]."""
    found, drawn = [], 0
    with context_of(area_type, "UI"):
        for content in addon("panels").CONTENTS:
            if hasattr(content, "poll") and not content.poll(bpy.context):
                continue
            texts, cut = measuring.cut_texts(content, bpy.context)
            drawn += len(texts)
            found += [[content.bl_label, *each] for each in cut]
    return {"drawn": drawn, "cut": found}


_names = globals()


def _run(path):
    _names["value"] = None
    try:
        exec(compile(path.read_text("utf-8"), str(path), "exec"), _names)  # noqa: S102
        answer = {"value": _names["value"]}
        text = json.dumps(answer)
    except BaseException:
        text = json.dumps({"error": traceback.format_exc()})
    path.unlink()
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(text, "utf-8")
    unfinished.rename(path.with_suffix(".json"))


def _poll():
    for path in sorted(FOLDER.glob("*.py")):
        if path in _seen:
            _seen.discard(path)
            _run(path)
        else:
            _seen.add(path)
    return EVERY


bpy.context.preferences.view.show_splash = False
bpy.context.preferences.view.smooth_view = 0  # a view moves to its new place at once
bpy.app.timers.register(_poll, persistent=True)
