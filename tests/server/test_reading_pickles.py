"""Pickles of every protocol: plain values are read as they were, everything else as inert descriptions."""

from __future__ import annotations

import argparse
import collections
import datetime
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from inference_server.checkpoints import CheckpointError
from inference_server.checkpoints.inert import Inert, is_module, state_dict, submodule
from inference_server.checkpoints.limits import LIMITS, Limits
from inference_server.checkpoints.reading import read_file

FIXTURES = Path(__file__).parent / "fixtures"
PROTOCOLS = range(6)


@pytest.fixture
def read(tmp_path):
    """Write bytes, read them, and return the value."""

    def read(raw: bytes, limits: Limits = LIMITS):
        path = tmp_path / "file.pkl"
        path.write_bytes(raw)
        return read_file(path, limits)[1]

    return read


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "value",
    [
        None,
        [True, False, 0, 1, -1, 255, 256, 65535, 65536, -(2**31), 2**31, 2**200, -(2**200)],
        [0.0, -1.5, 1e300, float("inf")],
        ["", "plain", "ümläut \U0001f3ee\n\\u0041 'quoted\"", "x" * 300, "y" * 100_000],
        [b"", b"\x00\xff" * 100, b"z" * 300],
        bytearray(b"\x00\x01"),
        (),
        (1, (2, 3), (4, 5, 6), (7, 8, 9, 10)),
        {"a": {"b": [1]}, 2: "c", 3.5: None, None: 1, b"k": 2, True: 3},
        {n: [n] for n in range(3000)},
    ],
    ids=lambda value: type(value).__name__,
)
def test_plain_values(read, protocol, value):
    found = read(pickle.dumps(value, protocol))
    assert found == value
    assert type(found) is type(value) or isinstance(value, bytearray)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_long_bytes_are_views_of_the_file(read, protocol):
    value = np.random.default_rng(0).bytes(200_000)
    assert bytes(read(pickle.dumps([value], protocol))[0]) == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_containers_of_the_library(read, protocol):
    ordered = collections.OrderedDict([("b", 1), ("a", 2)])
    counted = collections.defaultdict(list, {"x": [1]})
    value = [ordered, counted, collections.Counter("aab"), {3}, frozenset([4])]
    found = read(pickle.dumps(value, protocol))
    assert found == [{"b": 1, "a": 2}, {"x": [1]}, {"a": 2, "b": 1}, [3], [4]]
    assert list(found[0]) == ["b", "a"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_sharing(read, protocol):
    shared = [1]
    found = read(pickle.dumps([shared, {"again": shared}], protocol))
    assert found[0] is found[1]["again"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_containers_that_hold_themselves(read, protocol):
    loop: list = []
    loop.append({"in": loop})
    with pytest.raises(CheckpointError, match="a list or dict that holds itself"):
        read(pickle.dumps(loop, protocol))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_objects_may_refer_to_their_holders(read, protocol):
    holder = Plain()
    holder.parts = [Plain()]
    holder.parts[0].holder = [holder]
    found = read(pickle.dumps([holder, holder], protocol))
    assert found[0] is found[1]
    assert found[0].get("parts")[0].get("holder")[0] is found[0]


def module_of(*children):
    module = torch.nn.Module()
    for number, child in enumerate(children):
        module._modules[str(number)] = child
    return module


def test_modules_that_are_endless(read):
    endless = module_of()
    for _ in range(30):
        endless = module_of(endless, endless)
    with pytest.raises(CheckpointError, match="again and again"):
        read(pickle.dumps(endless))
    loop = module_of()
    loop._modules["self"] = loop
    with pytest.raises(CheckpointError, match="a module that holds itself"):
        read(pickle.dumps(loop))
    deep = module_of()
    for _ in range(70):
        deep = module_of(deep)
    with pytest.raises(CheckpointError, match="modules are nested too deep"):
        read(pickle.dumps(deep))


class Plain:
    def __init__(self):
        self.width = 3


class Slotted:
    __slots__ = ("width",)

    def __init__(self):
        self.width = 4


class Listed(list):
    pass


class Mapped(dict):
    pass


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_objects_are_inert(read, protocol):
    value = [Plain(), Plain, argparse.Namespace(size=256), Listed([1, 2]), Mapped(a=1), datetime.date(2020, 1, 2), len]
    plain, kind, named, listed, mapped, day, function = read(pickle.dumps(value, protocol))
    for found, name in zip((plain, kind, listed, mapped), ("Plain", "Plain", "Listed", "Mapped"), strict=True):
        assert (found.module, found.name) == (__name__, name) or protocol < 2
    assert plain.get("width") == 3
    assert plain.get("height", 7) == 7
    assert (named.module, named.name, named.state) == ("argparse", "Namespace", {"size": 256})
    assert protocol < 2 or (listed.items == [1, 2] and mapped.items == {"a": 1})
    assert day.name == "date" and len(day.arguments[0]) in (4, 10)
    assert isinstance(function, Inert) and function.name == "len"
    assert repr(plain) == f"<{plain.module}.Plain>"


@pytest.mark.parametrize("protocol", PROTOCOLS[2:])
def test_objects_with_slots(read, protocol):
    assert read(pickle.dumps(Slotted(), protocol)).get("width") == 4


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("code", ["f2", "f4", "f8", "i1", "u1", "i4", "i8", "?", ">f4", ">i2", "c8"])
def test_arrays(read, protocol, code):
    numbers = np.random.default_rng(1).integers(0, 2 if code == "?" else 100, (3, 4, 5)).astype(code)
    value = {
        "c": numbers,
        "f": np.asfortranarray(numbers),
        "part": numbers[::2, 1:3],
        "none": numbers[:0],
        "one": numbers[0, 0, 0],
        "point": np.array(3, code),
    }
    found = read(pickle.dumps(value, protocol))
    for key, expected in value.items():
        assert np.array_equal(found[key], expected), key
        assert found[key].dtype == expected.dtype.newbyteorder("="), key
        assert found[key].shape == expected.shape, key
    assert found["c"].flags.aligned


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_array_stands_in_several_places(read, protocol):
    numbers = np.arange(6.0)
    found = read(pickle.dumps([numbers, {"again": numbers}], protocol))
    assert found[0] is found[1]["again"]
    assert np.array_equal(found[0], numbers)


def test_arrays_of_other_things_are_inert(read):
    pair = np.zeros(2, [("a", "f4"), ("b", "i4")])
    objects = np.array([{"a": 1}, None], dtype=object)
    for value in read(pickle.dumps([pair, objects, np.array(["text"]), np.datetime64("2020-01-01")])):
        assert isinstance(value, Inert)


def test_pickles_of_python_2(read):
    # What Python 2.7 wrote for (u"G", "D\xe9", 5L) and for an array, with protocols 0 and 2.
    assert read(b"(VG\np0\nS'D\\xe9'\np1\nL5L\ntp2\n.") == ("G", "D\xe9", 5)
    assert read(b"\x80\x02X\x01\x00\x00\x00Gq\x01U\x02D\xe9q\x02\x8a\x01\x05\x87q\x03.") == ("G", "D\xe9", 5)
    start = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03"
    start += b"(K\x01K\x02\x85"
    dtype = (
        b"cnumpy\ndtype\nq\x04U\x02f4K\x00K\x01\x87Rq\x05(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
    )
    assert read(start + dtype + b"U\x08\x00\x00\x80?\x00\x00\x00\xc0tb.").tolist() == [1.0, -2.0]
    long = np.arange(300_000, dtype="<f4")
    raw = b"T" + long.nbytes.to_bytes(4, "little") + long.tobytes()
    found = read(start.replace(b"K\x02\x85", b"J\xe0\x93\x04\x00\x85") + dtype + raw + b"tb.")
    assert np.array_equal(found, long)
    assert read(b"(iold\nThing\np0\n(dp1\nS'a'\nI1\nsb.").state == {"a": 1}


def test_every_cut_is_noticed(read):
    raw = pickle.dumps({"a": [1.5, "text", (1, 2)], "b": np.arange(5)})
    for length in range(2, len(raw)):
        with pytest.raises(CheckpointError, match=r"file\.pkl cannot be read|damaged"):
            read(raw[:length])


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(steps=20), "more than 20 entries"),
        (Limits(objects=2), "more than 2 tensors"),
        (Limits(file_bytes=100), "0 GiB"),
        (Limits(depth=1), "nested too deep"),
        (Limits(text_bytes=50), "a text of 60 bytes"),
        (Limits(integer_bytes=20), "a number of 26 bytes"),
    ],
)
def test_limits(read, limits, words):
    value = {"arrays": [np.arange(5)] * 2 + [np.arange(4), np.arange(3)], "text": "x" * 60, "number": 2**200}
    assert read(pickle.dumps(value)).keys() == value.keys()
    with pytest.raises(CheckpointError, match=words):
        read(pickle.dumps(value), limits)


def test_keys_that_cannot_be_keys(read):
    found = read(pickle.dumps({(1, 2): "tuple", 2**80: "large", "plain": 1}))
    assert found["plain"] == 1
    assert [type(key).__name__ for key in found] == ["Inert", "Inert", "str"]


@pytest.mark.parametrize("name", ["ada_skip", "ada_resnet", "ada_gray_nonoise", "sg3t", "sg3r"])
def test_persistent_objects(name):
    kind, value = read_file(FIXTURES / f"{name}.pkl")
    assert kind == "pickle"
    assert set(value) == {"G", "D", "G_ema", "augment_pipe", "training_set_kwargs"}
    generator = value["G_ema"]
    assert (generator.module, generator.name) == ("persistent", "Generator")
    assert is_module(generator)
    assert submodule(generator, "") is generator
    assert submodule(generator, "mapping.fc0").name == "FullyConnectedLayer"
    assert submodule(generator, "mapping.nothing") is None
    tensors = state_dict(generator)
    assert tensors["mapping.w_avg"].shape == (generator.get("w_dim"),)
    assert tensors["mapping.w_avg"].abs().sum() > 0
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert not any("raise" in str(text) for text in generator.state.values() if isinstance(text, str))


@pytest.mark.parametrize("name", ["tf_sg1_128_asym", "tf_sg2_32_resnet"])
def test_networks_of_tensorflow(name):
    kind, value = read_file(FIXTURES / f"{name}.pkl")
    assert kind == "pickle"
    assert [item.name for item in value] == ["Network"] * 3
    variables = dict(value[2].get("variables"))
    assert variables["dlatent_avg"].dtype == np.float32
    assert set(value[2].get("components")) == {"synthesis", "mapping"}


class Stub:
    """Stands for an object of a class that does not exist."""

    def __setstate__(self, state):
        self.state = state


class WithStubs(pickle.Unpickler):
    """Python's own unpickler, for files that are known to be good."""

    def find_class(self, module, name):
        if module.startswith(("torch.", "numpy", "collections", "_codecs")):
            return super().find_class(module, name)
        if name == "EasyDict":
            return dict
        return self.persistent if name == "_reconstruct_persistent_obj" else Stub

    @staticmethod
    def persistent(meta):
        stub = Stub()
        stub.state = meta["state"]
        return stub


def compare(ours, pythons) -> int:
    """Assert that two values are the same, bit by bit; return how many tensors and arrays they hold."""
    if isinstance(pythons, Stub):
        return compare(ours.state, pythons.state)
    if isinstance(pythons, dict):
        assert list(ours) == list(pythons)
        return sum(compare(ours[key], pythons[key]) for key in pythons)
    if isinstance(pythons, (list, tuple)):
        assert len(ours) == len(pythons)
        return sum(compare(*pair) for pair in zip(ours, pythons, strict=True))
    if isinstance(pythons, torch.Tensor):
        assert (ours.dtype, ours.shape, ours.stride()) == (pythons.dtype, pythons.shape, pythons.stride())
        assert torch.equal(ours, pythons)
        return 1
    if isinstance(pythons, (np.ndarray, np.generic)):
        assert (type(ours), ours.dtype) == (type(pythons), pythons.dtype)
        assert np.array_equal(ours, pythons)
        return 1
    assert ours == (list(pythons) if isinstance(pythons, set) else pythons)
    return 0


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.pkl")), ids=lambda path: path.stem)
def test_python_reads_the_same(path):
    with path.open("rb") as file:
        expected = WithStubs(file, encoding="latin-1").load()
    assert compare(read_file(path)[1], expected) > 150
