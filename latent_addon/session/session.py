"""What joins the open file to the server: plans, the store, the jobs under way. Nothing of it is saved in the .blend.

Data flows one way: F-curves -> evaluated latents -> requests -> missing ones -> server -> files -> strip elements. A
timer calls `tick`, which never waits; operators without a window, and tests, call `fill`, which does.
Opening a file starts nothing: until the user asks for something (`arm`), frames that are there are shown, and no
interpreter, checkpoint or folder is touched.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import bpy
from bpy.types import ImageStrip, Scene

from ...lantern_protocol import errors
from ..core.frame_request import GeneratorFacts
from ..plans.plans import Plans
from ..preferences import preferences
from ..scene import changes
from ..scene.frame_folder import frame_folder
from ..scene.properties import settings_of
from ..server.client import InferenceClient, ServerState
from ..server.launch import server_command
from .describing import facts_of, location_of
from .feeding import Feeder
from .runtime import SERVER_ROOT, runtime

logger = logging.getLogger(__name__)

GIGABYTE = 1e9

_PREVIEWS = 32

_PLAN_AGAIN = 0.25
"""Seconds between plans while frames arrive and nothing but their arrival is known to have changed the scene."""

_PLAN_SHARE = 10
"""Then such plans take at most one part in so many of the time: thousands of curves, as W+ has, take long to read."""

_FAREWELL = 0.5
"""Seconds that a server has to end by itself where Blender must wait for its end."""

_SHOW_AGAIN = 0.25
_SHOW_WHILE_PLAYING = 1.0
"""Seconds between pointing strips at frames that have been made: Blender draws every editor again each time, the 3D
Viewport, too. The frame at the playhead does not wait, unless the animation plays."""

_LOOK_AGAIN = 1.0
"""Seconds between looks at the frame folder, for files that others add or delete."""


class Session:
    """The add-on at work. One for each Blender; `arm` and everything else is for the main thread only."""

    def __init__(self) -> None:
        self.client = InferenceClient(self._on_notification, self._on_server_change)
        self.feeder = Feeder(self.client, self._failed)
        self.plans = Plans(self._plan_changed, self._may_make)
        self.armed = False
        self.halted = ""
        """Why no frames are being made although some are missing, for the panel; empty while all is well."""
        self.without_python = False
        """Whether frames wait for a Python that can run the server."""
        self.busy_rendering = False
        self.turn = 0.015
        """Seconds of each tick in which plans are brought up to date: Blender goes on in between."""
        self._made: deque[tuple[float, int]] = deque(maxlen=256)
        self._previews: dict[str, tuple[str, str, int]] = {}
        """Scene, strip and frame that pictures were last ordered for because someone was looking there."""
        self._arrived: list[str] = []
        """Frames that have been made, and that strips are not pointed at yet."""
        self._shown = 0.0
        self._looked = 0.0
        self._planned = 0.0
        self._plan_again = _PLAN_AGAIN
        self._pass_took = 0.0
        self._news = True
        """Whether what the pass under way finds is news to what the user last asked for or stopped."""
        self._restarts = 0
        self._was_ready = False
        self._budget_due = False
        self._moved = True
        """Whether any plan is another than when the feeder was last asked."""
        self._asked = False
        """Whether the user asked for the missing frames by hand."""

    # --- the clock ----------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Take in what has arrived, plan again what has changed, ask for what is missing. Never waits."""
        self.client.drain()
        if self.busy_rendering:
            return
        self._watch_server()
        self.show_arrived()
        if not self.plans.held_up():
            self._follow_changes()
        self._feed()

    def _follow_changes(self) -> None:
        behind = self.plans.behind
        if not behind:
            if self.armed and self.plans.store.look_closer():
                self.plans.store.take_news()
                changes.mark()
            if self.plans.postponed and not self.plans.playing():
                changes.mark()
        rested = not self.feeder.busy or time.monotonic() - self._planned > self._plan_again
        if changes.take(hints=rested and not behind):
            self._begin_pass(news=True)
        elif not behind and time.monotonic() - self._looked > _LOOK_AGAIN:
            self._look_at_folder()
        self._plan(self.turn)

    @property
    def working(self) -> bool:
        """Whether frames, answers or plans are under way, so that the timer should come back soon."""
        return (
            self.plans.behind
            or self.feeder.busy
            or self.client.pending > 0
            or self.client.state is ServerState.STARTING
        )

    def arm(self) -> None:
        """The user has asked for something: from now on missing frames of this file are made."""
        if not self.armed or self.halted:
            self.armed = True
            self.halted = ""
            self._restarts = 0
            self._moved = True
            changes.mark()

    def make_missing(self) -> None:
        """Make what is missing although frames are not made automatically."""
        self.arm()
        changes.take(hints=True)
        self.plans.store.doubt()
        self.show_arrived(at_once=True)
        self._begin_pass(news=False)
        self._plan(self.turn)
        self._asked = self._moved = True
        self._feed()  # takes the place of orders that the edit has overtaken, and of what may go wrong with them

    def halt(self, reason: str) -> None:
        """Make no more frames until something changes or the user asks again."""
        self.feeder.cancel()
        self.halted = reason
        self._news = False
        if not self.busy_rendering:
            self.show_arrived(at_once=True)
            self.plans.settle()
        self.redraw()

    def forget_file(self) -> None:
        """Another file is being opened: drop every plan and job, and touch nothing until the user asks."""
        self.feeder.cancel()
        self.plans.forget()
        self._arrived.clear()
        self.armed = False
        self.halted = ""
        self.busy_rendering = False
        changes.mark()

    # --- plans --------------------------------------------------------------------------------------------------------

    def replan(self) -> None:
        """Bring every strip of every scene up to date, in one go: its plan, its elements, its place in the queue."""
        if not self.plans.held_up():
            self._begin_pass(news=True)
            self._plan(math.inf)

    def _begin_pass(self, news: bool) -> None:
        self.find_folder()
        self.plans.begin()
        self._news = news
        self._pass_took = 0.0

    def _plan(self, seconds: float) -> None:
        """Go on with the pass over all strips, if one is under way."""
        if not self.plans.behind:
            return
        started = time.monotonic()
        self.plans.writing = self.armed
        self.plans.work(seconds)
        self._pass_took += time.monotonic() - started
        if not self.plans.behind:
            self._planned = time.monotonic()
            self._plan_again = max(_PLAN_AGAIN, _PLAN_SHARE * self._pass_took)
        self.redraw()

    def _plan_changed(self) -> None:
        """An edit is a new question."""
        self._moved = True
        if self._news:
            self._asked = False
            self.halted = ""

    def problem(self, image_strip: ImageStrip | None) -> str:
        """The one sentence that the panel shows: what stands in the strip's way, empty while nothing does."""
        state = self.plans.state_of(image_strip) if image_strip else None
        return (state.problem if state else "") or self.halted

    def rate(self) -> float:
        """Frames made a second, over the last five seconds."""
        since = time.monotonic() - 5.0
        recent = [(at, count) for at, count in self._made if at >= since]
        span = time.monotonic() - recent[0][0] if len(recent) > 1 else 0.0
        return sum(count for _, count in recent[1:]) / span if span > 0 else 0.0

    # --- the folder ---------------------------------------------------------------------------------------------------

    def find_folder(self) -> None:
        """Let frames lie where the open file is now, or where the preferences say."""
        folder = frame_folder(preferences().frame_folder)
        if folder != self.plans.folder:
            self.feeder.cancel()
            self.plans.use_folder(folder)

    def _look_at_folder(self) -> None:
        self._looked = time.monotonic()
        self.plans.store.names()
        if self.plans.store.take_news() and self.plans.all():
            changes.mark()  # someone deleted frames, or a server died before it could tell of some

    def _keep_to_budget(self) -> None:
        self._budget_due = False
        removed = self.plans.store.enforce_budget(round(preferences().budget * GIGABYTE), self.plans.files_in_use())
        if removed.over:
            self.halt(
                f"The frames in use take {removed.over / GIGABYTE:.1f} GB more than the frame budget. "
                "Raise the budget in the preferences, or shorten strips; nothing in use was deleted."
            )

    # --- the server ---------------------------------------------------------------------------------------------------

    def start_server(self) -> None:
        """Start the server unless it runs. A Python that cannot be is a problem shown in the panel."""
        if self.client.state in (ServerState.STARTING, ServerState.READY):
            return
        if runtime.problem:
            runtime.look()  # another Blender may have set it up
        if runtime.problem:
            self.halt(runtime.problem)
            self.without_python = True
            return
        self._was_ready = self.without_python = False
        self.client.start(*server_command(runtime.python, SERVER_ROOT))

    def leave_python(self) -> None:
        """What inference runs on is about to change: end the server that uses it, before its files go."""
        self.feeder.cancel()
        self.client.stop(_FAREWELL)

    def inference_changed(self) -> None:
        """What inference runs on has changed: go on with what had to wait for that."""
        if self.without_python and not (runtime.problem or self.client.unfit or self.client.other_version):
            self.without_python = False
            if self.armed:
                self.arm()
        self.redraw()

    def _on_server_change(self) -> None:
        self._was_ready |= self.client.state is ServerState.READY
        self.without_python |= self.client.unfit or self.client.other_version
        self.redraw()

    def _watch_server(self) -> None:
        """After a death in the middle of work, start again; but not again and again without a frame in between."""
        if self.client.state is not ServerState.FAILED or not self.armed or self.halted:
            return
        if self._was_ready and self._restarts < 2:
            self._restarts += 1
            self.start_server()
        else:
            self.halt(self.client.message)

    def ask(
        self, method: str, params: dict[str, Any], then: Callable[[dict[str, Any]], None], failed: Callable[[str], None]
    ) -> None:
        """Ask the server, which is started if need be. One of the two callbacks follows, now or from a later tick.

        An answer that `then` cannot make anything of is a failure: whoever waits must not wait for ever.
        """

        def answered(answer: dict[str, Any]) -> None:
            try:
                then(answer)
            except (errors.ProtocolError, LookupError, TypeError, ValueError, OverflowError) as error:
                logger.exception("an answer is of no use")
                text = errors.readable(str(error))[:200]
                failed(f"The inference server's answer is of no use ({type(error).__name__}: {text}). Try again.")

        self.start_server()
        if self.halted:
            failed(self.halted)
        else:
            self.client.request(method, params, answered, lambda error: failed(str(error)))

    def describe(self, path: str, then: Callable[[GeneratorFacts], None], failed: Callable[[str], None]) -> None:
        """Ask what a checkpoint is; `path` as a strip holds it, empty for the built-in one."""
        self.ask("generator/describe", {"path": location_of(path)}, lambda answer: then(facts_of(answer)), failed)

    def wait(self, until: Callable[[], bool], timeout: float) -> bool:
        """Tick until `until()` or `timeout` seconds; return whether it came true. For operators without a window."""
        end = time.monotonic() + timeout
        while not until():
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.tick()
            if not self.client.wait(until, min(0.05, left)):
                time.sleep(0.001)  # without a server there is nothing to wait for
        return True

    def fill(self, scene: Scene | None = None, timeout: float = 3600.0) -> bool:
        """Make every missing frame of the scene (of all scenes) and wait for them; False when something stopped it."""
        self.make_missing()
        self.tick()

        def ended() -> bool:
            if self.plans.store.unchecked or self.plans.behind:
                return False
            # A file may be seen in the folder before the server's word of it arrives. A strip with a problem of its own
            # will lack frames for ever.
            return bool(self.halted) or not (self.feeder.busy or any(not self.problem(each) for each in lacking()))

        def lacking() -> list[ImageStrip]:
            scenes = [scene] if scene else list(bpy.data.scenes)
            return [image_strip for each in scenes for image_strip, _ in self.plans.missing(each)]

        in_time = self.wait(ended, timeout)
        self.show_arrived(at_once=True)
        self.plans.settle()
        return in_time and not self.halted and not lacking()

    def shut_down(self) -> None:
        """End the server and forget everything; the add-on is being disabled."""
        self.forget_file()
        self.client.stop()

    # --- frames -------------------------------------------------------------------------------------------------------

    def _feed(self) -> None:
        if not self.armed or self.halted:
            return
        present = self.plans.store.names()
        # A frame that someone looks at goes first.
        looked_at = {name for _, _, name in self.plans.looked_at() if name not in present}
        urgent = not all(map(self.feeder.has, looked_at))
        if not (self._moved or self.feeder.hungry or urgent):
            return
        self._moved = False
        plans = [(state.plan, scene.frame_current) for scene, _, state in self.plans.strips() if state.plan]
        if not any(plan.lacks for plan, _ in plans):
            if not self.plans.behind:
                self.feeder.cancel()
                self._asked = False
                if self._budget_due and not self.plans.store.unchecked:
                    self._keep_to_budget()
            return
        if not self._may_make():
            return
        self.start_server()
        if not self.halted:
            self.feeder.feed(plans, looked_at, present, self.plans.folder.path, self._generator)
            self._note_previews()

    def _generator(self, sha256: str) -> dict[str, Any] | None:
        """How requests name a generator of the open file."""
        for _, image_strip, _ in self.plans.strips():
            sources = settings_of(image_strip).sources()
            if sha256 in sources:
                return {"path": sources[sha256], "sha256": sha256}
        return None

    def _may_make(self) -> bool:
        return self.armed and not self.halted and (preferences().make_automatically or self._asked)

    def _on_notification(self, method: str, params: dict[str, Any]) -> None:
        names = [name for name in params.get("names") or () if isinstance(name, str)]
        if method == "frames/made":
            there = self.plans.store.note_made(names)
            if len(there) < len(names) and params.get("job") == self.feeder.job:
                self.halt(
                    f"The inference server says that it made {names[0]}, but it is not in {self.plans.folder.path}. "
                    "Look whether something deletes files there, then try again."
                )
            self.feeder.made(there)
            self.plans.note_made(there)
            self._arrived += there
            self._made.append((time.monotonic(), len(there)))
            self._budget_due = True
            self._restarts = 0
            self._show_previews(there)
        elif method == "frames/failed" and params.get("job") == self.feeder.job:
            self._failed(errors.ProtocolError.from_json(params.get("error")), names)

    def show_arrived(self, at_once: bool = False) -> None:
        """Let strips show what has been made since they were last pointed at frames."""
        if not self._arrived:
            return
        pause = time.monotonic() - self._shown
        if self.plans.playing():
            due = pause > _SHOW_WHILE_PLAYING
        else:
            due = pause > _SHOW_AGAIN or any(name in self._arrived for _, _, name in self.plans.looked_at())
        if due or at_once or not self.feeder.busy:
            arrived, self._arrived = self._arrived, []
            self.plans.show_made(arrived)
            self._shown = time.monotonic()
            self.redraw()

    def _show_previews(self, names: list[str]) -> None:
        """While a slider is dragged every frame is overtaken before it is there: show it where someone looks."""
        for scene, image_strip, _state in self.plans.strips():
            for name in names:
                if self._previews.get(name) == (scene.name, image_strip.name, scene.frame_current):
                    self.plans.show_preview(scene, image_strip, scene.frame_current, name)

    def _note_previews(self) -> None:
        for scene, image_strip, name in self.plans.looked_at():
            self._previews[name] = (scene.name, image_strip.name, scene.frame_current)
        while len(self._previews) > _PREVIEWS:
            del self._previews[next(iter(self._previews))]

    def _failed(self, error: errors.ProtocolError, names: list[str]) -> None:
        """Orders could not be carried out: say why, and wait for an edit or a click rather than ask again and again."""
        frames = self.feeder.failed(names)
        if error.code == errors.SERVER_GONE:
            return  # _watch_server sees to it
        if error.code == errors.SOURCE_MISSING:
            self.plans.store.discard({frame.colour for frame in frames})  # damaged: to be generated again
            self._moved = True
            return
        self.halt(str(error))

    def redraw(self) -> None:
        """Let the Sequencers, our tab and the preferences draw again; a 3D scene takes long, and need not."""
        for window in bpy.context.window_manager.windows:
            for area in window.screen.areas:
                if area.type in {"SEQUENCE_EDITOR", "PREFERENCES"}:
                    area.tag_redraw()
                elif area.type == "VIEW_3D":
                    for region in area.regions:
                        if region.type == "UI":
                            region.tag_redraw()


session = Session()
