"""What an edit costs Blender's main thread: 512 F-curves, five whole-vector keys. The server is fake and slow.

python3 dev.py blender benchmarks/addon_planning.py [--frames 250 10000] [--components 512] [--repeats 15]

Aims: the handler takes less than 1 ms for every edit; a plan after all curves changed takes less than 80 ms for 250
frames. For comparison, Blender's own evaluation of the same curves at the same frames is measured in the same run.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import bpy
import staging
from bl_ext.user_default.latent_lantern.latent_addon import handlers
from bl_ext.user_default.latent_lantern.latent_addon.scene import changes
from bpy.types import ImageStrip
from staging import change_key, milliseconds, session, timed


def time_handler(repeats: int) -> list[float]:
    """Return the seconds that the depsgraph handler takes each time that Blender calls it for an edit of the scene."""
    seconds = []

    def measured(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
        start = time.perf_counter()
        handlers.on_depsgraph_update(scene, depsgraph)
        seconds.append(time.perf_counter() - start)

    bpy.app.handlers.depsgraph_update_post.append(measured)
    for _ in range(20 * repeats):
        bpy.context.scene.update_tag()
        bpy.context.view_layer.update()
    bpy.app.handlers.depsgraph_update_post.remove(measured)
    return seconds


def replan() -> None:
    """Plan as a tick does, without ordering frames."""
    changes.take(hints=True)
    session.replan()


def evaluate_as_blender(strip: ImageStrip, frames: int) -> None:
    """Evaluate every curve at every frame with Blender's own function."""
    for curve in staging.latent_curves(strip):
        evaluate = curve.evaluate
        for frame in range(1, frames + 1):
            evaluate(frame)


def measure(frames: int, components: int, repeats: int, folder: Path) -> None:
    """Measure one strip and print its table."""
    staging.use_fake_server(folder, "--z-dim", components, "--slow", 1)
    strip = staging.add_strip(frames, [1 + i * (frames - 1) // 4 for i in range(5)])
    session.tick()
    slow = max(3, repeats * 250 // max(frames, 250))
    rows = {
        "the handler, once per edit": time_handler(repeats),
        "a tick, nothing marked": timed(session.tick, 20 * repeats),
        "a tick, marked, nothing changed": timed(session.tick, repeats, lambda turn: changes.mark()),
        "a plan, all curves changed": timed(replan, slow, lambda turn: change_key(strip, 2, 100 + turn)),
        "a tick, all changed, 64 ordered": timed(session.tick, slow, lambda turn: change_key(strip, 2, 1000 + turn)),
        "Blender's fcurve.evaluate": timed(lambda: evaluate_as_blender(strip, frames), min(slow, 5)),
    }
    yardstick = min(rows["Blender's fcurve.evaluate"])
    print(f"\n{frames} frames, {components} components, 5 keys {'':9} least    median ms   of evaluate")
    for name, seconds in rows.items():
        print(f"  {name:40} {milliseconds(seconds)} {min(seconds) / yardstick:12.5f}")
    bpy.ops.lantern.stop_server()
    bpy.ops.wm.read_homefile(use_factory_startup=True, app_template="")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[250, 10000])
    parser.add_argument("--components", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    staging.heading("Planning")
    with staging.scratch() as folder:
        for frames in options.frames:
            measure(frames, options.components, options.repeats, Path(folder))


if __name__ == "__main__":
    main()
