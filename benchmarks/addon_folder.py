"""How long the session's ticks take while frames arrive in a folder that already has many others.

python3 dev.py blender benchmarks/addon_folder.py [--files 0 20000] [--frames 100]

Aim: no tick takes longer than a frame of Blender's own drawing (16 ms), even with many files. The server is fake.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import bpy
import numpy as np
import staging
from bl_ext.user_default.latent_lantern.lantern_protocol.frame_files import sign
from bl_ext.user_default.latent_lantern.latent_addon.core.png import encode_png
from staging import session


def main() -> None:
    """Fill a strip in each folder and print a row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[0, 20000])
    parser.add_argument("--frames", type=int, default=100)
    options = parser.parse_args()
    staging.heading("Ticks while frames arrive")
    print(f"{'files before':>12} {'median ms':>10} {'longest ms':>11}")
    with staging.scratch() as scratch:
        staging.use_fake_server(Path(scratch), "--z-dim", 64, "--slow", 0.02)
        picture = encode_png(np.zeros((8, 8, 3), np.uint8))
        for files in options.files:
            folder = Path(scratch) / f"frames_{files}"
            folder.mkdir()
            for number in range(files):
                name = f"c_{number:040x}.png"
                (folder / name).write_bytes(sign(picture, name))
            staging.preferences().frame_folder = str(folder)
            strip = staging.add_strip(options.frames, [1, options.frames])
            session.make_missing()
            ticks = []
            made, total = 0, options.frames
            while made < total:
                start = time.perf_counter()
                session.tick()
                ticks.append(1e3 * (time.perf_counter() - start))
                made, total = session.plans.progress(strip)
                time.sleep(0.04)
            print(f"{files:12} {statistics.median(ticks):10.1f} {max(ticks):11.1f}")
            bpy.context.scene.sequence_editor.strips.remove(strip)
        session.client.stop()


if __name__ == "__main__":
    main()
