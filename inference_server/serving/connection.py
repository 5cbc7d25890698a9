"""The pipe to the add-on."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

from lantern_protocol import framing
from lantern_protocol.methods import LOG


class Connection:
    """The pipe to the add-on. Messages are written whole, from any thread."""

    def __init__(self, output: BinaryIO, on_lost: Callable[[], None]):
        self._output = output
        self._on_lost = on_lost
        self._lock = threading.Lock()

    def send(self, message: dict[str, Any]) -> None:
        """Write one message; a pipe that nobody reads any more ends the server."""
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
