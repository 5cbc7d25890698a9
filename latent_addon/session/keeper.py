"""Keeps the inference server: starts it, watches it, starts it again after a death, and asks it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from ...lantern_protocol import methods
from ...lantern_protocol.methods import A, Method, P
from ...lantern_protocol.params import DescribeParams
from ..core.frame_request import GeneratorFacts
from ..server import sentences
from ..server.client import InferenceClient, OnProgress, ServerState
from ..server.launch import server_command
from .describing import location_of
from .runtime import SERVER_ROOT, runtime

logger = logging.getLogger(__name__)

_RESTARTS = 2
"""How often a server is started again without a frame in between."""

_FAREWELL = 0.5
"""Seconds in which a server may end on its own when Blender must wait for its end."""


class ServerUser(Protocol):
    """Something that needs the server, and is told about problems with it; the session is one."""

    @property
    def armed(self) -> bool:
        """Whether the user has asked for something in this file."""
        ...

    @property
    def halted(self) -> str:
        """Why no frames are made; "" while there is no halt."""
        ...

    @property
    def making(self) -> bool:
        """Whether missing frames are made, so that the server is needed."""
        ...

    def arm(self) -> None:
        """Make missing frames from now on."""
        ...

    def halt(self, reason: str) -> None:
        """Make no more frames, for a reason that a person can read."""
        ...

    def server_lost(self, reason: str) -> None:
        """The server has died too often, or cannot be started. It is started again only after a call of `forgive`."""
        ...

    def redraw(self) -> None:
        """Show what has changed."""
        ...


class ServerKeeper:
    """Keeps one inference server for its user. Everything is for the main thread only.

    client: the conversation with the server. without_python: whether frames wait for a Python that can run the server.
    """

    def __init__(self, user: ServerUser, on_notification: Callable[[str, dict[str, Any]], None]) -> None:
        self.client = InferenceClient(on_notification, self._on_change)
        self.without_python = False
        self._user = user
        self._was_ready = False
        self._restarts = 0

    def start(self) -> None:
        """Start the server unless it runs. A Python that cannot be used halts the user, with a sentence."""
        if self.client.state in (ServerState.STARTING, ServerState.READY):
            return
        if runtime.problem:
            runtime.look()  # another Blender may have set it up
        if runtime.problem:
            self._user.halt(runtime.problem)
            self.without_python = True
            return
        self._was_ready = self.without_python = False
        self.client.start(*server_command(runtime.python, SERVER_ROOT))

    def leave_python(self) -> None:
        """End the server and wait for its end: its Python is about to be replaced or removed."""
        self.client.stop(_FAREWELL)

    def inference_changed(self) -> None:
        """What inference runs on has changed: continue with what had to wait for that."""
        if self.without_python and not (runtime.problem or self.client.unfit or self.client.other_version):
            self.without_python = False
            if self._user.armed:
                self._user.arm()
        self._user.redraw()

    def _on_change(self) -> None:
        self._was_ready |= self.client.state is ServerState.READY
        self.without_python |= self.client.unfit or self.client.other_version
        self._user.redraw()

    def watch(self) -> None:
        """After a death in the middle of work, start again; but not again and again without a frame in between."""
        if self.client.state is not ServerState.FAILED or not self._user.making:
            return
        if self._was_ready and self._restarts < _RESTARTS:
            self._restarts += 1
            self.start()
        else:
            self._user.server_lost(self.client.message)

    def forgive(self) -> None:
        """Forget earlier deaths: the server has made frames since, or the user asks again."""
        self._restarts = 0

    def ask(
        self,
        method: Method[P, A],
        params: P,
        then: Callable[[A], None],
        failed: Callable[[str], None],
        on_progress: OnProgress | None = None,
    ) -> int | None:
        """Ask the server, which is started if need be. One of the two callbacks follows, now or from a later tick.

        An answer that `then` cannot read is a failure, because the caller would wait for ever. on_progress: called with
        `done` and `total` before that, if the server answers by long work. Returns a number for `cancel`, None if
        `failed` was called already.
        """

        def answered(answer: A) -> None:
            try:
                then(answer)
            except (LookupError, TypeError, ValueError, OverflowError) as error:
                logger.exception("an answer is of no use")
                failed(sentences.useless(error))

        self.start()
        if self._user.halted:
            failed(self._user.halted)
            return None
        return self.client.ask(method, params, answered, lambda error: failed(str(error)), on_progress)

    def cancel(self, number: int) -> None:
        """End the long work that answers a request; `failed` follows, unless the answer is on its way already."""
        self.client.cancel(number)

    def describe(self, path: str, then: Callable[[GeneratorFacts], None], failed: Callable[[str], None]) -> None:
        """Ask what a checkpoint is; `path` as a strip holds it, "" for the built-in one."""
        params = DescribeParams(location_of(path))
        self.ask(methods.DESCRIBE, params, lambda answer: then(GeneratorFacts.of(answer)), failed)
