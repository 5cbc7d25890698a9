"""What joins the open file to the server: plans, the store, the jobs under way. Nothing of it is saved in the .blend.

Data flows one way: F-curves -> evaluated latents -> requests -> missing ones -> server -> files -> strip elements. A
timer calls `tick`, which never waits; operators without a window, and tests, call `fill`, which waits.
Opening a file starts nothing: until the user asks for something (`arm`), frames that are there are shown, and no
interpreter, checkpoint or folder is touched.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

import bpy
from bpy.types import ImageStrip, Scene

from ...lantern_protocol.methods import A, Method, P
from ..core.frame_request import GeneratorFacts
from ..core.wanting import FrameWanter
from ..plans.plans import Plans
from ..plans.strips import Strips
from ..preferences import preferences
from ..scene import changes
from ..scene.frame_folder import frame_folder
from ..server.client import OnProgress, ServerState
from .keeper import ServerKeeper
from .ordering import Ordering
from .rendering import RenderWatch
from .showing import Showing
from .states import SessionState, States

logger = logging.getLogger(__name__)

_PLAN_AGAIN = 0.25
"""Seconds between plans while frames arrive and nothing but their arrival is known to have changed the scene."""

_PLAN_SHARE = 10
"""Such plans take at most one part in so many of the time, because thousands of curves (W+) take long to read."""

_TURN_SHARE = 0.25
"""If Blender takes long between the ticks, because it draws many strips, a turn is that share of the time. Shorter
turns would make nothing smoother."""

_REDRAW_AGAIN = 0.25
"""Seconds between drawing the tab again while a pass is under way. With many strips this takes longer than a turn."""

_LOOK_AGAIN = 1.0
"""Seconds between looks at the frame folder, for files that others add or delete."""


class Session:
    """The add-on at work. One for each Blender; `arm` and everything else is for the main thread only."""

    def __init__(self) -> None:
        self._states = States()
        self.keeper = ServerKeeper(self, lambda method, params: self.ordering.notified(method, params))
        self.client = self.keeper.client
        self.plans = Plans(self._plan_changed, self._may_make)
        self.strips = Strips(self.plans, self._may_make, self.halt)
        self.showing = Showing(self.plans, self.redraw)
        self.ordering = Ordering(self, self.keeper, self.plans, self.strips, self.showing)
        self.feeder = self.ordering.feeder
        self.renders = RenderWatch(self)
        self.turn = 0.015
        self.longest_turn = 0.1
        """Seconds of each tick in which plans are brought up to date: at least, and at most. Blender works between."""
        self._looked = 0.0
        self._planned = self._redrawn = self._ticked = 0.0
        self._plan_again = _PLAN_AGAIN
        self._pass_took = 0.0
        self._news = True
        """Whether changes that the pass under way finds came after the user last asked for frames or stopped."""
        self._asked = False
        """Whether the user asked for the missing frames by hand."""
        self._asked_before = False
        """The same, before frames were made for a render."""

    @property
    def state(self) -> SessionState:
        """What the session does about missing frames now."""
        return self._states.state

    @property
    def armed(self) -> bool:
        """Whether the user has asked for something in this file; also during a halt and during a render."""
        return self._states.armed

    @property
    def halted(self) -> str:
        """The sentence that says why no frames are made although some are missing; "" while there is no halt."""
        return self._states.halted

    @property
    def making(self) -> bool:
        """Whether missing frames are made: armed, and not halted. A render does not change it."""
        return self._states.making

    @property
    def without_python(self) -> bool:
        """Whether frames wait for a Python that can run the server."""
        return self.keeper.without_python

    def tick(self) -> None:
        """Take in what has arrived, plan again what has changed, ask for what is missing. Never waits."""
        self.client.drain()
        if self.state is SessionState.RENDERING:
            if self.renders.look():
                self.redraw()
            return
        self.keeper.watch()
        self.showing.show_arrived(at_once=not self.feeder.busy_for(self.strips))
        if not self.plans.held_up():
            self._follow_changes()
        self.ordering.feed()
        self._ticked = time.monotonic()

    def _follow_changes(self) -> None:
        behind = self.plans.behind
        if not behind:
            if self.armed and self.plans.store.look_closer():
                self.plans.store.take_news()
                self.ordering.look_again()
            if self.plans.postponed and not self.plans.playing():
                changes.mark()
        rested = not self.feeder.busy_for(self.strips) or time.monotonic() - self._planned > self._plan_again
        if changes.take(hints=rested and not behind):
            self._begin_pass(news=True)
        elif not behind and time.monotonic() - self._looked > _LOOK_AGAIN:
            self._look_at_folder()
        pause = time.monotonic() - self._ticked
        self._plan(max(self.turn, min(self.longest_turn, pause * _TURN_SHARE)))

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
        if not self.making:
            self._states.arm()
            self.keeper.forgive()
            self.ordering.moved()
            changes.mark()

    def make_missing(self) -> None:
        """Make what is missing although frames are not made automatically."""
        self.arm()
        changes.take(hints=True)
        self.plans.store.doubt()
        self.showing.show_arrived(at_once=True)
        self._begin_pass(news=False)
        self._plan(self.turn)
        self._asked = True
        self.ordering.moved()
        self.ordering.feed()  # replaces orders from before an edit, whose errors then no longer count

    def make_for_render(self, scene: Scene, frames: range | None = None) -> None:
        """Make what is missing, first of all what a render of the scene shows.

        frames: the scene's frames that are rendered, if they are not all of its range.
        """
        self._asked_before = self._asked
        frames = frames or range(scene.frame_start, scene.frame_end + 1)
        self.strips.before_render = scene.name, (frames.start + frames.stop - 1) // 2
        self.make_missing()

    def made_for_render(self) -> None:
        """The render may begin, or is not wanted any more: order frames as before, and none that only it wanted."""
        self.strips.before_render = None
        self._asked = self._asked_before
        self.feeder.cancel()
        self.ordering.moved()

    def halt(self, reason: str) -> None:
        """Make no more frames until something changes or the user asks again."""
        self.feeder.cancel()
        self._states.halt(reason)
        self._news = False
        if self.state is not SessionState.RENDERING:
            self.showing.show_arrived(at_once=True)
            self.plans.settle()
        self.redraw()

    def begin_render(self, scene: Scene) -> None:
        """A render begins: strips must not change under it."""
        self._states.begin_render()
        self.renders.begin(scene)

    def end_render(self) -> None:
        """The render is over: return to the state before it."""
        self._states.end_render()
        self.renders.end()

    def forget_file(self) -> None:
        """Another file is being opened: drop every plan and job, and touch nothing until the user asks."""
        self.ordering.forget_file()
        self.plans.forget()
        self.showing.forget_file()
        self.renders.forget()
        self._states.forget_file()
        changes.mark()

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
        """Continue the pass over all strips, if one is under way."""
        if not self.plans.behind:
            return
        started = time.monotonic()
        self.plans.writing = self.armed
        self.plans.work(seconds)
        self._pass_took += time.monotonic() - started
        if not self.plans.behind:
            self._planned = time.monotonic()
            self._plan_again = max(_PLAN_AGAIN, _PLAN_SHARE * self._pass_took)
        if not self.plans.behind or time.monotonic() - self._redrawn > _REDRAW_AGAIN:
            self._redrawn = time.monotonic()
            self.redraw()

    def _plan_changed(self) -> None:
        """Note that a plan has changed. After an edit, a halt ends, and an earlier `make_missing` no longer counts."""
        self.ordering.moved()
        if self._news:
            self._asked = False
            self._states.resume()

    def problem(self, image_strip: ImageStrip | None) -> str:
        """The one sentence that the panel shows: what stands in the strip's way, empty while nothing does."""
        state = self.plans.state_of(image_strip) if image_strip else None
        return (state.problem if state else "") or self.halted

    def find_folder(self) -> None:
        """Use the frame folder of the place where the open file is now, or the one in the preferences."""
        folder = frame_folder(preferences().frame_folder)
        if folder != self.plans.folder:
            self.plans.use_folder(folder)
            self.ordering.folder_changed()

    def _look_at_folder(self) -> None:
        self._looked = time.monotonic()
        self.plans.store.names()
        if self.plans.store.take_news():
            self.ordering.look_again()  # someone deleted frames, or a server died before it reported some

    def files_in_use(self) -> set[str]:
        """Return the names of all files that strips and other wanters need."""
        return self.ordering.wanters.files_in_use()

    def start_server(self) -> None:
        """Start the server unless it runs. A Python that cannot be used is a problem that the panel shows."""
        self.keeper.start()

    def leave_python(self) -> None:
        """What inference runs on is about to change: end the server that uses it, before its files go."""
        self.feeder.cancel()
        self.keeper.leave_python()

    def inference_changed(self) -> None:
        """What inference runs on has changed: continue with what had to wait for that."""
        self.keeper.inference_changed()

    def ask(
        self,
        method: Method[P, A],
        params: P,
        then: Callable[[A], None],
        failed: Callable[[str], None],
        on_progress: OnProgress | None = None,
    ) -> int | None:
        """Ask the server, which is started if need be. One of the two callbacks follows, now or from a later tick.

        on_progress: called with `done` and `total` before that, if the server answers by long work. Returns a number
        for `cancel_work`, None if `failed` was called already.
        """
        return self.keeper.ask(method, params, then, failed, on_progress)

    def cancel_work(self, number: int) -> None:
        """End the long work that answers a request; `failed` follows, unless the answer is on its way already."""
        self.keeper.cancel(number)

    def describe(self, path: str, then: Callable[[GeneratorFacts], None], failed: Callable[[str], None]) -> None:
        """Ask what a checkpoint is; `path` as a strip holds it, "" for the built-in one."""
        self.keeper.describe(path, then, failed)

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
        scenes = [scene] if scene else list(bpy.data.scenes)
        self.make_missing()
        return self._fill(lambda: [strip for each in scenes for strip, _ in self.plans.missing(each)], timeout)

    def fill_for_render(self, scene: Scene, frames: range | None = None, timeout: float = 3600.0) -> bool:
        """Make what a render of the scene would lack and wait for it; False when something stopped it.

        frames: the scene's frames that are rendered, if they are not all of its range.
        """

        def lacking() -> list[ImageStrip]:
            return [strip for strip, _ in self.plans.missing_in_render(scene, frames)[0]]

        rendering = self.state is SessionState.RENDERING
        if rendering:  # without a window, nothing else happens meanwhile
            self._states.end_render()
        self.make_for_render(scene, frames)
        filled = self._fill(lacking, timeout, part=True)
        self.made_for_render()
        if rendering:
            self._states.begin_render()
        return filled

    def _fill(self, lacking: Callable[[], list[ImageStrip]], timeout: float, part: bool = False) -> bool:
        """Wait until no strip is `lacking` any more. part: frames that others lack may still be on order then."""
        self.tick()

        def ended() -> bool:
            if self.plans.store.unchecked or self.plans.behind:
                return False
            # A file may be seen in the folder before the server's word of it arrives. A strip with a problem of its own
            # will lack frames for ever.
            left = lacking()
            busy = self.feeder.busy_for(self.strips) and (bool(left) or not part)
            return not self.making or not (busy or any(not self.problem(each) for each in left))

        in_time = self.wait(ended, timeout)
        self.showing.show_arrived(at_once=True)
        self.plans.settle()
        return in_time and self.making and not lacking()

    def shut_down(self) -> None:
        """End the server and forget everything; the add-on is being disabled."""
        self.forget_file()
        self.client.stop()

    def add_wanter(self, wanter: FrameWanter) -> None:
        """Make the frames that something other than the strips wants, in the order of priorities, until it is removed.

        Nothing is made before the session is armed, and opening another file removes every wanter except the strips.
        """
        self.ordering.add(wanter)

    def remove_wanter(self, wanter: FrameWanter) -> None:
        """Make no more frames for a wanter. What is made stays, but the frame budget may delete it."""
        self.ordering.remove(wanter)

    def wanter_changed(self, wanter: FrameWanter) -> None:
        """Look at a wanter's plans again, and ask for its frames again if they failed before."""
        self.ordering.wanter_changed(wanter)

    def strips_finished(self) -> None:
        """No frame of a strip is missing, so what the user asked for by hand is there."""
        self._asked = False

    def server_lost(self, reason: str) -> None:
        """The server died again and again, or cannot be started."""
        self.ordering.server_lost(reason)

    def _may_make(self) -> bool:
        return self.making and (preferences().make_automatically or self._asked)

    def redraw(self) -> None:
        """Redraw the Sequencers, the Lantern tab and the preferences, but no 3D scene, because that takes long."""
        for window in bpy.context.window_manager.windows:
            for area in window.screen.areas:
                if area.type in {"SEQUENCE_EDITOR", "PREFERENCES"}:
                    area.tag_redraw()
                elif area.type == "VIEW_3D":
                    for region in area.regions:
                        if region.type == "UI":
                            region.tag_redraw()


session = Session()
