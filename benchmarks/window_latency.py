"""How much of a window's time the Lantern takes while frames arrive, and whether playback becomes slower.

    python3 benchmarks/window_latency.py [--frames 96] [--seconds 6] [--fake]

Opens a Blender with a window as tests/window does, and needs what those tests need. The server is the real one. Each
line is a part of the main thread's work: how often it ran while frames arrived, its mean and longest processor time in
milliseconds, and its share of the main thread's time (drawing the window by a processor is most of that). Then comes
playback: frames a second while a job runs, as a part of those without a job. If the server and the drawing share the
processors, each slows the other. --fake uses a server that only waits, so that only the cost of the Lantern remains.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from story import Story

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "window")]

from tools import environments, package, window_root  # noqa: E402
from tools.console import run  # noqa: E402

WATCH = """
import functools, time
from bpy.app.handlers import depsgraph_update_post, frame_change_post
spent = {}
def watched(name, function):
    @functools.wraps(function)
    def call(*arguments):
        begun = time.thread_time()
        try:
            return function(*arguments)
        finally:
            spent.setdefault(name, []).append(time.thread_time() - begun)
    return call
session = addon("session.session").session
session.tick = watched("timer: the whole tick", session.tick)
session.client.drain = watched("  of it: taking in messages", session.client.drain)
session.plans.work = watched("  of it: a turn of planning", session.plans.work)
session.plans.show_made = watched("  of it: pointing strips at frames", session.plans.show_made)
session.plans.store.look_closer = watched("  of it: looking into files", session.plans.store.look_closer)
for handlers in (depsgraph_update_post, frame_change_post):
    for place, handler in enumerate(handlers):
        if (handler.__module__ or "").startswith(EXTENSION):
            handlers[place] = watched(f"handler: {handler.__name__}", handler)
for content in addon("panels").CONTENTS:
    content.draw = watched(f"panel: {content.bl_label}", content.draw)
spent.clear()
begun = time.thread_time()
"""

PLAY = """
frames = []
def count(*_):
    frames.append(time.perf_counter())
frame_change_post.append(count)
with context_of('SEQUENCE_EDITOR'):
    bpy.ops.screen.animation_play()
"""

PAUSE = """
with context_of('SEQUENCE_EDITOR'):
    bpy.ops.screen.animation_cancel(restore_frame=False)
frame_change_post.remove(count)
value = (len(frames) - 1) / (frames[-1] - frames[0]) if len(frames) > 1 else 0.0
"""


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--seconds", type=float, default=6.0, help="of playback, twice")
    parser.add_argument("--fake", action="store_true", help="a server that makes ten small pictures a second")
    args = parser.parse_args()
    checks = environments.ensure(environments.checks(()), ()).python
    if importlib.util.find_spec("PIL") is None:  # PIL is needed to look at the screen
        sys.exit(run([checks, *sys.argv]))
    os.environ["LANTERN_BLENDER"] = str(window_root.blender())
    os.environ["LANTERN_ZIP"] = str(package.build(environments.ensure(environments.newest_blender(()), ())))
    os.environ["LANTERN_SERVER_PYTHON"] = str(environments.ensure(environments.server(()), ()).python)
    from harness import window
    from story import Story as Stage

    folder = Path(tempfile.mkdtemp(prefix="lantern-latency-"))
    with window(folder, "--factory-startup") as b:
        story = Stage(b, folder)
        story.install()
        story.arrange()
        if args.fake:
            story.use_fake_server("--slow", 0.1)
        else:
            story.use_server()
        story.keyed_strip({1: 1}, length=args.frames)
        b.run(WATCH)
        _order_all(story, args.frames, seed=2)
        story.filled()
        _print_times(b.look("spent"), b.look("time.thread_time() - begun"))
        alone = _play(story, args.seconds)
        _order_all(story, args.frames, seed=3)
        busy = _play(story, args.seconds)
        working = b.look("session.feeder.busy")
        print(f"\nplayback alone {alone:.1f} frames a second; with a job under way {busy / alone:.2f} of that")
        if not working:
            print("(the job ended before playback did: take more --frames)")


def _order_all(story: Story, frames: int, seed: int) -> None:
    story.blender.run(f"bpy.context.scene.frame_set({frames})")
    story.operate(f"lantern.randomise(seed={seed})")
    story.operate("lantern.insert_latent_key()")


def _play(story: Story, seconds: float) -> float:
    story.blender.run(f"bpy.context.scene.frame_end = 48\nbpy.context.scene.frame_set(1)\n{PLAY}")
    story.person.over("SEQUENCE_EDITOR")
    story.person.see(after=seconds)
    return story.blender.run(PAUSE)


def _print_times(spent: dict[str, list[float]], passed: float) -> None:
    print(f"{'':32}{'times':>8}{'mean ms':>10}{'longest ms':>12}{'share':>8}")
    for name, times in sorted(spent.items(), key=lambda item: -sum(item[1])):
        mean, longest = 1000 * sum(times) / len(times), 1000 * max(times)
        print(f"{name:32}{len(times):8}{mean:10.2f}{longest:12.1f}{sum(times) / passed:8.1%}")


if __name__ == "__main__":
    main()
