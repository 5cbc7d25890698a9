"""Read pickles without running anything: an opcode machine that makes plain values and inert descriptions.

The opcodes are those of Python's ``pickle`` module, protocols 0 to 5 (PEPs 307, 3154 and 574). A class or function
that a pickle names is never imported: it becomes a ``Global``, which holds only the module and the name. When a pickle
calls it, a fixed table of makers decides what is made. For a name that is not in the table, it is an ``Inert``.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable, Mapping
from typing import Any

from .inert import Inert
from .limits import Budget, Damaged

Maker = Callable[[Budget, tuple[Any, ...]], Any]
"""Makes the value of a call from its arguments."""
Makers = Mapping[tuple[str, str], Maker]
"""Makers by (module, name)."""

VIEWED = 1 << 16
"""Byte strings of this length or more stay a view of the file."""


class Global(Inert):
    """A class or function that a file names."""


class Unbuilt(Inert):
    """An object that can be made only when its state is read; ``build`` makes it. keys: its places in the memo."""

    def __init__(self, module: str, name: str) -> None:
        super().__init__(module, name)
        self.keys: list[int] = []

    def build(self, budget: Budget, state: Any) -> Any:
        """Return the finished object."""
        raise NotImplementedError


def read_pickle(
    data: memoryview,
    start: int,
    budget: Budget,
    makers: Makers,
    persistent: Callable[[Any], Any] | None = None,
) -> tuple[Any, int]:
    """Read one pickle.

    Args:
        data: the bytes. start: where the pickle begins.
        budget: how much memory and work the pickle may still use.
        makers: the calls that make something other than an ``Inert``.
        persistent: returns the object of a persistent id. Without it, a persistent id raises Damaged.

    Returns:
        the value, and the position after the pickle. Strings of Python 2 are read as latin-1; byte strings of 64 KiB or
        more are memoryviews of the data; sets become lists.

    Raises:
        Damaged: the data is not a pickle, or exceeds the budget. Makers may raise other exceptions.
    """
    machine = _Machine(data, start, budget, makers, persistent)
    return machine.run(), machine.position


class _Machine:
    def __init__(self, data: memoryview, start: int, budget: Budget, makers: Makers, persistent: Any) -> None:
        self.data = data
        self.position = start
        self.budget = budget
        self.makers = makers
        self.persistent = persistent
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.globals: dict[tuple[str, str], Global] = {}

    def run(self) -> Any:
        steps = _STEPS
        size = len(self.data)
        while True:
            if self.position >= size:
                raise Damaged("it is cut short")
            opcode = self.data[self.position]
            self.position += 1
            self.budget.step()
            if opcode == _STOP:
                return self.pop()
            step = steps[opcode]
            if step is None:
                raise Damaged(f"it has a pickle opcode {opcode} that a checkpoint has no use for")
            step(self)

    def take(self, count: int) -> memoryview:
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise Damaged("it is cut short")
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def number(self, kind: struct.Struct) -> Any:
        (value,) = kind.unpack(self.take(kind.size))
        return value

    def line(self) -> bytes:
        limit = min(len(self.data), self.position + self.budget.limits.text_bytes)
        piece = 256
        start = self.position
        while True:
            chunk = bytes(self.data[start : min(limit, start + piece)])
            found = chunk.find(b"\n")
            if found >= 0:
                line = bytes(self.data[self.position : start + found])
                self.position = start + found + 1
                return line
            start += len(chunk)
            if start >= limit:
                raise Damaged("it has a line of text without an end")
            piece *= 2

    def text(self, count: int, encoding: str, errors: str = "strict") -> str:
        if count > self.budget.limits.text_bytes:
            raise Damaged(f"it has a text of {count} bytes")
        return as_text(self.take(count), encoding, errors)

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack:
            raise Damaged("its pickle uses a value that it never made")
        return self.stack.pop()

    def top(self) -> Any:
        if not self.stack:
            raise Damaged("its pickle uses a value that it never made")
        return self.stack[-1]

    def pop_mark(self) -> list[Any]:
        if not self.outer:
            raise Damaged("its pickle closes what it never opened")
        items = self.stack
        self.stack = self.outer.pop()
        return items

    def mark(self) -> None:
        if len(self.outer) >= self.budget.limits.depth:
            raise Damaged("it is nested too deep")
        self.outer.append(self.stack)
        self.stack = []

    def push_bytes(self, count: int) -> None:
        piece = self.take(count)
        self.stack.append(piece if count >= VIEWED else bytes(piece))

    def push_old_string(self, count: int) -> None:
        # The numbers of Python 2's arrays are strings, too, so large ones stay a view.
        piece = self.take(count)
        self.stack.append(piece if count >= 1 << 20 else str(piece, "latin-1"))

    def push_integer(self, count: int) -> None:
        if count > self.budget.limits.integer_bytes:
            raise Damaged(f"it has a number of {count} bytes")
        self.stack.append(int.from_bytes(self.take(count), "little", signed=True))

    def text_integer(self, line: bytes) -> int:
        if len(line) > 2 * self.budget.limits.integer_bytes:
            raise Damaged(f"it has a number of {len(line)} digits")
        try:
            return int(line.rstrip(b"L"))
        except ValueError:
            raise Damaged("it has a number that is not valid") from None

    def int_line(self) -> None:
        line = self.line()
        self.stack.append({b"00": False, b"01": True}[line] if line in (b"00", b"01") else self.text_integer(line))

    def float_line(self) -> None:
        try:
            self.stack.append(float(self.line()[:64]))
        except ValueError:
            raise Damaged("it has a number that is not valid") from None

    def string_line(self) -> None:
        line = self.line().strip()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise Damaged("it has a string without quotes")
        try:
            self.stack.append(codecs.escape_decode(line[1:-1])[0].decode("latin-1"))
        except ValueError:
            raise Damaged("it has a text that is not valid") from None

    def push_tuple(self, count: int) -> None:
        if len(self.stack) < count:
            raise Damaged("its pickle uses a value that it never made")
        items = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        self.stack.append(items)

    def append(self, items: list[Any]) -> None:
        target = self.top()
        if isinstance(target, Inert):
            if not isinstance(target.items, list):
                raise Damaged("it has an object that is both a list and a dict")
            target = target.items
        if not isinstance(target, list):
            raise Damaged(f"it appends to a {type(target).__name__}")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.top()
        if isinstance(target, Inert):
            if not target.items:
                target.items = {}
            target = target.items
        if not isinstance(target, dict) or len(items) % 2:
            raise Damaged(f"it sets items of a {type(target).__name__}")
        for index in range(0, len(items), 2):
            target[as_key(items[index])] = items[index + 1]

    def put(self, key: int) -> None:
        if not 0 <= key < 1 << 32:  # Larger numbers may all have the same hash.
            raise Damaged("it remembers a value at a place that is too far away")
        value = self.top()
        self.memo[key] = value
        if isinstance(value, Unbuilt):
            value.keys.append(key)

    def get(self, key: int) -> None:
        if key not in self.memo:
            raise Damaged("its pickle uses a value that it never made")
        self.stack.append(self.memo[key])

    def push_global(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise Damaged("it names a class by something else than words")
        found = self.globals.get((module, name))
        if found is None:
            found = self.globals[module, name] = Global(module[:200], name[:200])
        self.stack.append(found)

    def global_line(self) -> Any:
        return as_text(self.line(), "utf-8"), as_text(self.line(), "utf-8")

    def call(self, function: Any, arguments: Any) -> None:
        if not isinstance(arguments, tuple):
            raise Damaged("it calls a function without a list of arguments")
        if not isinstance(function, Inert):
            raise Damaged(f"it calls a {type(function).__name__}")
        maker = self.makers.get((function.module, function.name)) if isinstance(function, Global) else None
        if maker is None:
            self.stack.append(Inert(function.module, function.name, arguments))
            return
        try:
            self.stack.append(maker(self.budget, arguments))
        except Damaged:
            raise
        except (TypeError, ValueError, AttributeError, IndexError) as error:
            raise Damaged(f"its {function.name} has arguments that do not fit") from error

    def reduce(self) -> None:
        arguments = self.pop()
        self.call(self.pop(), arguments)

    def new_with_keywords(self) -> None:
        keywords, arguments = self.pop(), self.pop()
        if not isinstance(keywords, dict) or not isinstance(arguments, tuple):
            raise Damaged("it calls a function without a list of arguments")
        self.call(self.pop(), (*arguments, keywords) if keywords else arguments)

    def instance(self) -> None:
        module, name = self.global_line()
        arguments = self.pop_mark()
        self.push_global(module, name)
        self.call(self.pop(), tuple(arguments))

    def object(self) -> None:
        items = self.pop_mark()
        if not items:
            raise Damaged("its pickle uses a value that it never made")
        self.call(items[0], tuple(items[1:]))

    def build(self) -> None:
        state = self.pop()
        target = self.top()
        if isinstance(target, Unbuilt):
            built = target.build(self.budget, state)
            self.stack[-1] = built
            for key in target.keys:
                if self.memo.get(key) is target:
                    self.memo[key] = built
        elif isinstance(target, Global):
            raise Damaged("it changes a class")
        elif isinstance(target, Inert):
            target.state = self.attributes(state)
        elif target is None or isinstance(target, (str, bytes, bool, int, float, tuple)):
            raise Damaged(f"it gives attributes to a {type(target).__name__}")

    def attributes(self, state: Any) -> Any:
        """Return the attributes in a state. The state of an object with slots is two dicts; they are merged."""
        if isinstance(state, tuple) and len(state) == 2 and all(part is None or type(part) is dict for part in state):
            self.budget.step(sum(len(part) for part in state if part))
            return {**(state[0] or {}), **(state[1] or {})}
        return state

    def persistent_id(self, identity: Any) -> None:
        if self.persistent is None:
            raise Damaged("it points to objects outside itself")
        self.stack.append(self.persistent(identity))


def as_text(raw: bytes | memoryview, encoding: str, errors: str = "strict") -> str:
    """Return the text of the bytes. Raises Damaged if they are not text in this encoding."""
    try:
        return str(raw, encoding, errors)
    except UnicodeDecodeError:
        raise Damaged("it has a text that is not valid") from None


def as_key(value: Any) -> Any:
    """Return the value as the key of a dict.

    Tuples and other containers become an ``Inert``, equal only to itself, because hashing them may take forever. So do
    integers of more than 64 bits.
    """
    if value is None or isinstance(value, (str, bytes, float, Inert)):
        return value
    if isinstance(value, int) and abs(value) < 1 << 63:
        return value
    return Inert("builtins", type(value).__name__, (value,))


_U1, _U2, _U4, _U8 = (struct.Struct(kind) for kind in ("<B", "<H", "<I", "<Q"))
_I4, _F8 = struct.Struct("<i"), struct.Struct(">d")
_STOP = ord(".")

_TABLE: dict[bytes, Callable[[_Machine], Any]] = {
    b"(": _Machine.mark,
    b"0": lambda m: m.stack.pop() if m.stack else m.pop_mark(),
    b"1": lambda m: m.pop_mark(),
    b"2": lambda m: m.push(m.top()),
    b"F": _Machine.float_line,
    b"I": _Machine.int_line,
    b"J": lambda m: m.push(m.number(_I4)),
    b"K": lambda m: m.push(m.number(_U1)),
    b"L": lambda m: m.push(m.text_integer(m.line())),
    b"M": lambda m: m.push(m.number(_U2)),
    b"N": lambda m: m.push(None),
    b"P": lambda m: m.persistent_id(str(m.line(), "latin-1")),
    b"Q": lambda m: m.persistent_id(m.pop()),
    b"R": _Machine.reduce,
    b"S": _Machine.string_line,
    b"T": lambda m: m.push_old_string(m.number(_I4)),
    b"U": lambda m: m.push_old_string(m.number(_U1)),
    b"V": lambda m: m.push(_unescaped(m.line())),
    b"X": lambda m: m.push(m.text(m.number(_U4), "utf-8", "surrogatepass")),
    b"a": lambda m: m.append([m.pop()]),
    b"b": _Machine.build,
    b"c": lambda m: m.push_global(*m.global_line()),
    b"d": lambda m: m.push(_pairs(m.pop_mark())),
    b"}": lambda m: m.push({}),
    b"e": lambda m: m.append(m.pop_mark()),
    b"g": lambda m: m.get(m.text_integer(m.line())),
    b"h": lambda m: m.get(m.number(_U1)),
    b"i": _Machine.instance,
    b"j": lambda m: m.get(m.number(_U4)),
    b"l": lambda m: m.push(m.pop_mark()),
    b"]": lambda m: m.push([]),
    b"o": _Machine.object,
    b"p": lambda m: m.put(m.text_integer(m.line())),
    b"q": lambda m: m.put(m.number(_U1)),
    b"r": lambda m: m.put(m.number(_U4)),
    b"s": lambda m: m.set_items([m.pop(), m.pop()][::-1]),
    b"t": lambda m: m.push(tuple(m.pop_mark())),
    b")": lambda m: m.push(()),
    b"u": lambda m: m.set_items(m.pop_mark()),
    b"G": lambda m: m.push(m.number(_F8)),
    b"\x80": lambda m: _protocol(m.number(_U1)),
    b"\x81": _Machine.reduce,
    b"\x85": lambda m: m.push_tuple(1),
    b"\x86": lambda m: m.push_tuple(2),
    b"\x87": lambda m: m.push_tuple(3),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"\x8a": lambda m: m.push_integer(m.number(_U1)),
    b"\x8b": lambda m: m.push_integer(m.number(_I4)),
    b"B": lambda m: m.push_bytes(m.number(_U4)),
    b"C": lambda m: m.push_bytes(m.number(_U1)),
    b"\x8c": lambda m: m.push(m.text(m.number(_U1), "utf-8", "surrogatepass")),
    b"\x8d": lambda m: m.push(m.text(m.number(_U8), "utf-8", "surrogatepass")),
    b"\x8e": lambda m: m.push_bytes(m.number(_U8)),
    b"\x8f": lambda m: m.push([]),
    b"\x90": lambda m: m.append(m.pop_mark()),
    b"\x91": lambda m: m.push(m.pop_mark()),
    b"\x92": _Machine.new_with_keywords,
    b"\x93": lambda m: m.push_global(*[m.pop(), m.pop()][::-1]),
    b"\x94": lambda m: m.put(len(m.memo)),
    b"\x95": lambda m: _frame(m, m.number(_U8)),
    b"\x96": lambda m: m.push_bytes(m.number(_U8)),
}
"""Every opcode that is read.

Two kinds are refused: extension codes (0x82 to 0x84) name entries of a registry that we do not have, and out-of-band
buffers (0x97, 0x98) are not in the file.
"""


def _unescaped(line: bytes) -> str:
    try:
        return codecs.raw_unicode_escape_decode(line)[0]
    except UnicodeDecodeError:
        raise Damaged("it has a text that is not valid") from None


def _pairs(items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2:
        raise Damaged("it has a dict with a key and no value")
    return {as_key(items[index]): items[index + 1] for index in range(0, len(items), 2)}


def _protocol(version: int) -> None:
    if version > 5:
        raise Damaged(f"it is a pickle of protocol {version}, which is not known")


def _frame(machine: _Machine, count: int) -> None:
    if count > len(machine.data) - machine.position:
        raise Damaged("it is cut short")


_STEPS: list[Callable[[_Machine], Any] | None] = [_TABLE.get(bytes([opcode])) for opcode in range(256)]
