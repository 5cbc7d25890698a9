"""Compare StyleGAN2's files, original ones and random ones in every layout, with the slow reference."""

from __future__ import annotations

import pickle
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inference_server.checkpoints import CheckpointError, load_generator
from inference_server.checkpoints.inert import Inert
from inference_server.checkpoints.opening import open_network
from inference_server.checkpoints.stylegan2_tf import convert as convert_tensorflow
from inference_server.checkpoints.stylegan2_tf import recognises as recognises_tensorflow
from inference_server.generators.base import Generator
from inference_server.generators.stylegan2 import StyleGAN2
from inference_server.generators.stylegan2_config import StyleGAN2Config
from stylegan2_reference import Reference, make

FIXTURES = Path(__file__).parent / "fixtures"
PLAIN = StyleGAN2Config(z_dim=5, w_dim=6, channels=(4, 3, 2), mapping_layers=2)
CONFIGS = {
    "plain": PLAIN,
    "asymmetric, classes": replace(PLAIN, num_classes=3, mapping_width=7, mapping_layers=3, embed_width=4),
    "wide, grey, without noise": replace(PLAIN, base_size=(2, 4), image_channels=1, use_noise=False),
    "resnet, transparent, clamped": replace(
        PLAIN, architecture="resnet", image_channels=4, conv_clamp=0.5, half_blocks=2
    ),
    "orig": replace(PLAIN, architecture="orig", mapping_lr=0.1),
}


def check(generator: Generator, origin: StyleGAN2) -> None:
    """Check a generator from a file: its w and its pictures are those of the reference for the original network."""
    reference = Reference(origin)
    classes = torch.tensor([[0.2, 0.5, 0.3], [1, 0, 0]]) if origin.config.num_classes else None
    z = torch.randn(2, origin.config.z_dim, generator=torch.Generator().manual_seed(1))
    w = generator.map(z, classes)
    ws = torch.randn(2, *generator.broadcast(w).shape[1:], generator=torch.Generator().manual_seed(2))
    images, bare = generator.synthesize(ws, "const"), generator.synthesize(ws, "none")
    for row in range(2):
        expected = reference.map(z[row].double().numpy(), None if classes is None else classes[row].double().numpy())
        np.testing.assert_allclose(w[row].numpy(), expected, rtol=1e-5, atol=2e-6)
        double = ws[row].double().numpy()
        expected = reference.synthesize(double, reference.stored_noise())
        np.testing.assert_allclose(images[row].numpy(), expected, rtol=1e-5, atol=2e-5)
        np.testing.assert_allclose(bare[row].numpy(), reference.synthesize(double, None), rtol=1e-5, atol=2e-5)
    assert torch.allclose(generator.mapping.w_avg, origin.mapping.w_avg)


class Persistent:
    """An object that pickles itself like NVIDIA's persistent objects, with source code that must not run."""

    def __init__(self, name: str, state: dict[str, Any]) -> None:
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": "raise RuntimeError('source must not run')",
            "class_name": name,
            "state": state,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


@pytest.fixture
def persistence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module whose name is in the pickles of such objects."""

    def _reconstruct_persistent_obj(meta: dict[str, Any]) -> None:
        raise AssertionError("it was unpickled by Python's own pickle")

    module = types.ModuleType("torch_utils.persistence")
    _reconstruct_persistent_obj.__module__ = module.__name__
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj
    monkeypatch.setitem(sys.modules, "torch_utils", types.ModuleType("torch_utils"))
    monkeypatch.setitem(sys.modules, module.__name__, module)


def their_tensors(origin: StyleGAN2) -> dict[str, torch.Tensor]:
    """The state with the names of NVIDIA's code, including the filters."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    tensors = {}
    for key, tensor in origin.state_dict().items():
        block, _, rest = key.removeprefix("synthesis.blocks.").partition(".")
        name = f"synthesis.b{4 << int(block)}.{rest}" if block.isdecimal() else key
        tensors[name] = tensor
        if name.endswith("conv1.weight"):
            tensors[name.removesuffix("weight") + "resample_filter"] = torch.outer(row, row)
    return tensors


def their_module(origin: StyleGAN2, attributes: dict[str, dict[str, Any]] | None = None) -> Persistent:
    """The generator as modules within modules; the names of their classes are those that an artist's code might use."""
    config, more = origin.config, attributes or {}
    tree: dict[str, Any] = {}
    for key, tensor in their_tensors(origin).items():
        *path, name = key.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[name] = tensor

    def module(node: dict[str, Any], path: str) -> Persistent:
        own = {name: value for name, value in node.items() if isinstance(value, torch.Tensor)}
        parts = {name: value for name, value in node.items() if isinstance(value, dict)}
        buffers = {name for name in own if name in ("noise_const", "resample_filter", "w_avg")}
        state: dict[str, Any] = {
            "training": False,
            "_parameters": {name: torch.nn.Parameter(own[name]) for name in own if name not in buffers},
            "_buffers": {name: own[name] for name in buffers},
            "_modules": {name: module(value, f"{path}.{name}".strip(".")) for name, value in parts.items()},
        }
        last = path.rpartition(".")[2]
        if last in ("conv0", "conv1"):
            gain = np.float64(2**0.5)
            state |= {"activation": "lrelu", "conv_clamp": config.conv_clamp, "act_gain": gain, "up": 1}
        if last.startswith("fc"):
            state |= {"activation": "lrelu", "bias_gain": config.mapping_lr}
        if last.startswith("b") and last[1:].isdecimal():
            index = int(last[1:]).bit_length() - 3
            state |= {"use_fp16": index >= len(config.channels) - config.half_blocks, "resolution": int(last[1:])}
        return Persistent(f"Artist{last.title()}", state | more.get(path, {}))

    return module(tree, "")


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_pickles_of_modules(config, tmp_path, persistence):
    origin, other = make(replace(config, half_blocks=2)), make(config, seed=9)
    path = tmp_path / "network.pkl"
    contents = {
        "all networks": {"G": their_module(other), "D": None, "G_ema": their_module(origin), "augment_pipe": None},
        "the average only": {"G_ema": their_module(origin)},
        "no average": {"G": their_module(origin)},
        "the bare network": their_module(origin),
    }
    for value in contents.values():
        path.write_bytes(pickle.dumps(value, protocol=4))
        generator = load_generator(path)
        assert generator.config == origin.config
        assert generator.info.name == "network"
        assert generator.info.origin == "StyleGAN2 pickle (PyTorch)"
        check(generator, origin)
    torch.save(their_module(origin), tmp_path / "network.pt")
    check(load_generator(tmp_path / "network.pt"), origin)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_state_dicts_with_nvidias_names(config, tmp_path):
    origin = make(replace(config, conv_clamp=256.0, mapping_lr=0.01, half_blocks=4))
    for value in (their_tensors(origin), {"G_ema": their_tensors(origin), "cur_nimg": 5}):
        torch.save(value, tmp_path / "state.pt")
        generator = load_generator(tmp_path / "state.pt")
        assert generator.config == origin.config
        assert generator.info.origin == "StyleGAN2 state dict (PyTorch)"
        check(generator, origin)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"synthesis.b8.conv1": {"activation": "swish"}}, "synthesis.b8.conv1 has another activation than lrelu"),
        ({"synthesis.b8.conv1": {"conv_clamp": 3.0}}, "its layers are clamped to different ranges"),
        ({"synthesis.b8.conv1": {"conv_clamp": "much"}}, "conv_clamp 'much', which is no number"),
        ({"mapping.fc0": {"bias_gain": None}}, "bias_gain 'None', which is no number"),
        ({"mapping.fc0": {"bias_gain": -1.0}}, "mapping_lr must be a number above 0"),
        ({"mapping.fc0": {"activation": "relu"}}, "its mapping network has another activation than lrelu"),
    ],
)
def test_modules_that_do_something_else_are_refused(attributes, words, tmp_path, persistence):
    path = tmp_path / "other.pkl"
    path.write_bytes(pickle.dumps({"G_ema": their_module(make(PLAIN), attributes)}))
    with pytest.raises(CheckpointError, match=words) as caught:
        load_generator(path)
    assert str(caught.value).startswith("other.pkl looks like a StyleGAN2, but cannot be converted: ")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"synthesis.b16.torgb.bias": None}, "torgb.bias is missing"),
        ({"synthesis.b8.conv0.weight": None}, "conv0.weight is missing"),
        ({"synthesis.b4.const": torch.zeros(4, 4)}, r"synthesis.b4.const has the shape \(4, 4\)"),
        ({"synthesis.b4.const": torch.zeros(4, 4, 8)}, "noise_const"),
        ({"synthesis.b4.const": torch.zeros(0, 1 << 40, 4)}, "base_size"),
        ({"synthesis.b8.conv1.resample_filter": torch.ones(4, 4)}, "another filter than"),
        ({"synthesis.b8.conv1.resample_filter": torch.ones(12)}, "another filter than"),
        ({"mapping.embed.weight": torch.zeros(5, 2)}, "no place for z"),
        ({"mapping.w_avg": torch.zeros(6, dtype=torch.int64)}, "w_avg is torch.int64"),
        ({"synthesis.b8.attention.weight": torch.zeros(3)}, "unknown tensor .*attention.weight"),
    ],
)
def test_state_dicts_that_do_not_fit_are_refused(changes, words, tmp_path):
    tensors = {**their_tensors(make(PLAIN)), **changes}
    torch.save({key: tensor for key, tensor in tensors.items() if tensor is not None}, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match=words):
        load_generator(tmp_path / "bad.pt")


@pytest.mark.parametrize("name", ["ada_skip", "ada_resnet", "ada_gray_nonoise"])
def test_originals_in_pytorch(name):
    generator = load_generator(FIXTURES / f"{name}.pkl")
    expected = {key: torch.from_numpy(value) for key, value in np.load(FIXTURES / f"{name}.npz").items()}
    ws = generator.broadcast(generator.map(expected["z"]))
    assert torch.equal(ws, expected["w"])
    assert torch.equal(generator.truncate(ws, 0.7, 3), expected["w_psi07_cut3"])
    for key, noise, latents in (("const", "const", ws), ("none", "none", ws), ("mix", "const", expected["ws_mix"])):
        images = generator.synthesize(latents, noise)
        alone = torch.cat([generator.synthesize(row[None], noise) for row in latents])
        limit = min(1e-4, 1e-5 * expected[f"img_{key}"].abs().max().item())
        assert (images - expected[f"img_{key}"]).abs().max() <= limit
        assert (alone - expected[f"img_{key}"]).abs().max() <= limit


def tensorflow_network(name: str, values: dict[str, np.ndarray], parts: dict[str, Inert], **given: Any) -> Inert:
    state = {
        "version": 4,
        "name": name,
        "static_kwargs": given,
        "components": parts,
        "build_module_src": "raise RuntimeError('source must not run')",
        "build_func_name": "G_main",
        "variables": list(reversed(values.items())),
    }
    return Inert("dnnlib.tflib.network", "Network", state=state)


def their_variables(origin: StyleGAN2, older_colours: bool = False) -> tuple[dict, dict, dict]:
    """The generator's own variables, and those of its synthesis and mapping networks, as TensorFlow has them."""
    synthesis, mapping = {"lod": np.float32(0)}, {}
    own = {"lod": np.float32(0)}
    blocks = len(origin.config.channels)
    for key, tensor in origin.state_dict().items():
        value = tensor.numpy()
        if key == "mapping.w_avg":
            own["dlatent_avg"] = value
        elif key.startswith("mapping.fc"):
            layer, part = key.removeprefix("mapping.fc").split(".")
            mapping[f"Dense{layer}/{part}"] = value.T
        elif key.startswith("mapping.embed."):
            if not origin.config.joint_normalization:
                mapping[f"LabelEmbed/{key.rpartition('.')[2]}"] = value.T
            elif key.endswith("weight"):
                mapping["LabelConcat/weight"] = value.T / np.float32(value.shape[1] ** 0.5)
        else:
            index, part, *rest = key.removeprefix("synthesis.blocks.").split(".")
            index, size = int(index), f"{4 << int(index)}x{4 << int(index)}"
            kind = {"const": "Const", "conv0": "Conv0_up", "conv1": "Conv1" if index else "Conv", "skip": "Skip"}
            name = f"{size}/{kind.get(part, 'ToRGB')}"
            if part == "torgb" and older_colours:
                name = f"ToRGB_lod{blocks - 1 - index}"
            if part == "const":
                synthesis[f"{name}/const"] = value[None]
            elif rest == ["weight"]:
                value = value.transpose(2, 3, 1, 0)
                synthesis[f"{name}/weight"] = value[::-1, ::-1] if part in ("conv0", "skip") else value
            elif rest == ["affine", "weight"]:
                synthesis[f"{name}/mod_weight"] = value.T
            elif rest == ["affine", "bias"]:
                synthesis[f"{name}/mod_bias"] = value - 1
            elif rest == ["noise_const"]:
                synthesis[f"noise{2 * index - (part == 'conv0')}"] = value[None, None]
            else:
                synthesis[f"{name}/{rest[0]}"] = np.float32(value) if value.ndim == 0 else value
    return own, synthesis, mapping


def tensorflow_generator(origin: StyleGAN2, older_colours: bool = False, **given: Any) -> Inert:
    own, synthesis, mapping = their_variables(origin, older_colours)
    parts = {
        "synthesis": tensorflow_network("G_synthesis", synthesis, {}, **given),
        "mapping": tensorflow_network("G_mapping", mapping, {}, **given),
    }
    return tensorflow_network("Gs", own, parts, **given)


@pytest.mark.parametrize(
    "config",
    [
        *(replace(config, half_blocks=0, mapping_lr=0.01) for config in CONFIGS.values()),
        replace(PLAIN, num_classes=3, embed_width=5, joint_normalization=True, half_blocks=0),
    ],
    ids=[*CONFIGS.keys(), "z and class as one vector"],
)
def test_pickles_of_tensorflow(config):
    origin = make(config)
    if config.joint_normalization:
        origin.mapping.embed.bias.zero_()
    given = {"sg3_kwarg": 7, "fused_modconv": True, "mapping_lrmul": 0.01, "conv_clamp": config.conv_clamp}
    network = tensorflow_generator(origin, **given)
    other = tensorflow_generator(make(config, seed=9))
    discriminator = tensorflow_network("D", {"4x4/Conv/weight": np.zeros((3, 3, 2, 2), np.float32)}, {})
    for value in ((other, discriminator, network), [network], network, (network, discriminator, network)):
        assert recognises_tensorflow(value)
        generator = convert_tensorflow(value, "net.pkl").build("net.pkl")
        assert generator.config == origin.config
        check(generator, origin)


def test_older_steps_to_colour():
    """In older pickles of the architecture "orig", these layers are numbered by their distance from the last size."""
    for architecture in ("orig", "skip"):
        origin = make(replace(PLAIN, architecture=architecture, half_blocks=0))
        check(convert_tensorflow(tensorflow_generator(origin, older_colours=True), "net.pkl").build("net.pkl"), origin)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"nonlinearity": "relu"}, "nonlinearity is 'relu', which is not known"),
        ({"resample_kernel": [1, 2, 1]}, "resample_kernel"),
        ({"normalize_latents": False}, "normalize_latents"),
        ({"mapping_lrmul": "x"}, "mapping_lr must be"),
        ({"conv_clamp": "x"}, "could not convert"),
        ({"resample_kernel": np.ones(4)}, "cannot be read"),
    ],
)
def test_settings_that_change_the_arithmetic_are_refused(given, words):
    with pytest.raises(CheckpointError, match=words):
        convert_tensorflow(tensorflow_generator(make(PLAIN), **given), "net.pkl")


@pytest.mark.parametrize(
    ("part", "changes", "words"),
    [
        ("synthesis", {"8x8/Conv0_up/weight": None}, "8x8/Conv0_up/weight is missing"),
        ("synthesis", {"16x16/ToRGB/weight": None}, "no place|no step to colour"),
        ("synthesis", {"8x8/Attention/weight": np.ones(3, np.float32)}, "8x8/Attention/weight has no place"),
        ("synthesis", {"4x4/Const/const": np.ones((2, 4, 4, 4), np.float32)}, r"has the shape \(2, 4, 4, 4\)"),
        ("synthesis", {"noise1": np.ones((8, 8), np.float32)}, r"noise1 has the shape \(8, 8\)"),
        ("synthesis", {"noise1": "text"}, "noise1 is missing"),
        ("mapping", {"Dense0/weight": None}, "no layers"),
        ("mapping", {"Dense1/weight": np.ones((6, 6), np.int64)}, "Dense1/weight is missing"),
    ],
)
def test_variables_that_do_not_fit_are_refused(part, changes, words):
    network = tensorflow_generator(make(PLAIN))
    state = network.state["components"][part].state
    values = {**dict(state["variables"]), **changes}
    state["variables"] = [(key, value) for key, value in values.items() if value is not None]
    with pytest.raises(CheckpointError, match=words):
        convert_tensorflow(network, "net.pkl")


def test_original_in_tensorflow():
    generator = load_generator(FIXTURES / "tf_sg2_32_resnet.pkl")
    assert generator.info.origin == "StyleGAN2 pickle (TensorFlow)"
    expected = {key: torch.from_numpy(value) for key, value in np.load(FIXTURES / "tf_sg2_32_resnet.npz").items()}
    w = generator.broadcast(generator.map(expected["z"]))
    for key, psi, cutoff in (("psi1", 1.0, None), ("psi07_cut8", 0.7, 8), ("psi07_cutNone", 0.7, None)):
        ws = generator.truncate(w, psi, cutoff)
        torch.testing.assert_close(ws, expected[f"w_{key}"], rtol=0, atol=1e-5)
        images = expected[f"img_{key}"]
        limit = min(1e-4, 1e-5 * images.abs().max().item())
        assert (generator.synthesize(expected[f"w_{key}"], "const") - images).abs().max() <= limit
    torch.testing.assert_close(generator.truncate(w, 0.5, None), expected["w_default"], rtol=0, atol=1e-5)
    with pytest.raises(CheckpointError, match="there is no generator"):
        convert_tensorflow((), "net.pkl")


def test_the_first_stylegan_is_left_to_its_own_reader():
    assert open_network(FIXTURES / "tf_sg1_128_asym.pkl").kind == "stylegan1"
