"""Files of Torch7, binary and in text."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from inference_server.checkpoints import CheckpointError
from inference_server.checkpoints.inert import Inert
from inference_server.checkpoints.reading import read_file
from torch7_writer import Function, Lua, Writer

WAYS = {
    "binary": {},
    "text": {"text": True},
    "Windows": {"long": 4},
    "CUDA": {"cuda": True},
    "text of CUDA": {"text": True, "cuda": True},
}


@pytest.fixture(params=WAYS)
def read(request, tmp_path):
    """Write a value in each format, and read it."""

    def read(value):
        path = tmp_path / "net.t7"
        path.write_bytes(Writer(**WAYS[request.param]).write(value).bytes())
        kind, found = read_file(path)
        assert kind == "torch7"
        return found

    return read


def test_plain_values(read):
    table = {"a": None, "b": True, "c": False, "d": 3, "e": -0.25, "f": "text \xe9\n", 1.5: "half", 7: {}}
    assert read(table) == table
    assert read(["first", 2.0]) == {1: "first", 2: 2}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int32", "uint8"])
def test_tensors(read, dtype):
    numbers = (np.random.default_rng(0).normal(size=(3, 4, 5)) * 40).astype(dtype)
    found = read({"whole": numbers, "turned": numbers.transpose(2, 0, 1), "row": numbers[0, 0], "none": numbers[:0]})
    for name, expected in (("whole", numbers), ("turned", numbers.transpose(2, 0, 1)), ("row", numbers[0, 0])):
        assert np.array_equal(found[name].numpy(), expected), name
    assert found["none"].numel() == 0


def test_a_network(read):
    weight = np.random.default_rng(0).normal(size=(5, 4, 4, 4)).astype("f4")
    layer = Lua("cudnn.SpatialFullConvolution", {"weight": weight, "kW": 4, "bias": None})
    step = Function(captured={"weight": weight, "self": layer})
    net = Lua("nn.Sequential", {"modules": [layer, Lua("nn.Tanh"), layer], "train": True, "step": step})
    found = read(net)
    assert (found.module, found.name, found.get("train")) == ("torch7", "nn.Sequential", True)
    modules = found.get("modules")
    assert [modules[index].name for index in (1, 2, 3)] == [
        "nn.SpatialFullConvolution",
        "nn.Tanh",
        "nn.SpatialFullConvolution",
    ]
    assert modules[1] is modules[3]
    assert np.array_equal(modules[1].get("weight").numpy(), weight)
    assert isinstance(found.get("step"), Inert)
    assert found.get("step").items == []


def test_tables_that_hold_themselves(tmp_path):
    path = tmp_path / "net.t7"
    table: dict = {"name": "loop"}
    table["self"] = table
    path.write_bytes(Writer().write(table).bytes())
    with pytest.raises(CheckpointError, match="holds itself"):
        read_file(path)
    net = Lua("nn.Sequential")
    net.fields["modules"] = [Lua("nn.Tanh"), net]
    path.write_bytes(Writer().write(net).bytes())
    with pytest.raises(CheckpointError, match="a module that holds itself"):
        read_file(path)


def test_every_cut_is_noticed(tmp_path):
    path = tmp_path / "net.t7"
    for way in WAYS.values():
        raw = Writer(**way).write({"weight": np.arange(6.0), "name": "x"}).bytes().rstrip()
        for length in range(8, len(raw) - 1):
            path.write_bytes(raw[:length])
            with pytest.raises(CheckpointError, match=r"net\.t7"):
                read_file(path)


def test_tensors_beyond_their_storage(tmp_path):
    path = tmp_path / "net.t7"
    raw = Writer().write(np.arange(6.0)).bytes()
    size = (6).to_bytes(8, "little")
    assert raw.count(size) == 2  # the tensor's and the storage's
    for wrong in (7, 1 << 40, -1):
        path.write_bytes(raw.replace(size, wrong.to_bytes(8, "little", signed=True), 1))
        with pytest.raises(CheckpointError, match=r"net\.t7"):
            read_file(path)


def test_classes_with_a_format_of_their_own(tmp_path):
    path = tmp_path / "net.t7"
    path.write_bytes(Writer().write(Lua("tds.Hash", 3)).bytes())
    with pytest.raises(CheckpointError, match=r"tds\.Hash"):
        read_file(path)


def test_the_first_trouble_is_told(tmp_path):
    path = tmp_path / "net.t7"
    deep: dict = {}
    for _ in range(300):
        deep = {"in": deep}
    path.write_bytes(Writer().write(deep).bytes())
    with pytest.raises(CheckpointError, match="nested too deep"):
        read_file(path)


def test_storages(tmp_path):
    path = tmp_path / "net.t7"
    raw = Writer().write(np.arange(4, dtype="int64")).bytes()
    start = raw.index(b"torch.LongStorage") - 19
    path.write_bytes(raw[start:])
    assert torch.equal(read_file(path)[1], torch.arange(4))
