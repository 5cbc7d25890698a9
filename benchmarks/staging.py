"""A strip, a server and a clock inside Blender. The benchmarks of the add-on use it.

They run as `python3 dev.py blender benchmarks/addon_....py`, in Blender as a Python module. There timers do not run, so
the benchmarks tick the session themselves.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import bpy
import numpy as np
from bl_ext.user_default.latent_lantern.latent_addon.preferences import preferences
from bl_ext.user_default.latent_lantern.latent_addon.scene import curves, latent_keys
from bl_ext.user_default.latent_lantern.latent_addon.scene.properties import settings_of
from bl_ext.user_default.latent_lantern.latent_addon.session.session import session
from bpy.types import FCurve, ImageStrip

HERE = Path(__file__).resolve().parent
FAKE_SERVER = HERE.parent / "tests" / "fake_server.py"
BUILT_IN = max((HERE.parent / "inference_server" / "weights" / "family_at_dinner").glob("*.safetensors"))


def use_fake_server(folder: Path, *options: object) -> Path:
    """Make the next server the tests' fake one; return the path of the journal in which it notes its orders."""
    journal = folder / "journal.jsonl"
    python = folder / "python"
    command = [sys.executable, str(FAKE_SERVER), "--journal", str(journal), *map(str, options)]
    python.write_text(f"#!/bin/sh\nexec {shlex.join(command)}\n")
    python.chmod(0o755)
    preferences().server_python = str(python)
    return journal


def ordered(journal: Path) -> list[tuple[str, list[str]]]:
    """Return the requests for frames since the last call: method, and names of the files that were ordered."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    journal.unlink(missing_ok=True)
    return [(line["method"], line["names"]) for line in lines if line["method"].startswith(("frames/g", "shadows/"))]


def random_checkpoint(folder: Path, size: int, width: int) -> Path:
    """Write a generator with random weights; return its path. The server's Python does it: Blender's has no torch."""
    code = "import sys, pathlib, serving; serving.random_checkpoint(pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:]))"
    subprocess.run(
        [preferences().server_python, "-c", code, str(folder), str(size), str(width)],
        check=True,
        env=os.environ | {"PYTHONPATH": str(HERE)},
    )
    return folder / f"random_{size}.safetensors"


def add_strip(length: int, key_frames: Sequence[int], checkpoint: Path | None = None) -> ImageStrip:
    """Add a latent strip at frame 1, with a random whole-vector key at each of the frames; return the strip."""
    scene = bpy.context.scene
    scene.frame_end = max(scene.frame_end, length)
    scene.frame_set(1)
    bpy.ops.lantern.add_latent_strip(length=length, generator="" if checkpoint is None else str(checkpoint))
    strip = scene.sequence_editor.active_strip
    for seed, frame in enumerate(key_frames):
        strip["latent"] = np.random.RandomState(seed).randn(len(strip["latent"])).tolist()
        latent_keys.insert_latent_key(strip, frame)
    return strip


def latent_curves(strip: ImageStrip) -> list[FCurve]:
    """Return the curves of the strip's latent, in the order of its components."""
    found = curves.curves_of_scene(strip.id_data)[curves.path_prefix(strip)].latent
    return [found[index] for index in sorted(found)]


def change_key(strip: ImageStrip, key: int, seed: int) -> None:
    """Give one whole-vector key other values, as an edit in the Graph Editor does, and let Blender notice."""
    values = np.random.RandomState(seed).randn(len(strip["latent"]))
    for curve, value in zip(latent_curves(strip), values.tolist(), strict=True):
        curve.keyframe_points[key].co_ui[1] = value
        curve.update()
    bpy.context.view_layer.update()


def timed(work: Callable[[], object], repeats: int, before: Callable[[int], object] = lambda turn: None) -> list[float]:
    """Return the processor time, in seconds, of each of `repeats` turns of `work`.

    A busy machine does not change processor time much. The time of `before` is not counted. An extra first turn, for
    warming up, is not returned.
    """
    seconds = []
    for turn in range(repeats + 1):
        before(turn)
        gc.collect()
        start = time.thread_time()
        work()
        seconds.append(time.thread_time() - start)
    return seconds[1:]


def milliseconds(seconds: Sequence[float]) -> str:
    """Return the least and the median of several times, as text in milliseconds."""
    return f"{1e3 * min(seconds):9.3f} {1e3 * statistics.median(seconds):9.3f}"


def heading(what: str) -> None:
    """Print what is measured, and where."""
    print(f"{what}: Blender {bpy.app.version_string}, {platform.system()}, {os.cpu_count()} processors")


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Return a temporary folder for one run."""
    return tempfile.TemporaryDirectory(prefix="lantern-benchmark-")


def resident_mib(pid: int) -> float:
    """Return the memory that a process occupies, in MiB. Linux only."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


__all__ = ["preferences", "session", "settings_of"]
