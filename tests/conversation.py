"""A client and a fake server that exchange messages, and a record of the results, for tests of the client."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_pictures
import fake_server
from latent_lantern.lantern_protocol import errors, orders
from latent_lantern.latent_addon.server.client import InferenceClient, ServerState
from latent_lantern.latent_addon.server.log import LogHandler

SERVER = Path(fake_server.__file__)
PATIENCE = 20.0
"""Seconds that a test waits for an event. Only a slow machine or a faulty client needs them."""

_GREETING = f"""
import sys, time
sys.path.insert(0, {str(SERVER.parent.parent)!r})
from lantern_protocol import framing, versions
def send(message):
    sys.stdout.buffer.write(framing.encode_message(message))
    sys.stdout.buffer.flush()
messages = framing.read_messages(sys.stdin.buffer)
greeting = {{
    "protocol": versions.PROTOCOL_VERSION,
    "pixel_revision": versions.PIXEL_REVISION,
    "server": versions.SERVER_VERSION,
}}
send(framing.result(next(messages)["id"], greeting))
"""


def fake_command(*options: object) -> list[str]:
    """The command line of a fake server."""
    return [sys.executable, str(SERVER), *map(str, options)]


def scripted(code: str) -> list[str]:
    """The command line of a server that answers the greeting, then runs `code`.

    The code has `send`, `messages`, `framing`, `versions`, `sys` and `time`.
    """
    return [sys.executable, "-c", _GREETING + code]


def eventually(happened: Callable[[], bool], timeout: float = PATIENCE) -> bool:
    """Wait until `happened()` is true, checked every few milliseconds; return whether it became true."""
    deadline = time.monotonic() + timeout
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def is_running(pid: int) -> bool:
    """Return whether a process with that id exists; a zombie counts."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class Conversation:
    """Starts a server and greets it. The end of the `with` block stops it and checks that its process is gone.

    notifications: (method, params) in order. results, errors, progress: by the number of the request.
    """

    def __init__(self, *options: object, command: list[str] | None = None, **settings: Any):
        self.command = command or fake_command(*options)
        self.notifications: list[tuple[str, dict[str, Any]]] = []
        self.states: list[ServerState] = []
        self.results: dict[int, dict[str, Any]] = {}
        self.errors: dict[int, errors.ProtocolError] = {}
        self.progress: dict[int, list[tuple[int, int]]] = {}
        self.client = InferenceClient(self._notified, self._changed, **settings)
        self._log = LogHandler(self.client.log)
        self.pids: list[int] = []

    def __enter__(self) -> Conversation:
        self._log.attach()
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.client.stop()
        self._log.detach()
        assert all(eventually(lambda pid=pid: not is_running(pid)) for pid in self.pids)

    def start(self) -> None:
        """Start the server; start it again if it has stopped."""
        self.client.start(self.command)
        if self.client.pid is not None:
            self.pids.append(self.client.pid)

    def until_ready(self) -> Conversation:
        """Wait for the greeting."""
        assert self.client.wait(lambda: self.client.state is ServerState.READY, PATIENCE), self.client.message
        return self

    def until_failed(self) -> str:
        """Wait for the end; return the message."""
        assert self.client.wait(lambda: self.client.state is ServerState.FAILED, PATIENCE), self.client.state
        return self.client.message

    def send(self, method: str, params: dict[str, Any] | None = None) -> int:
        """Send a request; return its number. Its answer goes to `results` or `errors`."""
        number: list[int] = []
        identity = self.client.request(
            method,
            params or {},
            lambda result: self.results.__setitem__(number[0], result),
            lambda error: self.errors.__setitem__(number[0], error),
            lambda done, total: self.progress.setdefault(number[0], []).append((done, total)),
        )
        number.append(identity)
        return identity

    def settled(self, *identities: int) -> bool:
        """Wait until these requests are answered; return whether the answers came in time."""
        return self.client.wait(lambda: all(i in self.results or i in self.errors for i in identities), PATIENCE)

    def ask(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request, wait, return its result or raise its error."""
        identity = self.send(method, params)
        assert self.settled(identity), self.client.message
        if identity in self.errors:
            raise self.errors[identity]
        return self.results[identity]

    def order(self, folder: Path, names: list[str], job: int = 1, **more: Any) -> int:
        """Order frames with these names from the built-in generator, each with a different latent."""
        rows = [fake_pictures.latent(seed, 8) for seed in range(len(names))]
        frames = [orders.FrameOrder(name, row).to_json() for row, name in enumerate(names)]
        params = {"job": job, "folder": str(folder), "space": "z", "latents": fake_pictures.pack_rows(rows)}
        generator = {"path": None, "sha256": fake_server.BUILT_IN_SHA256}
        return self.send("frames/generate", {**params, "generator": generator, "frames": frames, **more})

    def names(self, method: str) -> list[str]:
        """The names that `frames/made` or `frames/failed` has reported, in order."""
        return [name for told, params in self.notifications if told == method for name in params["names"]]

    def _notified(self, method: str, params: dict[str, Any]) -> None:
        self.notifications.append((method, params))

    def _changed(self) -> None:
        self.states.append(self.client.state)


def journal_of(path: Path) -> list[dict[str, Any]]:
    """The requests in a journal, in order."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
