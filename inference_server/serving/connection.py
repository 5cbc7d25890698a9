"""The pipe to the add-on."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

from lantern_protocol import framing
from lantern_protocol.answers import WorkProgress
from lantern_protocol.errors import INTERNAL_ERROR, ProtocolError
from lantern_protocol.methods import LOG, PROGRESS, Body


class Connection:
    """The pipe to the add-on. Messages are written whole, from any thread."""

    def __init__(self, output: BinaryIO, on_lost: Callable[[], None]):
        self._output = output
        self._on_lost = on_lost
        self._lock = threading.Lock()

    def send(self, message: dict[str, Any]) -> None:
        """Write one message. If nobody reads the pipe any more, the server ends."""
        data = framing.encode_message(message)
        try:
            with self._lock:
                self._output.write(data)
                self._output.flush()
        except (OSError, ValueError):
            self._on_lost()

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """Send a notification."""
        self.send(framing.notification(method, params))

    def log(self, level: str, text: str) -> None:
        """Send a line for the add-on's log, and keep it on stderr."""
        with contextlib.suppress(OSError, ValueError):  # nobody reads stderr any more
            print(f"{level}: {text}", file=sys.stderr, flush=True)
        self.notify(LOG, {"level": level, "text": text})


class Asker:
    """The sender of a request. It is answered once, and is told about progress, from any thread.

    identity: the id of the request; None if it has no id that can be repeated.
    """

    def __init__(self, connection: Connection, identity: int | str | None, wanted: bool):
        self.identity = identity
        self._connection = connection
        self._wanted = wanted

    def __call__(self, outcome: Body | ProtocolError) -> None:
        """Answer with the method's answer or an error. A message without an id wants no answer."""
        if not self._wanted:
            return
        try:
            if isinstance(outcome, ProtocolError):
                self._connection.send(framing.failure(self.identity, outcome))
            else:
                self._connection.send(framing.result(self.identity, outcome.to_json()))
        except ProtocolError as error:
            self._connection.send(framing.failure(self.identity, error))
        except Exception as error:  # NaN, or what is no answer: a mistake of ours must not end the server
            text = f"The answer cannot be sent: {error}"
            self._connection.send(framing.failure(self.identity, ProtocolError(INTERNAL_ERROR, text)))

    def progress(self, done: int, total: int) -> None:
        """Tell how far the request is."""
        if self.identity is not None:
            self._connection.notify(PROGRESS, WorkProgress(self.identity, done, total).to_json())
