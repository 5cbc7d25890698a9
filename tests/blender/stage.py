"""A strip, a server and a session for tests, in the open file."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.types import ImageStrip, Scene

from latent_lantern.latent_addon.library.library import library
from latent_lantern.latent_addon.plans import planning
from latent_lantern.latent_addon.scene import curves, versions
from latent_lantern.latent_addon.scene.properties import settings_of
from latent_lantern.latent_addon.session.session import session

FAKE_SERVER = Path(__file__).resolve().parent.parent / "fake_server.py"
Z_DIM = 8


class Stage:
    """Short methods for the things that tests do to the add-on."""

    def __init__(self, folder: Path, preferences: bpy.types.AddonPreferences):
        self.folder = folder
        self.preferences = preferences
        self.journal_path = folder / "journal.jsonl"
        # Frames of an unsaved file outlive the file; a later test would find them and not make them.
        shutil.rmtree(Path(bpy.app.tempdir, "latent_lantern"), ignore_errors=True)
        library.forget()
        session.turn, session.longest_turn = 60.0, 0.1  # one tick is enough for all plans, even on a busy machine
        self.use_fake_server()

    @property
    def scene(self) -> Scene:
        """The working scene."""
        return bpy.context.scene

    def use_fake_server(self, *options: object) -> None:
        """Use a fake server with these faults from the next start on."""
        session.client.stop()
        command = [sys.executable, str(FAKE_SERVER), "--journal", str(self.journal_path), *map(str, options)]
        python = self.folder / "python"
        python.write_text(f"#!/bin/sh\nexec {shlex.join(command)}\n")
        python.chmod(0o755)
        self.preferences.server_python = str(python)

    def add_strip(self, length: int = 24, start: int = 1, **properties: Any) -> ImageStrip:
        """Add a latent strip as a person does."""
        self.scene.frame_set(start)
        assert bpy.ops.lantern.add_latent_strip(length=length, **properties) == {"FINISHED"}
        return self.scene.sequence_editor.active_strip

    def key(self, frame: int, seed: int) -> None:
        """Key the latent of a seed."""
        self.scene.frame_set(frame)
        bpy.ops.lantern.randomise(seed=seed)
        bpy.ops.lantern.insert_latent_key()

    def keyed_strip(self, keys: dict[int, int] | None = None, length: int = 24) -> ImageStrip:
        """Add a strip, key the latents of these seeds at these frames, and let it fill."""
        strip = self.add_strip(length)
        for frame, seed in (keys or {1: 1, 12: 2, 24: 3}).items():
            self.key(frame, seed)
        self.fill()
        return strip

    def fill(self) -> None:
        """Make every missing frame."""
        assert session.fill(timeout=60), session.halted
        assert not self.missing()

    def missing(self) -> list[int]:
        """The missing frames of all strips."""
        return [frame for scene in bpy.data.scenes for _, frames in session.plans.missing(scene) for frame in frames]

    def ordered(self) -> list[str]:
        """Names of the files ordered since the last call."""
        ordered = []
        if self.journal_path.exists():
            for line in self.journal_path.read_text().splitlines():
                entry = json.loads(line)
                if entry["method"] in ("frames/generate", "shadows/derive"):
                    ordered += entry["names"]
            self.journal_path.unlink()
        return ordered

    def methods(self) -> list[str]:
        """Requests since the journal was last emptied."""
        lines = self.journal_path.read_text().splitlines() if self.journal_path.exists() else []
        return [json.loads(line)["method"] for line in lines]

    def settle(self) -> None:
        """Let the session notice edits, without waiting for frames."""
        bpy.context.view_layer.update()
        session.tick()


def latents_of(strip: ImageStrip) -> np.ndarray:
    """The latents that the strip's plan asks for, (frames, D)."""
    plan = planning.plan_of(strip)
    return np.stack([np.frombuffer(frame.request.latent, "<f4") for frame in plan.frames])


def own_curves(strip: ImageStrip) -> curves.StripCurves:
    """The strip's curves."""
    return curves.curves_of_scene(strip.id_data).get(curves.path_prefix(strip)) or curves.StripCurves()


def latents_by_playhead(strip: ImageStrip, first: int, count: int) -> np.ndarray:
    """The latent at each frame as Blender itself evaluates it, by going to the frame."""
    scene = strip.id_data
    rows = []
    for frame in range(first, first + count):
        scene.frame_set(frame)
        rows.append(np.array(strip["latent"][:]))
    return np.stack(rows)


def shown(strip: ImageStrip) -> list[str]:
    """File names at the frames that the strip shows."""
    return [
        strip.strip_elem_from_frame(frame).filename
        for frame in range(versions.strip_start(strip), versions.strip_end(strip))
    ]


def planned(strip: ImageStrip) -> list[str]:
    """File names that the strip's plan wants at those frames."""
    return [frame.name for frame in session.plans.state_of(strip).plan.frames]


def kill_server() -> None:
    """Kill the server, as an impatient person does."""
    os.kill(session.client.pid, signal.SIGKILL)


def to_shadow(strip: ImageStrip, **settings: Any) -> None:
    """Show the strip as shadows."""
    group = settings_of(strip)
    group.show_shadow = True
    for name, value in settings.items():
        setattr(group, f"shadow_{name}", value)
