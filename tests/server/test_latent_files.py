"""Latents of other programs: .npy, .npz and .pt files of the shapes that projectors and encoders write."""

from __future__ import annotations

import io
import resource
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from inference_server.checkpoints import CheckpointError
from inference_server.checkpoints.latents import read_latents

Z, W, ROWS = 12, 16, 6
SIZES = (Z, W, ROWS)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def save(path, value) -> None:
    """Save in the format of the path's suffix. Readers do not use the suffix: the contents decide what a file is."""
    if path.suffix == ".npy":
        np.save(path, value)
    elif path.suffix == ".npz":
        np.savez(path, **value)
    elif path.suffix == ".zipped":
        with path.open("wb") as file:
            np.savez_compressed(file, **value)
    else:
        torch.save(torch_values(value), path)


def torch_values(value):
    if isinstance(value, dict):
        return {key: torch_values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [torch_values(item) for item in value]
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def read(tmp_path, value, suffix: str, sizes=SIZES):
    path = tmp_path / f"latents{suffix}"
    save(path, value)
    plain = tmp_path / "latents"
    plain.unlink(missing_ok=True)
    path.rename(plain)
    array, space = read_latents(plain, *sizes)
    assert array.dtype == np.float32
    assert array.flags.c_contiguous
    assert array.flags.writeable or suffix in (".npy", ".npz", ".zipped")
    return array, space


@pytest.mark.parametrize("suffix", [".npy", ".pt"])
@pytest.mark.parametrize(
    ("shape", "space", "expected"),
    [
        ((5, Z), "z", (5, Z)),
        ((Z,), "z", (1, Z)),
        ((1, 1, 5, Z), None, None),
        ((5, 1, Z), "z", (5, Z)),
        ((5, Z, 1, 1), "z", (5, Z)),
        ((5, W), "w", (5, W)),
        ((W,), "w", (1, W)),
        ((5, 1, W), "w", (5, W)),
        ((5, ROWS, W), "w+", (5, ROWS, W)),
        ((1, ROWS, W), "w+", (1, ROWS, W)),
        ((1, 5, ROWS, W), "w+", (5, ROWS, W)),
        ((1, 1, 1, ROWS, W), "w+", (1, ROWS, W)),
        ((5, ROWS + 1, W), None, None),
        ((5, W + 1), None, None),
        ((5, ROWS, Z), None, None),
        ((2, 5, ROWS, W), None, None),
        ((0, Z), None, None),
        ((), None, None),
    ],
)
def test_shapes_without_a_name(tmp_path, suffix, shape, space, expected):
    value = numbers(*shape)
    if space is None:
        with pytest.raises(CheckpointError, match="latents cannot be imported"):
            read(tmp_path, value, suffix)
    else:
        found, told = read(tmp_path, value, suffix)
        assert (found.shape, told) == (expected, space)
        assert np.array_equal(found, value.reshape(expected))


def test_the_words_name_the_sizes(tmp_path):
    with pytest.raises(
        CheckpointError, match=r"latents .*\(5, 13\) fits neither z of 12 numbers, nor w of 16, nor W\+ of 6 x 16"
    ):
        read(tmp_path, numbers(5, 13), ".npy")


@pytest.mark.parametrize("suffix", [".npz", ".zipped", ".pt"])
@pytest.mark.parametrize(
    ("name", "shape", "space", "expected"),
    [
        ("w", (1, ROWS, W), "w+", (1, ROWS, W)),
        ("w", (ROWS, W), "w+", (1, ROWS, W)),
        ("w", (ROWS + 1, W), "w", (ROWS + 1, W)),
        ("w", (W,), "w", (1, W)),
        ("ws", (2, ROWS, W), "w+", (2, ROWS, W)),
        ("dlatents", (2, ROWS, W), "w+", (2, ROWS, W)),
        ("z", (3, Z), "z", (3, Z)),
        ("latents", (3, Z), "z", (3, Z)),
        ("latent", (3, ROWS, W), "w+", (3, ROWS, W)),
    ],
)
def test_names(tmp_path, suffix, name, shape, space, expected):
    value = numbers(*shape)
    found, told = read(tmp_path, {"unrelated": numbers(3, 3), name: value}, suffix)
    assert (found.shape, told) == (expected, space)
    assert np.array_equal(found, value.reshape(expected))


def test_names_decide_where_sizes_do_not(tmp_path):
    sizes = (16, 16, 6)
    value = numbers(3, 16)
    assert read(tmp_path, {"w": value}, ".npz", sizes)[1] == "w"
    assert read(tmp_path, {"z": value}, ".npz", sizes)[1] == "z"
    assert read(tmp_path, value, ".npy", sizes)[1] == "z"
    with pytest.raises(CheckpointError, match="fits neither"):
        read(tmp_path, {"z": numbers(1, ROWS, W)}, ".npz")
    with pytest.raises(CheckpointError, match="fits neither"):
        read(tmp_path, {"w": numbers(5, Z)}, ".npz")


def test_a_single_array_needs_no_name(tmp_path):
    assert read(tmp_path, {"anything": numbers(4, Z)}, ".npz")[1] == "z"
    with pytest.raises(CheckpointError, match="it holds a, b, and neither w nor z"):
        read(tmp_path, {"a": numbers(4, Z), "b": numbers(4, Z)}, ".npz")


def test_projectors_of_rosinality(tmp_path):
    one = {"img": numbers(1, 3, 4, 4), "latent": numbers(ROWS, W), "noise": [numbers(1, 1, 4, 4)]}
    found, space = read(tmp_path, {"a.png": one, "b.png": one}, ".pt")
    assert (found.shape, space) == ((2, ROWS, W), "w+")
    one["latent"] = numbers(W)
    found, space = read(tmp_path, {"a.png": one, "b.png": one}, ".pt", (16, 16, 6))
    assert (found.shape, space) == ((2, W), "w")


def test_lists(tmp_path):
    assert read(tmp_path, [numbers(1, ROWS, W), numbers(1, ROWS, W)], ".pt")[0].shape == (2, ROWS, W)
    with pytest.raises(CheckpointError, match="different shapes"):
        read(tmp_path, [numbers(1, ROWS, W), numbers(1, W)], ".pt")


def test_rows_that_are_all_equal_are_w(tmp_path):
    value = np.repeat(numbers(3, 1, W), ROWS, axis=1)
    found, space = read(tmp_path, {"w": value}, ".npz")
    assert (found.shape, space) == ((3, W), "w")
    value[2, 4, 1] = np.nextafter(value[2, 4, 1], 9, dtype=np.float32)
    assert read(tmp_path, {"w": value}, ".npz")[1] == "w+"


@pytest.mark.parametrize("dtype", ["f2", "f8", "i4", ">f4", "u1"])
def test_other_numbers(tmp_path, dtype):
    value = (numbers(4, Z) * 10).clip(0).astype(dtype)
    assert np.array_equal(read(tmp_path, value, ".npy")[0], value.astype(np.float32))
    assert np.array_equal(read(tmp_path, np.asfortranarray(value), ".npy")[0], value.astype(np.float32))


def test_half_numbers_of_torch(tmp_path):
    path = tmp_path / "latents.pt"
    value = torch.randn(2, ROWS, W, requires_grad=True).bfloat16()
    torch.save({"latents": value}, path)
    assert np.array_equal(read_latents(path, *SIZES)[0], value.detach().float().numpy())


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_numbers_must_be_finite(tmp_path, bad):
    value = numbers(4, Z).astype(np.float64)
    value[1, 2] = bad
    with pytest.raises(CheckpointError, match="infinite or not numbers"):
        read(tmp_path, value, ".npy")


@pytest.mark.parametrize("value", [np.array([{}]), np.array(["text"]), np.zeros(3, "c8"), np.zeros((2, Z), bool)])
def test_other_things_than_numbers(tmp_path, value):
    with pytest.raises(CheckpointError, match=r"no plain numbers|holds no latents"):
        read(tmp_path, value, ".npy")


def test_files_that_hold_no_latents(tmp_path):
    path = tmp_path / "latents"
    for value in ({"weight": torch.ones(3)}, ["text"], {}, [], None, {"latent": {"latent": {"latent": torch.ones(3)}}}):
        torch.save(value, path)
        with pytest.raises(CheckpointError, match="latents cannot be imported"):
            read_latents(path, *SIZES)
    for raw in (b"", b"text", b"\x93NUMPY", b"\x93NUMPY\x09\x00\x00\x00", b"PK\x03\x04" + bytes(40), b"(" * 1000):
        path.write_bytes(raw)
        with pytest.raises(CheckpointError, match="latents"):
            read_latents(path, *SIZES)
    with pytest.raises(CheckpointError, match="There is no file"):
        read_latents(tmp_path / "nowhere", *SIZES)
    with pytest.raises(CheckpointError, match="is not a file"):
        read_latents(tmp_path, *SIZES)


def header(text: str) -> bytes:
    raw = text.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(raw)) + raw


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    "shape",
    [
        "(1099511627776,)",
        "(-1,)",
        "(4294967296, 4294967296)",
        "(0, 4611686018427387904, 4)",
        "(" * 5000,
        "(True, 3)",
        "3",
    ],
)
def test_vast_shapes_take_no_memory(tmp_path, zipped, shape):
    path = tmp_path / "latents"
    raw = header("{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + "}\n") + bytes(1 << 16)
    if zipped:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("w.npy", raw)
        raw = file.getvalue()
    path.write_bytes(raw)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match="latents"):
        read_latents(path, *SIZES)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_every_cut_is_noticed(tmp_path):
    path = tmp_path / "latents"
    for suffix, value in ((".npy", numbers(4, Z)), (".npz", {"w": numbers(4, W)}), (".pt", {"w": numbers(4, W)})):
        whole = tmp_path / f"whole{suffix}"
        save(whole, value)
        raw = whole.read_bytes()
        for length in range(0, len(raw) - 1, 5):
            path.write_bytes(raw[:length])
            with pytest.raises(CheckpointError, match="latents"):
                read_latents(path, *SIZES)


def test_a_dict_of_encoders_by_the_names_of_pictures(tmp_path):
    """Pickled in an .npy as encoders write it, and in a .pt: in the order of the names."""
    named = {
        f"frame {number}.jpg": np.full((3, 6), number, np.float32) + np.arange(3)[:, None] for number in (10, 2, 1)
    }
    np.save(tmp_path / "latents.npy", named)
    torch.save({name: torch.from_numpy(value) for name, value in named.items()}, tmp_path / "latents.pt")
    np.save(tmp_path / "list.npy", np.array([{"w": value} for value in named.values()], dtype=object))
    for name in ("latents.npy", "latents.pt"):
        latents, space = read_latents(tmp_path / name, 5, 6, 3)
        assert space == "w+" and latents[:, 0, 0].tolist() == [1, 2, 10]
    latents, space = read_latents(tmp_path / "list.npy", 5, 6, 3)
    assert space == "w+" and latents[:, 0, 0].tolist() == [10, 2, 1]


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3,4,5\n6,7,8,9,10\n",
        "z0,z1,z2,z3,z4\r\n1,2,3,4,5\r\n6,7,8,9,10\r\n",
        'name;a;b;c;d;e\n"first";1;2;3;4;5\nsecond;6;7;8;9;1e1\n',
        "\ufeff1\t2\t3\t4\t5\n\n6\t7\t8\t9\t10.0",
        "1 2 3 4 5\n6 7 8 9 10",
    ],
)
def test_tables(tmp_path, text):
    (tmp_path / "z.csv").write_text(text, encoding="utf-8")
    latents, space = read_latents(tmp_path / "z.csv", 5, 6, 3)
    assert space == "z" and latents.tolist() == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]


def test_tables_that_are_none(tmp_path):
    for text, words in (("1,2\n3", "not all as many"), ("1,2\n3,x", "line 2 of it"), ("a,b\n", "hold no numbers")):
        (tmp_path / "z.csv").write_text(text)
        with pytest.raises(CheckpointError, match=words):
            read_latents(tmp_path / "z.csv", 5, 6, 3)


def test_an_npy_of_objects_runs_nothing(tmp_path):
    class Touch:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    np.save(tmp_path / "latents.npy", np.array(Touch(), dtype=object))
    with pytest.raises(CheckpointError):
        read_latents(tmp_path / "latents.npy", 5, 6, 3)
    assert not (tmp_path / "ran").exists()
