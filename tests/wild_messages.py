"""Messages that no correct program sends, made from valid ones. A seed and a number decide each message."""

from __future__ import annotations

import base64
import copy
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lantern_protocol import framing, orders, vectors, versions

LONG = 70_000
"""The most bytes that a false header may announce. A test that then sends as many bytes must be understood again."""

RAW = {
    "1e999": "1e999",
    "NaN": "NaN",
    "-Infinity": "-Infinity",
    "-0": "-0",
    "4000 digits": "9" * 4000,
    "5000 digits": "9" * 5000,
    "depth 200": "[" * 200 + "]" * 200,
    "depth 900": "[" * 900 + "]" * 900,
    "depth of objects": '{"a":' * 300 + "1" + "}" * 300,
    "depth 20000": "[" * 20_000,
    "surrogate": '"\\ud800"',
    "surrogates": '"\\udfff/\\ud800.png"',
    "a byte's surrogate": '"/nowhere/\\udcff"',
    "escaped NUL": '"a\\u0000b"',
    "no value": "",
    "a comma": ",",
}
"""JSON, or nearly JSON, that cannot be written from Python values; in a message, MARK and its name stand for it."""

MARK = "raw JSON: "
_FLOATS = {"dtype": "float32", "shape": [1, 8], "data": base64.b64encode(bytes(32)).decode()}

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**32, 2**63, 2**64, 10**30, -(10**30), 0.5, -0.0, 1.5, 1e308),
    *("", " ", "a", "\0", ".", "..", "../x.png", "a/b", "a\\b", "C:x", "nul", "x" * 200, "x" * 5000, "ü手🎭", "%s%n{}"),
    *("/nowhere/at/all", "/dev/zero", "\\\\server\\share\\x", "//server/share/x", "file:///x", "~", "-"),
    *("z", "w", "const", "none", "f0.png", "float32", "ping", "shutdown", "initialize", "frames/generate"),
    *([], {}, [[]], [None] * 3, [1.0] * 9, [0] * 4, [{}], {"path": None}, {"path": "x", "sha256": "0" * 64}, _FLOATS),
    *({"code": 1}, {"code": -32002, "message": "No."}, {"name": "f0.png"}, {"name": "f0.png", "row": 0}, [7] * 99),
    *({"dtype": "float32", "shape": [10**4000] * 3, "data": ""}, {"dtype": "float32", "shape": [0, 2**62, 2**62]}),
    *(MARK + name for name in RAW),
)  # fmt: skip

NOISE = (
    *(b"\n", b"\r\n\r\n", b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"{}", b"x" * 5000, b"A: b\r\n" * 20),
    *(b"Content-Length: 5\r\n\r\n", b"Content-Length: \r\n\r\n", b"content-length:0\n\n"),
    *(b"Content-Length: 99999999999\r\n\r\n", b"Content-Length: -1\r\n\r\n", b"Content-Length: 1e3\r\n\r\n"),
    *(b"Content-Length: 3\r\n\r\n{{{", b"Content-Length: 2\r\n\r\n[]", b"Content-Length: 70000\r\n\r\n"),
    *(b"Traceback (most recent call last):\n", b"Content-Length: 2\r\nX: " + b"y" * 5000),
)


def sound_requests(folder: str, generator: dict[str, Any]) -> list[dict[str, Any]]:
    """A request for each method, and two for some methods. folder: where frames are written."""
    shadow = orders.ShadowOrder("s0.png", "f0.png", orders.ShadowSettings(softness=1.5, fill_holes=3))
    frames = [
        orders.FrameOrder("f0.png", 0, orders.RenderSettings(0.7, 2, "none"), (shadow,)),
        orders.FrameOrder("f1.png", 0, orders.RenderSettings(noise=7, mix=0.5)),
    ]
    job = {"job": 3, "folder": folder, "append": True}
    order = job | {"generator": generator, "toward": generator, "space": "z", "latents": _FLOATS}
    spoken = {"protocol": versions.PROTOCOL_VERSION, "pixel_revision": versions.PIXEL_REVISION}
    asked: list[tuple[str, dict[str, Any]]] = [
        ("initialize", spoken | {"client": "tests"}),
        ("generator/describe", {"path": generator["path"]}),
        ("latents/map", {"generator": generator, "latents": _FLOATS, "classes": _FLOATS}),
        ("latents/import", {"path": "/nowhere/latents.npy", "generator": generator}),
        ("frames/generate", order | {"frames": [frame.to_json() for frame in frames]}),
        ("frames/generate", order | {"frames": [frames[0].to_json()]}),
        ("frames/generate", order | {"frames": []}),
        ("shadows/derive", job | {"shadows": [shadow.to_json()]}),
        ("shadows/derive", job | {"shadows": []}),
        ("frames/cancel", {"job": 3}),
        ("work/cancel", {"id": 3}),
        ("library/list", {"folders": ["/nowhere/at/all"]}),
        ("library/card", {"path": generator["path"], "thumbnail": False}),
        ("device/release", {}),
        ("ping", {}),
        ("shutdown", {}),
    ]
    return [framing.request(0, method, params) for method, params in asked]


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of values within a JSON value: tuples of keys and indices. The place of the whole value is ()."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, item in items:
        found += [(*at, key), *places(item, (*at, key))]
    return found


def replaced(value: Any, place: Sequence[Any], new: Any) -> Any:
    """A copy of a JSON value with a different value at a place."""
    value = copy.deepcopy(value)
    inner = value
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = new
    return value


def body_of(message: dict[str, Any]) -> bytes:
    """The JSON of a message, in which the marks are replaced by the texts of RAW."""
    text = json.dumps(message, separators=(",", ":"))
    for name, raw in RAW.items() if MARK in text else ():
        text = text.replace(f'"{MARK}{name}"', raw)
    return text.encode()


def frame(body: bytes, length: int | None = None) -> bytes:
    """A body with its header, or with a false header."""
    return b"Content-Length: %d\r\n\r\n" % (len(body) if length is None else length) + body


@dataclass(frozen=True, slots=True)
class Wild:
    """Bytes to send. body: the body, if the bytes are exactly one message with a true header; else None."""

    data: bytes
    body: bytes | None


class WildMessages:
    """Mutants of valid messages, by number. ids: a message's id is its number modulo this."""

    def __init__(self, seed: int, sound: Sequence[dict[str, Any]], ids: int = 1 << 30):
        self._seed = seed
        self._sound = sound
        self._ids = ids

    def message(self, number: int) -> Wild:
        """The mutant with this number."""
        dice = random.Random(f"{self._seed}/{number}")
        body = self._body(dice, number)
        if dice.random() < 0.7:
            return Wild(frame(body), body)
        return Wild(self._broken(dice, frame(body), number), None)

    def _body(self, dice: random.Random, number: int) -> bytes:
        message = copy.deepcopy(dice.choice(self._sound))
        if "id" in message:
            message["id"] = number % self._ids
        for _ in range(dice.choice((0, 1, 1, 1, 2, 5))):
            found = places(message)
            if 0 < len(found) < 500:  # nested lists soon become too long to read
                self._change(dice, message, dice.choice(found))
        return body_of(message)

    def _change(self, dice: random.Random, message: dict[str, Any], place: tuple[Any, ...]) -> None:
        inner: Any = message
        for key in place[:-1]:
            inner = inner[key]
        new = copy.deepcopy(dice.choice(VALUES))
        match dice.randrange(8):
            case 0:
                del inner[place[-1]]
            case 1:
                inner[place[-1]] = [inner[place[-1]]] * dice.choice((1, 2, 50))
            case 2 if isinstance(inner, dict):
                inner[dice.choice(("id", "method", "error", "result", "names", "ü\0", "x" * 300))] = new
            case 3 if isinstance(inner, list):
                inner.insert(0, new)
            case _:
                inner[place[-1]] = new

    def _broken(self, dice: random.Random, data: bytes, number: int) -> bytes:
        """Bytes that are cut, have a false length, or are mixed into others."""
        stream = bytearray(data)
        body = data.partition(b"\r\n\r\n")[2]
        match dice.randrange(7):
            case 0:
                lie = dice.choice((0, 1, len(body) - 1, len(body) + 1, len(body) + 40, LONG, 2**26 + 1, 10**14, 10**15))
                return frame(body, max(0, min(lie, LONG) if lie <= vectors.MAX_BODY_BYTES else lie))
            case 1:
                return data[: dice.randrange(len(data))]
            case 2:
                other = frame(self._body(dice, number))
                cut = dice.randrange(len(other))
                at = dice.randrange(len(data))
                return data[:at] + other[:cut] + data[at:] + other[cut:]
            case 3:
                return dice.choice(NOISE) + data + dice.choice(NOISE)
            case 4:
                return data * dice.choice((2, 3))
            case _:
                for _ in range(dice.choice((1, 2, 8))):
                    at = dice.randrange(len(stream) + 1)
                    if dice.random() < 0.5:
                        stream[at:at] = dice.choice(NOISE)
                    else:
                        stream[at : at + dice.choice((0, 1, 9))] = dice.randbytes(dice.choice((0, 1, 4)))
                return bytes(stream)
