"""Send wild messages to both sides of the protocol. None may end it, block it, fill its memory, or stay unanswered.

    python tests/fuzz_protocol.py --messages 1000000 --seed 1

Half of them go to the server's Service, with a device that makes nothing; half go to the add-on's InferenceClient, as
answers and notifications. Standard library only. Each finding is printed with the message's number. To repeat it, use
--first NUMBER --messages 1.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import os
import queue
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
if "latent_lantern" not in sys.modules:
    import conftest  # noqa: F401  (the add-on's modules import each other as parts of that package)

from inference_server.serving import service  # noqa: E402
from inference_server.serving.scheduler import Order  # noqa: E402
from lantern_protocol import errors, framing, vectors, versions  # noqa: E402
from lantern_protocol.answers import Latents, LibraryList  # noqa: E402
from lantern_protocol.params import Nothing  # noqa: E402
from latent_lantern.lantern_protocol import errors as addon_errors  # noqa: E402
from latent_lantern.lantern_protocol import framing as addon_framing  # noqa: E402
from latent_lantern.latent_addon.server import client as client_module  # noqa: E402
from latent_lantern.latent_addon.server.log import LogHandler  # noqa: E402
from wild_messages import LONG, Wild, WildMessages, sound_requests  # noqa: E402

FOLDER = "/nowhere/at/all/frames"
GENERATOR = {"path": "/nowhere/g.pkl", "sha256": "0" * 64}
ANSWER_BYTES = 100_000
"""The most bytes of an answer, unless the request asks for many seeds, vectors or files."""
LINE = 1200
"""The most characters of a line in the client's log."""
GROWTH = 64 << 20
"""Bytes by which memory may grow after every kind of message has been seen."""

PING = {"jsonrpc": "2.0", "id": "still there?", "method": "ping"}


class Finding(Exception):
    """Something that must always be true was not true."""


def heard(data: bytes, last: dict[str, Any], read: Callable[[Any], Any] = framing.read_messages) -> list[Any]:
    """What a reader returns for bytes that are followed by a valid message, after all announced bytes have come."""
    for padding in (LONG + len(data), vectors.MAX_BODY_BYTES):
        items = list(read(io.BytesIO(data + b" " * padding + b"\n" + framing.encode_message(last))))
        if items and items[-1] == last:
            return items
    raise Finding("the reader is not to be woken again")


class StubDevice:
    """Takes the place of the server's DeviceThread, which needs torch."""

    def __init__(self, of: service.Service, dice: random.Random):
        self._scheduler, self._dice = of.scheduler, dice

    def answer(self, work: Callable[[Any], Any]) -> Any:
        """Answers as the real device thread does, but lets unexpected errors through."""
        try:
            return work()
        except errors.ProtocolError as error:
            return error

    def work(self) -> None:
        """Carry out all waiting requests."""
        while (work := self._scheduler.wait(0)) is not None:
            if isinstance(work, Order):
                if self._dice.random() < 0.1:
                    self._scheduler.refuse(work.ticket, errors.ProtocolError(errors.LATENT_MISMATCH, "No."))
                else:
                    self._scheduler.take(work.batch_key).settle(self._dice.choice(("made", "failed")))
            else:
                work()

    def release(self) -> Nothing:
        """Nothing is there to be freed."""
        return Nothing()

    finish = release


class StubAnswers:
    """Takes the place of the server's Answers, which need torch: gives every request something of the right form."""

    def mapped(self, params: Any) -> Latents:
        """The same back."""
        return Latents(params.latents)

    def look_at(self, path: str | None) -> tuple[()]:
        """Nothing is there."""
        if path != GENERATOR["path"]:
            raise errors.ProtocolError(errors.CHECKPOINT_UNREADABLE, f"The checkpoint {path} is not there.")
        return ()

    def __getattr__(self, name: str) -> Callable[..., Nothing]:
        return lambda *_: Nothing()


class ServerSide:
    """The real Service, whose threads run one after another, and its messages."""

    def __init__(self, dice: random.Random):
        self._dice = dice
        self.said: list[dict[str, Any]] = []
        self._begin()

    def _begin(self) -> None:
        self._service = service.Service(io.BytesIO(), self, "cpu")
        self._device = self._service._device = StubDevice(self._service, self._dice)
        self._service._answers = StubAnswers()
        service._library = lambda folders: LibraryList((), folders)
        self._service.take(sound_requests(FOLDER, GENERATOR)[0])
        self._device.work()

    def write(self, data: bytes) -> None:
        """Take what the service sends: valid messages only, each one whole."""
        (message,) = framing.read_messages(io.BytesIO(data))
        if isinstance(message, errors.ProtocolError):
            raise Finding(f"the service sends {data[:200]!r}")
        self.said.append(message)

    def flush(self) -> None:
        """Needed by Connection."""

    def send(self, wild: Wild) -> str:
        """Send a message and a ping; return how the message was answered, in a word."""
        if self._service.scheduler.stopped:
            self._begin()
        self.said.clear()
        items = heard(wild.data, PING) if wild.body is None else [*_items(wild.data), PING]
        for item in items:
            self._service.take(item)
            self._device.work()
            while not self._service._file_work.empty():
                self._service._file_work.get()()
            self._device.work()
        if self.said.count(framing.result(PING["id"], {})) != 1:
            raise Finding(f"the ping is answered with {self.said}")
        answers = [answer for answer in self.said if answer["id"] != PING["id"]]
        for answer in answers:
            _check_answer(answer, wild)
        if wild.body is None:
            return "answered" if answers else "passed over"
        wanted = _wanted_id(wild.body)
        if [answer["id"] for answer in answers] != wanted:
            raise Finding(f"answers {answers}, expected to {wanted}")
        return str(answers[0].get("error", {}).get("code", "result")) if answers else "no answer wanted"


def _items(data: bytes) -> list[Any]:
    return list(framing.read_messages(io.BytesIO(data)))


def _wanted_id(body: bytes) -> list[Any]:
    """The id that the only answer to a message must have by JSON-RPC; nothing for a notification."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return [None]
    if not isinstance(message, dict):
        return [None]
    number = message.get("id")
    good = (type(number) is int) or (isinstance(number, str) and len(number) <= service.LONGEST_IDENTITY)
    return [number if good else None] if "id" in message else []


def _check_answer(answer: dict[str, Any], wild: Wild) -> None:
    error = answer.get("error")
    if error is not None and (error["code"] == errors.INTERNAL_ERROR or not error["message"]):
        raise Finding(f"nobody had foreseen it: {error}")
    if len(json.dumps(answer)) > ANSWER_BYTES + 8 * len(wild.data):
        raise Finding(f"an answer of {len(json.dumps(answer))} bytes")


class ScriptedServer:
    """Replaces the client's ServerProcess: the client receives what a test puts in, and its requests are kept."""

    def __init__(self, command: Any, environment: Any = None):
        self.pid, self.returncode, self.last_line = 1, None, ""
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.stderr_lines: collections.deque[str] = collections.deque()
        self.asked: list[dict[str, Any]] = []

    def send(self, data: bytes) -> None:
        """Keep what the client asks."""
        self.asked += _items(data)

    def say(self, items: list[Any]) -> None:
        """Deliver messages to the client."""
        for item in items:
            self.inbox.put(item)

    def kill(self, timeout: float = 0.0) -> None:
        """Do nothing: there is no process to end."""

    taken = close = terminate = join = kill


_LOG = LogHandler(collections.deque())
"""Hands what the client logs to the newest client's log."""


class ClientSide:
    """The real InferenceClient with a scripted server. The answers of every request are counted."""

    def __init__(self, dice: random.Random):
        self._dice = dice
        self.outcomes: dict[int, int] = {}
        self._notified = 0
        self._client = client_module.InferenceClient(self._on_notification, clock=lambda: 0.0)  # never "silent"
        _LOG.lines = self._client.log
        _LOG.attach()
        client_module.ServerProcess = ScriptedServer

    def _on_notification(self, method: str, params: dict[str, Any]) -> None:
        self._notified += 1
        if self._dice.random() < 0.2:
            raise ValueError(str(params)[:5000])

    def _start(self) -> ScriptedServer:
        """A server that has been greeted and has answered."""
        if self._client._server is None:
            self._client.start(["server"])
        if self._client.state is client_module.ServerState.STARTING:
            spoken = {"protocol": versions.PROTOCOL_VERSION, "pixel_revision": versions.PIXEL_REVISION}
            self._hear([framing.result(self._client._server.asked[0]["id"], spoken)])
        return self._client._server

    def _hear(self, items: list[Any]) -> None:
        if self._client._server is not None:
            self._client._server.say(items)
        while self._client.drain(1.0):
            pass

    def _ask(self) -> None:
        key = len(self.outcomes)
        self.outcomes[key] = 0

        def settle(outcome: Any) -> None:
            self.outcomes[key] += 1
            if isinstance(outcome, addon_errors.ProtocolError):
                str(outcome).encode()  # as Blender's interface will
            if self._dice.random() < 0.2:
                raise KeyError(str(outcome)[:5000])

        self._client.request("ping", {}, settle, settle)

    def send(self, wild: Wild) -> str:
        """Deliver a message while requests are open; return the state of the client after it."""
        self.outcomes.clear()
        self._client._last_identity = 0  # so that a message's number decides which request it answers
        items = heard(wild.data, PING, addon_framing.read_messages)[:-1]
        chance = self._dice.random()
        if chance < 0.02:  # it comes instead of an answer to the greeting
            self._client.kill()
            self._client.start(["server"])
        elif chance < 0.04:
            items *= 50
            self._start()
        else:
            self._start()
        for _ in range(3):
            self._ask()
        self._hear(items)
        state = self._client.state.value
        server = self._start()
        # Requests that are still open get a valid answer, and one more that nobody waits for.
        self._hear([framing.result(identity, {}) for identity in [*self._client._requests, 10**9]])
        self._notified = 0
        self._hear([framing.notification("log", {})])
        if self._notified != 1:
            raise Finding("a notification has not arrived")
        if set(self.outcomes.values()) != {1} or self._client.pending:
            raise Finding(f"outcomes of the requests: {self.outcomes}, {self._client.pending} pending")
        if len(self._client.log) > 500 or any(len(line) > LINE for line in self._client.log):
            raise Finding(f"the log has lines of {max(map(len, self._client.log))} characters")
        server.asked.clear()
        return state


def answers_and_notes() -> list[dict[str, Any]]:
    """Messages of a valid server. An id in them is replaced by one that may belong to an open request."""
    facts = {"name": "N", "z_dim": 8, "width": 16, "spaces": ["z", "w"], "snapshots": [{"name": "a", "path": "/a"}]}
    error = errors.ProtocolError(errors.WRITE_FAILED, "The disk is full.", {"path": "x"})
    return [
        framing.result(0, facts),
        framing.result(0, {"made": 1, "failed": 0, "dropped": 0}),
        framing.result(0, {"latents": vectors.pack_floats(bytes(32), (1, 8)), "space": "z"}),
        framing.failure(0, error),
        framing.failure(0, errors.ProtocolError(errors.VERSION_MISMATCH, "Old.", {"server": "0.0.1"})),
        framing.notification("frames/made", {"job": 1, "names": ["f0.png"], "seconds": 0.1}),
        framing.notification("frames/failed", {"job": 1, "names": ["f0.png"], "error": error.to_json()}),
        framing.notification("work/progress", {"id": 1, "done": 3, "total": 9}),
        framing.notification("log", {"level": "info", "text": "words"}),
    ]


def memory() -> int:
    """Bytes of memory that this process uses."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def fuzz(
    numbers: range, seed: int, tell: Callable[[str], None] = lambda _: None
) -> tuple[list[str], collections.Counter]:
    """Send the messages with these numbers; return the findings, and how often each result came."""
    dice = random.Random(seed)
    sides = (ServerSide(dice), ClientSide(dice))
    wild = (
        WildMessages(seed, sound_requests(FOLDER, GENERATOR)),
        WildMessages(seed, answers_and_notes(), ids=7),  # half of them of an open request
    )
    found: list[str] = []
    ends: collections.Counter[str] = collections.Counter()
    at_first = 0
    for number in numbers:
        side = number % 2
        if number - numbers.start == min(20_000, len(numbers) // 2):
            at_first = memory()
        try:
            ends[f"{'client' if side else 'server'}: {sides[side].send(wild[side].message(number))}"] += 1
        except Exception as error:
            found.append(f"{number}: {type(error).__name__}: {str(error)[:400]}")
            sides = (ServerSide(dice), ClientSide(dice))
        if number % 50_000 == 49_999:
            tell(f"{number + 1} messages, {len(found)} findings, {memory() >> 20} MiB")
    if memory() - at_first > GROWTH:
        found.append(f"memory has grown by {(memory() - at_first) >> 20} MiB")
    return found, ends


def main() -> int:
    """Fuzz, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    start = time.monotonic()
    numbers = range(args.first, args.first + args.messages)
    found, ends = fuzz(numbers, args.seed, lambda text: print(text, file=sys.stderr, flush=True))
    print(f"{args.messages} messages of seed {args.seed} in {time.monotonic() - start:.0f} s, {memory() >> 20} MiB")
    print(", ".join(f"{count} {end}" for end, count in sorted(ends.items())))
    print("\n".join([*found[:100], f"{len(found)} findings"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
