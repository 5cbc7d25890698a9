"""The stage of a story (test): a Blender with the extension, a strip next to the tab Lantern, and the person."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from harness import BlenderWindow
from person import Person, Point
from PIL import Image, ImageChops

FAKE_SERVER = Path(__file__).resolve().parent.parent / "fake_server.py"


class Story:
    """What a test does and sees. folder: for pictures, console output and files, which are kept."""

    def __init__(self, blender: BlenderWindow, folder: Path):
        self.blender = blender
        self.person = Person(blender)
        self.folder = folder
        self.pictures = folder / "pictures"
        self.pictures.mkdir(parents=True, exist_ok=True)
        self.journal = folder / "journal.jsonl"

    def install(self) -> None:
        """Install the built zip with the preferences' own operator."""
        archive = os.environ["LANTERN_ZIP"]
        self.blender.run(
            f"bpy.ops.extensions.package_install_files(filepath={archive!r}, repo='user_default', "
            "enable_on_install=True)\nassert EXTENSION in bpy.context.preferences.addons"
        )

    def arrange(self) -> None:
        """Turn half of the 3D Viewport into the Sequencer with its preview, and open the tab Lantern."""
        self.blender.run(
            "with context_of('VIEW_3D'):\n    bpy.ops.screen.area_split(direction='VERTICAL', factor=0.42)"
        )
        self.person.over("VIEW_3D")
        self.person.keys("shift+F8")
        self.blender.run("place_of('SEQUENCE_EDITOR')[1].spaces.active.view_type = 'SEQUENCER_PREVIEW'")
        self.person.open_tab()

    def keep_arrangement(self) -> None:
        """Keep the editors as they are for `begin`."""
        path = str(self.folder / "arranged.blend")
        self.blender.run(f"bpy.ops.wm.save_as_mainfile(filepath={path!r}, copy=True)")

    def begin(self, name: str) -> Path:
        """Open a file with this name in its own folder, with the editors arranged; return the path of the .blend."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        path = folder / f"{name}.blend"
        shutil.copy(self.folder / "arranged.blend", path)
        self.open(path)
        return path

    def open(self, path: Path, before: str = "") -> None:
        """Open a file with its window layout. before: code to run in the same script."""
        self.blender.run(
            f"{before}\nwith bpy.context.temp_override(window=windows()[0]):\n"
            f"    bpy.ops.wm.open_mainfile(filepath={str(path)!r}, load_ui=True)"
        )
        self.person.over("SEQUENCE_EDITOR", "UI")

    def use_server(self) -> None:
        """Use the real inference server."""
        self._use_python(os.environ["LANTERN_SERVER_PYTHON"])

    def use_fake_server(self, *options: object) -> None:
        """Use the tests' fake server, which writes a journal of its requests."""
        self.forget_orders()
        command = [sys.executable, str(FAKE_SERVER), "--journal", str(self.journal), *map(str, options)]
        python = self.folder / "python"
        python.write_text(f"#!/bin/sh\nexec {shlex.join(command)}\n", "utf-8")
        python.chmod(0o755)
        self._use_python(str(python))

    def use_python_that_hangs(self) -> None:
        """Use a program that prints nothing as the server's Python."""
        python = self.folder / "python"
        python.write_text("#!/bin/sh\nexec sleep 600\n", "utf-8")
        python.chmod(0o755)
        self._use_python(str(python))

    def _use_python(self, python: str) -> None:
        self.blender.run(
            "addon('session.session').session.client.stop()\n"
            f"addon('preferences').preferences().server_python = {python!r}"
        )

    def keyed_strip(self, keys: dict[int, int], length: int = 24) -> None:
        """Add a strip with latents of these seeds at these frames, all made. A script does it, to begin a story."""
        self.blender.run("addon('session.session').session.start_server()")
        self.blender.until("addon('session.session').session.client.state.name == 'READY'")
        self.blender.run("addon('preferences').preferences().make_automatically = False")
        self.operate(f"lantern.add_latent_strip(length={length})")
        for frame, seed in keys.items():
            self.blender.run(f"bpy.context.scene.frame_set({frame})")
            self.operate(f"lantern.randomise(seed={seed})")
            self.operate("lantern.insert_latent_key()")
        self.blender.run(
            "addon('preferences').preferences().make_automatically = True\n"
            "addon('session.session').session.make_missing()"
        )
        self.filled()
        self.forget_orders()

    def operate(self, call: str, area: str = "SEQUENCE_EDITOR") -> None:
        """Call an operator and wait for its end: an operator that asks the server may take some time."""
        self.blender.run(f"with context_of({area!r}):\n    bpy.ops.{call}")
        self.blender.until("not waiting_operators()")

    def filled(self, patience: float = 180.0) -> None:
        """Wait until every strip has all its frames."""
        self.blender.until(
            "not changes_waiting() and not addon('session.session').session.feeder.busy "
            "and not any(frames for scene in bpy.data.scenes "
            "for _, frames in addon('session.session').session.plans.missing(scene))",
            patience,
        )

    def ordered(self) -> list[str]:
        """Files ordered from the fake server since the last call."""
        names = [name for line in self._lines() for name in line["names"] if line["method"] in _ORDERS]
        self.forget_orders()
        return names

    def forget_orders(self) -> None:
        """Begin the journal again."""
        self.journal.unlink(missing_ok=True)

    def _lines(self) -> list[dict[str, Any]]:
        text = self.journal.read_text("utf-8") if self.journal.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def strips(self) -> list[tuple[str, int, int, int]]:
        """Name, channel, first and last frame of each strip in the scene."""
        return [tuple(row) for row in self.blender.look("strip_rows()")]

    def shown(self, strip: int = 0) -> list[str]:
        """File names at the frames of a strip."""
        return self.blender.look(f"shown_names({strip})")

    def until_ended(self, process: int, patience: float = 60.0) -> None:
        """Wait for the end of a process that Blender has started."""
        end = time.monotonic() + patience
        while Path(f"/proc/{process}").exists() and "Z" not in Path(f"/proc/{process}/stat").read_text().split(")")[-1]:
            assert time.monotonic() < end, f"process {process} still runs"
            time.sleep(0.05)

    def key_frames(self) -> list[int]:
        """Frames at which any curve of the scene has a key."""
        return self.blender.look("key_frames()")

    def place_in_view(self, area: str, x: float, y: float) -> Point:
        """The place on the screen of a frame and value, or a frame and channel."""
        across, up = self.blender.look(f"place_in_view({area!r}, {x}, {y})")
        return across, up

    @staticmethod
    def changed(first: Image.Image, second: Image.Image) -> float:
        """The share of pixels that differ visibly, 0 to 1."""
        difference = ImageChops.difference(first.convert("RGB"), second.convert("RGB")).convert("L")
        return sum(difference.histogram()[16:]) / (first.width * first.height)

    def picture(self, name: str, area: str | None = None, region: str = "WINDOW", after: float = 1.0) -> Image.Image:
        """Keep a picture of the screen; return it, or its part in a region."""
        shown = self.person.see(None, after=after)
        shown.save(self.pictures / f"{name}.png")
        if area is None:
            return shown
        return shown.crop(self.person.box(area, region))


_ORDERS = ("frames/generate", "shadows/derive")
