"""A storm of faults for the add-on in Blender, and what must stay true. A seed draws deeds from `storm_deeds.py`.

What must be true at any time: a frame that is shown as current is the planned one, and its file holds the picture of
the request; a frame that was once whole stays, unless the storm itself removed it; no tick waits. When the storm is
over, one click makes the missing frames, and no process and no temporary file is left.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy
from bpy.types import ImageStrip

import fake_pictures
import stage as staging
from fake_files import BUILT_IN_SHA256
from latent_lantern.lantern_protocol.frame_files import is_frame
from latent_lantern.latent_addon.core.frame_plan import PlannedFrame
from latent_lantern.latent_addon.core.frame_request import FrameRequest, frame_order
from latent_lantern.latent_addon.scene.properties import settings_of
from latent_lantern.latent_addon.scene.strip import latent_strips
from latent_lantern.latent_addon.session.session import session
from processes import members
from stage import Stage
from storm_places import Clocks, SmallDisk

SIZE = 16
SETTLED = 4
"""After this many ticks in which nothing was being made, nothing more will happen."""


class Storm:
    """One run: a stage, a seed, and what is known about the files.

    whole: contents of the frames that were seen whole and correct, by name, in the folder of the open file. journal:
    what was done, for a person who looks for a cause. ticks: for each tick, the seconds that it took, the seconds that
    it worked, and what happened before it. lifts: functions that end the faults that do not end on their own. steps,
    undone: how many steps undo and redo can go.
    """

    def __init__(self, stage: Stage, seed: int):
        self.stage = stage
        self.seed = seed
        self.random = random.Random(seed)
        self.journal: list[str] = []
        self.whole: dict[str, bytes] = {}
        self.ticks: list[tuple[float, float, str]] = []
        self.servers: set[int] = set()
        self.clocks = Clocks()
        self.flipped: list[Path] = []
        self.lifts: list[Callable[[], object]] = []
        self.disk: SmallDisk | None = None
        self.checkpoint: Path | None = None
        self.steps = self.undone = 0
        self._pixels: dict[str, bytes] = {}

    def set_up(self) -> None:
        """Make one or two strips with keys, with their frames in one of several places."""
        draw = self.random
        place = draw.choice(("temporary", "beside", "folder", "disk", "disk"))
        if place == "disk":
            self.disk = SmallDisk.mounted(self.stage.folder / "disk")
            place = "disk" if self.disk else "folder"
        if place in ("disk", "folder"):
            self.stage.preferences.frame_folder = str(self.stage.folder / place / "frames")
            (self.stage.folder / place).mkdir(exist_ok=True)
        if draw.random() < 0.3:
            self.checkpoint = self.stage.folder / "weights.pkl"
            self.checkpoint.write_bytes(b"weights")
        for number in range(draw.choice((1, 1, 2))):
            length = draw.randrange(4, 16)
            self.stage.add_strip(length, 1 + 3 * number, generator=str(self.checkpoint or ""))
            for frame in (1 + 3 * number, 3 * number + length):
                self.stage.key(frame, draw.randrange(1000))
        if place == "beside":
            (self.stage.folder / "project_0").mkdir()
            bpy.ops.wm.save_as_mainfile(filepath=str(self.stage.folder / "project_0" / "shot.blend"))
        bpy.ops.ed.undo_push(message="set up")
        if draw.random() < 0.7:
            self.stage.fill()
        self.journal.append(f"{len(self.strips())} strips, frames in {place}, checkpoint {self.checkpoint is not None}")
        self.check()

    def lift(self) -> None:
        """End every fault."""
        if self.disk:
            self.disk.set_read_only(False)
            self.disk.free()
        while self.lifts:
            self.lifts.pop()()
        self.stage.use_fake_server()
        self.journal.append("over")

    def close(self) -> None:
        """Leave nothing behind, even after an error."""
        session.client.stop()
        if self.disk:
            self.disk.unmount()

    @property
    def locked(self) -> bool:
        """Return whether the storm itself cannot change files."""
        return self.disk is not None and self.disk.read_only

    @property
    def folder(self) -> Path:
        """The folder of the frames."""
        return session.plans.folder.path

    def strips(self) -> list[ImageStrip]:
        """The latent strips of the open file."""
        return latent_strips(bpy.context.scene)

    def strip(self) -> ImageStrip:
        """One of them, at random."""
        return self.random.choice(self.strips())

    def frames(self) -> list[Path]:
        """The whole files of frames, in a fixed order."""
        return [self.folder / name for name in sorted(self.whole)]

    def tick(self, after: str = "") -> None:
        """Let the session work, as its timer does."""
        start, worked = time.perf_counter(), time.thread_time()
        session.tick()
        took = time.perf_counter() - start, time.thread_time() - worked
        self.ticks.append((*took, after or (self.journal[-1] if self.journal else "start")))
        self._note_server()

    def _note_server(self) -> None:
        if session.client.pid is not None:
            self.servers.add(session.client.pid)

    def run(self, seconds: float, ticks: int = 1) -> None:
        """Tick for some time, and at least this often."""
        end = time.perf_counter() + seconds
        while ticks > 0 or time.perf_counter() < end:
            self.tick()
            ticks -= 1
            time.sleep(0.005)

    def settle(self, seconds: float) -> bool:
        """Tick until nothing is being made any more, but not longer than this; return whether it ended."""
        end = time.perf_counter() + seconds
        quiet = 0
        while quiet < SETTLED:
            if time.perf_counter() > end:
                return False
            self.tick()
            quiet = 0 if session.working or session.plans.store.unchecked else quiet + 1
            time.sleep(0.03 if quiet else 0.005)
        return True

    def check(self) -> None:
        """Check everything that must be true at any time, after the folder has been examined."""
        self._keep_plans_in_mind()
        for strip in self.strips():
            self._check_shown(strip)
        for name, data in self.whole.items():
            assert (self.folder / name).is_file(), f"{name}, which was finished, is lost"
            assert (self.folder / name).read_bytes() == data, f"{name}, which was finished, is another"
        self._keep_frames_in_mind()

    def check_quiet(self) -> None:
        """Check what must be true when nothing is being made: a sentence says why frames are missing."""
        if not session.armed or not self.stage.preferences.make_automatically:
            return
        for strip in self.strips():
            state = session.plans.state_of(strip)
            lacks = state is None or state.plan is None or state.plan.missing()
            assert not lacks or session.problem(strip), f"{strip.name} lacks frames, and nobody says why"

    def check_after(self) -> None:
        """The storm is over: check that everything exists after one click."""
        for strip in self.strips():
            bpy.context.scene.sequence_editor.active_strip = strip
        assert session.fill(bpy.context.scene, timeout=30.0), f"not filled: {session.halted!r}, {self.stage.missing()}"
        self._note_server()
        self.check()
        for strip in self.strips():
            assert session.problem(strip) == ""
            assert staging.shown(strip) == staging.planned(strip)
        # The files that killed servers left are removed by the next server that works in the folder.
        settings_of(self.strip()).psi = 0.55
        self.stage.fill()
        session.client.stop()
        assert _soon_none(self.servers), f"left behind: {members(self.servers)}"
        parts = [entry.name for entry in self.folder.iterdir() if "part" in entry.name]
        assert not parts, f"temporary files are left: {parts}"

    def _check_shown(self, strip: ImageStrip) -> None:
        state = session.plans.state_of(strip)
        if not session.armed or state is None or state.plan is None:
            return
        assert Path(bpy.path.abspath(strip.directory)) == self.folder, f"{strip.name} shows another folder"
        at = bpy.context.scene.frame_current
        for i, (name, frame) in enumerate(zip(staging.shown(strip), state.plan.frames, strict=True)):
            if name.startswith("placeholder_") or i in state.plan.unknown:
                continue
            if name != frame.name:
                under_way = state.plan.start + i == at and not session.halted
                assert under_way, f"frame {state.plan.start + i} shows {name} instead of {frame.name}"
                continue
            path = self.folder / name
            assert path.is_file(), f"{name} is shown, and not there"
            assert is_frame(path, name, thoroughly=True), f"{name} is shown, and damaged"
            assert fake_pictures.decode_png(path.read_bytes())[0] == self._pixels[name], f"{name} is another picture"

    def _keep_plans_in_mind(self) -> None:
        for frame in self._planned():
            if frame.name not in self._pixels:
                request = frame.request
                row = memoryview(request.latent).cast("f").tolist()
                order = frame_order(request, 0, frame.colour, frame.name)
                colour = fake_pictures.picture(order, row, SIZE, SIZE, weights_of(request))
                self._pixels[frame.colour] = colour
                if request.shadow is not None:
                    self._pixels[frame.name] = fake_pictures.shadow(colour, request.shadow)

    def _planned(self) -> Iterator[PlannedFrame]:
        for plan in session.plans.all():
            yield from plan.frames

    def _keep_frames_in_mind(self) -> None:
        for name in self._pixels.keys() - self.whole.keys():
            path = self.folder / name
            if not path.is_symlink() and is_frame(path, name, thoroughly=True):
                data = path.read_bytes()
                assert fake_pictures.decode_png(data)[0] == self._pixels[name], f"{name} was made wrong"
                self.whole[name] = data


def weights_of(request: FrameRequest) -> tuple[str, ...]:
    """The value by which the fake server makes the pictures of different generators different."""
    return () if request.checkpoint == BUILT_IN_SHA256 else (request.checkpoint,)


def _soon_none(sessions: set[int]) -> bool:
    end = time.monotonic() + 10.0
    while members(sessions):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
