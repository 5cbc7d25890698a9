"""Time from a key's edit to the playhead's new picture on disk, compared with a bare forward pass of the generator.

python3 dev.py blender benchmarks/addon_response.py [--checkpoint FILE] [--frames 96] [--turns 15]

The real server. Two cases: everything was made before the edit, and the edit comes while frames are being made. Passes
and edits take turns, so that other work of the machine slows both. Blender's timer does not run here, so the session
is ticked at once. In a window, the tick comes up to 0.1 s after an edit if no frames are being made, else up to 0.04 s.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import time
from pathlib import Path

import bpy
import staging
from bl_ext.user_default.latent_lantern.lantern_protocol import methods
from bl_ext.user_default.latent_lantern.lantern_protocol.params import Nothing
from bpy.types import ImageStrip
from staging import change_key, milliseconds, preferences, session, settings_of


class BarePass:
    """bare_pass.py with the same generator and one latent, in its own process."""

    def __init__(self, checkpoint: Path):
        self._process = subprocess.Popen(
            [preferences().server_python, str(staging.HERE / "bare_pass.py"), str(checkpoint), "1", ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_WAIT_POLICY": "passive"},
        )

    def seconds(self) -> float:
        """Make one pass; return its seconds."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()


def respond(strip: ImageStrip, key: int, seed: int) -> tuple[float, float]:
    """Change the key under the playhead; return the seconds until its file exists, and until the first tick ended."""
    start = time.perf_counter()
    change_key(strip, key, seed)
    session.tick()
    planned = time.perf_counter() - start
    frame = session.plans.state_of(strip).plan.at(bpy.context.scene.frame_current)
    wanted = session.plans.store.folder / frame.name
    while not wanted.exists():
        session.client.wait(wanted.exists, 0.05)
        if session.halted:
            raise SystemExit(session.halted)
        session.tick()
    return time.perf_counter() - start, planned


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="instead of the built-in one")
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--turns", type=int, default=15)
    options = parser.parse_args()
    staging.heading("Response")
    with staging.scratch():
        checkpoint = options.checkpoint or staging.BUILT_IN
        bare = BarePass(checkpoint)
        keys = [1 + i * (options.frames - 1) // 4 for i in range(5)]
        strip = staging.add_strip(options.frames, keys, checkpoint)
        session.fill()
        bpy.context.scene.frame_set(keys[2])
        settings = settings_of(strip)
        print(f"{settings.generator_name}, {settings.width} x {settings.height}, {session.client.greeting.device}")
        print(f"{'':34}     least    median ms   of a bare pass")
        for case in ("all made before the edit", "edited while frames are made"):
            passes, responses, ticks = [], [], []
            for turn in range(options.turns + 1):
                if case.startswith("all"):
                    session.fill()
                else:  # nothing else may run during the bare pass; after it, work is begun again
                    session.feeder.cancel()
                    session.ask(methods.PING, Nothing(), lambda _: None, print)
                    session.wait(lambda: not session.client.pending, 10)
                passes.append(bare.seconds())
                if not case.startswith("all"):
                    settings.psi = 0.3 + 0.001 * turn
                    session.make_missing()
                    session.wait(lambda: False, 0.3)
                seconds, tick = respond(strip, 2, 1000 + turn + 500 * (case < "b"))
                responses.append(seconds)
                ticks.append(tick)
            del passes[0], responses[0], ticks[0]  # the first turn warms up
            ratios = [response / one for response, one in zip(responses, passes, strict=True)]
            print(f"{case}\n  a bare forward pass{'':13} {milliseconds(passes)}")
            print(f"  edit to orders sent{'':13} {milliseconds(ticks)}")
            print(
                f"  edit to picture on disk{'':9} {milliseconds(responses)} {min(responses) / min(passes):8.2f} of the "
                f"least, {statistics.median(ratios):.2f} median"
            )
        bare.close()
        session.client.stop()


if __name__ == "__main__":
    main()
