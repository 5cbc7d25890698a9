"""What large files cost Blender's main thread: many strips, long strips, large latents, large pictures.

python3 dev.py blender benchmarks/addon_load.py [--only TEXT] [--turn 0.015]                     (Linux: it reads /proc)

Every row is a separate file, with a server that makes nothing. A row shows the first plan of everything, as after
opening the file, and the plan after one key at the playhead was changed: how long until the playhead's frame is planned
and ordered, how long until everything is, and the longest tick. Times are the main thread's processor time, so that a
busy machine does not spoil them. Here the next tick follows at once; in a window, Blender does its own work between two
ticks.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
import staging
from bl_ext.user_default.latent_lantern.latent_addon.scene import changes, curves, versions
from bl_ext.user_default.latent_lantern.latent_addon.scene.strip import add_latent_strip
from staging import change_key, resident_mib, session, settings_of


@dataclass(frozen=True)
class Shape:
    """A file: the number of strips, of their frames and keys, the latents' space, and the pictures' size."""

    strips: int
    frames: int
    keys: int = 40
    space: str = "Z"
    size: int = 16
    motion: str = "FCURVE"
    components: int = 512

    def __str__(self) -> str:
        numbers = {"Z": str(self.components), "W+": "18 x 512"}[self.space]
        words = {"FCURVE": "", "SPHERICAL": ", spherical", "GREAT_CIRCLE": ", great circle"}[self.motion]
        large = f", {self.size} px" if self.size > 16 else ""
        return f"{self.strips} x {self.frames}, {self.keys} keys of {numbers}{words}{large}"


SHAPES = [
    [Shape(1, 250, 5)],
    [Shape(1, frames) for frames in (5_000, 10_000, 20_000, 50_000, 100_000)],
    [Shape(1, 10_000, motion="SPHERICAL")],
    [Shape(1, 10_000, motion="GREAT_CIRCLE")],
    [Shape(1, frames, 3, "W+") for frames in (250, 10_000)],
    [Shape(1, 250, 5, size=4096)],
    [Shape(50, 500, components=128)],
    [Shape(100, 500, components=128)],
    [Shape(200, frames, components=128) for frames in (500, 10_000)],
]
"""Shapes in one list use one file, with longer and longer strips. Making files takes long with many F-curves, because
Blender looks through all of them for each new one."""


def build(shape: Shape) -> None:
    """Make the file: the first strip as a person adds one, the others without telling the session."""
    scene = bpy.context.scene
    bpy.ops.lantern.add_latent_strip(length=shape.frames, generator="")
    first = scene.sequence_editor.active_strip
    first.name = "Strip 0"
    facts, folder = settings_of(first).facts(), session.plans.folder.directory
    placeholder = first.elements[0].filename
    latent = np.zeros(18 * 512 if shape.space == "W+" else shape.components)
    bag = versions.channelbag(scene, ensure=True)
    for k in range(shape.strips):
        start = 1 + (k * 50) % 10_000
        strip = first
        if k:
            where = {"start": start, "length": shape.frames}
            strip = add_latent_strip(scene, facts, "", latent, folder, placeholder, **where)
            strip.name = f"Strip {k}"
        settings_of(strip).space = shape.space
        settings_of(strip).interpolation = shape.motion
        strip["latent"] = latent.tolist()
        at = np.linspace(start, start + shape.frames - 1, shape.keys).round()
        group = bag.groups.new(f"Latent {k}")
        path = curves.path_prefix(strip) + '["latent"]'
        for index, values in enumerate(np.random.RandomState(k).randn(len(latent), len(at))):
            curve = bag.fcurves.new(path, index=index)
            curve.keyframe_points.add(len(at))
            curve.keyframe_points.foreach_set("co", np.column_stack([at, values]).astype(np.float32).ravel())
            curve.group = group
            curve.update()


def lengthen(shape: Shape) -> None:
    """Give every strip the length of the shape, and spread its keys over it."""
    scene = bpy.context.scene
    for strip in list(scene.sequence_editor.strips_all):
        before = versions.strip_end(strip) - versions.strip_start(strip)
        settings_of(strip).length = shape.frames
        for curve in staging.latent_curves(strip) if before != shape.frames and shape.strips == 1 else ():
            places = np.empty(2 * len(curve.keyframe_points), np.float32)
            curve.keyframe_points.foreach_get("co", places)
            places[::2] = np.linspace(1, shape.frames, len(places) // 2).round()
            curve.keyframe_points.foreach_set("co", places)
            curve.update()


def ticks() -> Iterator[float]:
    """Tick until all plans are made; yield the seconds of each tick."""
    while True:
        start = time.thread_time()
        session.tick()
        yield time.thread_time() - start
        if not session.plans.behind:
            return


def settle() -> None:
    """Tick until everything that was marked as changed is handled."""
    for _ in range(3):
        list(ticks())


def measure(shape: Shape) -> str:
    """Measure the file of a shape; return one row of the table."""
    strip = bpy.context.scene.sequence_editor.strips_all[f"Strip {shape.strips // 2}"]
    strip.id_data.frame_set(versions.strip_start(strip) + 1)
    bpy.context.view_layer.update()
    session.replan()
    before = resident_mib(os.getpid())
    session.arm()
    session.plans.forget()
    changes.mark()
    gc.collect()
    opening = list(ticks())
    settle()
    memory = resident_mib(os.getpid()) - before
    state = session.plans.state_of(strip)
    old = state.plan
    change_key(strip, 1, shape.frames)  # the seed is new for each shape, so the values always change
    at = strip.id_data.frame_current
    edit: list[float] = []
    seen = 0.0
    for seconds in ticks():
        edit.append(seconds)
        plan = session.plans.state_of(strip).plan
        if not seen and plan is not old and plan.name_at(at) is not None and session.feeder.has(plan.name_at(at)):
            seen = sum(edit)
    settle()
    idle = []
    for _ in range(20):
        start = time.thread_time()
        session.tick()
        idle.append(time.thread_time() - start)
    if session.halted:
        raise SystemExit(session.halted)
    frames = shape.strips * shape.frames
    return (
        f"{shape!s:42} {sum(opening):8.2f} {1e6 * sum(opening) / frames:8.1f} {1e3 * max(opening):8.0f}"
        f" {1e3 * seen:8.0f} {sum(edit):8.2f} {1e3 * max(edit):8.0f} {1e3 * sorted(idle)[10]:8.2f} {memory:8.0f}"
        f" {resident_mib(os.getpid()):8.0f}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="shapes whose line in the table has this text")
    parser.add_argument("--turn", type=float, default=session.turn)
    options = parser.parse_args()
    session.turn = options.turn
    staging.heading(f"Load, turns of {1e3 * options.turn:.0f} ms")
    print(f"{'':42} {'first plan':>26} {'after an edit':>26} {'idle':>8} {'MiB':>8} {'MiB':>8}")
    print(
        f"{'strips x frames':42} {'s':>8} {'us/frame':>8} {'max ms':>8} {'seen ms':>8} {'all s':>8} {'max ms':>8}"
        f" {'tick ms':>8} {'plans':>8} {'Blender':>8}"
    )
    for shapes in SHAPES:
        chosen = [shape for shape in shapes if options.only in str(shape)]
        if not chosen:
            continue
        with staging.scratch() as folder:
            facts = {"width": chosen[0].size, "height": chosen[0].size}
            if chosen[0].space == "W+":
                facts |= {"num_ws": 18, "w_dim": 512}
            staging.use_fake_server(
                Path(folder), "--z-dim", chosen[0].components, "--slow", 1, "--facts", json.dumps(facts)
            )
            build(chosen[0])
            for shape in chosen:
                lengthen(shape)
                print(measure(shape), flush=True)
            session.client.stop()
            bpy.ops.wm.read_homefile(use_factory_startup=True, app_template="")


if __name__ == "__main__":
    main()
