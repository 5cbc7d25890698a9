"""Files of torch.save, old and new: tensors equal to what torch itself reads, bit by bit."""

from __future__ import annotations

import io
import pickle
import zipfile

import pytest
import torch

from inference_server.checkpoints import CheckpointError
from inference_server.checkpoints.inert import Inert, is_module, state_dict
from inference_server.checkpoints.limits import Limits
from inference_server.checkpoints.reading import read_file

DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8),
    *(torch.uint8, torch.bool, torch.complex64, torch.complex128),
)
KINDS = ("zip", "legacy", "pickle")


def save(value, path, kind: str) -> None:
    if kind == "pickle":
        path.write_bytes(pickle.dumps(value))
    else:
        torch.save(value, path, _use_new_zipfile_serialization=kind == "zip")


def read(value, path, kind: str):
    save(value, path, kind)
    form, found = read_file(path)
    assert form == ("pickle" if kind == "pickle" else "torch")
    return found


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_every_dtype(tmp_path, kind):
    torch.manual_seed(0)
    tensors = {str(dtype): (torch.randn(3, 5) * 50).to(dtype) for dtype in DTYPES}
    found = read(tensors, tmp_path / "file.pt", kind)
    for name, tensor in tensors.items():
        assert same(found[name], tensor), name


@pytest.mark.parametrize("kind", KINDS)
def test_views_of_a_storage(tmp_path, kind):
    whole = torch.arange(24.0).reshape(2, 3, 4)
    views = [
        whole,
        whole.permute(2, 0, 1),
        whole[1],
        whole[:, ::2],
        whole[0, 0, :1].expand(5),
        whole[:0],
        whole[0, 0, 3],
    ]
    found = read(views, tmp_path / "file.pt", kind)
    for index, view in enumerate(views):
        assert same(found[index], view), index
        assert not found[index].requires_grad
    if kind != "pickle":
        assert found[0].untyped_storage().data_ptr() == found[2].untyped_storage().data_ptr()


@pytest.mark.parametrize("kind", KINDS)
def test_modules(tmp_path, kind):
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Sequential(torch.nn.PReLU())
    )
    found = read({"g_ema": module.state_dict(), "module": module}, tmp_path / "file.pt", kind)
    assert is_module(found["module"])
    for tensors in (found["g_ema"], state_dict(found["module"])):
        assert list(tensors) == list(module.state_dict())
        assert all(same(tensors[name], value) for name, value in module.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_optimizers(tmp_path, kind):
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight])
    weight.sum().backward()
    optimizer.step()
    found = read(optimizer.state_dict(), tmp_path / "file.pt", kind)
    assert found["param_groups"][0]["lr"] == 1e-3
    assert same(found["state"][0]["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])


def test_dtypes_without_a_storage(tmp_path):
    value = torch.arange(5).to(torch.uint16)
    assert same(read(value, tmp_path / "file.pt", "zip"), value)


@pytest.mark.parametrize("kind", KINDS[:2])
def test_storages_themselves(tmp_path, kind):
    found = read([torch.ones(2).untyped_storage(), torch.float32, torch.device("cpu")], tmp_path / "file.pt", kind)
    assert all(isinstance(item, Inert) for item in found)


@pytest.mark.filterwarnings("ignore:torch.quantize")
def test_kinds_of_tensors_that_are_not_read(tmp_path):
    quantized = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    with pytest.raises(CheckpointError, match="QInt8Storage"):
        read(quantized, tmp_path / "file.pt", "zip")
    assert isinstance(read(torch.eye(3).to_sparse(), tmp_path / "file.pt", "zip"), Inert)


def test_big_ends(tmp_path):
    path = tmp_path / "file.pt"
    value = {name: torch.tensor([1, 2, 300], dtype=name) for name in (torch.float32, torch.int64, torch.complex64)}
    torch.save({str(name): tensor for name, tensor in value.items()}, path)
    turned = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(turned, "w") as new:
        for name in old.namelist():
            raw = old.read(name)
            if name.endswith("byteorder"):
                raw = b"big"
            elif "/data/" in name:
                size = 8 if len(raw) == 24 and name.endswith("1") else 4
                raw = b"".join(raw[start : start + size][::-1] for start in range(0, len(raw), size))
            new.writestr(name, raw)
    path.write_bytes(turned.getvalue())
    found = read_file(path)[1]
    for name, tensor in value.items():
        assert same(found[str(name)], tensor), name


def test_zips_of_more_than_four_gigabytes(tmp_path, monkeypatch):
    # Their sizes and offsets are in extra fields. zipfile can be told to write these for small files too.
    path = tmp_path / "file.pt"
    value = {"weight": torch.randn(5), "bias": torch.randn(3)}
    torch.save(value, path)
    large = io.BytesIO()
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 0)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 0)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(large, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert large.getvalue().count(b"PK\x06\x06") == 1
    path.write_bytes(large.getvalue())
    found = read_file(path)[1]
    assert all(same(found[name], tensor) for name, tensor in value.items())


@pytest.mark.parametrize("kind", KINDS)
def test_every_cut_is_noticed(tmp_path, kind):
    path = tmp_path / "file.pt"
    save({"weight": torch.randn(20), "bias": torch.randn(3)}, path, kind)
    raw = path.read_bytes()
    for length in range(1, len(raw) - (1 if kind == "zip" else 0), 7):
        path.write_bytes(raw[:length])
        with pytest.raises(CheckpointError, match=r"file\.pt"):
            read_file(path)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_can_be_written_and_the_file_stays(tmp_path, kind):
    path = tmp_path / "file.pt"
    found = read({"weight": torch.arange(100.0)}, path, kind)
    raw = path.read_bytes()
    found["weight"].mul_(2)
    assert found["weight"][3] == 6
    assert path.read_bytes() == raw


@pytest.mark.parametrize("kind", KINDS)
def test_objects_are_counted(tmp_path, kind):
    path = tmp_path / "file.pt"
    save([torch.ones(2) for _ in range(20)], path, kind)
    assert len(read_file(path, Limits(objects=20))[1]) == 20
    with pytest.raises(CheckpointError, match="more than 19 tensors"):
        read_file(path, Limits(objects=19))


def test_a_large_file_is_not_copied(tmp_path):
    path = tmp_path / "file.pt"
    torch.save({"weight": torch.zeros(1 << 20)}, path)
    found = read_file(path, Limits(copied_bytes=-4 * path.stat().st_size))[1]
    assert found["weight"].shape == (1 << 20,)


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_fits_the_budget_of_copies(tmp_path, protocol):
    path = tmp_path / "file.pkl"
    value = {"tensor": torch.randn(300, 300), "array": torch.randn(300, 300).numpy(), "bools": torch.ones(9000).bool()}
    path.write_bytes(pickle.dumps(value, protocol))
    found = read_file(path, Limits(copied_bytes=0))[1]
    assert same(found["tensor"], value["tensor"])
    assert (found["array"] == value["array"]).all()
