"""The native format: reading returns what was written, and every bad file is refused with a clear message."""

import hashlib
import json
import pickle
import resource
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from inference_server.checkpoints import BUILTIN_RUN, CheckpointError, load_generator, save_generator, sha256_of
from inference_server.checkpoints.snapshots import find_snapshots
from inference_server.generators.stylegan2 import StyleGAN2, StyleGAN2Config

CONFIG = StyleGAN2Config(z_dim=5, w_dim=6, channels=(4, 3), base_size=(3, 2), num_classes=2, mapping_layers=2)


@pytest.fixture
def generator() -> StyleGAN2:
    torch.manual_seed(0)
    return StyleGAN2(CONFIG, "Odd one", "CC0-1.0", "by hand").requires_grad_(False)


@pytest.fixture
def good(generator, tmp_path):
    path = tmp_path / "odd.safetensors"
    save_generator(generator, path, {"dice": "thrown"}, torch.float32)
    return path


def header_of(path) -> tuple[dict, bytes]:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def rewrite(path, header: dict, body: bytes) -> None:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_round_trip(generator, tmp_path, dtype):
    path = tmp_path / "odd.safetensors"
    save_generator(generator, path, {}, dtype)
    loaded = load_generator(path)
    assert loaded.info == generator.info
    assert loaded.config == CONFIG
    assert not loaded.training
    for key, value in loaded.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, generator.state_dict()[key].to(dtype).float()), key
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert list(tmp_path.iterdir()) == [path]


def test_metadata(generator, good, tmp_path):
    about = header_of(good)[0]["__metadata__"]
    assert about["format"] == "latent-lantern-generator"
    assert about["dice"] == "thrown"
    path = tmp_path / "other.safetensors"
    save_generator(generator, path, {"name": "New", "licence": "", "kind": "something else"})
    assert load_generator(path).info.name == "New"
    save_generator(generator, path, {"name": ""})
    assert load_generator(path).info.name == "other"


def test_what_cannot_be_saved(generator, tmp_path):
    path = tmp_path / "odd.safetensors"
    generator.mapping.w_avg[0] = 1e6
    with pytest.raises(CheckpointError, match=r"w_avg holds numbers that torch\.float16 cannot"):
        save_generator(generator, path, {}, torch.float16)
    assert not list(tmp_path.iterdir())


def test_sha256(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"lantern" * 100_000)
    assert sha256_of(path) == hashlib.sha256(b"lantern" * 100_000).hexdigest()
    with pytest.raises(CheckpointError, match="nowhere cannot be read"):
        sha256_of(tmp_path / "nowhere")


class Bomb:
    def __reduce__(self):
        return print, ("a pickle was run",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 5\n", "Git LFS pointer"),
        (b"\n<!DOCTYPE html><html><body>Not found</body></html>", "web page"),
        (pickle.dumps(Bomb()), r"holds an object of the class builtins\.print, and no generator"),
        (b"PK\x03\x04" + bytes(60), "cut short"),
        (b"just some text that is no checkpoint", "not a checkpoint that Latent Lantern knows"),
        (bytes(100), "nothing but zeros"),
        (b"abc", "not a checkpoint that Latent Lantern knows"),
        (struct.pack("<Q", 2**62) + b"{" + bytes(50), "cut short"),
        (struct.pack("<Q", 10) + b"{not json}", "not a safetensors file"),
        (struct.pack("<Q", 12) + b'{"a": 1e99} ', "not a safetensors file"),
    ],
)
def test_files_that_are_something_else(tmp_path, capfd, content, words):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=words) as caught:
        load_generator(path)
    assert "weights.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().out == ""


def test_missing_and_unreadable(tmp_path):
    with pytest.raises(CheckpointError, match=r"There is no file .*nowhere"):
        load_generator(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="is a folder"):
        load_generator(tmp_path)


def test_every_cut_is_noticed(good):
    data = good.read_bytes()
    for length in (1, 7, 8, 9, 100, len(data) // 2, len(data) - 1):
        good.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"odd\.safetensors"):
            load_generator(good)
    good.write_bytes(data + b"x")
    with pytest.raises(CheckpointError, match="safetensors"):
        load_generator(good)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "pt"}, "no generator that is known"),
        ({"format_version": "2"}, "newer Latent Lantern"),
        ({"kind": "stylegan9"}, "newer Latent Lantern"),
        ({"config": "nonsense"}, "configuration in odd.safetensors cannot be used"),
        ({"config": "[1, 2]"}, "not a set of named values"),
        ({"config": "[" * 100_000}, "cannot be used"),
        ({"config": json.dumps({**CONFIG.to_dict(), "z_dim": 10**12})}, "z_dim must be"),
        ({"config": json.dumps({**CONFIG.to_dict(), "z_dim": 7})}, "mapping.fc0.weight is F32 of shape"),
        ({"config": json.dumps({**CONFIG.to_dict(), "channels": [4, 3, 3]})}, "lacks synthesis.blocks.2"),
        ({"config": json.dumps({**CONFIG.to_dict(), "use_noise": False})}, "a tensor that its network does not know"),
    ],
)
def test_metadata_that_does_not_fit(good, changes, words):
    header, body = header_of(good)
    header["__metadata__"].update(changes)
    rewrite(good, header, body)
    with pytest.raises(CheckpointError, match=words):
        load_generator(good)


def test_no_metadata(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="holds a dict of weight, and no generator that is known"):
        load_generator(path)


def test_whole_numbers_are_not_weights(good):
    header, body = header_of(good)
    header["mapping.w_avg"]["dtype"] = "I32"
    rewrite(good, header, body)
    with pytest.raises(CheckpointError, match=r"mapping\.w_avg is I32"):
        load_generator(good)


def test_a_hostile_file_takes_no_memory(good):
    header, body = header_of(good)
    huge = {**CONFIG.to_dict(), "z_dim": 8192, "w_dim": 8192, "channels": [8192] * 11, "mapping_layers": 64}
    header["__metadata__"]["config"] = json.dumps(huge)  # about 80 GB of weights
    rewrite(good, header, body)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError):
        load_generator(good)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_builtin_generator():
    snapshots = find_snapshots(BUILTIN_RUN)
    assert all(path.stat().st_size < 16_000_000 for path in snapshots)
    assert sum(path.stat().st_size for path in snapshots) < 48_000_000
    generator = load_generator(snapshots[-1])
    info = generator.info
    assert (info.height, info.channels, info.num_classes) == (info.width, 3, 0)
    assert info.name
    assert info.licence == "CC0-1.0"
    assert "images" in info.training
    z = torch.randn(64, info.z_dim, generator=torch.Generator().manual_seed(5))
    pictures = generator.synthesize(generator.truncate(generator.broadcast(generator.map(z)), 0.7, None), "const")
    pictures = torch.nn.functional.avg_pool2d(pictures, info.width // 128)
    luma = (pictures.clamp(-1, 1) * 127.5 + 127.5).permute(0, 2, 3, 1) @ torch.tensor([0.299, 0.587, 0.114])
    figures = (luma > 50).float()
    # People, with dark ground above them and dark gaps between their legs: neither empty nor one blob.
    assert ((figures.mean(dim=(1, 2)) > 0.25) & (figures.mean(dim=(1, 2)) < 0.6)).all()
    assert figures[:, 64:84, 8:120].mean() > 0.6
    assert figures[:, :16, :40].mean() < 0.1
    assert pictures.std(dim=0).mean() > 0.1  # not all the same picture


def test_snapshots_of_the_builtin_generator_are_of_one_make():
    configs = [load_generator(path).config for path in find_snapshots(BUILTIN_RUN)]
    assert all(config == configs[0] for config in configs)


def test_loading_does_not_wait_for_torchs_compiler():
    """Some ways of making a tensor on the meta device import torch._dynamo, which takes more than a second."""
    fixtures = Path(__file__).parent / "fixtures"
    script = (
        "import sys; from inference_server.checkpoints import load_generator\n"
        "for path in sys.argv[1:]: load_generator(path)\n"
        "print('torch._dynamo' in sys.modules)"
    )
    files = [fixtures / name for name in ("ada_resnet.pkl", "sg3r.pkl", "tf_sg1_128_asym.pkl")]
    run = subprocess.run(
        [sys.executable, "-c", script, *files], cwd=fixtures.parents[2], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"
