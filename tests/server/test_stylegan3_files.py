"""Files of StyleGAN3 and StyleGAN-XL: the original code's pictures, every layout, and damaged files."""

import re
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

from inference_server.checkpoints import stylegan3_torch as reader
from inference_server.checkpoints.errors import CheckpointError
from inference_server.checkpoints.inert import Inert, state_dict, submodule
from inference_server.checkpoints.reading import read_file
from stylegan3_reference import foreign, tensors
from test_stylegan3 import CONFIGS, XL, T

FIXTURES = Path(__file__).parent / "fixtures"


def read(name: str) -> dict:
    kind, value = read_file(FIXTURES / f"{name}.pkl")
    assert kind == "pickle"
    return value


@pytest.mark.parametrize("name", ["sg3t", "sg3r"])
@pytest.mark.parametrize("as_state_dict", [False, True])
def test_pictures_of_the_original_code(name, as_state_dict):
    value = read(name)
    value = {"g_ema": state_dict(value["G_ema"])} if as_state_dict else value
    assert reader.recognises(value)
    network = reader.convert(value, f"{name}.pkl")
    assert network.origin == ("StyleGAN3 state dict (PyTorch)" if as_state_dict else "StyleGAN3 pickle (PyTorch)")
    generator = network.build(f"{name}.pkl")
    with np.load(FIXTURES / f"{name}.npz") as file:
        expected = {key: torch.from_numpy(file[key]).float() for key in file.files}
    ws = generator.broadcast(generator.map(expected["z"]))
    assert torch.equal(ws, expected["w"])
    moved = expected["transform"].expand(len(ws), 3, 3)
    found = {
        "w_psi07_cut3": generator.truncate(ws, 0.7, 3),
        "img_const": generator.synthesize(ws, "const"),
        "img_mix": generator.synthesize(expected["ws_mix"], "const"),
        "img_transform": generator.synthesize(ws, "const", moved),
    }
    for key, values in found.items():
        assert values.shape == expected[key].shape
        difference = (values - expected[key]).abs().max()
        assert difference <= 1e-4, key
        assert difference <= 1e-5 * expected[key].abs().max(), key
    assert (found["img_transform"] - found["img_const"]).abs().max() > 1e-2


def test_the_averaged_network_is_taken():
    value = read("sg3t")
    weights = {key: reader.convert(value[key], "a.pkl").tensors["synthesis.layers.3.weight"] for key in ("G", "G_ema")}
    assert not torch.equal(weights["G"], weights["G_ema"])
    for chosen, layout in (
        ("G_ema", value),
        ("G_ema", {"G_ema": value["G_ema"]}),
        ("G", {"G": value["G"], "D": None}),
        ("G", value["G"]),
    ):
        assert reader.recognises(layout)
        assert torch.equal(reader.convert(layout, "a.pkl").tensors["synthesis.layers.3.weight"], weights[chosen])


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_every_variant(config):
    own = tensors(config)
    network = reader.convert({"G_ema": foreign(config, own, 9 if config.embedding else 0)}, "a.pkl")
    assert network.config == config
    assert network.origin.startswith("StyleGAN-XL" if config.embedding else "StyleGAN3")
    state = network.build("a.pkl").state_dict()
    assert state.keys() == own.keys()
    assert all(torch.equal(state[name], own[name]) for name in own)


def test_xl_without_classes_has_an_unused_table():
    network = reader.convert(foreign(T, tensors(T), 9), "a.pkl")
    assert network.config == T
    assert network.origin == "StyleGAN-XL pickle (PyTorch)"
    network.build("a.pkl")


def damaged(change) -> Inert:
    module = deepcopy(foreign(XL, tensors(XL), 9))
    change(module)
    return module


def set_in(path: str, name: str, value: object, group: str | None = None):
    def change(module: Inert) -> None:
        state = submodule(module, path).state
        (state[group] if group else state)[name] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        set_in("synthesis", "layer_names", None),
        set_in("synthesis", "layer_names", [3]),
        set_in("synthesis", "layer_names", ["L0_14_4"] * 70),
        set_in("synthesis", "layer_names", ["elsewhere"]),
        set_in("synthesis", "layer_names", ["L0_14_4"]),
        set_in("synthesis", "output_scale", "much"),
        set_in("synthesis.input", "size", [1, 2, 3]),
        set_in("synthesis.input", "sampling_rate", float("inf")),
        set_in("synthesis.input", "bandwidth", None),
        set_in("synthesis.L0_14_4", "in_size", 2**40),
        set_in("synthesis.L0_14_4", "out_size", np.array([14.5, 14])),
        set_in("synthesis.L0_14_4", "padding", None),
        set_in("synthesis.L0_14_4", "padding", [1, 2]),
        set_in("synthesis.L0_14_4", "padding", [float("inf")] * 4),
        set_in("synthesis.L0_14_4", "up_factor", float("nan")),
        set_in("synthesis.L0_14_4", "down_factor", 0),
        set_in("synthesis.L0_14_4", "conv_clamp", []),
        set_in("synthesis.L0_14_4", "weight", torch.zeros(()), "_parameters"),
        set_in("synthesis.L0_14_4", "weight", None, "_parameters"),
        set_in("synthesis.L0_14_4", "weight", torch.zeros(4, 5, 3, 2), "_parameters"),
        set_in("synthesis.L0_14_4", "bias", torch.zeros(5), "_parameters"),
        set_in("synthesis.L0_14_4", "up_filter", torch.zeros(3, 4, 5), "_buffers"),
        set_in("synthesis.L0_14_4", "down_filter", torch.zeros(()), "_buffers"),
        set_in("synthesis.L0_14_4", "magnitude_ema", torch.zeros((), dtype=torch.int64), "_buffers"),
        set_in("mapping", "w_avg", torch.zeros(()), "_buffers"),
        set_in("mapping", "w_avg", torch.zeros(10, 6), "_buffers"),
        set_in("mapping", "embed", None, "_modules"),
        set_in("mapping", "embed_proj", None, "_modules"),
        set_in("mapping", "fc0", None, "_modules"),
        set_in("mapping", "fc2", None, "_modules"),
        set_in("mapping.embed", "weight", torch.zeros(3), "_parameters"),
        set_in("mapping", "c_dim", 10),
        set_in("mapping", "c_dim", 0),
        set_in("mapping", "num_layers", 2.5),
        set_in("mapping.fc0", "bias_gain", "x"),
        set_in("", "synthesis", Inert("a", "b", state={"_modules": {"input": 3}}), "_modules"),
    ],
)
def test_damaged_pickles(change):
    with pytest.raises(CheckpointError, match=r"a\.pkl"):
        reader.convert(damaged(change), "a.pkl").build("a.pkl")


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("synthesis.L5_52_16.weight"),
        lambda state: state.pop("synthesis.L5_52_16.up_filter"),
        lambda state: state.pop("mapping.w_avg"),
        lambda state: state.pop("mapping.fc1.bias"),
        lambda state: state.update({"synthesis.L5_52_16.up_filter": torch.zeros(13)}),
        lambda state: state.update({"synthesis.L5_52_16.down_filter": torch.zeros(0)}),
        lambda state: state.update({"synthesis.L15_52_16.weight": torch.zeros(3)}),
        lambda state: state.update({"mapping.embed.weight": torch.zeros(99, 3), "mapping.embed.bias": torch.zeros(99)}),
        lambda state: state.update({"synthesis.input.weight": torch.zeros(())}),
    ],
)
def test_damaged_state_dicts(change):
    state = state_dict(read("sg3t")["G_ema"])
    change(state)
    with pytest.raises(CheckpointError, match=r"a\.pt"):
        reader.convert(state, "a.pt").build("a.pt")


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        [],
        {},
        {"G_ema": None},
        {"G_ema": {"synthesis.input.freqs": 3}},
        {"synthesis.b4.const": torch.zeros(4)},
        Inert("persistent", "Generator", state={"_modules": {"synthesis": None}}),
        Inert("persistent", "Generator"),
        "synthesis.input.freqs",
    ],
)
def test_other_things_are_not_recognised(value):
    assert not reader.recognises(value)
    with pytest.raises(CheckpointError, match="holds no generator"):
        reader.convert(value, "a.pkl")


def test_stylegan2_is_not_recognised():
    assert not reader.recognises(read("ada_skip"))


@pytest.mark.parametrize("name", ["sg3t", "sg3r"])
def test_a_state_dict_of_xl_leaves_out_the_number_between_stem_and_new_layers(name):
    """Its stem has the layers 0 .. k - 1, and the layers that double its pictures begin at k + 1."""
    plain = state_dict(read(name)["G_ema"])
    found = sorted((int(match[2]), int(match[3])) for match in map(reader.LAYER_NAME.fullmatch, plain) if match)
    sizes = [size for _, size in found]

    def renumbered(first: int, by: int) -> dict[str, torch.Tensor]:
        def name_of(match: re.Match[str]) -> str:
            return f"synthesis.L{int(match[1]) + by * (int(match[1]) >= first)}_"

        return {re.sub(r"^synthesis\.L(\d+)_", name_of, key): value for key, value in plain.items()}

    right = reader.convert(plain, "a.pt").build("a.pt")
    ws = right.broadcast(right.map(torch.randn(2, right.info.z_dim, generator=torch.Generator().manual_seed(0))))
    stems = [
        k
        for k in range(1, len(sizes))
        if sizes[k] == sizes[k - 1] and sizes[-1] in [(sizes[k - 1] - 20) * by for by in (2, 4, 8, 16)]
    ]
    assert stems
    for stem in stems:
        made = reader.convert(renumbered(stem, 1), "a.pt").build("a.pt")
        assert torch.equal(made.synthesize(ws, "const"), right.synthesize(ws, "const"))
    for wrong in (renumbered(0, 1), renumbered(2, 2), renumbered(len(sizes) - 1, 1)):
        with pytest.raises(CheckpointError, match=r"not numbered as they should be|its layer \d+ is missing"):
            reader.convert(wrong, "a.pt")
