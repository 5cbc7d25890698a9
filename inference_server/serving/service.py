"""The server's conversation: reads requests from stdin, answers on stdout, makes frames in between.

Four kinds of thread: the reader takes requests and answers at once what needs no device; the device thread (the main
one) runs generators; encoder threads turn frames into files; the files thread looks through folders and hashes what is
in them, which may take a minute and holds up no frame. The reader starts before torch is imported.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lantern_protocol import framing
from lantern_protocol.errors import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, ProtocolError

from . import requests
from .long_work import LongWork, Slices
from .scheduler import MOST_CALLS, Reply, Scheduler, too_much

if TYPE_CHECKING:
    from .device import Worker

IDLE_SECONDS = 300.0
"""Without work for this long, generators leave the device."""

LONGEST_IDENTITY = 256

LAST_WRITE_SECONDS = 2.0
"""How long the file being written may take once the add-on has gone."""


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

    def notify(self, method: str, **params: Any) -> None:
        """Send a notification."""
        self.send(framing.notification(method, params))

    def log(self, level: str, text: str) -> None:
        """Send a line for the add-on's log, and keep it on stderr."""
        with contextlib.suppress(OSError, ValueError):  # nobody reads stderr any more
            print(f"{level}: {text}", file=sys.stderr, flush=True)
        self.notify("log", level=level, text=text)


class Asker:
    """The sender of a request. It gets one answer, and may hear of progress before that. Any thread may call this.

    identity: the id of the request, None if it has none that can be repeated.
    """

    def __init__(self, connection: Connection, identity: int | str | None, wanted: bool):
        self.identity = identity
        self._connection = connection
        self._wanted = wanted

    def __call__(self, outcome: dict[str, Any] | ProtocolError) -> None:
        """Answer with a result or an error. A message without an id wants no answer."""
        if not self._wanted:
            return
        try:
            if isinstance(outcome, ProtocolError):
                self._connection.send(framing.failure(self.identity, outcome))
            else:
                self._connection.send(framing.result(self.identity, outcome))
        except ProtocolError as error:
            self._connection.send(framing.failure(self.identity, error))
        except (TypeError, ValueError) as error:  # NaN, or what JSON does not know
            text = f"The answer cannot be sent: {error}"
            self._connection.send(framing.failure(self.identity, ProtocolError(INTERNAL_ERROR, text)))

    def progress(self, done: int, total: int) -> None:
        """Tell how far the request is."""
        if self.identity is not None:
            self._connection.notify("work/progress", id=self.identity, done=done, total=total)


class Service:
    """Dispatches requests. `run` belongs to the main thread and returns when the conversation is over."""

    def __init__(
        self,
        messages: BinaryIO,
        output: BinaryIO,
        device: str | None,
        idle_seconds: float = IDLE_SECONDS,
        compiled: bool | None = None,
    ):
        self._messages = messages
        self._device = device
        self._compiled = compiled
        self._idle_seconds = idle_seconds
        self.scheduler = Scheduler()
        self.connection = Connection(output, self._parent_gone)
        self._worker: Worker | None = None
        self._initialized = False
        self._file_work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._gone = threading.Event()

    def run(self) -> int:
        """Serve until shutdown, the end of stdin, or the parent's death; return the exit code, 1 without a device."""
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        if os.name == "posix":
            threading.Thread(target=self._watch_parent, args=(os.getppid(),), name="parent", daemon=True).start()

        from ..rendering.renderer import DeviceError  # imports torch
        from .device import Worker

        try:
            self._worker = Worker(self.scheduler, self.connection, self._device, self._compiled)
        except DeviceError as error:
            print(error, file=sys.stderr)
            return 1
        threading.Thread(target=self._work_on_files, name="files", daemon=True).start()
        self._worker.run(self._idle_seconds)
        if self._gone.is_set():
            self._worker.abandon(LAST_WRITE_SECONDS)
        return 0

    # --- reader thread -----------------------------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            for message in framing.read_messages(self._messages):
                self.take(message)
        except OSError:
            pass  # a broken pipe is the end of the conversation too
        self._parent_gone()

    def _watch_parent(self, parent: int) -> None:
        # The end of stdin tells of the parent's death, unless another process still holds the pipe open.
        while os.getppid() == parent:
            time.sleep(1.0)
        self._parent_gone()

    def _parent_gone(self) -> None:
        if self._gone.is_set():
            return
        self._gone.set()
        self.scheduler.stop()
        # The device may be in a batch of any length; nobody waits for it any more.
        deadline = threading.Timer(LAST_WRITE_SECONDS + 1.0, os._exit, (0,))
        deadline.daemon = True
        deadline.start()

    def take(self, message: dict[str, Any] | ProtocolError) -> None:
        """Answer a message, now or later; what was none is answered without a number. Never raises."""
        if isinstance(message, ProtocolError):
            self.connection.send(framing.failure(None, message))
        else:
            self._dispatch(message)

    def _dispatch(self, message: dict[str, Any]) -> None:
        reply = self._reply_to(_identity(message.get("id")), "id" in message)
        try:
            method, params = message.get("method"), message.get("params", {})
            if message.get("jsonrpc") != "2.0" or not isinstance(method, str):
                raise ProtocolError(INVALID_REQUEST, "A message must be a JSON-RPC 2.0 request.")
            if not isinstance(params, dict):
                raise ProtocolError(INVALID_PARAMS, f"The params of '{method[:60]}' must be an object.")
            self._handle(method, params, reply)
        except ProtocolError as error:
            reply(error)
        except Exception as error:
            reply(ProtocolError(INTERNAL_ERROR, f"{type(error).__name__}: {error}"))

    def _reply_to(self, identity: int | str | None, wanted: bool) -> Asker:
        return Asker(self.connection, identity, wanted)

    def _handle(self, method: str, params: dict[str, Any], reply: Reply) -> None:
        if method == "ping":
            reply({})
        elif method == "initialize":
            requests.check_versions(params)
            self._initialized = True
            self._on_device(reply, lambda worker: worker.describe_server())
        elif method == "shutdown":
            self.scheduler.stop()
            self._on_device(reply, lambda worker: worker.finish())
        elif not self._initialized:
            raise ProtocolError(INVALID_REQUEST, f"'{method[:60]}' came before 'initialize'.")
        elif method == "frames/generate":
            self.scheduler.submit(*requests.read_generate(params, reply))
        elif method == "shadows/derive":
            self.scheduler.submit(*requests.read_derive(params, reply))
        elif method == "frames/cancel":
            reply({"dropped": self.scheduler.cancel(requests.read_job(params))})
        elif method == "work/cancel":
            reply({"cancelled": self.scheduler.cancel_work(requests.read_id(params))})
        elif method == "device/release":
            self._on_device(reply, lambda worker: worker.release())
        elif method == "generator/describe":
            path = requests.read_path(params)
            self._on_run(reply, path, lambda worker, run: worker.describe_generator(path, run))
        elif method == "library/list":
            folders = requests.read_folders(params)
            self._on_files(reply, lambda _: _library(folders))
        elif method == "library/card":
            path, thumbnail = requests.read_path(params), requests.read_flag(params, "thumbnail")
            self._on_run(reply, path, lambda worker, run: worker.card(path, run, thumbnail), patient=True)
        elif method == "latents/import":
            path, which = requests.read_file(params), requests.read_generator(params)
            self._on_device(reply, lambda worker: worker.import_latents(path, which))
        elif method == "latents/sample":
            which, seeds = requests.read_generator(params), requests.read_seeds(params)
            self._on_device(reply, lambda worker: worker.sample(which, seeds))
        elif method == "latents/map":
            which, z = requests.read_generator(params), requests.read_floats(params, "latents")
            classes = requests.read_floats(params, "classes") if params.get("classes") is not None else None
            self._on_device(reply, lambda worker: worker.map(which, z, classes))
        else:
            raise ProtocolError(METHOD_NOT_FOUND, f"There is no method '{method[:60]}'.")

    def _on_device(self, reply: Reply, work: Callable[[Worker], dict[str, Any]], patient: bool = False) -> None:
        def call() -> None:
            assert self._worker is not None  # calls are made by the worker itself
            reply(self._worker.answer(work))

        self.scheduler.call(call, patient)

    def _in_slices(self, asker: Asker, slices: Callable[[Worker], Slices]) -> None:
        """Have the device thread do `slices` between calls and frames, and answer when they end."""

        def begin() -> Slices:
            assert self._worker is not None  # slices are begun by the worker itself
            return slices(self._worker)

        self.scheduler.work(LongWork(asker.identity, begin, asker, asker.progress))

    def _on_run(
        self,
        reply: Reply,
        path: str | None,
        work: Callable[[Worker, list[dict[str, Any]]], dict[str, Any]],
        patient: bool = False,
    ) -> None:
        """Look at a file, or at a folder's snapshots, on the files thread, and go on on the device thread."""

        def look(worker: Worker) -> None:
            run = worker.look_at(path)
            self._on_device(reply, lambda worker: work(worker, run), patient)

        self._on_files(reply, look)

    # --- files thread ------------------------------------------------------------------------------------------------

    def _on_files(self, reply: Reply, work: Callable[[Worker], dict[str, Any] | None]) -> None:
        """Have the files thread do `work` and send the answer, unless that is None: then it comes later."""

        def call() -> None:
            assert self._worker is not None  # the thread is started after it is there
            answer = self._worker.answer(work)
            if answer is not None:
                reply(answer)

        if self._file_work.qsize() >= MOST_CALLS:
            raise too_much()
        self._file_work.put(call)

    def _work_on_files(self) -> None:
        while True:
            self._file_work.get()()


def _identity(value: Any) -> int | str | None:
    """What an answer names its request by. A number or a word is given back, anything else, and a book, is not."""
    number = isinstance(value, int) and not isinstance(value, bool)
    return value if number or (isinstance(value, str) and len(value) <= LONGEST_IDENTITY) else None


def _library(folders: list[str]) -> dict[str, Any]:
    from ..rendering.library import list_library  # imports torch

    entries, problems = list_library([Path(folder) for folder in folders])
    return {"entries": entries, "problems": problems}
