"""Operators that need an answer from the server before they can act."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy
from bpy.types import Context, Event, Operator

from ..scene.context import current_strip
from ..scene.strip import NoRoomError
from ..session.session import session
from .context import poll_scene, poll_strip

TIMEOUT = 300.0
"""Seconds that `execute` waits for an answer; importing torch from a cold disk takes a while."""

AT_ONCE = 0.2
"""Seconds to wait for an answer that a person does not notice."""

_OTHER_STRIP = "The strip is not selected any more, so nothing was changed. Select it and try again"


class AskingOperator(Operator):
    """An operator that asks the server in `ask`, and acts on the answer in `act`.

    With a window, a modal timer checks for the answer. Without a window, and when Blender repeats the operator (Adjust
    Last Operation, Repeat Last), `execute` waits.
    """

    @classmethod
    def poll(cls, context: Context) -> bool:
        return poll_scene(cls, context)

    _failed = ""
    _answer: Any = None
    _timer: Any = None

    def ask(self, context: Context, answered: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        """Ask the server; call `answered` or `failed`, now or later."""
        raise NotImplementedError

    def act(self, context: Context, answer: Any) -> set[str]:
        """Act on the answer; return what `execute` is to return."""
        raise NotImplementedError

    def _begin(self, context: Context) -> None:
        self._failed, self._answer = "", None
        session.arm()
        self.ask(context, self._take, self._fail)

    def _take(self, answer: Any) -> None:
        self._answer = answer

    def _fail(self, message: str) -> None:
        self._failed = message

    @property
    def _done(self) -> bool:
        return bool(self._failed) or self._answer is not None

    def execute(self, context: Context) -> set[str]:
        self._begin(context)
        # An operator that Blender repeats is in its list of finished operators. If it went modal, Blender would free
        # it twice, and crash.
        wait = bpy.app.background or self.options.is_repeat or self.options.is_repeat_last
        # A server that is running answers at once. Then the operator ends here, with or without a window.
        if session.wait(lambda: self._done, TIMEOUT if wait else AT_ONCE):
            return self._end(context)
        if wait:
            self._fail("The inference server has not answered. Its log, in the Server panel, may say why.")
            return self._end(context)
        self._timer = context.window_manager.event_timer_add(0.05, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def invoke(self, context: Context, _event: Event) -> set[str]:
        return self.execute(context)

    def modal(self, context: Context, event: Event) -> set[str]:
        if event.type == "ESC":
            self._stop_timer(context)
            return {"CANCELLED"}
        if event.type == "TIMER" and self._done:
            self._stop_timer(context)
            return self._end(context)
        return {"PASS_THROUGH"}

    def _stop_timer(self, context: Context) -> None:
        context.window_manager.event_timer_remove(self._timer)

    def _end(self, context: Context) -> set[str]:
        if self._failed:
            session.halt(self._failed)
            self.report({"ERROR"}, self._failed)
            return {"CANCELLED"}
        try:
            return self.act(context, self._answer)
        except NoRoomError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}


class AskingStripOperator(AskingOperator):
    """An asking operator on the current latent strip. It acts on no other strip, even if that is selected meanwhile."""

    any_generator = False
    _asked_about: tuple[str, str] | None = None

    @classmethod
    def poll(cls, context: Context) -> bool:
        return poll_strip(cls, context, cls.any_generator)

    def _begin(self, context: Context) -> None:
        self._asked_about = _strip_key(context)
        super()._begin(context)

    def _end(self, context: Context) -> set[str]:
        if not self._failed and _strip_key(context) != self._asked_about:
            self.report({"WARNING"}, _OTHER_STRIP)
            return {"CANCELLED"}
        return super()._end(context)


def _strip_key(context: Context) -> tuple[str, str] | None:
    strip = current_strip(context)
    return (strip.id_data.name, strip.name) if strip is not None else None
