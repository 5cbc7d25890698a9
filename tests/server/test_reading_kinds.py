"""For every file that is not a generator, the error says what it is; every reader's error is a sentence."""

from __future__ import annotations

import io
import os
import pickle
import types
import zipfile

import numpy as np
import pytest
import torch

import hostile
from inference_server.checkpoints import BUILTIN_RUN, CheckpointError, load_generator, opening
from inference_server.checkpoints.network import Network
from inference_server.checkpoints.opening import open_network
from inference_server.checkpoints.snapshots import find_snapshots
from inference_server.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from torch7_writer import Writer


def refusal(path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_generator(path)
    words = str(caught.value)
    assert path.name in words
    assert "\n" not in words
    assert words.endswith(".")
    return words


def zipped(**entries: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in entries.items():
            archive.writestr(name, raw)
    return file.getvalue()


def numpy_file(save, *arrays, **named) -> bytes:
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"\xef\xbb\xbf  <html>", "web page"),
        (bytes(1000), "nothing but zeros"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "Keras (HDF5)"),
        (b"\x08\x01\x12\x90\x01" + bytes(100), "TensorFlow model"),
        (b"\x08\x07\x12\x07pytorch\x1a\x052.1.0" + bytes(100), "ONNX model"),
        (b"\x1f\x8b\x08" + bytes(100), "gzip archive; unpack it"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(100), "7-Zip archive; unpack it"),
        (b"checkpoint".ljust(257, b"\0") + b"ustar" + bytes(100), "tar archive"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "picture or film (PNG)"),
        (numpy_file(np.save, np.zeros(3)), "import them as a latent"),
        (numpy_file(np.savez, w=np.zeros(3)), "import them as a latent"),
        (zipped(**{"readme.txt": b"x", "model.pkl": b"x"}), "zip file without a checkpoint's data.pkl; unpack it"),
        (zipped(**{"config.json": b"{}", "model.weights.h5": b"x"}), "Keras model"),
        (zipped(**{"net/data.pkl": b"x" * 100}), "compressed or encrypted zip"),
        (b"(dp0\nnot a pickle.", "cannot be read"),
        (b"words of a poem", "not a checkpoint that Latent Lantern knows"),
    ],
)
def test_other_files(tmp_path, raw, words):
    path = tmp_path / "weights.pkl"
    path.write_bytes(raw)
    assert words in refusal(path)


@pytest.mark.parametrize("name", ["model.ckpt.index", "model.ckpt.meta", "model.ckpt.data-00000-of-00001"])
def test_checkpoints_of_tensorflow(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"\x00\x01" * 100)
    assert "TensorFlow model" in refusal(path)


def test_folders_and_pipes(tmp_path):
    assert "is a folder; choose the checkpoint in it" in refusal(tmp_path)
    (tmp_path / "data.pkl").touch()
    assert "unpacked file of torch.save" in refusal(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    assert "TensorFlow SavedModel" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "is not a file" in refusal(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    assert "There is no file" in refusal(tmp_path / "broken")


def test_torchscript(tmp_path):
    path = tmp_path / "net.pt"
    code = {"net/code/__torch__.py": b"class Net(Module):\n  pass\n", "net/constants.pkl": pickle.dumps(())}
    path.write_bytes(hostile.torch_zip(pickle.dumps({}), code, "net/"))
    assert "TorchScript program, which is not loaded because it would be run" in refusal(path)


class Discriminator(torch.nn.Linear):
    pass


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.optim.Adam([torch.nn.Parameter(torch.ones(2))]).state_dict(), "state of an optimizer"),
        ({"D": {"weight": torch.ones(2)}}, "discriminator only"),
        ({"final_conv.0.weight": torch.ones(2)}, "discriminator only"),
        (Discriminator(2, 2), "discriminator only"),
        ({"GAN": {"weight": torch.ones(2)}, "version": "1"}, "lucidrains' stylegan2-pytorch"),
        ({"shared.weight": torch.ones(2)}, "BigGAN"),
        ({"model.diffusion_model.out.weight": torch.ones(2)}, "diffusion model"),
        (torch.ones(2, 5), "a tensor of shape (2, 5) and no network; if it is a latent"),
        ({"latents": torch.ones(2, 5)}, "holds latents and no network"),
        ({"encoder": torch.ones(2), "epoch": 3}, "a dict of encoder, epoch, and no generator"),
        ({f"key{number}": 1 for number in range(9)}, "key5 and 3 more"),
        ({}, "a dict of nothing"),
        (torch.nn.Linear(2, 2), "an object of the class torch.nn.modules.linear.Linear"),
        ([torch.nn.Linear(2, 2), 3], "2 objects (Linear, int)"),
        ("text", "a str"),
        (None, "a NoneType"),
    ],
)
def test_files_without_a_generator(tmp_path, value, words):
    for number, save in enumerate((torch.save, lambda value, path: path.write_bytes(pickle.dumps(value)))):
        path = tmp_path / f"weights{number}.pt"
        save(value, path)
        said = refusal(path)
        assert words in said
        assert "Latent Lantern reads generators of StyleGAN" in said


def test_networks_of_tensorflow_of_another_kind(tmp_path):
    path = tmp_path / "weights.pkl"
    network = hostile.named("tfutil", "Network") + b")\x81}b"
    path.write_bytes(b"\x80\x02" + network + b"0" + network + b"\x85.")
    assert "Progressive GAN" in refusal(path)


CONFIG = StyleGAN2Config(z_dim=4, w_dim=4, channels=(3, 2), mapping_layers=1)


def reader(convert, recognises=lambda value: True):
    return types.SimpleNamespace(recognises=recognises, convert=convert)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(StyleGAN2(CONFIG, "", "", "").double().state_dict(), path)
    return path


def test_a_reader_converts(file, monkeypatch):
    turned = reader(lambda value, name, _: Network("stylegan2", CONFIG, value, "test", {"licence": name}))
    monkeypatch.setattr(opening, "READERS", (reader(None, lambda value: False), turned))
    network = open_network(file)
    assert all(tensor.dtype == torch.float32 for tensor in network.tensors.values())
    mapped = {tensor.untyped_storage().data_ptr() for tensor in network.tensors.values()}
    assert len(mapped) == len(network.tensors), "no two share memory, and none shares the file's"
    file.write_bytes(b"")
    assert all(tensor.isfinite().all() for tensor in network.tensors.values())
    generator = network.build(file.name)
    assert (generator.info.name, generator.info.licence, generator.info.origin) == ("weights", "weights.pt", "test")
    assert not any(parameter.requires_grad for parameter in generator.parameters())


def test_the_wrong_tensors(file, monkeypatch):
    fewer = reader(lambda value, name, _: Network("stylegan2", CONFIG, dict(list(value.items())[1:]), "test"))
    monkeypatch.setattr(opening, "READERS", (fewer,))
    assert "is missing" in refusal(file)


@pytest.mark.parametrize("error", [KeyError("x"), ValueError("two\nlines" * 100), RecursionError(), MemoryError()])
def test_trouble_in_a_reader(file, monkeypatch, error):
    def fail(*arguments):
        raise error

    for broken in (reader(fail), reader(None, fail)):
        monkeypatch.setattr(opening, "READERS", (broken,))
        words = refusal(file)
        assert ("needs more memory" if isinstance(error, MemoryError) else type(error).__name__) in words
        assert len(words) < 400


def test_what_begins_like_our_own_format(tmp_path):
    # The ninth byte is a brace here too, but the first eight are not a length.
    path = tmp_path / "weights.t7"
    path.write_bytes(Writer().write({f"{number}": 1 for number in range(ord("{"))}).bytes())
    assert path.read_bytes()[8:9] == b"{"
    assert "a dict of 0, 1, 2, 3, 4, 5 and 117 more" in refusal(path)
    path.write_bytes(b"\x80\x02X\x05\x00\x00\x00a{bcd.")
    assert path.read_bytes()[8:9] == b"{"
    assert "holds a str" in refusal(path)


def test_our_own_format_is_not_converted(tmp_path):
    with pytest.raises(CheckpointError, match="own format already"):
        open_network(find_snapshots(BUILTIN_RUN)[-1])
