"""Compare StyleGAN's pickles with a slow reference in float64, which uses the variables as TensorFlow has them."""

from __future__ import annotations

import pickle
import sys
import types
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.autograd.profiler import profile

import driving
from inference_server.checkpoints import stylegan1_tf
from inference_server.checkpoints.cache import ConversionCache
from inference_server.checkpoints.errors import CheckpointError
from inference_server.checkpoints.inert import Inert
from inference_server.checkpoints.native import save_generator
from inference_server.checkpoints.opening import load_generator
from inference_server.checkpoints.reading import read_file
from inference_server.generators.kinds import build
from inference_server.generators.stylegan1 import StyleGAN1, StyleGAN1Config, state_shapes
from inference_server.rendering.blending import blend_into, check_blend, scratch_like
from inference_server.rendering.identities import Identities
from inference_server.rendering.library import read_run
from inference_server.terminal.log import log_goes_to

FIXTURE = Path(__file__).parent / "fixtures" / "tf_sg1_128_asym.pkl"
PLAIN = StyleGAN1Config(z_dim=5, mapping=(7, 6), channels=(4, 3, 2))


def random_network(
    channels: tuple[int, ...] = (4, 3, 3), classes: int = 0, lod: float = 0.0, seed: int = 5, **settings: Any
) -> tuple[Inert, dict[str, np.ndarray]]:
    """A network as the original writes it, and its variables in one dict. z 5, w 6; nothing is zero or one."""
    random = np.random.RandomState(seed)
    use_noise = settings.get("use_noise", True)

    def draw(*shape: int, mean: float = 0.0) -> np.ndarray:
        return (random.randn(*shape) + mean).astype(np.float32)

    mapping: dict[str, Any] = {}
    widths = (5 * (2 if classes else 1), 7, 6)
    if classes:
        mapping["LabelConcat/weight"] = draw(classes, 5)
    for index in range(2):
        mapping[f"Dense{index}/weight"] = draw(widths[index], widths[index + 1]) * 100
        mapping[f"Dense{index}/bias"] = draw(widths[index + 1]) * 30
    synthesis: dict[str, Any] = {"lod": np.float32(lod)}
    for index, outputs in enumerate(channels):
        size, inputs = 4 << index, channels[max(index - 1, 0)]
        for part, name in enumerate(("Conv0_up", "Conv1") if index else ("Const", "Conv")):
            name = f"{size}x{size}/{name}"
            if name == "4x4/Const":
                synthesis[f"{name}/const"] = draw(1, outputs, 4, 4)
            else:
                synthesis[f"{name}/weight"] = draw(3, 3, outputs if part else inputs, outputs)
            if use_noise:
                synthesis[f"noise{2 * index + part}"] = draw(1, 1, size, size)
                synthesis[f"{name}/Noise/weight"] = draw(outputs) * 0.5
            synthesis[f"{name}/bias"] = draw(outputs) * 0.5
            synthesis[f"{name}/StyleMod/weight"] = draw(6, 2 * outputs)
            synthesis[f"{name}/StyleMod/bias"] = draw(2 * outputs) * 0.5
        synthesis[f"ToRGB_lod{len(channels) - 1 - index}/weight"] = draw(1, 1, outputs, 3)
        synthesis[f"ToRGB_lod{len(channels) - 1 - index}/bias"] = draw(3)
    own = {"lod": np.float32(lod), "dlatent_avg": draw(6)}
    components = {
        name: _network(name, settings, list(reversed(values.items())))
        for name, values in (("synthesis", synthesis), ("mapping", mapping))
    }
    return _network("Gs", settings, list(own.items()), components), {**mapping, **synthesis, **own}


def _network(
    name: str, settings: dict[str, Any], values: list[tuple[str, Any]], components: dict[str, Inert] | None = None
) -> Inert:
    state = {
        "version": 3,
        "name": name,
        "static_kwargs": dict(settings),
        "components": components or {},
        "build_module_src": "raise RuntimeError('source must not run')",
        "build_func_name": {"Gs": "G_style"}.get(name, f"G_{name}"),
        "variables": values,
    }
    return Inert("dnnlib.tflib.network", "Network", state=state)


class Reference:
    """numpy, float64, one picture at a time; every step as in the paper, filters as sums over their taps."""

    def __init__(self, values: dict[str, np.ndarray], blocks: int, settings: dict[str, Any]) -> None:
        self.values = {key: np.asarray(value, np.float64) for key, value in values.items()}
        self.blocks = blocks
        self.settings = settings

    def scaled(self, name: str, gain: float = 2**0.5) -> np.ndarray:
        weight = self.values[f"{name}/weight"]
        return weight * gain / np.prod(weight.shape[:-1]) ** 0.5 if self.settings.get("use_wscale", True) else weight

    def activated(self, x: np.ndarray, setting: str) -> np.ndarray:
        return np.where(x < 0, x * (0.2 if self.settings.get(setting, "lrelu") == "lrelu" else 0), x)

    def map(self, z: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
        lr = self.settings.get("mapping_lrmul", 0.01)
        if classes is not None:
            z = np.concatenate([z, classes @ self.values["LabelConcat/weight"]])
        if self.settings.get("normalize_latents", True):
            z = z / np.sqrt(np.mean(z**2) + 1e-8)
        for index in range(2):
            z = z @ self.scaled(f"Dense{index}") * lr + self.values[f"Dense{index}/bias"] * lr
            z = self.activated(z, "mapping_nonlinearity")
        return z

    @staticmethod
    def convolved(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Convolve (i, h, w) with (k, k, i, o), with zeros around."""
        kernel, (height, width) = len(weight), x.shape[1:]
        padded = np.pad(x, ((0, 0), (kernel // 2, kernel // 2), (kernel // 2, kernel // 2)))
        return sum(
            np.einsum("ihw,io->ohw", padded[:, dy : dy + height, dx : dx + width], weight[dy, dx])
            for dy in range(kernel)
            for dx in range(kernel)
        )

    def upsampled(self, x: np.ndarray, name: str) -> np.ndarray:
        weight, size = self.scaled(name), 2 * x.shape[1]
        fused = self.settings.get("fused_scale", "auto")
        if fused is False or (fused == "auto" and size < 128):
            return self.blurred(self.convolved(x.repeat(2, axis=1).repeat(2, axis=2), weight))
        # The kernel is added four times for every pixel, one pixel apart; `painted` is one pixel larger on each side.
        painted = np.zeros((weight.shape[-1], size + 2, size + 2))
        for dy, dx in np.ndindex(3, 3):
            stamp = np.einsum("ihw,io->ohw", x, weight[dy, dx])
            for y, x_ in np.ndindex(2, 2):
                painted[:, dy + y : dy + y + size - 1 : 2, dx + x_ : dx + x_ + size - 1 : 2] += stamp
        return self.blurred(painted[:, 1:-1, 1:-1])

    def blurred(self, x: np.ndarray) -> np.ndarray:
        taps = self.settings.get("blur_filter", [1, 2, 1])
        if not taps:
            return x
        kernel = np.outer(taps, taps) / np.sum(taps) ** 2
        return np.concatenate([self.convolved(plane[None], kernel[:, :, None, None]) for plane in x])

    def synthesize(self, ws: np.ndarray, noise: bool = True) -> np.ndarray:
        """(num_ws, w_dim) to (3, height, width)."""
        image = None
        for index in range(self.blocks):
            size = 4 << index
            for part, name in enumerate(("Conv0_up", "Conv1") if index else ("Const", "Conv")):
                name, row = f"{size}x{size}/{name}", 2 * index + part
                if row == 0:
                    x = self.values[f"{name}/const"][0]
                else:
                    x = self.convolved(x, self.scaled(name)) if part else self.upsampled(x, name)
                if noise and self.settings.get("use_noise", True):
                    x = x + self.values[f"noise{row}"][0] * self.values[f"{name}/Noise/weight"][:, None, None]
                x = self.activated(x + self.values[f"{name}/bias"][:, None, None], "nonlinearity")
                if self.settings.get("use_pixel_norm", False):
                    x = x / np.sqrt((x**2).mean(axis=0) + 1e-8)
                if self.settings.get("use_instance_norm", True):
                    x = x - x.mean(axis=(1, 2), keepdims=True)
                    x = x / np.sqrt((x**2).mean(axis=(1, 2), keepdims=True) + 1e-8)
                style = ws[row] @ self.scaled(f"{name}/StyleMod", 1) + self.values[f"{name}/StyleMod/bias"]
                scale, shift = style.reshape(2, -1, 1, 1)
                x = x * (scale + 1) + shift
            lod = self.blocks - 1 - index
            colours = self.convolved(x, self.scaled(f"ToRGB_lod{lod}", 1))
            colours = colours + self.values[f"ToRGB_lod{lod}/bias"][:, None, None]
            stored = 0 if self.settings.get("structure") == "fixed" else self.values["lod"]
            if image is None:
                image = colours
            else:
                image = colours + (image.repeat(2, axis=1).repeat(2, axis=2) - colours) * np.clip(stored - lod, 0, 1)
        return image


NETWORKS: dict[str, dict[str, Any]] = {
    "pixels repeated": {},
    "64 px": {"channels": (4, 3, 3, 2, 2)},
    "fused from 128 on": {"channels": (3, 3, 2, 2, 2, 2, 2)},
    "256 px, never fused": {"channels": (3, 3, 2, 2, 2, 2, 2), "fused_scale": False},
    "always fused": {"fused_scale": True},
    "one size": {"channels": (3,)},
    "classes": {"classes": 3},
    "in training, between two sizes": {"channels": (4, 3, 3, 2), "lod": 1.3},
    "in training, fading in the last size": {"lod": 0.25},
    "in training, at a size": {"lod": 1.0},
    "at the start of training": {"lod": 7.5},
    "without fading": {"lod": 0.6, "structure": "fixed"},
    "without noise": {"use_noise": False},
    "another blur": {"blur_filter": [1, 3, 9, 4, 2]},
    "without blur": {"blur_filter": None},
    "ReLU": {"nonlinearity": "relu", "mapping_nonlinearity": "relu"},
    "weights as they are": {"use_wscale": False, "mapping_lrmul": 0.02},
    "z as it is": {"normalize_latents": False, "mapping_lrmul": 0.3},
    "other norms": {"channels": (9, 8, 8), "use_instance_norm": False, "use_pixel_norm": True},
    "two norms": {"channels": (9, 8, 8), "use_pixel_norm": True},
}


@pytest.mark.parametrize("choices", NETWORKS.values(), ids=NETWORKS.keys())
def test_reference(choices):
    network, values = random_network(**choices)
    assert stylegan1_tf.recognises((network, network, network))
    generator = stylegan1_tf.convert((network, network, network), "net.pkl").build("net.pkl")
    blocks = len(choices.get("channels", (4, 3, 3)))
    reference = Reference(values, blocks, choices)
    torch.manual_seed(7)
    z = torch.randn(2, 5)
    classes = torch.tensor([[1.0, 0.0, 0.0], [0.2, 0.5, 0.3]]) if "classes" in choices else None
    w = generator.map(z, classes)
    ws = torch.randn(2, 2 * blocks, 6)  # a different w in every row shows whether the wrong row is used
    images = generator.synthesize(ws, "const")
    bare = generator.synthesize(ws, "none")
    assert images.dtype == torch.float32
    assert images.shape == bare.shape == (2, 3, 2 << blocks, 2 << blocks)
    assert generator.info.num_ws == 2 * blocks
    assert (generator.info.width, generator.info.height) == (2 << blocks, 2 << blocks)
    for row in range(2):
        expected = reference.map(z[row].double().numpy(), None if classes is None else classes[row].double().numpy())
        np.testing.assert_allclose(w[row].numpy(), expected, rtol=1e-5, atol=1e-6)
        for made, noise in ((images, True), (bare, False)):
            expected = reference.synthesize(ws[row].double().numpy(), noise)
            np.testing.assert_allclose(made[row].numpy(), expected, atol=1e-5 * np.abs(expected).max())


def test_original_network():
    """A pickle of the original code, and the pictures that this code makes with TensorFlow."""
    value = read_file(FIXTURE)[1]
    assert stylegan1_tf.recognises(value)
    generator = stylegan1_tf.convert(value, FIXTURE.name).build(FIXTURE.name)
    with np.load(FIXTURE.with_suffix(".npz")) as file:
        expected = dict(file)
    ws = generator.broadcast(generator.map(torch.from_numpy(expected["z"])))
    cut = generator.truncate(ws, 0.7, generator.info.default_cutoff)
    for name, found in (("w_psi1", ws), ("w_psi07_cut8", cut), ("w_default", cut)):
        np.testing.assert_allclose(found.numpy(), expected[name], rtol=0, atol=1e-5)
    for name, given in (("img_psi1", "w_psi1"), ("img_psi07_cut8", "w_psi07_cut8")):
        # Both round: the original differs from a calculation in float64 by up to 0.7e-5 of the largest value.
        image = generator.synthesize(torch.from_numpy(expected[given]), "const").numpy()
        np.testing.assert_allclose(image, expected[name], rtol=0, atol=1e-5 * np.abs(expected[name]).max())
    assert generator.info.origin == "StyleGAN pickle (TensorFlow)"
    assert generator.info.name == "tf_sg1_128_asym"


def test_average_of_the_weights_is_taken():
    own, _ = random_network()
    other, _ = random_network(lod=1.0)
    generator = stylegan1_tf.convert((other, other, own), "net.pkl").build("net.pkl")
    alone = stylegan1_tf.convert(own, "net.pkl").build("net.pkl")
    ws = torch.randn(1, 6, 6)
    assert torch.equal(generator.synthesize(ws, "const"), alone.synthesize(ws, "const"))
    assert not torch.equal(
        generator.synthesize(ws, "const"),
        stylegan1_tf.convert(other, "net.pkl").build("net.pkl").synthesize(ws, "const"),
    )


def test_fading_is_that_of_the_whole_network():
    """The original copies the generator's own lod into the synthesis network each time it makes pictures."""
    network, values = random_network(lod=1.0)
    network.state["variables"] = [("lod", np.float32(0.25)), ("dlatent_avg", values["dlatent_avg"])]
    assert stylegan1_tf.convert(network, "net.pkl").tensors["synthesis.lod"] == 0.25


def convert(network: Inert) -> StyleGAN1:
    generator = stylegan1_tf.convert(network, "net.pkl").build("net.pkl")
    assert isinstance(generator, StyleGAN1)
    return generator


def growing(lod: float, **choices: Any) -> StyleGAN1:
    return convert(random_network((4, 3, 3, 2), lod=lod, **choices)[0])


@pytest.mark.parametrize("mix", [0.25, 0.5, 0.75])
def test_between_two_snapshots_of_a_training_that_grows(mix):
    """Weights and level of detail blend in the same way; half way between 2.0 and 1.3 is 1.65."""
    choices = [{"lod": 2.0}, {"lod": 1.3, "seed": 6}]
    ends = [growing(**choice) for choice in choices]
    check_blend(*ends)
    between = scratch_like(ends[0])
    ws = torch.randn(1, 8, 6)
    between.synthesize(ws, "const")
    blend_into(between, *ends, mix)
    assert between.synthesis.lod.item() == pytest.approx(2.0 - 0.7 * mix)
    # For the reference, the original variables are blended; every step from them to this project's tensors is linear.
    low, high = (random_network((4, 3, 3, 2), **choice)[1] for choice in choices)
    values = {
        key: value.astype(np.float64) + mix * (high[key].astype(np.float64) - value) for key, value in low.items()
    }
    expected = Reference(values, 4, {}).synthesize(ws[0].double().numpy())
    made = between.synthesize(ws, "const")[0].numpy()
    np.testing.assert_allclose(made, expected, atol=1e-5 * np.abs(expected).max())
    for end in ends:  # a network that was used for a mix has not changed
        blend_into(between, end, ends[0], 0.0)
        assert torch.equal(between.synthesize(ws, "const"), end.synthesize(ws, "const"))


def set_lod(generator: StyleGAN1, lod: float) -> None:
    generator.synthesis.lod.fill_(lod)
    generator.weights_changed()


def test_pictures_grow_without_a_jump():
    generator = growing(0.0)
    ws = torch.randn(1, 8, 6)
    images = []
    for step in range(401):
        set_lod(generator, 2 - step / 200)
        images.append(generator.synthesize(ws, "const"))
    changes = torch.stack([(after - before).abs().max() for before, after in pairwise(images)])
    assert (changes > 0).all()
    # Between two sizes the colours change evenly; a jump would be about a hundred times larger than the other changes.
    for part in (changes[:200], changes[200:]):
        assert part.max() < 1.01 * part.min()
    for lod in (1.0, 2.0):  # whole numbers are approached from both sides
        set_lod(generator, lod)
        image = generator.synthesize(ws, "const")
        for near in (lod - 1e-5, lod + 1e-5):
            set_lod(generator, near)
            torch.testing.assert_close(generator.synthesize(ws, "const"), image, rtol=0, atol=1e-3)


@pytest.mark.parametrize("noise", ["const", 3])
def test_sizes_that_training_has_not_reached_are_not_computed(noise):
    ran: list[int] = []
    generator = growing(2.0)
    for index, block in enumerate(generator.synthesis.blocks):
        for part in (block.conv0, block.torgb):
            part.register_forward_hook(
                lambda *_, index=index, part=part, block=block: ran.append((index, part is block.torgb))
            )
    ws = torch.randn(1, 8, 6)
    expected = {
        2.0: [(0, False), (1, False), (1, True)],
        1.5: [(0, False), (1, False), (1, True), (2, False), (2, True)],
        3.0: [(0, False), (0, True)],
        9.0: [(0, False), (0, True)],
        0.0: [(0, False), (1, False), (2, False), (3, False), (3, True)],
    }
    for lod, parts in expected.items():
        set_lod(generator, lod)
        ran.clear()
        assert generator.synthesize(ws, noise).shape == (1, 3, 32, 32)
        assert ran == parts


@pytest.mark.parametrize("lod", [float("nan"), float("-inf"), -1.0, 1e30, float("inf")])
def test_a_level_of_detail_of_any_value_is_endured(lod):
    """Files in the native format may hold any value: too much gives the first size, too little or NaN the last size."""
    origin = growing(0.0)
    tensors = {**origin.state_dict(), "synthesis.lod": torch.tensor(lod)}
    generator = build("stylegan1", origin.config, tensors, {})
    set_lod(origin, 3.0 if lod > 0 else 0.0)
    ws = torch.randn(1, 8, 6)
    assert torch.equal(generator.synthesize(ws, "const"), origin.synthesize(ws, "const"))


def test_the_level_of_detail_follows_the_weights():
    """It is read once, and again each time it may have changed."""
    ws = torch.randn(1, 8, 6)
    origin, generator = growing(1.3), growing(0.0)
    expected = origin.synthesize(ws, 4)
    assert not torch.equal(generator.synthesize(ws, 4), expected)
    generator.load_state_dict(origin.state_dict())
    assert torch.equal(generator.synthesize(ws, 4), expected)
    generator.synthesis.lod.fill_(0.0)
    generator.to("cpu")
    assert torch.equal(generator.synthesize(ws, 4), growing(0.0).synthesize(ws, 4))


def test_no_picture_waits_for_a_number():
    """If the host reads a value, the GPU stands still, and CUDA graphs cannot be recorded."""
    generator = growing(1.3)
    ws = torch.randn(1, 8, 6)
    with profile() as drawing:
        generator.synthesize(ws, "const")
    with profile() as looking:
        generator.weights_changed()
    drawn, looked = ({event.name for event in done.function_events} for done in (drawing, looking))
    assert "aten::convolution" in drawn and "aten::_local_scalar_dense" not in drawn
    assert "aten::_local_scalar_dense" in looked


def test_a_network_that_has_grown_keeps_its_last_colours_only():
    network, values = random_network()
    for holder in (network, *network.get("components").values()):
        holder.state["variables"] = [
            entry for entry in holder.state["variables"] if not entry[0].startswith(("ToRGB_lod1", "ToRGB_lod2"))
        ]
    for grown in (network, random_network(structure="fixed", lod=1.5)[0]):
        generator = convert(grown)
        assert not generator.config.progressive
        assert [name for name in generator.state_dict() if "torgb.weight" in name] == [
            "synthesis.blocks.2.torgb.weight"
        ]
        assert "synthesis.lod" not in generator.state_dict()
        ws = torch.randn(1, 6, 6)
        made = generator.synthesize(ws, "const")[0].numpy()
        expected = Reference(values, 3, {}).synthesize(ws[0].double().numpy())
        np.testing.assert_allclose(made, expected, atol=1e-5 * np.abs(expected).max())


class Network:
    """An object that is pickled like the networks of the original code."""

    def __init__(self, network: Inert) -> None:
        components = {name: Network(part) for name, part in network.state["components"].items()}
        self.__dict__.update(network.state, components=components)


def test_a_training_that_grows_is_one_run(tmp_path, monkeypatch):
    """All its snapshots are listed, even after each of them has been opened."""
    module = types.ModuleType("dnnlib.tflib.network")
    module.Network = Network
    for name in ("dnnlib", "dnnlib.tflib"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(Network, "__module__", module.__name__)
    folder = tmp_path / "run"
    folder.mkdir()
    log: list[str] = []
    cache = ConversionCache(tmp_path / "conversions")
    generators = []
    with log_goes_to(lambda _level, text: log.append(text)):
        for kimg, lod in ((140, 3.0), (1500, 1.4), (9000, 0.0)):
            path = folder / f"network-snapshot-{kimg:06d}.pkl"
            path.write_bytes(pickle.dumps((Network(random_network((4, 3, 3, 2), lod=lod, seed=kimg)[0]),) * 3))
            generators.append(cache.load(path, driving.generator_of(path)["sha256"]))
            assert cache.make(path, driving.generator_of(path)["sha256"]) is not None
        run = read_run(folder, Identities(tmp_path / "identities.json"), cache)
    assert [generator.synthesis.lod.item() for generator in generators] == pytest.approx([3.0, 1.4, 0.0])
    check_blend(generators[0], generators[2])
    assert [snapshot.name[-6:] for snapshot in run] == ["000140", "001500", "009000"]
    assert log == []


def test_a_saved_copy_makes_the_same_pictures(tmp_path):
    generator = load_generator(FIXTURE)
    assert isinstance(generator, StyleGAN1)
    save_generator(generator, tmp_path / "copy.safetensors", {}, torch.float32)
    copy = load_generator(tmp_path / "copy.safetensors")
    assert copy.info == generator.info
    ws = generator.broadcast(generator.map(torch.randn(1, 40)))
    assert torch.equal(copy.synthesize(ws, "const"), generator.synthesize(ws, "const"))


def changed(name: str, value: Any) -> Inert:
    """A network with one variable changed, or removed if the value is None."""
    network, _ = random_network()
    for holder in (network, *network.get("components").values()):
        variables = holder.state["variables"]
        if value is None:
            holder.state["variables"] = [entry for entry in variables if entry[0] != name]
        else:
            holder.state["variables"] = [(key, value if key == name else kept) for key, kept in variables]
    return network


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("4x4/Const/const", np.zeros((2, 4, 4, 4), np.float32)),
        ("4x4/Const/const", np.zeros((1, 4, 0, 4), np.float32)),
        ("4x4/Conv/weight", np.zeros((3, 3, 4, 5), np.float32)),
        ("8x8/Conv0_up/weight", np.zeros((3, 3), np.float32)),
        ("8x8/Conv0_up/weight", np.zeros((5, 5, 4, 3), np.float32)),
        ("8x8/Conv0_up/weight", np.zeros((0, 3, 4, 3), np.float32)),
        ("8x8/Conv1/weight", "text"),
        ("8x8/Conv1/bias", None),
        ("16x16/Conv1/StyleMod/bias", np.zeros(5, np.float32)),
        ("ToRGB_lod0/weight", None),
        ("ToRGB_lod0/bias", np.zeros(2, np.float32)),
        ("noise3", np.zeros((1, 2, 8, 8), np.float32)),
        ("noise3", np.zeros((1, 1, 8, 8), np.int64)),
        ("ToRGB_lod2/weight", None),
        ("lod", np.float32("nan")),
        ("lod", np.float32("inf")),
        ("lod", np.float32(-0.5)),
        ("lod", np.float32(1e9)),
        ("lod", np.zeros(2, np.float32)),
        ("dlatent_avg", None),
        ("dlatent_avg", np.zeros(7, np.float32)),
        ("Dense0/weight", None),
        ("Dense1/weight", np.zeros((0, 0), np.float32)),
    ],
)
def test_damage_is_named(name, value):
    with pytest.raises(CheckpointError, match=r"^net\.pkl is "):
        stylegan1_tf.convert(changed(name, value), "net.pkl").build("net.pkl")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("structure", "sideways"),
        ("structure", np.ones(2)),
        ("blur_filter", np.ones(3)),
        ("nonlinearity", "swish"),
        ("mapping_nonlinearity", ["lrelu"]),
        ("fused_scale", 1),
        ("use_styles", False),
        ("const_input_layer", False),
        ("blur_filter", "soft"),
        ("blur_filter", [1, -1]),
        ("blur_filter", [1.0] * 11),
        ("blur_filter", [1, 1]),
        ("mapping_lrmul", -1),
        ("mapping_lrmul", float("nan")),
        ("use_instance_norm", None),
    ],
)
def test_settings_that_are_not_known_are_refused(setting, value):
    network, _ = random_network()
    for holder in (network, *network.get("components").values()):
        holder.state["static_kwargs"] = {setting: value}
    with pytest.raises(CheckpointError, match=f"^net.pkl is .*{setting.split('_')[0]}"):
        stylegan1_tf.convert(network, "net.pkl")


def test_settings_that_change_nothing_are_passed_over():
    network, _ = random_network(randomize_noise=True, dtype="float32", something_new={"a": 1})
    stylegan1_tf.convert(network, "net.pkl").build("net.pkl")


@pytest.mark.parametrize("value", [None, 3, (), [None], {"G_ema": 1}, Inert("a", "b"), Inert("a", "Network", state=[])])
def test_other_things_are_not_recognised(value):
    assert stylegan1_tf.recognises(value) is False


def make(config: StyleGAN1Config) -> StyleGAN1:
    torch.manual_seed(3)
    generator = StyleGAN1(config).eval().requires_grad_(False)
    for name, values in generator.state_dict().items():
        if name.endswith((".bias", "noise_strength", "w_avg", "const")):
            values.add_(torch.randn_like(values) * 0.5)
    return generator


@pytest.mark.parametrize(
    "config",
    [
        PLAIN,
        replace(PLAIN, base_size=(2, 3), image_channels=1, use_noise=False),
        replace(PLAIN, num_classes=2, progressive=True),
    ],
)
def test_config_goes_through_json_and_shapes_are_known_beforehand(config):
    assert StyleGAN1Config.from_dict(config.to_dict()) == config
    generator = make(config)
    assert state_shapes(config) == {key: tuple(value.shape) for key, value in generator.state_dict().items()}
    image = generator.synthesize(torch.randn(1, config.num_ws, 6), "const")
    assert image.shape == (1, config.image_channels, *config.size)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("z_dim", 0),
        ("z_dim", 2.0),
        ("mapping", []),
        ("mapping", [8] * 65),
        ("channels", [3, 0]),
        ("channels", [1] * 13),
        ("base_size", [4]),
        ("base_size", [8000, 8000]),
        ("image_channels", 2),
        ("num_classes", -1),
        ("blur", []),
        ("blur", [1.0, float("inf"), 1.0]),
        ("blur", [1.0, 1.0]),
        ("slope", 2),
        ("progressive", 0.5),
        ("use_noise", 1),
        ("pixel_norm", None),
    ],
)
def test_a_config_that_cannot_be_is_refused(name, value):
    values = {**PLAIN.to_dict(), name: value}
    with pytest.raises(ValueError, match=name if name != "base_size" else "base_size|the image would be"):
        StyleGAN1Config.from_dict(values)


def test_a_strange_setting_is_refused():
    with pytest.raises(ValueError, match="colour"):
        StyleGAN1Config.from_dict({**PLAIN.to_dict(), "colour": 1})
    with pytest.raises(ValueError, match="missing"):
        StyleGAN1Config.from_dict({"z_dim": 5})


def test_truncation():
    generator = make(PLAIN)
    average = generator.mapping.w_avg
    ws = torch.randn(3, 6, 6)
    torch.testing.assert_close(generator.truncate(ws, 0.7, None), average + (ws - average) * 0.7)
    cut = generator.truncate(ws, torch.tensor([0.0, 0.5, 1.0]), 2)
    assert torch.equal(cut[:, 2:], ws[:, 2:])
    torch.testing.assert_close(cut[1, :2], average + (ws[1, :2] - average) * 0.5)
    assert torch.equal(cut[2], ws[2])


def test_noise_of_a_seed():
    generator = make(PLAIN)
    ws = torch.randn(2, 6, 6)
    image = generator.synthesize(ws, 11)
    torch.testing.assert_close(image[1:], generator.synthesize(ws[1:], 11))
    assert not torch.equal(image, generator.synthesize(ws, 12))
    random = np.random.RandomState(11)
    for layer in generator.synthesis.layers:
        layer.noise_const.copy_(torch.from_numpy(random.randn(*layer.size)))
    assert torch.equal(image, generator.synthesize(ws, "const"))


def test_a_picture_does_not_depend_on_its_batch_mates():
    generator = make(PLAIN)
    ws = torch.randn(5, 6, 6)
    together = generator.synthesize(ws, "const")
    for row in range(5):
        torch.testing.assert_close(together[row], generator.synthesize(ws[row : row + 1], "const")[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_close(dtype):
    generator = make(replace(PLAIN, channels=(8, 8, 8, 8, 8), mapping=(6,)))
    ws = torch.randn(1, 10, 6)
    exact = generator.synthesize(ws, "const")
    generator.set_precision(dtype)
    rough = generator.synthesize(ws, "const")
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).abs().max() < 0.2 * exact.abs().max()
    generator.set_precision(None)
    assert torch.equal(generator.synthesize(ws, "const"), exact)


@pytest.mark.parametrize("noise", ["fresh", True, 1.5])
def test_noise_that_is_not_known_is_refused(noise):
    with pytest.raises(ValueError, match="noise must be"):
        make(PLAIN).synthesize(torch.randn(1, 6, 6), noise)


def test_wrong_shapes_are_refused():
    generator = make(PLAIN)
    with pytest.raises(ValueError, match=r"z must have shape \(n, 5\)"):
        generator.map(torch.randn(1, 6))
    with pytest.raises(ValueError, match="classes"):
        generator.map(torch.randn(1, 5), torch.ones(1, 1))
    with pytest.raises(ValueError, match=r"ws must have shape \(n, 6, 6\)"):
        generator.synthesize(torch.randn(1, 5, 6), "const")


def test_gradients_reach_the_latent():
    """Latents for pictures can be found by gradient descent."""
    generator = make(PLAIN)
    ws = torch.randn(1, 6, 6, requires_grad=True)
    with torch.inference_mode():
        generator.synthesize(ws, 3)  # tensors that were kept when pictures were made are used here too
    generator.synthesize(ws, 3).square().sum().backward()
    assert ws.grad is not None
    assert (ws.grad.abs().amax(dim=2) > 0).all()
