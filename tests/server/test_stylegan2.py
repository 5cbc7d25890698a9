"""StyleGAN2 against a slow reference in float64, written from the papers in another way than the network."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from inference_server.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from inference_server.generators.stylegan2_config import state_shapes

PLAIN = StyleGAN2Config(z_dim=5, w_dim=6, channels=(4, 3, 2), mapping_layers=2)
CONFIGS = {
    "plain": PLAIN,
    "grey, wide, no noise": replace(PLAIN, base_size=(2, 3), image_channels=1, use_noise=False),
    "transparent, tall, two classes": replace(PLAIN, base_size=(3, 2), image_channels=4, num_classes=2, mapping_lr=1.0),
    "clamped": replace(PLAIN, conv_clamp=0.5),
    "one block": replace(PLAIN, channels=(3,)),
}


def make(config: StyleGAN2Config, seed: int = 3) -> StyleGAN2:
    """A network whose biases, noise strengths and average w are not zero: zeros would hide mistakes."""
    torch.manual_seed(seed)
    generator = StyleGAN2(config).eval().requires_grad_(False)
    for name, values in generator.state_dict().items():
        if name.endswith((".bias", "noise_strength", "w_avg")):
            values.add_(torch.randn_like(values) * 0.5)
    return generator


def inputs(config: StyleGAN2Config, n: int = 2) -> tuple[torch.Tensor, torch.Tensor | None]:
    torch.manual_seed(7)
    classes = torch.tensor([[1.0, 0.0], [0.3, 0.7]])[:n] if config.num_classes else None
    return torch.randn(n, config.z_dim), classes


class Reference:
    """numpy, float64, one picture at a time: weights are modulated (not features), and all filters are plain loops."""

    def __init__(self, generator: StyleGAN2) -> None:
        self.config = generator.config
        self.state = {key: value.double().numpy() for key, value in generator.state_dict().items()}

    def dense(self, name: str, x: np.ndarray, lr: float = 1.0) -> np.ndarray:
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return np.array([sum(row * x) * lr / len(x) ** 0.5 for row in weight]) + bias * lr

    def map(self, z: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
        x = z / np.sqrt(np.mean(z**2) + 1e-8)
        if classes is not None:
            label = self.dense("mapping.embed", classes)
            x = np.concatenate([x, label / np.sqrt(np.mean(label**2) + 1e-8)])
        for index in range(self.config.mapping_layers):
            x = self.dense(f"mapping.fc{index}", x, self.config.mapping_lr)
            x = np.where(x < 0, 0.2 * x, x) * 2**0.5
        return x

    @staticmethod
    def correlate(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """(i, h, w) and (o, i, k, k), without padding."""
        size = kernel.shape[-1]
        height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
        out = np.zeros((len(kernel), height, width))
        for y, column in itertools.product(range(height), range(width)):
            out[:, y, column] = (kernel * x[None, :, y : y + size, column : column + size]).sum(axis=(1, 2, 3))
        return out

    @staticmethod
    def zero_stuffed(x: np.ndarray, before: int, after: int) -> np.ndarray:
        """A zero between every two pixels, then a border of zeros."""
        out = np.zeros((len(x), 2 * x.shape[1] - 1, 2 * x.shape[2] - 1))
        out[:, ::2, ::2] = x
        return np.pad(out, ((0, 0), (before, after), (before, after)))

    def blurred(self, x: np.ndarray) -> np.ndarray:
        """The binomial filter, with the gain 4 that zero stuffing needs; without padding."""
        row = np.array([1, 3, 3, 1]) / 4
        return np.concatenate([self.correlate(plane[None], np.outer(row, row)[None, None]) for plane in x])

    def convolved(self, x: np.ndarray, name: str, w: np.ndarray, up: bool, colour: bool) -> np.ndarray:
        weight = self.state[f"{name}.weight"]
        styles = self.dense(f"{name}.affine", w)
        if colour:
            return self.correlate(x, weight * styles[None, :, None, None] / len(styles) ** 0.5)
        weight = weight * styles[None, :, None, None]
        weight = weight / np.sqrt((weight**2).sum(axis=(1, 2, 3), keepdims=True) + 1e-8)
        if up:  # a transposed convolution correlates the zero-stuffed picture with the flipped kernel
            return self.blurred(
                np.pad(self.correlate(self.zero_stuffed(x, 2, 2), weight[:, :, ::-1, ::-1]), ((0, 0), (1, 1), (1, 1)))
            )
        return self.correlate(np.pad(x, ((0, 0), (1, 1), (1, 1))), weight)

    def clamped(self, x: np.ndarray) -> np.ndarray:
        limit = self.config.conv_clamp
        return x if limit is None else np.clip(x, -limit, limit)

    def synthesize(self, ws: np.ndarray, noise: list[np.ndarray] | None) -> np.ndarray:
        """(num_ws, w_dim) to (channels, height, width)."""
        x, image, layer = self.state["synthesis.blocks.0.const"], None, 0
        for index in range(len(self.config.channels)):
            block = f"synthesis.blocks.{index}"
            for part in ("conv0", "conv1")[index == 0 :]:
                name = f"{block}.{part}"
                x = self.convolved(x, name, ws[layer], up=part == "conv0", colour=False)
                if noise is not None:
                    x = x + noise[layer] * self.state[f"{name}.noise_strength"]
                x = x + self.state[f"{name}.bias"][:, None, None]
                x = self.clamped(np.where(x < 0, 0.2 * x, x) * 2**0.5)
                layer += 1
            colours = self.convolved(x, f"{block}.torgb", ws[layer], up=False, colour=True)
            colours = self.clamped(colours + self.state[f"{block}.torgb.bias"][:, None, None])
            image = colours if image is None else self.blurred(self.zero_stuffed(image, 2, 2)) + colours
        return image

    def stored_noise(self) -> list[np.ndarray] | None:
        maps = [value for key, value in self.state.items() if key.endswith("noise_const")]
        return maps if self.config.use_noise else None


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_reference(config):
    generator = make(config)
    reference = Reference(generator)
    z, classes = inputs(config)
    w = generator.map(z, classes)
    for row in range(2):
        expected = reference.map(z[row].double().numpy(), None if classes is None else classes[row].double().numpy())
        np.testing.assert_allclose(w[row].numpy(), expected, rtol=1e-5, atol=1e-6)
    torch.manual_seed(1)
    ws = torch.randn(2, config.num_ws, config.w_dim)  # another w in every row finds rows that are taken wrongly
    images = generator.synthesize(ws, "const")
    assert images.dtype == torch.float32
    assert images.shape == (2, config.image_channels, *config.size)
    bare = generator.synthesize(ws, "none")
    for row in range(2):
        double = ws[row].double().numpy()
        expected = reference.synthesize(double, reference.stored_noise())
        np.testing.assert_allclose(images[row].numpy(), expected, rtol=1e-5, atol=2e-5)
        np.testing.assert_allclose(bare[row].numpy(), reference.synthesize(double, None), rtol=1e-5, atol=2e-5)


def test_info():
    info = StyleGAN2(replace(PLAIN, base_size=(2, 3), num_classes=4), "Odd", "CC0-1.0", "one line").info
    assert (info.width, info.height, info.channels, info.num_ws) == (12, 8, 3, 6)
    assert info.to_dict() == {
        "kind": "stylegan2",
        "name": "Odd",
        "z_dim": 5,
        "w_dim": 6,
        "num_ws": 6,
        "width": 12,
        "height": 8,
        "channels": 3,
        "num_classes": 4,
        "spaces": ["z", "w"],
        "has_noise": True,
        "licence": "CC0-1.0",
        "training": "one line",
        "origin": "",
        "has_truncation": True,
        "default_cutoff": None,
        "has_transform": False,
        "normalises_z": True,
        "canvas_step": 0,
    }


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_shapes_are_known_beforehand(config):
    assert state_shapes(config) == {key: tuple(value.shape) for key, value in make(config).state_dict().items()}


def test_truncation():
    generator = make(PLAIN)
    average = generator.mapping.w_avg
    ws = torch.randn(3, 6, 6)
    torch.testing.assert_close(generator.truncate(ws, 0.7, None), average + (ws - average) * 0.7)
    cut = generator.truncate(ws, 0.25, 2)
    torch.testing.assert_close(cut[:, :2], average + (ws[:, :2] - average) * 0.25)
    assert torch.equal(cut[:, 2:], ws[:, 2:])
    assert torch.equal(generator.truncate(ws, 0.3, 0), ws)
    assert torch.equal(generator.truncate(ws, 1.0, None), ws)
    each = generator.truncate(ws, torch.tensor([0.0, 0.5, 1.0]), None)
    for row, psi in enumerate((0.0, 0.5, 1.0)):
        assert torch.equal(each[row], generator.truncate(ws[row : row + 1], psi, None)[0])


def test_broadcast():
    generator = make(PLAIN)
    w = torch.randn(2, 6)
    ws = generator.broadcast(w)
    assert ws.shape == (2, 6, 6)
    assert all(torch.equal(ws[:, row], w) for row in range(6))
    assert generator.broadcast(ws) is ws


def test_a_picture_does_not_depend_on_its_batch_mates():
    generator = make(PLAIN)
    ws = torch.randn(5, 6, 6)
    ws[3:] *= 100
    for half in (False, True):
        network = make(replace(PLAIN, conv_clamp=256.0)) if half else generator
        network.set_precision(torch.float16 if half else None)
        together = network.synthesize(ws, 4)
        alone = torch.cat([network.synthesize(ws[row : row + 1], 4) for row in range(5)])
        torch.testing.assert_close(together, alone, rtol=1e-3 if half else 1e-5, atol=1e-2 if half else 1e-4)


def test_noise_seed():
    generator = make(PLAIN)
    ws = torch.randn(2, 6, 6)
    random = np.random.RandomState(12)
    maps = [random.randn(size, size).astype(np.float32).astype(np.float64) for size in (4, 8, 8, 16, 16)]
    image = generator.synthesize(ws, 12)
    reference = Reference(generator)
    for row in range(2):
        expected = reference.synthesize(ws[row].double().numpy(), maps)
        np.testing.assert_allclose(image[row].numpy(), expected, rtol=1e-5, atol=2e-5)
    other = generator.synthesize(ws, 13)
    assert not torch.equal(image, other)
    assert torch.equal(generator.synthesize(ws, 12), image)
    assert torch.equal(generator.synthesize(ws, 12 + 2**32), image)
    for wrong in ("random", 1.5, True, None):
        with pytest.raises(ValueError, match="noise"):
            generator.synthesize(ws, wrong)


def test_half_precision_is_close():
    config = replace(PLAIN, channels=(32, 32, 32, 16, 16, 8), conv_clamp=256.0)
    generator = make(config)
    ws = torch.randn(2, 12, 6)
    exact = generator.synthesize(ws, "const")
    generator.set_precision(torch.float16)
    half = generator.synthesize(ws, "const")
    assert half.dtype == torch.float32
    assert not torch.equal(half, exact)
    assert (half - exact).abs().max() < 0.02 * exact.abs().max()
    # Styles and weights far beyond float16's range cancel, as they do in float32.
    for layer in generator.synthesis.layers:
        layer.affine.weight.mul_(1e5)
        layer.affine.bias.mul_(1e5)
        layer.weight.mul_(1e4)
    assert generator.synthesize(ws, "const").isfinite().all()


def test_wrong_shapes_are_named():
    generator, conditional = make(PLAIN), make(replace(PLAIN, num_classes=2))
    with pytest.raises(ValueError, match=r"z must have shape \(n, 5\), not \(2, 4\)"):
        generator.map(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="conditional"):
        conditional.map(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="conditional"):
        generator.map(torch.zeros(2, 5), torch.zeros(2, 2))
    with pytest.raises(ValueError, match=r"classes must have shape \(n, 2\)"):
        conditional.map(torch.zeros(2, 5), torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r"ws must have shape \(n, 6, 6\)"):
        generator.synthesize(torch.zeros(2, 5, 6), "const")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"z_dim": 0}, "z_dim"),
        ({"w_dim": 10**9}, "w_dim"),
        ({"z_dim": True}, "z_dim"),
        ({"channels": ()}, "channels"),
        ({"channels": (8,) * 13}, "channels"),
        ({"channels": (8, 10**7)}, "channels"),
        ({"channels": "ab"}, "channels"),
        ({"base_size": (4,)}, "base_size"),
        ({"base_size": (8192, 4)}, "the limit is"),
        ({"image_channels": 2}, "image_channels"),
        ({"num_classes": -1}, "num_classes"),
        ({"mapping_lr": float("nan")}, "mapping_lr"),
        ({"conv_clamp": -1}, "conv_clamp"),
        ({"use_noise": 1}, "use_noise"),
        ({"colour": "red"}, "unknown setting 'colour'"),
    ],
)
def test_impossible_configurations(changes, words):
    with pytest.raises(ValueError, match=words):
        StyleGAN2Config.from_dict({**PLAIN.to_dict(), **changes})
    assert StyleGAN2Config.from_dict(PLAIN.to_dict()) == PLAIN
    with pytest.raises(ValueError, match="missing"):
        StyleGAN2Config.from_dict({"z_dim": 3})


def test_gradients_reach_every_parameter():
    generator = StyleGAN2(replace(PLAIN, num_classes=2))
    z, classes = inputs(generator.config)
    generator.synthesize(generator.broadcast(generator.map(z, classes)), "const").square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in generator.parameters())
