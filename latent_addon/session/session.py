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
from collections.abc import Callable, Sequence
from typing import Any

import bpy
from bpy.types import ImageStrip, Scene

from ...lantern_protocol import errors, methods
from ...lantern_protocol.answers import FramesFailed, FramesMade
from ...lantern_protocol.methods import A, Method, P
from ..core.frame_request import GeneratorFacts
from ..core.wanting import FrameWanter
from ..plans.plans import Plans
from ..plans.strips import Strips
from ..preferences import preferences
from ..scene import changes
from ..scene.frame_folder import frame_folder
from ..server.client import ServerState
from .feeding import Feeder
from .keeper import ServerKeeper
from .showing import Showing
from .states import SessionState, States
from .wanters import Wanters

logger = logging.getLogger(__name__)

GIGABYTE = 1e9

_PLAN_AGAIN = 0.25
"""Seconds between plans while frames arrive and nothing but their arrival is known to have changed the scene."""

_PLAN_SHARE = 10
"""Such plans take at most one part in so many of the time, because thousands of curves (W+) take long to read."""

_LOOK_AGAIN = 1.0
"""Seconds between looks at the frame folder, for files that others add or delete."""


class Session:
    """The add-on at work. One for each Blender; `arm` and everything else is for the main thread only."""

    def __init__(self) -> None:
        self._states = States()
        self.keeper = ServerKeeper(self, self._on_notification)
        self.client = self.keeper.client
        self.feeder = Feeder(self.client, self._failed)
        self.plans = Plans(self._plan_changed, self._may_make)
        self.strips = Strips(self.plans, self._may_make, self.halt)
        self.wanters = Wanters(self.strips)
        self.showing = Showing(self.plans, self.redraw)
        self.turn = 0.015
        """Seconds of each tick in which plans are brought up to date. Blender works between the ticks."""
        self._looked = 0.0
        self._planned = 0.0
        self._plan_again = _PLAN_AGAIN
        self._pass_took = 0.0
        self._news = True
        """Whether changes that the pass under way finds came after the user last asked for frames or stopped."""
        self._budget_due = False
        self._lacked = False
        """Whether strips have lacked frames since the frame budget was last kept."""
        self._lost: list[FrameWanter] = []
        """The wanters whose frames were on order when the server died, since it last made a frame."""
        self._moved = True
        """Whether any plan has changed since the feeder was last asked."""
        self._asked = False
        """Whether the user asked for the missing frames by hand."""

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
            return
        self.keeper.watch()
        self.showing.show_arrived(at_once=not self.feeder.busy_for(self.strips))
        if not self.plans.held_up():
            self._follow_changes()
        self._feed()

    def _follow_changes(self) -> None:
        behind = self.plans.behind
        if not behind:
            if self.armed and self.plans.store.look_closer():
                self.plans.store.take_news()
                self._note_files()
            if self.plans.postponed and not self.plans.playing():
                changes.mark()
        rested = not self.feeder.busy_for(self.strips) or time.monotonic() - self._planned > self._plan_again
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
        if not self.making:
            self._states.arm()
            self.keeper.forgive()
            self._moved = True
            changes.mark()

    def make_missing(self) -> None:
        """Make what is missing although frames are not made automatically."""
        self.arm()
        changes.take(hints=True)
        self.plans.store.doubt()
        self.showing.show_arrived(at_once=True)
        self._begin_pass(news=False)
        self._plan(self.turn)
        self._asked = self._moved = True
        self._feed()  # replaces orders from before an edit, whose errors then no longer count

    def halt(self, reason: str) -> None:
        """Make no more frames until something changes or the user asks again."""
        self.feeder.cancel()
        self._states.halt(reason)
        self._news = False
        if self.state is not SessionState.RENDERING:
            self.showing.show_arrived(at_once=True)
            self.plans.settle()
        self.redraw()

    def begin_render(self) -> None:
        """A render begins: strips must not change under it."""
        self._states.begin_render()

    def end_render(self) -> None:
        """The render is over: return to the state before it."""
        self._states.end_render()

    def forget_file(self) -> None:
        """Another file is being opened: drop every plan and job, and touch nothing until the user asks."""
        self.feeder.cancel()
        self.plans.forget()
        self.wanters.forget_file()
        self.showing.forget_file()
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
        self.redraw()

    def _plan_changed(self) -> None:
        """Note that a plan has changed. After an edit, a halt ends, and an earlier `make_missing` no longer counts."""
        self._moved = True
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
            self.feeder.cancel()
            self.plans.use_folder(folder)
            for wanter in self.wanters.others:  # a pass over the strips follows in any case
                wanter.look_again(self.plans.store.names())

    def _look_at_folder(self) -> None:
        self._looked = time.monotonic()
        self.plans.store.names()
        if self.plans.store.take_news():
            self._note_files()  # someone deleted frames, or a server died before it reported some

    def _note_files(self) -> None:
        for wanter in self.wanters:
            wanter.look_again(self.plans.store.names())

    def files_in_use(self) -> set[str]:
        """Return the names of all files that strips and other wanters need."""
        return self.wanters.files_in_use()

    def _keep_to_budget(self) -> None:
        self._budget_due = self._lacked = False
        removed = self.plans.store.enforce_budget(round(preferences().budget * GIGABYTE), self.files_in_use())
        if removed.over:
            self.halt(
                f"The frames in use take {removed.over / GIGABYTE:.1f} GB more than the frame budget. "
                "Raise the budget in the preferences, or shorten strips; nothing in use was deleted."
            )

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

    def ask(self, method: Method[P, A], params: P, then: Callable[[A], None], failed: Callable[[str], None]) -> None:
        """Ask the server, which is started if need be. One of the two callbacks follows, now or from a later tick."""
        self.keeper.ask(method, params, then, failed)

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
        self.make_missing()
        self.tick()

        def ended() -> bool:
            if self.plans.store.unchecked or self.plans.behind:
                return False
            # A file may be seen in the folder before the server's word of it arrives. A strip with a problem of its own
            # will lack frames for ever.
            busy = self.feeder.busy_for(self.strips)
            return not self.making or not (busy or any(not self.problem(each) for each in lacking()))

        def lacking() -> list[ImageStrip]:
            scenes = [scene] if scene else list(bpy.data.scenes)
            return [image_strip for each in scenes for image_strip, _ in self.plans.missing(each)]

        in_time = self.wait(ended, timeout)
        self.showing.show_arrived(at_once=True)
        self.plans.settle()
        return in_time and self.making and not lacking()

    def shut_down(self) -> None:
        """End the server and forget everything; the add-on is being disabled."""
        self.forget_file()
        self.client.stop()

    def _feed(self) -> None:
        if not self.making:
            return
        present = self.plans.store.names()
        # While a pass is under way it is not known what strips lack: nothing that comes after them is ordered.
        lacking = self.wanters.first_lacking(urgent_only=self.plans.behind)
        if not (self._moved or self.feeder.is_due(lacking, present)):
            return
        self._moved = False
        strips_lack = self.strips.lacks
        self._lacked |= strips_lack
        if not (strips_lack or self.plans.behind):
            self._strips_finished(others_lack=bool(lacking))
        if lacking and self.making:
            self.start_server()
        if lacking and self.making:
            self.feeder.feed(lacking, present, self.plans.folder.path)
            if self.strips in lacking:
                self.showing.note_ordered()

    def _strips_finished(self, others_lack: bool) -> None:
        if not others_lack:
            self.feeder.cancel()
        self._asked = False
        # The budget is kept once for the strips, and once more when the others have what they want.
        if self._budget_due and (self._lacked or not others_lack) and not self.plans.store.unchecked:
            self._keep_to_budget()

    def add_wanter(self, wanter: FrameWanter) -> None:
        """Make the frames that something other than the strips wants, in the order of priorities, until it is removed.

        Nothing is made before the session is armed, and opening another file removes every wanter except the strips.
        """
        self.wanters.add(wanter)
        self._moved = True

    def remove_wanter(self, wanter: FrameWanter) -> None:
        """Make no more frames for a wanter. What is made stays, but the frame budget may delete it."""
        self.wanters.remove(wanter)
        self._take_back(wanter)

    def wanter_changed(self, wanter: FrameWanter) -> None:
        """Look at a wanter's plans again, and ask for its frames again if they failed before."""
        self.wanters.forgive(wanter)
        self._moved = True

    def _take_back(self, wanter: FrameWanter) -> None:
        if self.feeder.busy_for(wanter):
            self.feeder.cancel()  # orders of others in the same job are ordered again
        self._moved = True

    def _give_up(self, wanters: list[FrameWanter], reason: str) -> None:
        """Frames of these wanters cannot be made: tell them. For the strips, the session halts.

        Any other wanter is not asked again before it changes, and all others continue.
        """
        for wanter in wanters:
            self.wanters.give_up(wanter, reason)
            if wanter is not self.strips:
                self._take_back(wanter)

    def _may_make(self) -> bool:
        return self.making and (preferences().make_automatically or self._asked)

    def _on_notification(self, method: str, params: dict[str, Any]) -> None:
        if method == methods.FRAMES_MADE:
            self._made(FramesMade.from_json(params))
        elif method == methods.FRAMES_FAILED:
            failed = FramesFailed.from_json(params)
            if failed.job == self.feeder.job:
                self._failed(failed.error, list(failed.names), self._ordered_for(failed.names))

    def _made(self, made: FramesMade) -> None:
        there = self.plans.store.note_made(made.names)
        if len(there) < len(made.names) and made.job == self.feeder.job:
            self._give_up(
                self._ordered_for(made.names),
                f"The inference server says that it made {made.names[0]}, but it is not in {self.plans.folder.path}. "
                "Look whether something deletes files there, then try again.",
            )
        self.feeder.made(there)
        self.strips.made(there)
        self._budget_due = True
        self._lost = []
        self.keeper.forgive()
        self.showing.note_made(there)
        for wanter in self.wanters.others:
            wanter.made(there)

    def _ordered_for(self, names: Sequence[str]) -> list[FrameWanter]:
        """Return the wanters of these frames; the strips if none of the frames is on order."""
        return self.feeder.wanters_of(names) or [self.strips]

    def _failed(self, error: errors.ProtocolError, names: list[str], wanters: list[FrameWanter]) -> None:
        """Orders could not be carried out: say why, and wait for an edit or a click rather than ask again and again."""
        frames = self.feeder.failed(names)
        if error.code == errors.SERVER_GONE:
            if names:  # else all were made, and only the answer was lost
                self._lost += wanters
            return  # the keeper starts it again, or reports that it is lost
        if error.code == errors.SOURCE_MISSING:
            self.plans.store.discard({frame.colour for frame in frames})  # damaged: to be generated again
            self._moved = True
            return
        self._give_up(wanters, str(error))

    def server_lost(self, reason: str) -> None:
        """The server died again and again. If it died only over frames that come after the strips, give those up."""
        lost, self._lost = self._lost, []
        if lost and self.strips not in lost:
            self._give_up([wanter for wanter in self.wanters if wanter in lost], reason)
            self.keeper.forgive()  # it is started again, without the orders that it died of
        else:
            self.halt(reason)

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
