"""A second Blender upgrades the extension while this one runs: the server's version differs, Repair loads it again.

test_inference_setup.py runs this in a separate Blender, which is not used afterwards: every module is loaded twice.
"""

from __future__ import annotations

import importlib
import os
import shlex
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy

from layout import drawn
from tools.blender_session import EXTENSION

GREETER = """
import sys
from lantern_protocol import framing, versions
for message in framing.read_messages(sys.stdin.buffer):
    greeting = {"server": "9.9.9", "protocol": versions.PROTOCOL_VERSION}
    greeting["pixel_revision"] = versions.PIXEL_REVISION
    sys.stdout.buffer.write(framing.encode_message(framing.result(message["id"], greeting)))
    sys.stdout.buffer.flush()
"""


def module(name: str) -> ModuleType:
    return importlib.import_module(f"{EXTENSION}.{name}")


def preferences() -> Any:
    return bpy.context.preferences.addons[EXTENSION].preferences


def state_after_starting() -> str:
    """The label of the server's state when it no longer starts."""
    session = module("latent_addon.session.session").session
    session.arm()
    session.start_server()
    session.wait(lambda: session.client.state.name != "STARTING", 60)
    return session.client.state.name


def buttons() -> set[str]:
    return {name for name, _ in drawn(module("latent_addon.shot.strip_panel").StripPanel).operators}


def main(folder: Path) -> None:
    greeter = folder / "greeter.py"
    greeter.write_text(GREETER)
    python = folder / "python"
    python.write_text(f"#!/bin/sh\nexec {shlex.join([sys.executable, str(greeter)])}\n")
    python.chmod(0o755)
    preferences().server_python = str(python)
    preferences().budget = 7
    assert state_after_starting() == "READY"
    module("latent_addon.session.session").session.client.stop()

    installed = Path(str(module("lantern_protocol.versions").__file__))
    text = installed.read_text("utf-8")
    revision = module("lantern_protocol.versions").PIXEL_REVISION
    newer = text.replace(f"PIXEL_REVISION = {revision}", f"PIXEL_REVISION = {revision + 1}")
    assert newer != text
    installed.write_text(newer, "utf-8")
    later = time.time() + 10
    os.utime(installed, (later, later))  # compiled modules are recognised by size and time in seconds
    assert state_after_starting() == "FAILED"
    assert "lantern.reload_extension" in buttons()

    before = module("latent_addon.session.session").session
    assert bpy.ops.lantern.reload_extension() == {"FINISHED"}
    reload_now = module("latent_addon.setup.reloading").reload_now
    assert bpy.app.timers.is_registered(reload_now)
    reload_now()  # Blender without a window has no timers
    assert module("latent_addon.session.session").session is not before
    assert (preferences().server_python, preferences().budget) == (str(python), 7)
    assert state_after_starting() == "READY"
    assert "lantern.reload_extension" not in buttons()
    bpy.app.timers.unregister(reload_now)
    print("It was repaired.")


main(Path(sys.argv[1]))
