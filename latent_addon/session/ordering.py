"""Orders the frames that are missing, and deals with what becomes of the orders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ...lantern_protocol import errors, methods
from ...lantern_protocol.answers import FramesFailed, FramesMade
from ..core.wanting import FrameWanter
from ..plans.plans import Plans
from ..plans.strips import Strips
from .budget import FrameBudget
from .feeding import Feeder
from .keeper import ServerKeeper
from .showing import Showing
from .wanters import Wanters


class OrderingUser(Protocol):
    """Something for which frames are ordered; the session is one."""

    @property
    def making(self) -> bool:
        """Whether missing frames are made."""
        ...

    def halt(self, reason: str) -> None:
        """Make no more frames, for a reason that a person can read."""
        ...

    def strips_finished(self) -> None:
        """No frame of a strip is missing."""
        ...


class Ordering:
    """Orders what the wanters lack, by priority, and tells them what was made and what failed.

    feeder: the orders that are under way. wanters: what wants frames, the strips first. Everything is for the main
    thread only.
    """

    def __init__(
        self, user: OrderingUser, keeper: ServerKeeper, plans: Plans, strips: Strips, showing: Showing
    ) -> None:
        self.feeder = Feeder(keeper.client, self._failed)
        self.wanters = Wanters(strips)
        self._user = user
        self._keeper = keeper
        self._plans = plans
        self._strips = strips
        self._showing = showing
        self._budget = FrameBudget(plans, user.halt)
        self._lost: list[FrameWanter] = []
        """The wanters whose frames were on order when the server died, since it last made a frame."""
        self._moved = True
        """Whether any plan has changed since the feeder was last asked."""

    def moved(self) -> None:
        """A plan has changed, or the user has asked: the next `feed` looks at all plans."""
        self._moved = True

    def feed(self) -> None:
        """Order what is missing, unless the same is on order. Starts the server if it is needed."""
        if not self._user.making:
            return
        present = self._plans.store.names()
        # While a pass is under way it is not known what strips lack: nothing that comes after them is ordered.
        lacking = self.wanters.first_lacking(urgent_only=self._plans.behind)
        if not (self._moved or self.feeder.is_due(lacking, present)):
            return
        self._moved = False
        if self._strips.lacks:
            self._budget.note_lacking()
        elif not self._plans.behind:
            self._strips_finished(others_lack=bool(lacking))
        if lacking and self._user.making:
            self._keeper.start()
        if lacking and self._user.making:
            nameless = self.feeder.feed(lacking, present, self._plans.folder.path)
            # A strip whose generator is being changed is planned again, or shows a problem of its own.
            others = [wanter for wanter in nameless if wanter is not self._strips]
            self._give_up(others, "The generator of these frames is not known any more. Choose it again.")
            if self._strips in lacking:
                self._showing.note_ordered()

    def _strips_finished(self, others_lack: bool) -> None:
        if not others_lack:
            self.feeder.cancel()
        self._user.strips_finished()
        self._budget.strips_finished(others_lack, self.wanters.files_in_use)

    def look_again(self) -> None:
        """Files were added to the folder or deleted by others: let every wanter note which are there."""
        for wanter in self.wanters:
            wanter.look_again(self._plans.store.names())

    def folder_changed(self) -> None:
        """The frame folder is another one. A pass over the strips must follow."""
        self.feeder.cancel()
        for wanter in self.wanters.others:
            wanter.look_again(self._plans.store.names())

    def forget_file(self) -> None:
        """Another file is being opened: drop the orders, and every wanter except the strips."""
        self.feeder.cancel()
        self.wanters.forget_file()

    def add(self, wanter: FrameWanter) -> None:
        """Order frames of one more wanter, until it is removed."""
        self.wanters.add(wanter)
        self._moved = True

    def remove(self, wanter: FrameWanter) -> None:
        """Order no more frames of a wanter, and take back what is on order."""
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
            if wanter is not self._strips:
                self._take_back(wanter)

    def notified(self, method: str, params: dict[str, Any]) -> None:
        """Take in a notification of the server: frames were made, or failed. Raises ProtocolError if it is damaged."""
        if method == methods.FRAMES_MADE:
            self._made(FramesMade.from_json(params))
        elif method == methods.FRAMES_FAILED:
            failed = FramesFailed.from_json(params)
            if failed.job == self.feeder.job:
                self._failed(failed.error, list(failed.names), self._ordered_for(failed.names))

    def _made(self, made: FramesMade) -> None:
        there = self._plans.store.note_made(made.names)
        if len(there) < len(made.names) and made.job == self.feeder.job:
            self._give_up(
                self._ordered_for(made.names),
                f"The inference server says that it made {made.names[0]}, but it is not in {self._plans.folder.path}. "
                "Look whether something deletes files there, then try again.",
            )
        self.feeder.made(there)
        for wanter in self.wanters:
            wanter.made(there)
        self._budget.note_made()
        self._lost = []
        self._keeper.forgive()
        self._showing.note_made(there)

    def _ordered_for(self, names: Sequence[str]) -> list[FrameWanter]:
        """Return the wanters of these frames; the strips if none of the frames is on order."""
        return self.feeder.wanters_of(names) or [self._strips]

    def _failed(self, error: errors.ProtocolError, names: list[str], wanters: list[FrameWanter]) -> None:
        """Orders could not be carried out: say why, and wait for an edit or a click rather than ask again and again."""
        frames = self.feeder.failed(names)
        if error.code == errors.SERVER_GONE:
            if names:  # else all were made, and only the answer was lost
                self._lost += wanters
            return  # the keeper starts it again, or reports that it is lost
        if error.code == errors.SOURCE_MISSING:
            self._plans.store.discard({frame.colour for frame in frames})  # damaged: to be generated again
            self._moved = True
            return
        self._give_up(wanters, str(error))

    def server_lost(self, reason: str) -> None:
        """The server died again and again. If it died only over frames that come after the strips, give those up."""
        lost, self._lost = self._lost, []
        if lost and self._strips not in lost:
            self._give_up([wanter for wanter in self.wanters if wanter in lost], reason)
            self._keeper.forgive()  # it is started again, without the orders that it died of
        else:
            self._user.halt(reason)
