"""Files that do harm if a program loads them carelessly. If their code runs, it writes the sentinel file."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import torch


def short(text: str) -> bytes:
    """The opcode of a short string."""
    raw = text.encode()
    return b"\x8c" + bytes([len(raw)]) + raw


def long_bytes(raw: bytes) -> bytes:
    """The opcode of bytes."""
    return b"B" + struct.pack("<I", len(raw)) + raw


def named(module: str, name: str) -> bytes:
    """The opcodes of a class or function."""
    return f"c{module}\n{name}\n".encode()


def legacy(body: bytes, keys: tuple[str, ...] = (), storages: bytes = b"") -> bytes:
    """A file of torch.save before the zip format, around the pickle of its object."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    head = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, system))
    return head + body + pickle.dumps(list(keys), 2) + storages


def torch_zip(body: bytes, entries: dict[str, bytes] | None = None, folder: str = "archive/") -> bytes:
    """A file of torch.save around the pickle of its object."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{folder}data.pkl", body)
        for name, raw in (entries or {}).items():
            archive.writestr(name, raw)
    return file.getvalue()


def storage_id(key: str = "0", count: int = 4, kind: str = "FloatStorage", part: bytes = b"") -> bytes:
    """The opcodes that fetch a storage."""
    words = b"(" + short("storage") + named("torch", kind) + short(key) + short("cpu") + integer(count)
    return words + part + b"tQ"


def integer(value: int) -> bytes:
    """The opcode of an integer."""
    return b"L%dL\n" % value


def tensor(storage: bytes, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """The opcodes of a tensor."""
    shape = b"(" + b"".join(map(integer, size)) + b"t"
    steps = b"(" + b"".join(map(integer, stride)) + b"t"
    rest = b"\x89" + named("collections", "OrderedDict") + b")R"
    return named("torch._utils", "_rebuild_tensor_v2") + b"(" + storage + integer(offset) + shape + steps + rest + b"tR"


def array(shape: tuple[int, ...], code: str, raw: bytes) -> bytes:
    """The opcodes of a numpy array with any shape and bytes."""
    made = named("numpy.core.multiarray", "_reconstruct") + b"(" + named("numpy", "ndarray") + b"(K\x00t" + short("b")
    dtype = named("numpy", "dtype") + b"(" + short(code) + b"K\x00K\x01tR(K\x03" + short("<") + b"NNNJ\xff\xff\xff\xff"
    dtype += b"J\xff\xff\xff\xffK\x00tb"
    return made + b"tR(K\x01(" + b"".join(map(integer, shape)) + b"t" + dtype + b"\x89" + raw + b"tb"


def running(sentinel: Path) -> dict[str, bytes]:
    """Pickles that run code, by the way in which they do it."""
    command = f"touch {sentinel}"
    code = f"open({str(sentinel)!r}, 'w')"
    text = short(command)
    line = f"S{command!r}\n".encode()
    system = named("os", "system")
    evil = b"\x80\x02" + system + b"(" + line + b"tR."
    persistent = named("torch_utils.persistence", "_reconstruct_persistent_obj")
    meta = b"}(" + short("type") + short("class") + short("version") + b"K\x06" + short("module_src") + short(code)
    meta += short("class_name") + short("Generator") + short("state") + b"}u"
    load = named("torch.storage", "_load_from_bytes")
    module = torch.nn.Linear(1, 1)
    file = io.BytesIO()
    torch.save(module, file)
    files = {
        "GLOBAL, REDUCE": evil,
        "STACK_GLOBAL": b"\x80\x04" + short("os") + short("system") + b"\x93" + text + b"\x85R.",
        "INST": b"(" + line + b"ios\nsystem\n.",
        "OBJ": b"(" + system + line + b"o.",
        "NEWOBJ": b"\x80\x02" + system + text + b"\x85\x81.",
        "NEWOBJ_EX": b"\x80\x04" + system + text + b"\x85}\x92.",
        "BUILD of an object": b"\x80\x02" + named("pathlib", "Path") + b")\x81}(" + short("__class__") + text + b"ub.",
        "BUILD of a class": b"\x80\x02" + system + b"}(" + short("x") + text + b"ub.",
        "eval": b"\x80\x02" + named("builtins", "eval") + short(code) + b"\x85R.",
        "exec": b"\x80\x02" + named("builtins", "exec") + short(code) + b"\x85R.",
        "eval of Python 2": named("__builtin__", "eval") + f"(S{code!r}\ntR.".encode(),
        "getattr": b"\x80\x02" + named("builtins", "getattr") + named("builtins", "eval") + short("__call__") + b"\x86R"
        b"" + short(code) + b"\x85R.",
        "dotted name": b"\x80\x04" + short("torch.serialization") + short("os.system") + b"\x93" + text + b"\x85R.",
        "subprocess": b"\x80\x02"
        + named("subprocess", "Popen")
        + b"(]"
        + short("touch")
        + b"a"
        + short(str(sentinel))
        + b"atR.",
        "a module that is imported": b"\x80\x02" + named("antigravity", "fly") + b")R.",
        "OrderedDict of an object": b"\x80\x02" + named("collections", "OrderedDict") + b"(" + evil[2:-1] + b"tR.",
        "defaultdict": b"\x80\x02" + named("collections", "defaultdict") + system + b"\x85R" + text + b"Ns.",
        "a codec": b"\x80\x02" + named("_codecs", "encode") + text + short("idna") + b"\x86R.",
        "persistent id": b"\x80\x02" + text + b"Q.",
        "persistent id of protocol 0": b"Pos.system\n.",
        "EXT1": b"\x80\x02\x82\x01.",
        "EXT2": b"\x80\x02\x83\x01\x00.",
        "EXT4": b"\x80\x02\x84\x01\x00\x00\x00.",
        "NEXT_BUFFER": b"\x80\x05\x97.",
        "module_src": b"\x80\x03" + persistent + meta + b"\x85R.",
        "a pickle in a storage": b"\x80\x03" + load + long_bytes(evil) + b"\x85R.",
        "a pickle after a storage's magic": b"\x80\x03" + load + long_bytes(legacy(evil)) + b"\x85R.",
        "a module in a storage": b"\x80\x03" + load + long_bytes(file.getvalue()) + b"\x85R.",
        "torch zip in a storage": b"\x80\x03" + load + long_bytes(torch_zip(evil)) + b"\x85R.",
        "torch zip": torch_zip(evil),
        "torch zip with absolute paths": torch_zip(evil, {str(sentinel): b"x", "../../../pwned": b"x"}, "/tmp/"),
        "legacy torch": legacy(evil),
        "legacy torch with a source": legacy(
            b"\x80\x02(" + short("module") + named("os", "system") + short("/etc/passwd") + short(code) + b"tQ."
        ),
        "torch.load": b"\x80\x02" + named("torch", "load") + short(str(sentinel)) + b"\x85R.",
        "numpy.load": b"\x80\x02" + named("numpy", "load") + short(str(sentinel)) + b"\x85R.",
        "a tensor made by a hook": torch_zip(
            b"\x80\x02" + named("torch._tensor", "_rebuild_from_type_v2") + b"(" + system + system + text + b"\x85NtR."
        ),
        "array of objects": pickle.dumps(np.array([Runs(command)], dtype=object)),
        "scalar of objects": b"\x80\x02"
        + named("numpy.core.multiarray", "scalar")
        + b"("
        + named("numpy", "dtype")
        + b"("
        + short("O8")
        + b"K\x00K\x01tR"
        + evil[2:-1]
        + b"tR.",
    }
    for protocol in range(6):
        files[f"protocol {protocol}"] = pickle.dumps({"G_ema": Runs(command)}, protocol)
    return files


class Runs:
    """Runs a command when a careless program unpickles it."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return __import__("os").system, (self.command,)


def bombs() -> dict[str, bytes]:
    """Files that need too much memory, time or depth."""
    laughs = b"\x80\x02]" + b"".join(b"q%c](" % n + b"h%c" % n * 10 + b"e" for n in range(100)) + b"."
    pairs = b"\x80\x02N" + b"2\x86" * 400
    ones = torch.ones(4).numpy().tobytes()
    data = {"archive/data/0": ones}
    blob = long_bytes(
        legacy(b"\x80\x02" + storage_id(count=1 << 18) + b".", ("0",), struct.pack("<q", 1 << 18) + bytes(1 << 20))
    )
    copies = named("torch.storage", "_load_from_bytes") + blob + b"\x85q\x010"
    again = b"0" + named("torch.storage", "_load_from_bytes") + b"h\x01R"
    collide = b"".join(integer(n * (2**61 - 1)) + b"N" for n in range(20_000))
    odd = np.zeros(1, "u1").tobytes()
    return {
        "billion laughs": laughs,
        "billion laughs as a key": b"\x80\x02}" + pairs[2:] + b"Ns.",
        "billion laughs as a set": b"\x80\x04\x8f(" + pairs[2:] + b"\x90.",
        "billion laughs as attributes": b"\x80\x02" + named("a", "b") + b")\x81" + laughs[2:-1] + b"b.",
        "lists in lists": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
        "tuples in tuples": b"\x80\x02N" + b"\x85" * 300_000 + b".",
        "objects in objects": b"\x80\x02"
        + named("a", "b")
        + b")\x81" * 1
        + (named("a", "b") + b")\x81") * 50_000
        + b"b" * 50_000
        + b".",
        "marks": b"\x80\x02" + b"(" * 1_000_000 + b".",
        "dicts": b"\x80\x02" + b"}" * 3_000_000 + b".",
        "LONG4": b"\x80\x02\x8b\xff\xff\xff\x7f" + bytes(2_000_000) + b".",
        "LONG4 that is there": b"\x80\x02\x8b" + struct.pack("<i", 5_000_000) + b"\x7f" * 5_000_000 + b".",
        "LONG4 below zero": b"\x80\x02\x8b\xff\xff\xff\xff.",
        "INT of many digits": b"I" + b"9" * 5_000_000 + b"\n.",
        "LONG of many digits": b"L" + b"9" * 5_000_000 + b"L\n.",
        "FLOAT of many digits": b"F" + b"9" * 5_000_000 + b"\n.",
        "FRAME": b"\x80\x04\x95" + b"\xff" * 8 + b"N.",
        "BINBYTES8": b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f" + b"N.",
        "BINUNICODE8": b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7f" + b"N.",
        "BYTEARRAY8": b"\x80\x05\x96" + b"\xff" * 7 + b"\x7f" + b"N.",
        "BINSTRING below zero": b"\x80\x02T\xff\xff\xff\xff.",
        "bytearray of a number": b"\x80\x02" + named("builtins", "bytearray") + integer(1 << 40) + b"\x85R.",
        "bytes of a number": b"\x80\x02" + named("builtins", "bytes") + integer(1 << 40) + b"\x85R.",
        "PUT far away": b"\x80\x02Nr\xff\xff\xff\xff.",
        "PUT of many digits": b"Np" + b"9" * 4000 + b"\n.",
        "places of the memo that collide": b"\x80\x02N"
        + b"".join(b"p%d\n" % (n * (2**61 - 1)) for n in range(200_000))
        + b".",
        "billion laughs in an array that is not yet": b"\x80\x03"
        + array((2,), "f4", long_bytes(ones[:8])).replace(b"tR(K\x01(", b"tR" + pairs[2:] + b"a(K\x01(", 1)
        + b".",
        "keys that collide": b"\x80\x02}(" + collide + b"u.",
        "a line without an end": b"c" + b"x" * 5_000_000,
        "a stack that is empty": b"\x80\x020.",
        "a storage copied again and again": b"\x80\x03" + copies + again * 20_000 + b".",
        "tensors by the million": torch_zip(
            b"\x80\x02" + storage_id() + b"q\x00" + (b"0" + tensor(b"h\x00", 0, (2,), (1,))) * 30_000 + b".", data
        ),
        "a tensor larger than its storage": torch_zip(
            b"\x80\x02" + tensor(storage_id(), 0, (1 << 40,), (1,)) + b".", data
        ),
        "a tensor beyond its storage": torch_zip(b"\x80\x02" + tensor(storage_id(), 3, (2,), (1,)) + b".", data),
        "a tensor before its storage": torch_zip(b"\x80\x02" + tensor(storage_id(), -1, (2,), (1,)) + b".", data),
        "a stride below zero": torch_zip(b"\x80\x02" + tensor(storage_id(), 3, (2,), (-1,)) + b".", data),
        "a size below zero": torch_zip(b"\x80\x02" + tensor(storage_id(), 0, (-2, -2), (1, 1)) + b".", data),
        "a size that overflows": torch_zip(
            b"\x80\x02" + tensor(storage_id(), 0, (1 << 32, 1 << 32), (0, 0)) + b".", data
        ),
        "an expanded tensor": torch_zip(b"\x80\x02" + tensor(storage_id(), 0, (1 << 40,), (0,)) + b".", data),
        "an empty tensor of a vast shape": torch_zip(
            b"\x80\x02" + tensor(storage_id(), 0, (0, 1 << 47, 1 << 47), (1, 1, 1)) + b".", data
        ),
        "a storage that claims more": torch_zip(
            b"\x80\x02" + tensor(storage_id(count=1 << 40), 0, (1 << 40,), (1,)) + b".", data
        ),
        "a storage of another kind": torch_zip(
            b"\x80\x02" + tensor(storage_id(kind="DoubleStorage"), 0, (4,), (1,)) + b".", data
        ),
        "a storage that is missing": torch_zip(b"\x80\x02" + tensor(storage_id("1"), 0, (4,), (1,)) + b".", data),
        "a path as a storage": torch_zip(b"\x80\x02" + tensor(storage_id("../../etc/passwd"), 0, (4,), (1,)) + b"."),
        "a legacy storage that claims more": legacy(
            b"\x80\x02" + tensor(storage_id(count=1 << 40), 0, (1 << 40,), (1,)) + b".",
            ("0",),
            struct.pack("<q", 1 << 40) + ones,
        ),
        "a legacy storage below zero": legacy(
            b"\x80\x02" + tensor(storage_id(count=-4), 0, (4,), (1,)) + b".", ("0",), struct.pack("<q", -4) + ones
        ),
        "a part beyond its storage": legacy(
            b"\x80\x02"
            + tensor(storage_id(part=b"(" + short("v") + integer(2) + integer(4) + b"t"), 0, (4,), (1,))
            + b".",
            ("0",),
            struct.pack("<q", 4) + ones,
        ),
        "an array larger than its bytes": b"\x80\x03" + array((1 << 40,), "f4", long_bytes(ones)) + b".",
        "an array without bytes": b"\x80\x03" + array((1 << 40,), "f4", b"N") + b".",
        "an array that overflows": b"\x80\x03" + array((1 << 32, 1 << 32), "f4", long_bytes(b"")) + b".",
        "an array of a vast dtype": b"\x80\x03" + array((1,), "f999999999", long_bytes(odd)) + b".",
        "an array of itself": b"\x80\x03" + array((2,), "f4", b"h\x00") + b".",
        "a zip bomb": _deflated(bytes(50_000_000)),
        "two entries of a name": _twice(),
        "zeros": bytes(4096),
        "Torch7 of a vast table": struct.pack("<iii", 3, 1, 2**31 - 1),
        "Torch7 of a vast string": struct.pack("<ii", 4, 1) + struct.pack("<i", 2**31 - 1),
        "Torch7 of a vast tensor": struct.pack("<iii", 4, 1, 3)
        + b"V 1"
        + struct.pack("<i", 17)
        + b"torch.FloatTensor"
        + struct.pack("<iqqqi", 1, 1 << 50, 1, 1, 4)
        + struct.pack("<ii", 2, 3)
        + b"V 1"
        + struct.pack("<i", 18)
        + b"torch.FloatStorage"
        + struct.pack("<q", 1 << 50),
        "Torch7 of deep tables": struct.pack("<i", 3)
        + b"".join(struct.pack("<iiidi", n + 1, 1, 1, 1.0, 3) for n in range(100_000)),
    }


def _deflated(raw: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", raw)
    return file.getvalue()


def _twice() -> bytes:
    file = torch_zip(pickle.dumps({}), {"archive/data.pkx": b"x"})
    return file.replace(b"archive/data.pkx", b"archive/data.pkl")
