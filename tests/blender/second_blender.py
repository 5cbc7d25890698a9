"""A second Blender, for tests that end one or use two with the same folder: SCRIPT DEED BLEND SERVER_PYTHON SLOW.

It makes or opens the file, starts making frames and prints what it does, line by line; then it works until it is ended.

DEED
    work    changes the strip, makes frames and saves, again and again
    fill    makes all frames of three settings, prints whether this succeeded, and quits
    exit    quits in the middle of a job, as Blender's own Quit does
    disable disables the add-on in the middle of a job, and stays
    wait    stays in the middle of a job
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import termios
import time
from pathlib import Path

import bpy

MODULE = "bl_ext.user_default.latent_lantern"
LENGTH = 40
TRUNCATIONS = (0.25, 0.5, 0.75)


def main(deed: str, blend: str, python: str) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # if the tests run under nohup, its setting is inherited
    if os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that closing the terminal ends this process
    bpy.ops.preferences.addon_enable(module=MODULE)
    bpy.context.preferences.addons[MODULE].preferences.server_python = python
    session = sys.modules[f"{MODULE}.latent_addon.session.session"].session
    if Path(blend).exists():
        bpy.ops.wm.open_mainfile(filepath=blend)
    else:
        bpy.ops.wm.read_homefile(use_factory_startup=True, app_template="")
        weight = bpy.data.meshes.new("Weight")  # a file that takes a while to save
        weight.vertices.add(500_000)
        weight.use_fake_user = True
        bpy.ops.lantern.add_latent_strip(length=LENGTH)
        bpy.ops.wm.save_as_mainfile(filepath=blend)
    strip = bpy.context.scene.sequence_editor.strips_all[0]
    session.make_missing()
    if deed == "fill":
        for truncation in TRUNCATIONS:
            strip.latent_lantern.psi = truncation
            say(f"filled {session.fill(timeout=120)} {session.halted}")
        return
    for i in range(1000000):
        strip.latent_lantern.psi = 0.001 * (i % 1000)
        for frame in (1, LENGTH // 2, LENGTH):  # every picture is different
            bpy.context.scene.frame_set(frame)
            strip["latent"][0] = float(i + frame)
            bpy.ops.lantern.insert_latent_key()
        session.make_missing()
        session.wait(lambda: session.plans.progress(strip)[0] > 2, 60)
        if i == 0:
            say(f"server {session.client.pid}")
        if deed == "exit":
            return
        if deed == "disable":
            bpy.ops.preferences.addon_disable(module=MODULE)
            say("disabled")
        if deed in ("disable", "wait"):
            time.sleep(600)
        bpy.ops.wm.save_mainfile()


def say(line: str) -> None:
    """Print a line for the test that has started this."""
    print(f"> {line}", flush=True)


main(*sys.argv[1:])
