"""Send a thousand wild messages to both sides; check that the fuzzer notices harm; repeat what it has found before."""

from __future__ import annotations

import collections
import copy
import io
import json
import random
import tracemalloc
from typing import Any

import pytest

import fuzz_protocol
from fuzz_protocol import FOLDER, GENERATOR, ClientSide, ServerSide, heard
from inference_server.serving import scheduler, service
from lantern_protocol import errors, fields, framing, methods, orders, params, vectors
from lantern_protocol.answers import Latents
from lantern_protocol.errors import ProtocolError
from latent_lantern.lantern_protocol import versions
from latent_lantern.latent_addon.server import client as client_module
from wild_messages import MARK, RAW, VALUES, Wild, WildMessages, frame, places, replaced, sound_requests

REQUESTS = sound_requests(FOLDER, GENERATOR)


@pytest.fixture(autouse=True)
def own_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripted server replaces the real one, which other tests need: put it back afterwards."""
    monkeypatch.setattr(client_module, "ServerProcess", client_module.ServerProcess)
    monkeypatch.setattr(service, "_library", service._library)


def test_each_method_of_the_protocol_is_taken_and_no_other() -> None:
    server = service.Service(io.BytesIO(), io.BytesIO(), "cpu")
    every = {method.name for method in methods.METHODS}
    assert set(server._handlers) == every == {request["method"] for request in REQUESTS}


def one(message: Any) -> Wild:
    body = json.dumps(message).encode()
    return Wild(frame(body), body)


def answers(message: Any) -> list[dict[str, Any]]:
    """What a new server answers to one message."""
    side = ServerSide(random.Random(0))
    side.send(one(message))
    return [answer for answer in side.said if answer["id"] != fuzz_protocol.PING["id"]]


def test_wild_messages_do_no_harm() -> None:
    found, ends = fuzz_protocol.fuzz(range(2000), 7)
    assert found == []
    assert ends.total() == 2000
    wanted = {"result", "answered", "-32700", "-32600", "-32601", "-32602", "-32001"}
    assert {f"server: {end}" for end in wanted} | {"client: ready", "client: failed"} <= set(ends)


def test_seed_and_number_decide_a_message() -> None:
    wild = WildMessages(3, REQUESTS)
    first = [wild.message(number) for number in range(300)]
    assert [wild.message(number) for number in reversed(range(300))] == first[::-1]
    assert len({message.data for message in first}) > 280
    assert [WildMessages(4, REQUESTS).message(number) for number in range(300)] != first
    kinds = collections.Counter(message.body is None for message in first)
    assert kinds[True] > 60 and kinds[False] > 180
    assert all(f"{MARK}{name}" not in str(first) for name in RAW)


def answer_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    real = service.Service._reply_to

    def reply_to(self: Any, identity: Any, wanted: bool) -> Any:
        reply = real(self, identity, wanted)
        return lambda outcome: [reply(outcome), reply(outcome)]

    monkeypatch.setattr(service.Service, "_reply_to", reply_to)


def answer_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler.Ticket, "settle", lambda *_: None)


def fail_unforeseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(params, "read_job", lambda _: {}["job"])


def lose_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    real = client_module.InferenceClient._answered
    monkeypatch.setattr(
        client_module.InferenceClient,
        "_answered",
        lambda self, message: None if message.get("id") == 2 else real(self, message),
    )


def fall_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "MAX_BODY_BYTES", 10**16)  # the reader waits for the announced bytes
    monkeypatch.setattr(fuzz_protocol, "heard", lambda data, last, *_: _heard_once(data, last))


def _heard_once(data: bytes, last: dict[str, Any]) -> list[Any]:
    items = list(framing.read_messages(io.BytesIO(data + b" " * 200_000 + b"\n" + framing.encode_message(last))))
    if not items or items[-1] != last:
        raise fuzz_protocol.Finding("the reader is not to be woken again")
    return items


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (answer_twice, "the ping is answered with"),
        (answer_never, "expected to"),
        (fail_unforeseen, "nobody had foreseen it: "),
        (lose_an_answer, "outcomes of the requests"),
        (fall_deaf, "woken"),
    ],
)
def test_harm_is_noticed(monkeypatch: pytest.MonkeyPatch, harm: Any, words: str) -> None:
    harm(monkeypatch)
    found, _ = fuzz_protocol.fuzz(range(500), 1)
    assert any(words in text for text in found), found


PLACES = [
    (request["method"], place)
    for request in REQUESTS
    for place in places(request["params"])
    if place != ("client",)  # for logs
]


RIGHT = ((("job",), 10**30), (("id",), 10**30), (("id",), "\0"))
"""A job is a number that only grows, and an id may be any number or word."""


@pytest.mark.parametrize(("method", "place"), dict.fromkeys(PLACES), ids=str)
def test_every_place_of_every_request_is_looked_at(method: str, place: tuple[Any, ...]) -> None:
    """A value that is never valid is refused with the code for invalid params, and the message names the field."""
    for request in REQUESTS:
        if request["method"] != method or place not in places(request["params"]):
            continue
        for wrong in ({"?": [None]}, [[{}]], 10**30, "\0"):
            message = request | {"params": replaced(request["params"], place, copy.deepcopy(wrong)), "id": 9}
            (answer,) = answers(message)
            wanted = errors.VERSION_MISMATCH if method == "initialize" else errors.INVALID_PARAMS
            if (place, wrong) in RIGHT:
                assert answer.get("error", {}).get("code") != wanted
            else:
                assert answer["error"]["code"] == wanted, (message, answer)
                assert 10 < len(answer["error"]["message"]) < 500


@pytest.mark.parametrize("value", [v for v in VALUES if not str(v).startswith(MARK)], ids=lambda v: repr(v)[:30])
def test_a_request_is_answered_once_with_its_own_id_or_none(value: Any) -> None:
    (answer,) = answers({"jsonrpc": "2.0", "id": value, "method": "frames/cancel", "params": {"job": 1}})
    named = (type(value) is int) or (isinstance(value, str) and len(value) <= service.LONGEST_IDENTITY)
    assert answer["id"] == (value if named else None)
    assert answer["result"] == {"dropped": 0}


def test_an_empty_order_that_is_wrong_is_answered_once() -> None:
    for request in REQUESTS:
        if request["method"] in ("frames/generate", "shadows/derive"):
            params = request["params"] | {"frames": [], "shadows": [], "append": 5}
            (answer,) = answers(request | {"params": params})
            assert answer["error"]["code"] == errors.INVALID_PARAMS


def test_a_shape_of_endless_numbers_is_refused_at_once_and_briefly() -> None:
    for shape in ([10**4000] * 9, [10**4000], [1] * 100_000, [0, 2**62], [2**13] * 8):
        with pytest.raises(ProtocolError, match="shape") as caught:
            vectors.unpack_floats({"dtype": "float32", "shape": shape, "data": ""})
        assert len(str(caught.value)) < 400


def test_a_header_that_announces_too_much_is_not_waited_for() -> None:
    ping = framing.request(1, "ping")
    for length in (vectors.MAX_BODY_BYTES + 1, 10**14):
        first, second = heard(b"Content-Length: %d\r\n\r\n" % length + b"{...}", ping)
        assert isinstance(first, ProtocolError) and second == ping


def test_what_is_too_long_to_be_read_is_not_sent() -> None:
    with pytest.raises(ProtocolError, match="64 MiB") as caught:
        framing.encode_message({"data": "x" * (vectors.MAX_BODY_BYTES + 1)})
    assert caught.value.code == errors.TOO_LONG


def test_an_answer_that_cannot_be_sent_is_an_error_with_the_requests_id(monkeypatch: pytest.MonkeyPatch) -> None:
    z = vectors.pack_floats(bytes(4), (1, 1))
    asked = framing.request(4, "latents/map", {"generator": GENERATOR, "latents": z})
    for value, code in (("x" * (vectors.MAX_BODY_BYTES + 1), errors.TOO_LONG), (float("nan"), -32603)):
        monkeypatch.setattr(Latents, "to_json", lambda *_, value=value: {"latents": value})
        side = ServerSide(random.Random(0))
        side.said.clear()
        side._service.take(asked)
        side._device.work()
        (answer,) = side.said
        assert (answer["id"], answer["error"]["code"]) == (4, code)


def test_a_request_too_long_to_be_sent_gets_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    side = ClientSide(random.Random(0))
    side._start()
    heard: list[ProtocolError] = []
    side._client.request("ping", {"x": "x" * (vectors.MAX_BODY_BYTES + 1)}, pytest.fail, heard.append)
    side._hear([])
    assert [error.code for error in heard] == [errors.TOO_LONG]
    assert side._client.pending == 0


def test_true_is_not_the_first_request() -> None:
    side = ClientSide(random.Random(0))
    side._start()
    side._client._last_identity = 0
    outcomes: list[Any] = []
    side._client.request("ping", {}, outcomes.append, outcomes.append)
    side._hear([{"jsonrpc": "2.0", "id": True, "result": {"wrong": 1}}])
    assert outcomes == [] and "nothing that was asked" in side._client.log[-1]
    side._hear([framing.result(1, {"right": 1})])
    assert outcomes == [{"right": 1}]


def test_what_a_server_says_can_be_shown() -> None:
    wild = ProtocolError.from_json({"code": -32004, "message": "\ud800 is " + "long " * 10**6})
    assert len(str(wild)) <= errors.MOST_WORDS and str(wild).encode()
    assert ProtocolError.from_json({"code": True, "message": "x"}).code == errors.INTERNAL_ERROR
    nested: Any = []
    for _ in range(900):
        nested = [nested]
    assert len(errors.quoted(nested)) < 60
    side = ClientSide(random.Random(0))
    side._start()
    side._client.kill()
    side._client.start(["server"])
    greeting = {"protocol": versions.PROTOCOL_VERSION, "pixel_revision": versions.PIXEL_REVISION}
    side._hear([framing.result(side._client._last_identity, greeting | {"device": "a word"})])
    assert side._client.greeting is None and "'device'" in side._client.message
    assert side._client.state is client_module.ServerState.FAILED
    side._client.kill()
    side._client.start(["server"])
    side._hear([framing.result(side._client._last_identity, {"server": "\ud800" * 5000})])
    assert side._client.state is client_module.ServerState.FAILED
    assert len(side._client.message) < 300 and side._client.message.encode()


def test_a_shadow_is_not_written_over_its_source() -> None:
    for name, source in (("a.png", "a.png"), ("A.png", "a.png")):
        with pytest.raises(ProtocolError, match="source"):
            orders.ShadowOrder.from_json({"name": name, "source": source, "settings": {}})


def test_paths_that_no_system_can_name_are_refused() -> None:
    for path in ("a\0b", "\ud800", ""):
        for read in (fields.read_path, fields.read_file):
            with pytest.raises(ProtocolError, match="'path'"):
                read({"path": path}, "path")
    assert fields.read_path({"path": "/tmp/\udcff.pkl"}, "path") == "/tmp/\udcff.pkl"  # a name that is not UTF-8


def test_who_does_not_wait_for_answers_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is busy and the queues are full: requests are refused, ping is answered, memory stays."""
    monkeypatch.setattr(params, "MOST_ORDERS", 256)
    monkeypatch.setattr(scheduler, "MOST_WAITING", 512)
    side = ServerSide(random.Random(0))
    order = next(request for request in REQUESTS if request["method"] == "shadows/derive")
    many = [order["params"]["shadows"][0] | {"name": f"s{n}.png"} for n in range(params.MOST_ORDERS)]
    floods = [
        order | {"params": order["params"] | {"shadows": many}},
        order | {"params": order["params"] | {"shadows": many[:1] * params.MOST_ORDERS}},
        framing.request(5, "device/release"),
        framing.request(6, "library/list", {"folders": []}),
    ]
    for flood in floods:
        side.said.clear()
        for _ in range(scheduler.MOST_CALLS + 10 if not flood["params"].get("shadows") else 5):
            side._service.take(flood)
        assert any(a.get("error", {}).get("code") == errors.INVALID_REQUEST for a in side.said), flood["method"]
    tracemalloc.start()
    for flood in floods * 40:
        side._service.take(flood)
        side.said.clear()
    assert tracemalloc.get_traced_memory()[0] < 1 << 20
    tracemalloc.stop()
    side._service.take(fuzz_protocol.PING)
    assert side.said == [framing.result(fuzz_protocol.PING["id"], {})]
    side._service.take(order | {"params": order["params"] | {"shadows": many + many[:1]}})
    assert side.said[-1]["error"]["code"] == errors.INVALID_PARAMS
    side.said.clear()
    side._device.work()
    assert [answer["id"] for answer in side.said].count(order["id"]) == 2  # the accepted requests are carried out
