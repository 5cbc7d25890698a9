"""The add-on's side of the conversation with the inference server.

Everything here is called from one thread, Blender's main thread, and calls back from there only: from `drain()`, which
a timer calls, and from `wait()`, which operators without a timer call. Only `wait` and `stop` wait for the server.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...lantern_protocol import errors, framing, methods, versions
from ...lantern_protocol.answers import Greeting, WorkProgress
from ...lantern_protocol.methods import A, Method, P
from ...lantern_protocol.params import CancelWorkParams, Hello
from . import sentences
from .process import LOG_LINES, ServerProcess

logger = logging.getLogger(__name__)

PING_EVERY = 2.0
RUBBISH_LIMIT = 20
_SUSPENDED_AFTER = 10.0
_PIPE_GRACE = 1.0

OnResult = Callable[[dict[str, Any]], None]
OnError = Callable[[errors.ProtocolError], None]
OnProgress = Callable[[int, int], None]
"""Receives the progress of long work: done, total."""


class ServerState(enum.Enum):
    """Where the server is in its life. FAILED is STOPPED with a reason; `start()` leaves both."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"


@dataclass(slots=True)
class _Request:
    on_result: OnResult
    on_error: OnError
    ours: bool = False  # a ping, a cancel or the greeting, which nobody but the client waits for
    on_progress: OnProgress | None = None


class InferenceClient:
    """Starts, guards and talks to one inference server.

    state, message: for the panel; the message is one or two sentences, "" when all is well. greeting: the server's
    answer to `initialize`, None until READY. log: the newest lines of the server's stderr; `log.LogHandler` puts what
    the add-on itself logs among them. unfit: whether the last server failed because its Python cannot run it: it could
    not be started, or ended by itself while starting. other_version: whether it was given up because it is of another
    release than this client.
    `on_notification(method, params)` receives the server's notifications, `on_change()` follows a change of `state`.
    patience, start_patience: seconds without a word, while an answer is due, after which a server is given up.
    """

    def __init__(
        self,
        on_notification: Callable[[str, dict[str, Any]], None],
        on_change: Callable[[], None] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        patience: float = 20.0,
        start_patience: float = 180.0,
    ):
        self.state = ServerState.STOPPED
        self.message = ""
        self.unfit = self.other_version = False
        self.greeting: Greeting | None = None
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self._on_notification = on_notification
        self._on_change = on_change
        self._clock = clock
        self._patience = patience
        self._start_patience = start_patience
        self._server: ServerProcess | None = None
        self._finalizer: weakref.finalize[..., InferenceClient] | None = None
        self._requests: dict[int, _Request] = {}
        self._last_identity = 0
        self._held: list[bytes] = []  # requests made before the server was READY
        self._lost: deque[tuple[OnError, errors.ProtocolError]] = deque()
        self._ahead: deque[dict[str, Any] | errors.ProtocolError | None] = deque()  # taken from the inbox by wait()
        self._rubbish = 0
        self._heard = self._pinged = self._drained = clock()
        self._gone_since: float | None = None
        self._again: Callable[[], None] | None = None
        """Starts the server once more."""

    @property
    def pid(self) -> int | None:
        """The process id of the server, None without one."""
        return None if self._server is None else self._server.pid

    @property
    def pending(self) -> int:
        """How many requests have had neither their result nor their error."""
        return sum(not request.ours for request in self._requests.values()) + len(self._lost)

    def start(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start the server and greet it; returns at once. Does nothing while one is starting or ready.

        `environment` is the whole environment of the process, None for Blender's own. See `launch.server_command`. A
        server that the system kills while it starts is started again once, and gets what was asked meanwhile.
        """
        if self._server is not None:
            return
        self._again = lambda: self._begin(command, environment)
        self._begin(command, environment)

    def _begin(self, command: Sequence[str], environment: Mapping[str, str] | None) -> None:
        self._heard = self._pinged = self._drained = self._clock()
        self._rubbish = 0
        self._gone_since = None
        try:
            server = ServerProcess(command, environment)
        except (OSError, ValueError) as error:
            self._finish(ServerState.FAILED, sentences.not_startable(command[0], error), unfit=True)
            return
        self._server = server
        # Blender may quit, or drop the client, without a call of `stop`. The server also ends when its stdin closes.
        self._finalizer = weakref.finalize(self, _kill_and_join, server)
        self._collect_log()
        logger.info("Started process %d: %s", server.pid, " ".join(command))
        client = f"latent-lantern {versions.SERVER_VERSION}"
        hello = Hello(versions.PROTOCOL_VERSION, versions.PIXEL_REVISION, client).to_json()
        greeted = _Request(self._greeted, self._not_greeted, ours=True)
        server.send(self._encode(methods.INITIALIZE.name, hello, greeted))
        self._set_state(ServerState.STARTING, "")

    def stop(self, patience: float = 2.0) -> None:
        """End the server: ask it to end, kill it after `patience` seconds, and wait until it is gone.

        What it still says is dropped; open requests get their errors with the next drain.
        """
        if self._server is not None:
            _see_off(self._server, self._ask_to_end(self._server, patience))
        self._finish(ServerState.STOPPED, "")

    def dismiss(self, patience: float = 2.0) -> None:
        """End the server as `stop` does, and return at once."""
        server, finalizer = self._server, self._finalizer
        if server is None or finalizer is None:
            return
        patience = self._ask_to_end(server, patience)

        def see_off() -> None:
            _see_off(server, patience)
            finalizer.detach()  # until then it is killed if Blender quits

        self._server = self._finalizer = None
        threading.Thread(target=see_off, name="lantern-farewell", daemon=True).start()
        logger.info("Process %d was asked to end.", server.pid)
        self._collect_log(server)
        self._finish(ServerState.STOPPED, "")

    def _ask_to_end(self, server: ServerProcess, patience: float) -> float:
        """Ask it, and return for how long it is worth waiting."""
        ready = self.state is ServerState.READY
        if ready:
            server.send(framing.encode_message(framing.request(self._next_identity(), methods.SHUTDOWN.name)))
        server.close()
        return patience if ready else 0.0  # One that is still importing reads no request.

    def kill(self) -> None:
        """End the server at once, whatever it is doing."""
        self._finish(ServerState.STOPPED, "")

    def ask(
        self,
        method: Method[P, A],
        params: P,
        answered: Callable[[A], None],
        failed: OnError,
        on_progress: OnProgress | None = None,
    ) -> int:
        """Call a method of the protocol. The callbacks are called as those of `request`.

        An answer that does not have the method's form is an error, so nothing unchecked reaches the caller.
        """

        def read(result: dict[str, Any]) -> None:
            try:
                answer = method.answer.from_json(result)
            except errors.ProtocolError as error:
                failed(errors.ProtocolError(errors.INTERNAL_ERROR, sentences.useless(error)))
                return
            answered(answer)

        return self.request(method.name, params.to_json(), read, failed, on_progress)

    def request(
        self,
        method: str,
        params: dict[str, Any],
        on_result: OnResult,
        on_error: OnError,
        on_progress: OnProgress | None = None,
    ) -> int:
        """Ask the server; one of the first two callbacks follows, from a later drain. Returns the request's number.

        `on_progress(done, total)` is called from drains before that, if the server answers by long work. Until the
        server is READY, requests wait for it; without a server, the error comes with the next drain.
        """
        if self._server is None:
            text = self.message or sentences.NOT_RUNNING
            self._lost.append((on_error, errors.ProtocolError(errors.SERVER_GONE, text)))
            return self._next_identity()
        if self.state is ServerState.READY and not self.pending:
            self._heard = self._pinged = self._clock()  # A server that was asked nothing has not been silent.
        try:
            data = self._encode(method, params, _Request(on_result, on_error, on_progress=on_progress))
        except errors.ProtocolError as error:  # longer than a message may be
            self._lost.append((on_error, error))
            return self._last_identity
        number = self._last_identity
        self._send_in_turn(self._server, data)
        return number

    def cancel(self, number: int) -> None:
        """Ask the server to give up the long work of a request; nothing happens if the request is answered already.

        The request's error follows, of code CANCELLED, or its outcome, if that was on its way, or if the server does
        not answer it by long work.
        """
        request = self._requests.get(number)
        if self._server is not None and request is not None and not request.ours:
            quiet = _Request(lambda _: None, lambda _: None, ours=True)
            self._send_in_turn(
                self._server, self._encode(methods.CANCEL_WORK.name, CancelWorkParams(number).to_json(), quiet)
            )

    def _send_in_turn(self, server: ServerProcess, data: bytes) -> None:
        if self.state is ServerState.READY:
            server.send(data)
        else:
            self._held.append(data)

    def drain(self, budget: float = 0.004) -> bool:
        """Dispatch what has arrived, in its order, for about `budget` seconds; return True if something happened.

        At least one message is dispatched. Also watches for the server's death and for silence.
        """
        deadline = time.monotonic() + budget
        now = self._clock()
        if now - self._drained > _SUSPENDED_AFTER:
            self._heard = self._pinged = now  # The machine slept, or Blender was busy: the server was not silent.
        self._drained = now
        happened = False
        for _ in range(len(self._lost)):
            if not self._lost or (happened and time.monotonic() >= deadline):
                return True
            on_error, error = self._lost.popleft()
            self._call(on_error, error)
            happened = True
        while (server := self._server) is not None:
            if happened and time.monotonic() >= deadline:
                break
            try:
                arrived = self._ahead.popleft() if self._ahead else server.inbox.get_nowait()
            except queue.Empty:
                happened |= self._watch(server, now)
                break
            server.taken()
            self._heard = self._pinged = now
            self._dispatch(server, arrived)
            happened = True
        self._collect_log()
        return happened

    def wait(self, until: Callable[[], bool], timeout: float) -> bool:
        """Drain until `until()` is true; return whether it was, within `timeout` seconds.

        Returns False early if there is no server and no callback is left that could make it true.
        """
        deadline = time.monotonic() + timeout
        while not until():
            remaining = deadline - time.monotonic()
            if remaining <= 0 or (self._server is None and not self._lost):
                return False
            if not self.drain() and self._server is not None:
                with contextlib.suppress(queue.Empty):
                    self._ahead.append(self._server.inbox.get(timeout=min(remaining, 0.05)))
        return True

    def _dispatch(self, server: ServerProcess, arrived: dict[str, Any] | errors.ProtocolError | None) -> None:
        if arrived is None:
            self._ended(server)
        elif isinstance(arrived, errors.ProtocolError):
            self._rubbish += 1
            self._collect_log()
            logger.warning("Not understood: %s", arrived)
            if self._rubbish > RUBBISH_LIMIT:
                self._finish(ServerState.FAILED, sentences.unintelligible(self._rubbish))
        else:
            self._rubbish = 0
            if "method" in arrived:
                self._notified(arrived)
            else:
                self._answered(arrived)

    def _notified(self, message: dict[str, Any]) -> None:
        method, params = message["method"], message.get("params", {})
        if not isinstance(method, str) or not isinstance(params, dict) or "id" in message:
            self._collect_log()
            logger.warning("Not understood: %s", errors.quoted(message))
            return
        if method == methods.PROGRESS:
            self._progressed(params)
        else:
            self._call(self._on_notification, method, params)

    def _progressed(self, params: dict[str, Any]) -> None:
        """Pass progress on to its request. Progress that comes after the answer is dropped."""
        try:
            progress = WorkProgress.from_json(params)
        except errors.ProtocolError:
            progress = None
        if progress is None or not isinstance(progress.id, int):  # our requests are numbered
            self._collect_log()
            logger.warning("Not understood: %s", errors.quoted(params))
            return
        request = self._requests.get(progress.id)
        if request is not None and request.on_progress is not None:
            self._call(request.on_progress, progress.done, progress.total)

    def _answered(self, message: dict[str, Any]) -> None:
        identity = message.get("id")
        request = None
        if isinstance(identity, int) and not isinstance(identity, bool):
            request = self._requests.pop(identity, None)
        if request is None:
            self._collect_log()
            logger.warning("An answer to nothing that was asked: %s", errors.quoted(message))
        elif "error" in message:
            self._call(request.on_error, errors.ProtocolError.from_json(message["error"]))
        elif isinstance(message.get("result"), dict):
            self._call(request.on_result, message["result"])
        else:
            text = f"The inference server answered without a result: {errors.quoted(message)}"
            self._call(request.on_error, errors.ProtocolError(errors.INTERNAL_ERROR, text))

    def _call(self, callback: Callable[..., None], *arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception:
            # One caller's mistake must not cost the others their answers.
            logger.exception("a callback failed")

    def _greeted(self, greeting: dict[str, Any]) -> None:
        wanted = {"protocol": versions.PROTOCOL_VERSION, "pixel_revision": versions.PIXEL_REVISION}
        if any(greeting.get(key) != value for key, value in wanted.items()):
            self._mismatched(greeting.get("server"))
            return
        assert self._server is not None
        try:
            self.greeting = Greeting.from_json(greeting)
        except errors.ProtocolError as error:
            self._not_greeted(error)
            return
        for data in self._held:
            self._server.send(data)
        self._held.clear()
        self._set_state(ServerState.READY, "")

    def _not_greeted(self, error: errors.ProtocolError) -> None:
        if error.code == errors.VERSION_MISMATCH:
            self._mismatched((error.data or {}).get("server"))
        else:
            self._finish(ServerState.FAILED, sentences.not_greeted(error), unfit=True)

    def _mismatched(self, version: object) -> None:
        self._finish(ServerState.FAILED, sentences.mismatched(version), other_version=True)

    def _watch(self, server: ServerProcess, now: float) -> bool:
        if server.returncode is not None:
            # Its end is on the way through the inbox, unless a child of its own keeps the pipe open.
            if self._gone_since is None:
                self._gone_since = now
            if now - self._gone_since < _PIPE_GRACE:
                return False
            self._ended(server)
            return True
        if self.state is not ServerState.STARTING and not self.pending:
            return False
        starting = self.state is ServerState.STARTING
        patience = self._start_patience if starting else self._patience
        if now - self._heard >= patience:
            self._finish(ServerState.FAILED, sentences.silent(starting, patience))
            return True
        if not starting and now - self._pinged >= PING_EVERY:
            self._pinged = now
            server.send(self._encode(methods.PING.name, {}, _Request(lambda _: None, lambda _: None, ours=True)))
        return False

    def _ended(self, server: ServerProcess) -> None:
        starting = self.state is ServerState.STARTING
        again, self._again = self._again, None
        if starting and again is not None and server.returncode == sentences.KILLED:
            logger.info("Process %d was killed while starting; it is started again.", server.pid)
            server.kill()
            self._collect_log(server)
            self._server = None
            self._requests = {number: request for number, request in self._requests.items() if not request.ours}
            self._ahead.clear()
            if self._finalizer is not None:
                self._finalizer.detach()
            again()
            return
        message = sentences.ended(starting, server.returncode, server.last_line)
        self._finish(ServerState.FAILED, message, unfit=starting and (server.returncode or 0) > 0)

    def _finish(self, state: ServerState, message: str, unfit: bool = False, other_version: bool = False) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.kill()
            logger.info(message or f"Stopped process {server.pid}.")
            self._collect_log(server)
        elif message:
            logger.info(message)
        if self._finalizer is not None:
            self._finalizer.detach()
            self._finalizer = None
        gone = errors.ProtocolError(errors.SERVER_GONE, message or sentences.STOPPED)
        self._lost.extend((request.on_error, gone) for request in self._requests.values() if not request.ours)
        self._requests.clear()
        self._held.clear()
        self._ahead.clear()
        self.greeting = None
        self.unfit, self.other_version = unfit, other_version
        self._set_state(state, message)

    def _set_state(self, state: ServerState, message: str) -> None:
        changed = (state, message) != (self.state, self.message)
        self.state, self.message = state, message
        if changed and self._on_change is not None:
            self._call(self._on_change)

    def _next_identity(self) -> int:
        self._last_identity += 1
        return self._last_identity

    def _encode(self, method: str, params: dict[str, Any], request: _Request) -> bytes:
        identity = self._next_identity()
        data = framing.encode_message(framing.request(identity, method, params))
        self._requests[identity] = request
        return data

    def _collect_log(self, server: ServerProcess | None = None) -> None:
        server = server or self._server
        while server is not None and server.stderr_lines:
            self.log.append(server.stderr_lines.popleft())


def _see_off(server: ServerProcess, patience: float) -> None:
    if not server.wait(patience):
        server.terminate()
        server.wait(0.5)
    server.kill()
    server.join(2.0)


def _kill_and_join(server: ServerProcess) -> None:
    server.kill()
    server.join(1.0)
