"""Make a shot in this Blender, or open shots of other Blenders and describe them. Runs in Blender.

    shot.py make PLACE                save PLACE/shot.blend, and what is in it as PLACE/made.json
    shot.py open REPORT FILE.blend... open each file, and write what is in them as REPORT, a list in their order

The server is tests/fake_server.py; its journal shows what had to be made.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import bpy
import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
EXTENSION = "bl_ext.user_default.latent_lantern"

sys.path.insert(0, str(ROOT / "tests" / "blender"))
# The installed extension, under the name by which the tests know it.
from installed import add_alias  # noqa: E402

add_alias(EXTENSION)
from latent_lantern.latent_addon.scene import curves, versions  # noqa: E402
from latent_lantern.latent_addon.scene.drawing import INKS, camera_of, pencil_of, set_up_drawing  # noqa: E402
from latent_lantern.latent_addon.scene.output import output_scene_of, render_composite  # noqa: E402
from latent_lantern.latent_addon.scene.properties import settings_of  # noqa: E402
from latent_lantern.latent_addon.session.session import session  # noqa: E402
from pictures import fill_box, read_picture  # noqa: E402

KEYS = {1: 1, 9: 2, 16: 3}
FRAMES = 16
SETTINGS = {"show_shadow": True, "shadow_threshold": 77.0, "shadow_softness": 3.0, "psi": 0.625}
BOX = (3, 5, 11, 9)
"""In pixels of the picture, which is 16 x 16. The box is filled with warm ink at frame 1."""


def use_fake_server(folder: Path) -> Path:
    """Use a fake server with its journal in `folder` from the next start on; return the journal's path."""
    journal, python = folder / "journal.jsonl", folder / "python"
    command = [sys.executable, str(ROOT / "tests" / "fake_server.py"), "--journal", str(journal)]
    python.write_text(f"#!/bin/sh\nexec {shlex.join(command)}\n")
    python.chmod(0o755)
    bpy.context.preferences.addons[EXTENSION].preferences.server_python = str(python)
    return journal


def orders(journal: Path) -> list[str]:
    """Requests in the journal that made a frame."""
    lines = journal.read_text().splitlines() if journal.exists() else []
    return [line for line in lines if json.loads(line)["method"] in ("frames/generate", "shadows/derive")]


def make(place: Path) -> dict[str, Any]:
    """Make and save a shot that uses everything that a shot can have, and describe it."""
    journal = use_fake_server(place)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, FRAMES
    assert bpy.ops.lantern.add_latent_strip(length=FRAMES) == {"FINISHED"}
    strip = scene.sequence_editor.active_strip
    for frame, seed in KEYS.items():
        scene.frame_set(frame)
        bpy.ops.lantern.randomise(seed=seed)
        bpy.ops.lantern.insert_latent_key()
    settings = settings_of(strip)
    for name, value in SETTINGS.items():
        setattr(settings, name, value)
    scene.keyframe_insert(f"{curves.path_prefix(strip)}.latent_lantern.shadow_threshold", frame=1)
    scene.frame_set(1)
    assert session.fill(timeout=60), session.halted
    drawing = set_up_drawing(scene, 16, 16, [strip], factor=4)
    fill_box(drawing, BOX, 1, "Fill Warm")
    assert bpy.ops.lantern.make_output_scene() == {"FINISHED"}
    assert bpy.ops.wm.save_as_mainfile(filepath=str(place / "shot.blend")) == {"FINISHED"}
    assert orders(journal)
    return describe(scene)


def reopen(file: Path, folder: Path) -> dict[str, Any]:
    """Open a shot, ask for its frames, and describe it, the frames that were made again, and its first composite."""
    bpy.ops.wm.open_mainfile(filepath=str(file))
    journal = use_fake_server(folder)
    scene = bpy.context.scene
    assert session.fill(timeout=60), session.halted
    found = describe(scene)
    scene.frame_end = scene.frame_start
    rendered = read_picture(next(render_composite(scene, folder / file.parent.name).glob("*.png")))
    made = orders(journal)
    journal.unlink(missing_ok=True)
    return {"found": found, "ordered": made, "drawn": box_of_ink(rendered), "size": list(rendered.shape)}


def box_of_ink(picture: np.ndarray) -> list[int]:
    """Left, top, right and bottom of the area with the ink's colour in the composite; shadows have no colour."""
    warm = next(ink.colour for ink in INKS if ink.name == "Fill Warm")
    near = np.abs(picture[:, :, :3] - np.array(warm) * 255).max(axis=2) < 8
    rows, columns = np.nonzero(near)
    return [int(side) for side in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]


def describe(scene: bpy.types.Scene) -> dict[str, Any]:
    """Everything of a shot that must be the same in every Blender."""
    strip = next(strip for strip in scene.sequence_editor.strips if strip.type == "IMAGE")
    own = curves.curves_of_scene(scene)[curves.path_prefix(strip)]
    frames = range(versions.strip_start(strip), versions.strip_end(strip))
    return {
        "frames": [frames.start, frames.stop],
        "latent": list(strip["latent"]),
        "keys": [
            [[*key.co, key.interpolation] for key in own.latent[number].keyframe_points]
            for number in sorted(own.latent)
        ],
        "curves of the action": sorted({curve.data_path for curve in versions.fcurves_of(scene)}),
        "settings": settings_in(strip),
        "planned": [frame.name for frame in session.plans.state_of(strip).plan.frames],
        "shown": [strip.strip_elem_from_frame(frame).filename for frame in frames],
        "directory": strip.directory,
        "drawing": drawing_in(scene),
        "output": output_in(scene),
    }


def settings_in(strip: bpy.types.ImageStrip) -> dict[str, Any]:
    """The strip's own settings, as plain values."""
    group = settings_of(strip)
    plain = {}
    for name, prop in group.bl_rna.properties.items():
        if prop.type in ("BOOLEAN", "INT", "FLOAT", "STRING", "ENUM") and not prop.is_readonly:
            value = getattr(group, name)
            plain[name] = value if isinstance(value, bool | int | float | str) else list(value)
    return plain


def drawing_in(scene: bpy.types.Scene) -> dict[str, Any]:
    """Camera, layers, strokes and inks."""
    camera, pencil = camera_of(scene), pencil_of(scene)
    drawn = pencil.data.layers["Colour"].frames[0].drawing.strokes
    return {
        "camera": [*camera.location, camera.data.type, camera.data.ortho_scale],
        "layers": [layer.name for layer in pencil.data.layers],
        "points": [[list(point.position) for point in stroke.points] for stroke in drawn],
        "ink": [pencil.data.materials[stroke.material_index].name for stroke in drawn],
        # Without alpha: from 5.1 on, Blender writes a material's "no line" as an invisible line colour.
        "inks": [[ink.name, list(ink.grease_pencil.color)[:3]] for ink in pencil.data.materials],
    }


def output_in(scene: bpy.types.Scene) -> list[list[Any]]:
    """The strips of the Output scene."""
    strips = output_scene_of(scene).sequence_editor.strips
    return [
        [
            *(strip.name, strip.channel, strip.blend_type, strip.scene.name, strip.scene_input, strip.mute),
            *(versions.strip_start(strip), versions.strip_end(strip)),
        ]
        for strip in sorted(strips, key=lambda strip: strip.channel)
    ]


def main(command: str, target: Path, *files: str) -> None:
    """Carry out the command line."""
    if command == "make":
        report: Any = make(target)
        target = target / "made.json"
    else:
        report = [reopen(Path(file), target.parent) for file in files]
    session.client.stop()
    unfinished = target.with_suffix(".part")
    unfinished.write_text(json.dumps(report))
    os.replace(unfinished, target)


main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
