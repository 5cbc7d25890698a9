"""The server's side of the conversation: reads requests from stdin, answers on stdout, makes frames in between.

There are four kinds of thread. The reader takes requests, and answers at once what needs no device. The device thread,
which is the main one, runs generators. Encoder threads turn frames into files. The files thread looks through folders
and hashes what is in them; that may take a minute and delays no frame. The reader starts before torch is imported.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lantern_protocol import framing, methods
from lantern_protocol.answers import Cancelled, Dropped, LibraryList, SnapshotFile
from lantern_protocol.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    VERSION_MISMATCH,
    ProtocolError,
    quoted,
)
from lantern_protocol.methods import A, Body, Method, P
from lantern_protocol.params import (
    CancelParams,
    CancelWorkParams,
    CardParams,
    DeriveParams,
    DescribeParams,
    GenerateParams,
    Hello,
    ImportParams,
    ListParams,
    MapParams,
    Nothing,
)
from lantern_protocol.versions import PIXEL_REVISION, PROTOCOL_VERSION, SERVER_VERSION

from .connection import Asker, Connection
from .long_work import LongWork, Slices
from .scheduler import MOST_CALLS, Reply, Scheduler, Ticket, too_much

if TYPE_CHECKING:
    from .answers import Answers
    from .device import DeviceThread

IDLE_SECONDS = 300.0
"""After this time without work, generators leave the device."""

LONGEST_IDENTITY = 256

_BEFORE_INITIALIZE = (methods.PING.name, methods.INITIALIZE.name, methods.SHUTDOWN.name)

LAST_WRITE_SECONDS = 2.0
"""How long the file being written may take once the add-on has gone."""


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
        self._device_name = device
        self._compiled = compiled
        self._idle_seconds = idle_seconds
        self.scheduler = Scheduler()
        self.connection = Connection(output, self._parent_gone)
        self._device: DeviceThread | None = None
        self._answers: Answers | None = None
        self._initialized = False
        self._file_work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._gone = threading.Event()
        self._handlers: dict[str, Callable[[dict[str, Any], Asker], None]] = {}
        self._take(methods.PING, lambda _params, reply: reply(Nothing()))
        self._take(methods.INITIALIZE, self._initialize)
        self._take(methods.SHUTDOWN, self._shut_down)
        self._take(methods.GENERATE, self._generate)
        self._take(methods.DERIVE, self._derive)
        self._take(methods.CANCEL, self._cancel)
        self._take(methods.CANCEL_WORK, self._cancel_work)
        self._take(methods.RELEASE, self._release)
        self._take(methods.DESCRIBE, self._describe)
        self._take(methods.LIST, self._list)
        self._take(methods.CARD, self._card)
        self._take(methods.IMPORT, self._import)
        self._take(methods.MAP, self._map)

    def _take(self, method: Method[P, A], handler: Callable[[P, Asker], None]) -> None:
        """Let `handler` take the requests of a method, with its params read and checked."""
        self._handlers[method.name] = lambda params, reply: handler(method.params.from_json(params), reply)

    def run(self) -> int:
        """Serve until shutdown, the end of stdin, or the parent's death; return the exit code, 1 without a device."""
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        if os.name == "posix":
            threading.Thread(target=self._watch_parent, args=(os.getppid(),), name="parent", daemon=True).start()

        from ..rendering.renderer import DeviceError  # imports torch
        from .answers import Answers
        from .device import DeviceThread

        try:
            self._device = DeviceThread(self.scheduler, self.connection, self._device_name, self._compiled)
        except DeviceError as error:
            print(error, file=sys.stderr)
            return 1
        self._answers = Answers(self._device.renderer)
        threading.Thread(target=self._work_on_files, name="files", daemon=True).start()
        self._device.run(self._idle_seconds)
        if self._gone.is_set():
            self._device.abandon(LAST_WRITE_SECONDS)
        return 0

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
        """Answer a message, now or later. A message that is not a request gets an error with id null. Never raises."""
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

    def _handle(self, method: str, params: dict[str, Any], reply: Asker) -> None:
        if not self._initialized and method not in _BEFORE_INITIALIZE:
            raise ProtocolError(INVALID_REQUEST, f"'{method[:60]}' came before 'initialize'.")
        handler = self._handlers.get(method)
        if handler is None:
            raise ProtocolError(METHOD_NOT_FOUND, f"There is no method '{method[:60]}'.")
        handler(params, reply)

    def _initialize(self, params: Hello, reply: Reply) -> None:
        _check_versions(params)
        self._initialized = True
        self._on_device(reply, lambda _device, answers: answers.greeting())

    def _shut_down(self, _params: Nothing, reply: Reply) -> None:
        self.scheduler.stop()
        self._on_device(reply, lambda device, _answers: device.finish())

    def _generate(self, params: GenerateParams, reply: Reply) -> None:
        ticket = Ticket(params.job, Path(params.folder), len(params.frames), reply, params)
        self.scheduler.submit(ticket, params.frames, params.append)

    def _derive(self, params: DeriveParams, reply: Reply) -> None:
        ticket = Ticket(params.job, Path(params.folder), len(params.shadows), reply)
        self.scheduler.submit(ticket, params.shadows, params.append)

    def _cancel(self, params: CancelParams, reply: Reply) -> None:
        reply(Dropped(self.scheduler.cancel(params.job)))

    def _cancel_work(self, params: CancelWorkParams, reply: Reply) -> None:
        reply(Cancelled(self.scheduler.cancel_work(params.id)))

    def _release(self, _params: Nothing, reply: Reply) -> None:
        self._on_device(reply, lambda device, _answers: device.release())

    def _describe(self, params: DescribeParams, reply: Reply) -> None:
        self._on_run(reply, params.path, lambda answers, run: answers.description(params.path, run))

    def _list(self, params: ListParams, reply: Reply) -> None:
        self._on_files(reply, lambda _: _library(params.folders))

    def _card(self, params: CardParams, reply: Reply) -> None:
        self._on_run(reply, params.path, lambda answers, run: answers.card(params, run), patient=True)

    def _import(self, params: ImportParams, reply: Reply) -> None:
        self._on_device(reply, lambda _device, answers: answers.imported_latents(params))

    def _map(self, params: MapParams, reply: Reply) -> None:
        self._on_device(reply, lambda _device, answers: answers.mapped(params))

    def _on_device(self, reply: Reply, work: Callable[[DeviceThread, Answers], Body], patient: bool = False) -> None:
        def call() -> None:
            device, answers = self._ready()
            reply(device.answer(lambda: work(device, answers)))

        self.scheduler.call(call, patient)

    def _in_slices(self, asker: Asker, slices: Callable[[DeviceThread, Answers], Slices]) -> None:
        """Let the device thread do `slices` between calls and frames, and answer when they end."""
        self.scheduler.work(LongWork(asker.identity, lambda: slices(*self._ready()), asker, asker.progress))

    def _on_run(
        self,
        reply: Reply,
        path: str | None,
        work: Callable[[Answers, tuple[SnapshotFile, ...]], Body],
        patient: bool = False,
    ) -> None:
        """Look at a file, or at a folder's snapshots, on the files thread; then continue on the device thread."""

        def look(answers: Answers) -> None:
            run = answers.look_at(path)
            self._on_device(reply, lambda _device, answers: work(answers, run), patient)

        self._on_files(reply, look)

    def _on_files(self, reply: Reply, work: Callable[[Answers], Body | None]) -> None:
        """Let the files thread do `work` and send the answer, unless that is None: then it comes later."""

        def call() -> None:
            device, answers = self._ready()
            answer = device.answer(lambda: work(answers))
            if answer is not None:
                reply(answer)

        if self._file_work.qsize() >= MOST_CALLS:
            raise too_much()
        self._file_work.put(call)

    def _ready(self) -> tuple[DeviceThread, Answers]:
        # The threads that call this start, or get work, only when both are there.
        assert self._device is not None and self._answers is not None
        return self._device, self._answers

    def _work_on_files(self) -> None:
        while True:
            self._file_work.get()()


def _identity(value: Any) -> int | str | None:
    """Return the id that an answer has: a number or a word as it came; None for anything else and for a long text."""
    number = isinstance(value, int) and not isinstance(value, bool)
    return value if number or (isinstance(value, str) and len(value) <= LONGEST_IDENTITY) else None


def _check_versions(theirs: Hello) -> None:
    """Raise ProtocolError VERSION_MISMATCH unless the other side has the same versions as this one."""
    if (theirs.protocol, theirs.pixel_revision) != (PROTOCOL_VERSION, PIXEL_REVISION):
        raise ProtocolError(
            VERSION_MISMATCH,
            f"The add-on (protocol {quoted(theirs.protocol)}, pixels {quoted(theirs.pixel_revision)}) and the "
            f"inference server {SERVER_VERSION} (protocol {PROTOCOL_VERSION}, pixels {PIXEL_REVISION}) are of "
            "different versions. Install the add-on again and restart Blender.",
            {"protocol": PROTOCOL_VERSION, "pixel_revision": PIXEL_REVISION, "server": SERVER_VERSION},
        )


def _library(folders: tuple[str, ...]) -> LibraryList:
    from ..rendering.library import list_library  # imports torch

    return list_library([Path(folder) for folder in folders])
