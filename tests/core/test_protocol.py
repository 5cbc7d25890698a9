"""The messages between add-on and server: framing, vectors, orders, and a thousand broken streams."""

from __future__ import annotations

import array
import base64
import io
import json
import random
import tracemalloc

import pytest

from lantern_protocol import errors, framing, vectors
from lantern_protocol.errors import ProtocolError
from lantern_protocol.orders import FrameOrder, RenderSettings, ShadowOrder, ShadowSettings


def read(data: bytes) -> list:
    return list(framing.read_messages(io.BytesIO(data)))


def messages_of(data: bytes) -> list[dict]:
    return [item for item in read(data) if isinstance(item, dict)]


def codes_of(data: bytes) -> list[int]:
    return [item.code for item in read(data) if isinstance(item, ProtocolError)]


def frame(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


PING = framing.encode_message(framing.request(1, "ping"))


def test_messages_come_back() -> None:
    sent = [
        framing.request(7, "library/list", {"folders": ["/a", "/b"]}),
        framing.notification("log", {"level": "info", "text": "naïve 手 🎭\r\n\r\nContent-Length: 5"}),
        framing.result("a", {}),
        framing.failure(None, ProtocolError(-32005, "The disk is full.", {"path": "x"})),
    ]
    assert read(b"".join(map(framing.encode_message, sent))) == sent
    assert framing.request(1, "ping") == {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {}}


def test_numbers_that_json_does_not_have_are_not_sent() -> None:
    with pytest.raises(ValueError, match="JSON"):
        framing.encode_message({"psi": float("nan")})


def test_other_headers_and_line_ends_are_taken() -> None:
    body = b'{"a":1}'
    for header in (
        b"content-length: 7\r\nContent-Type: application/vscode-jsonrpc; charset=utf-8\r\n\r\n",
        b"Content-Type: x\r\nContent-Length:7\r\n\r\n",
        b"Content-Length: 7\n\n",
    ):
        assert messages_of(header + body) == [{"a": 1}], header


@pytest.mark.parametrize(
    ("rubbish", "code"),
    [
        (b"Traceback (most recent call last):\n  File ...\nError\n", errors.PARSE_ERROR),
        (b"no line's end", errors.PARSE_ERROR),
        (frame(b"{"), errors.PARSE_ERROR),
        (frame(b"\xff\xfe"), errors.PARSE_ERROR),
        (frame(b"[" * 100000), errors.PARSE_ERROR),
        (frame(b"9" * 5000), errors.PARSE_ERROR),
        (frame(b"[]"), errors.INVALID_REQUEST),
        (frame(b"null"), errors.INVALID_REQUEST),
        (b"Content-Length: -1\r\n\r\n", errors.PARSE_ERROR),
        (b"Content-Length: 1_0\r\n\r\n", errors.PARSE_ERROR),
        (b"Content-Length: 5" + b"0" * 30 + b"\r\n\r\n", errors.PARSE_ERROR),
        (b"x" * 100000 + b"\n", errors.PARSE_ERROR),
    ],
)
def test_rubbish_is_told_once_and_the_next_message_is_read(rubbish: bytes, code: int) -> None:
    assert codes_of(rubbish + PING) == [code]
    assert messages_of(PING + rubbish + PING) == [framing.request(1, "ping")] * 2


def test_a_message_too_long_is_skipped_and_the_next_is_read() -> None:
    class Long(io.RawIOBase):
        """A header, a body of zeros too long to keep, and a message."""

        head = b"Content-Length: %d\r\n\r\n" % (vectors.MAX_BODY_BYTES + 1)
        length = len(head) + vectors.MAX_BODY_BYTES + 1 + len(PING)
        at = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:
            count = min(len(buffer), self.length - self.at)
            piece = bytearray(count)
            for start, text in ((0, self.head), (self.length - len(PING), PING)):
                low, high = max(start, self.at), min(start + len(text), self.at + count)
                if low < high:
                    piece[low - self.at : high - self.at] = text[low - start : high - start]
            buffer[:count] = piece
            self.at += count
            return count

    tracemalloc.start()
    first, second = framing.read_messages(io.BufferedReader(Long()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(first, ProtocolError) and "longer" in str(first)
    assert second["method"] == "ping"
    assert peak < 1 << 24


def test_a_message_cut_off_by_the_end_is_dropped() -> None:
    for length in range(len(PING)):
        assert messages_of(PING[:length]) == []


def test_a_thousand_broken_streams() -> None:
    """However a stream is damaged, reading ends, and a message after a whole line is always understood."""
    rng = random.Random(20261120)
    bodies = [
        framing.request(n, "frames/cancel", {"job": n, "text": "Content-Length: 9\r\n\r\n" * (n % 3)}) for n in range(9)
    ]
    for _ in range(1000):
        stream = bytearray()
        for _ in range(rng.randrange(1, 6)):
            stream += framing.encode_message(rng.choice(bodies))
        for _ in range(rng.randrange(1, 8)):
            at = rng.randrange(len(stream) + 1)
            match rng.randrange(5):
                case 0:
                    stream[at : at + 1] = bytes([rng.randrange(256)])
                case 1:
                    del stream[at : at + rng.randrange(1, 40)]
                case 2:
                    stream[at:at] = rng.randbytes(rng.randrange(1, 40))
                case 3:
                    stream[at:at] = b"\n"
                case 4:
                    stream[at:at] = b"Content-Length: %d\r\n\r\n" % rng.choice([0, 1, 10**6, 10**14])
        for item in read(bytes(stream)):
            assert isinstance(item, dict | ProtocolError)
        # Lines of text, as a library prints them, before a valid message.
        text = (
            bytes(rng.choice(b"abc {}[]:\x00\xff,\"'") for _ in range(rng.choice([3, 50, 5000]) // rng.randrange(1, 5)))
            + b"\n"
        )
        assert messages_of(text + PING) == [framing.request(1, "ping")]


def test_errors_come_back_and_what_is_none_is_quoted() -> None:
    error = ProtocolError.from_json(ProtocolError(-32004, "No.", {"z_dim": 5}).to_json())
    assert (error.code, str(error), error.data) == (-32004, "No.", {"z_dim": 5})
    for value in (None, [], "boom", {"message": "x"}, {"code": "1"}):
        assert ProtocolError.from_json(value).code == errors.INTERNAL_ERROR


def test_floats_come_back_and_are_checked() -> None:
    data = array.array("f", [1.5, -2.25, 0.0, 3e38, -0.0, 7.0]).tobytes()
    packed = vectors.pack_floats(data, (2, 3))
    assert vectors.unpack_floats(json.loads(json.dumps(packed))) == (data, (2, 3))
    assert vectors.unpack_floats(vectors.pack_floats(b"", (0, 512))) == (b"", (0, 512))
    for change in (
        {"shape": [2, 4]},
        {"shape": [-2, -3]},
        {"shape": [True, 6]},
        {"shape": "23"},
        {"shape": [10**30, 10**30]},
        {"dtype": "float64"},
        {"data": "AAA"},
        {"data": None},
        {"data": "Ä" + base64.b64encode(data).decode()[1:]},
    ):
        with pytest.raises(ProtocolError, match="'latents'"):
            vectors.unpack_floats(packed | change)
    for value in (None, [], 5, {}):
        with pytest.raises(ProtocolError, match="'w'"):
            vectors.unpack_floats(value, "w")


def test_orders_come_back() -> None:
    settings = ShadowSettings(12.5, 3, 4, 5, True, (1, 2, 3, 4), (5, 6, 7, 8), 0.25)
    shadow = ShadowOrder("s.png", "f.png", settings)
    order = FrameOrder("f.png", 3, RenderSettings(-0.5, 7, 4294967295, (0.5, 0.5), 0.25, (1.0,) * 9), (shadow,))
    assert FrameOrder.from_json(json.loads(json.dumps(order.to_json()))) == order
    assert ShadowSettings.from_json({}) == ShadowSettings()
    assert FrameOrder.from_json({"name": "f", "row": 0}) == FrameOrder("f", 0)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"name": "../f.png"}, "name"),
        ({"name": ".f"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "a\0"}, "name"),
        ({"name": "C:x"}, "name"),
        ({"name": 5}, "name"),
        ({"row": -1}, "row"),
        ({"row": 1.0}, "row"),
        ({"row": True}, "row"),
        ({"psi": float("nan")}, "psi"),
        ({"psi": float("inf")}, "psi"),
        ({"psi": "1"}, "psi"),
        ({"cutoff": -1}, "cutoff"),
        ({"noise": "random"}, "noise"),
        ({"noise": -1}, "noise"),
        ({"noise": 1 << 32}, "noise"),
        ({"noise": True}, "noise"),
        ({"noise": ["const"]}, "noise"),
        ({"classes": "ab"}, "classes"),
        ({"classes": [None]}, "classes"),
        ({"mix": 1.5}, "mix"),
        ({"mix": float("nan")}, "mix"),
        ({"mix": True}, "mix"),
        ({"transform": [1.0] * 8}, "transform"),
        ({"transform": [float("inf")] * 9}, "transform"),
        ({"transform": None}, "transform"),
        ({"shadows": {}}, "shadows"),
        ({"shadows": [{"name": "s", "source": "g.png", "settings": {}}]}, "source"),
        ({"shadows": [{"name": "s", "source": "f.png", "settings": {"threshold": 256}}]}, "threshold"),
        ({"shadows": [{"name": "s", "source": "f.png", "settings": {"softness": -1}}]}, "softness"),
        ({"shadows": [{"name": "s", "source": "f.png", "settings": {"figure": [0, 0, 0]}}]}, "figure"),
        ({"shadows": [{"name": "s", "source": "f.png", "settings": {"ground": [0, 0, 0, 256]}}]}, "ground"),
        ({"shadows": [{"name": "s", "source": "f.png", "settings": {"invert": 1}}]}, "invert"),
        ({"shadows": [{"name": "s", "source": "f.png", "settings": {"mix": 1.5}}]}, "mix"),
        ({"shadows": [{"name": "s", "source": "f.png", "settings": {"blur": 1}}]}, "blur"),
        ({"shadows": [{"name": "s", "source": "f.png", "settings": None}]}, "settings"),
        ({"colour": 1}, "colour"),
    ],
)
def test_wrong_orders_are_refused_by_the_name_of_the_field(change: dict, word: str) -> None:
    with pytest.raises(ProtocolError, match=word) as caught:
        FrameOrder.from_json({"name": "f.png", "row": 0} | change)
    assert caught.value.code == errors.INVALID_PARAMS
