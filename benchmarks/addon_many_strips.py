"""Time from a Randomise to the order of the playhead's frame, in a scene with many strips; and what a pass reads.

python3 dev.py blender benchmarks/addon_many_strips.py [--strips 200] [--components 128] [--turns 3] [--profile]

The fake server, which costs nothing. Each strip has two keys of the whole latent. Blender's timer does not run here, so
the session is ticked at once, with turns of 15 ms as in a window. The limit: Blender's own evaluation of the scene's
F-curves at one frame, which any change of frame costs, and which Randomise needs once for the new key.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from pathlib import Path

import bpy
import numpy as np
import staging
from bl_ext.user_default.latent_lantern.latent_addon.scene import latent_keys, strip
from staging import milliseconds, session, settings_of


def add_strips(count: int) -> None:
    """Add strips, a hundred above each other, then the next hundred behind them; each with keys at both its ends.

    All but the first are made without the session, which would plan all of them each time.
    """
    first = staging.add_strip(24, [1, 24])
    scene, facts = bpy.context.scene, settings_of(first).facts()
    for number in range(1, count):
        start = 1 + 24 * (number // 100)
        made = strip.add_latent_strip(
            scene,
            facts,
            "",
            first["latent"].to_list(),
            first.directory,
            first.elements[0].filename,
            start=start,
            length=24,
        )
        for seed, frame in enumerate((start, start + 23)):
            made["latent"] = np.random.RandomState(2 * number + seed).randn(len(made["latent"])).tolist()
            latent_keys.insert_latent_key(made, frame)


def respond(seed: int) -> tuple[float, float, float, float]:
    """Randomise the active strip; return seconds: the operator, until the order, until the picture, until all done."""
    scene = bpy.context.scene
    active = scene.sequence_editor.active_strip
    start = time.perf_counter()
    bpy.ops.lantern.randomise(seed=seed)
    bpy.context.view_layer.update()
    operator = time.perf_counter() - start
    before = session.plans.state_of(active).plan.name_at(scene.frame_current)

    def planned() -> str | None:
        state = session.plans.state_of(active)
        name = state.plan.name_at(scene.frame_current) if state and state.plan else None
        return None if name == before else name

    while not ((name := planned()) and (session.feeder.has(name) or name in session.plans.store.names())):
        session.tick()
    ordered = time.perf_counter() - start
    while name not in session.plans.store.names():
        session.tick()
    shown = time.perf_counter() - start
    while session.plans.behind or session.plans.missing(scene):
        session.tick()
    return operator, ordered, shown, time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strips", type=int, default=200)
    parser.add_argument("--components", type=int, default=128)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="print where the time of the last turn went")
    options = parser.parse_args()
    staging.heading(f"{options.strips} strips with {options.components} components each")
    with staging.scratch() as folder:
        staging.use_fake_server(Path(folder), "--z-dim", options.components)
        began = time.perf_counter()
        add_strips(options.strips)
        print(f"{options.strips} strips were added in {time.perf_counter() - began:.1f} s")
        session.fill()
        scene = bpy.context.scene
        scene.sequence_editor.active_strip = scene.sequence_editor.strips[0]
        frames = staging.timed(lambda: scene.frame_set(12), 5, lambda turn: scene.frame_set(1 + turn))
        print(f"a change of frame                {milliseconds(frames)}")
        turns = []
        for turn in range(options.turns + 1):
            scene.frame_set(4 + turn)
            session.fill()
            profile = cProfile.Profile() if options.profile and turn == options.turns else None
            if profile:
                profile.enable()
            turns.append(respond(1000 + turn))
            if profile:
                profile.disable()
                pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
        named = ("the operator", "until the order", "until the picture", "until all is done")
        for name, seconds in zip(named, zip(*turns[1:], strict=True), strict=True):
            print(f"{name:32} {milliseconds(seconds)}")
        session.client.stop()


if __name__ == "__main__":
    main()
