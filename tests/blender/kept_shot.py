"""Describe an open file with latent strips as plain values: everything that later versions must not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.types import FCurve, ImageStrip, PropertyGroup, Scene

from latent_lantern.latent_addon.scene import versions
from latent_lantern.latent_addon.scene.drawing import camera_of, pencil_of
from latent_lantern.latent_addon.scene.output import output_scene_of
from latent_lantern.latent_addon.session.session import session

KEPT = Path(__file__).resolve().parent.parent / "fixtures" / "kept"

PLAIN = ("BOOLEAN", "INT", "FLOAT", "STRING", "ENUM")


def describe(scene: Scene) -> dict[str, Any]:
    """The scene, its strips by name, its drawing and its Output scene. Its plans must be ready."""
    strips = [strip for strip in scene.sequence_editor.strips if strip.type == "IMAGE"]
    return {
        "frames": [scene.frame_start, scene.frame_end],
        "size": [scene.render.resolution_x, scene.render.resolution_y],
        "view": [scene.view_settings.view_transform, scene.sequence_editor.show_missing_media],
        "strips": {strip.name: describe_strip(scene, strip) for strip in strips},
        "drawing": describe_drawing(scene),
        "output": describe_output(scene),
    }


def describe_strip(scene: Scene, strip: ImageStrip) -> dict[str, Any]:
    """The strip's place, latent, keys and settings, and the files that it plans and shows."""
    start, end = versions.strip_start(strip), versions.strip_end(strip)
    return {
        "extent": [start, end, versions.content_start(strip), strip.channel],
        "latent": list(strip["latent"]),
        "classes": list(strip.get("classes", ())),
        "settings": plain_values(strip.latent_lantern),
        "snapshots": [plain_values(snapshot) for snapshot in strip.latent_lantern.snapshots],
        "curves": curves_of(scene, f'sequence_editor.strips_all["{strip.name}"]'),
        "planned": [frame.name for frame in session.plans.state_of(strip).plan.frames],
        "colours": [frame.colour for frame in session.plans.state_of(strip).plan.frames],
        "shown": [strip.strip_elem_from_frame(frame).filename for frame in range(start, end)],
        "directory": strip.directory,
    }


def plain_values(group: PropertyGroup) -> dict[str, Any]:
    """All writable values of a group, except groups in it."""
    values = {}
    for name, prop in group.bl_rna.properties.items():
        if prop.type in PLAIN and not prop.is_readonly:
            value = getattr(group, name)
            values[name] = value if isinstance(value, bool | int | float | str) else list(value)
    return values


def curves_of(scene: Scene, prefix: str) -> dict[str, list[Any]]:
    """The F-curves under `prefix`, by the rest of their path and component: their group, and their keys."""
    own = [curve for curve in versions.fcurves_of(scene) if curve.data_path.startswith(prefix)]
    groups = [curve.group.name if curve.group else None for curve in own]
    paths = [f"{curve.data_path.removeprefix(prefix)} {curve.array_index}" for curve in own]
    return {path: [group, *keys_of(curve)] for path, group, curve in zip(paths, groups, own, strict=True)}


def keys_of(curve: FCurve) -> list[list[Any]]:
    """Place, handles and interpolation of each key."""
    return [[*key.co, *key.handle_left, *key.handle_right, key.interpolation] for key in curve.keyframe_points]


def describe_drawing(scene: Scene) -> dict[str, Any]:
    """Camera, layers, strokes and inks."""
    camera, pencil = camera_of(scene), pencil_of(scene)
    strokes = pencil.data.layers["Colour"].frames[0].drawing.strokes
    return {
        "camera": [*camera.location, camera.data.type, camera.data.ortho_scale],
        "layers": [layer.name for layer in pencil.data.layers],
        "points": [[list(point.position) for point in stroke.points] for stroke in strokes],
        "ink": [pencil.data.materials[stroke.material_index].name for stroke in strokes],
        # Without alpha: from 5.1 on, Blender writes a material's "no line" as an invisible line colour.
        "inks": [[ink.name, list(ink.grease_pencil.color)[:3]] for ink in pencil.data.materials],
    }


def describe_output(scene: Scene) -> list[list[Any]]:
    """The strips of the Output scene, from below."""
    output = output_scene_of(scene)
    return [
        [strip.name, strip.channel, strip.blend_type, strip.scene.name, strip.scene_input, strip.mute]
        for strip in sorted(output.sequence_editor.strips, key=lambda strip: strip.channel)
    ]


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file in a folder and in those inside it, with its contents."""
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def open_shot(folder: Path) -> Scene:
    """Open the copy of the kept shot in `folder`, and plan it. Nothing else is asked for."""
    bpy.ops.wm.open_mainfile(filepath=str(folder / "shot.blend"))
    session.replan()
    return bpy.context.scene
