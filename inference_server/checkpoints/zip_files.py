"""Read zip files as ``torch.save`` writes them: uncompressed entries, viewed in place, never extracted to disk."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .limits import Budget, Damaged

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_FULL = 0xFFFFFFFF


@dataclass(frozen=True)
class Entry:
    """An entry of a zip file. offset: of its header. size: in bytes. packed: it is compressed or encrypted."""

    offset: int
    size: int
    packed: bool


def read_zip(data: memoryview, budget: Budget) -> dict[str, memoryview]:
    """Return the entries by name, as views of the file.

    Raises:
        Damaged: it is not a zip file, is cut short, has two entries of the same name, or one that is compressed or
            encrypted.
    """
    entries: dict[str, memoryview] = {}
    for name, entry in list_zip(data, budget).items():
        if entry.packed:
            raise Damaged("it is a compressed or encrypted zip file, and a checkpoint is neither")
        local = _unpack(_LOCAL, data, entry.offset, b"PK\x03\x04")
        begin = entry.offset + _LOCAL.size + local[9] + local[10]
        if begin + entry.size > len(data):
            raise Damaged("it is cut short")
        entries[name] = data[begin : begin + entry.size]
    return entries


def list_zip(data: memoryview, budget: Budget) -> dict[str, Entry]:
    """Return the entries in the directory of a zip file, by name.

    Raises:
        Damaged: it is not a zip file, is cut short, or has two entries of the same name.
    """
    start, count = _directory(data)
    entries: dict[str, Entry] = {}
    for _ in range(count):
        budget.step()
        fields = _unpack(_ENTRY, data, start, b"PK\x01\x02")
        flags, method = fields[3], fields[4]
        packed, size, name_length, extra_length, comment_length = fields[8:13]
        start += _ENTRY.size
        name = bytes(data[start : start + name_length]).decode("utf-8", "replace")
        extra = bytes(data[start + name_length : start + name_length + extra_length])
        start += name_length + extra_length + comment_length
        size, packed, offset = _wide(extra, size, packed, fields[16])
        if name in entries:
            raise Damaged("it has two entries of the same name")
        entries[name] = Entry(offset, size, bool(method or flags & 1 or packed != size))
    return entries


def _unpack(kind: struct.Struct, data: memoryview, start: int, sign: bytes) -> tuple:
    if start < 0 or start + kind.size > len(data):
        raise Damaged("it is cut short")
    fields = kind.unpack_from(data, start)
    if fields[0] != sign:
        raise Damaged("it is a damaged zip file")
    return fields


def _directory(data: memoryview) -> tuple[int, int]:
    """Return where the directory of entries begins, and the number of entries."""
    tail = bytes(data[max(0, len(data) - _END.size - 65535) :])
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or found + _END.size > len(tail):
        raise Damaged("it is cut short")
    end = len(data) - len(tail) + found
    fields = _END.unpack_from(data, end)
    count, start = fields[4], fields[6]
    if count == 0xFFFF or start == _FULL:
        locator = _unpack(_LOCATOR, data, end - _LOCATOR.size, b"PK\x06\x07")
        wide = _unpack(_END64, data, locator[2], b"PK\x06\x06")
        count, start = wide[7], wide[9]
    if start + count * _ENTRY.size > len(data):
        raise Damaged("it is cut short")
    return start, count


def _wide(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """Return size, packed size and offset. Those of more than four bytes are in an extra field, in this order."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        body = extra[position + 4 : position + 4 + length]
        position += 4 + length
        if kind != 1:
            continue
        wide = [int.from_bytes(body[index : index + 8], "little") for index in range(0, len(body) // 8 * 8, 8)]
        values = []
        for value in (size, packed, offset):
            values.append(wide.pop(0) if value == _FULL and wide else value)
        size, packed, offset = values
    return size, packed, offset
