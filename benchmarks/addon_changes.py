"""Which frames are made again after an edit: exactly those that changed and whose new picture does not exist yet.

python3 dev.py blender benchmarks/addon_changes.py [--frames 250]

A strip with five whole-vector keys on a fake server. "Other" counts the frames that now need a different picture, by
comparing the plans before and after the edit. "Generated" and "shadows" count what the server was asked for.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import bpy
import staging
from bl_ext.user_default.latent_lantern.latent_addon.scene import latent_keys, versions
from bpy.types import ImageStrip
from staging import change_key, latent_curves, ordered, session, settings_of


def names(strip: ImageStrip) -> list[str]:
    """Return the names of the files that the strip's plan needs, frame by frame."""
    state = session.plans.state_of(strip)
    return [frame.name for frame in state.plan.frames]


def move_key(strip: ImageStrip, key: int, frames: int) -> None:
    """Move one whole-vector key along the timeline."""
    for curve in latent_curves(strip):
        curve.keyframe_points[key].co_ui[0] += frames
        curve.update()


def set_kind(strip: ImageStrip, kind: str) -> None:
    """Give all keys the same interpolation."""
    for curve in latent_curves(strip):
        for point in curve.keyframe_points:
            point.interpolation = kind
        curve.update()


def hold(strip: ImageStrip, key: int) -> None:
    """Hold one key until the next key."""
    for curve in latent_curves(strip):
        curve.keyframe_points[key].interpolation = "CONSTANT"
        curve.update()


def key_again(strip: ImageStrip, key: int) -> None:
    """Insert a key again where one exists, with the same values."""
    frame = round(latent_curves(strip)[0].keyframe_points[key].co[0])
    bpy.context.scene.frame_set(frame)
    latent_keys.insert_latent_key(strip, frame)


def put(strip: ImageStrip, **settings: object) -> None:
    """Change settings."""
    for name, value in settings.items():
        setattr(settings_of(strip), name, value)


def main() -> None:
    """Edit, fill and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=250)
    frames = parser.parse_args().frames
    edits: list[tuple[str, Callable[[ImageStrip], object]]] = [
        ("nothing", lambda strip: None),
        ("move key 3 of 5 by 5 frames", lambda strip: move_key(strip, 2, 5)),
        ("move it back", lambda strip: move_key(strip, 2, -5)),
        ("change the values of key 3", lambda strip: change_key(strip, 2, 77)),
        ("change the values of key 1", lambda strip: change_key(strip, 0, 78)),
        ("all keys linear", lambda strip: set_kind(strip, "LINEAR")),
        ("move key 3 by 5 frames", lambda strip: move_key(strip, 2, 5)),
        ("hold key 2", lambda strip: hold(strip, 1)),
        ("key again what is there", lambda strip: key_again(strip, 2)),
        ("move the strip by 100 frames", lambda strip: versions.set_content_start(strip, 101)),
        ("truncation 0.7 to 0.6", lambda strip: put(strip, psi=0.6)),
        ("and back", lambda strip: put(strip, psi=0.7)),
        ("shadows on", lambda strip: put(strip, show_shadow=True)),
        ("threshold 50 to 60", lambda strip: put(strip, shadow_threshold=60.0)),
        ("shadows off", lambda strip: put(strip, show_shadow=False)),
    ]
    staging.heading(f"Frames made again, of {frames} with keys at {[1 + i * (frames - 1) // 4 for i in range(5)]}")
    with staging.scratch() as folder:
        journal = staging.use_fake_server(Path(folder), "--z-dim", 64)
        strip = staging.add_strip(frames, [1 + i * (frames - 1) // 4 for i in range(5)])
        session.fill()
        ordered(journal)
        print(f"{'edit':32} {'other':>6} {'generated':>10} {'shadows':>8}")
        for name, edit in edits:
            before = names(strip)
            edit(strip)
            bpy.context.view_layer.update()
            session.fill()
            other = sum(a != b for a, b in zip(before, names(strip), strict=True))
            requests = ordered(journal)
            generated = sum(len(files) for method, files in requests if method == "frames/generate")
            derived = sum(len(files) for method, files in requests if method == "shadows/derive")
            print(f"{name:32} {other:6} {generated:10} {derived:8}")
        session.client.stop()


if __name__ == "__main__":
    main()
