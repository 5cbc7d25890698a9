"""Compare StyleGAN2 with a slow reference in float64, written from the papers in a different way than the network."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from inference_server.generators import stylegan2_inference
from inference_server.generators.stylegan2 import StyleGAN2
from inference_server.generators.stylegan2_config import StyleGAN2Config, state_shapes
from stylegan2_reference import Reference, make

PLAIN = StyleGAN2Config(z_dim=5, w_dim=6, channels=(4, 3, 2), mapping_layers=2)
CONFIGS = {
    "plain": PLAIN,
    "grey, wide, no noise": replace(PLAIN, base_size=(2, 3), image_channels=1, use_noise=False),
    "transparent, tall, two classes": replace(PLAIN, base_size=(3, 2), image_channels=4, num_classes=2, mapping_lr=1.0),
    "clamped": replace(PLAIN, conv_clamp=0.5),
    "one block": replace(PLAIN, channels=(3,)),
    "resnet, clamped": replace(PLAIN, architecture="resnet", conv_clamp=0.5),
    "orig, wide mapping": replace(PLAIN, architecture="orig", mapping_width=9, mapping_layers=3),
    "z and class as one vector": replace(PLAIN, num_classes=2, joint_normalization=True, embed_width=4),
    "one block, resnet": replace(PLAIN, channels=(3,), architecture="resnet"),
}


def inputs(config: StyleGAN2Config, n: int = 2) -> tuple[torch.Tensor, torch.Tensor | None]:
    torch.manual_seed(7)
    classes = torch.tensor([[1.0, 0.0], [0.3, 0.7]])[:n] if config.num_classes else None
    return torch.randn(n, config.z_dim), classes


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
    ws = torch.randn(2, config.num_ws, config.w_dim)  # a different w in every row shows whether the wrong row is used
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
        "assumed": "",
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


@pytest.mark.parametrize("strip", [1, 40, 1 << 19])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_large_blocks_are_made_in_strips(config, strip, monkeypatch):
    monkeypatch.setattr(stylegan2_inference, "STRIP", strip)  # strips of 8 rows, the smallest number, and of more rows
    monkeypatch.setattr(stylegan2_inference, "LARGE", 1)
    config = replace(config, channels=(*config.channels, 3, 2)) if config.architecture != "orig" else config
    generator = make(config)
    torch.manual_seed(1)
    ws = torch.randn(3, config.num_ws, config.w_dim)
    for noise in ("const", "none"):
        maps = [layer.noise_const for layer in generator.synthesis.layers] if config.use_noise else None
        expected = generator.synthesis(ws, maps if noise == "const" else None, [torch.float32] * len(config.channels))
        images = generator.synthesize(ws, noise)
        torch.testing.assert_close(images, expected, rtol=1e-5, atol=2e-5)
        assert torch.equal(generator.synthesize(ws, noise), images)
        alone = [generator.synthesize(ws[row : row + 1], noise) for row in range(3)]
        torch.testing.assert_close(torch.cat(alone), images, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("change", ["in place", "lerp out", "loaded", "loaded by assigning"])
def test_changed_weights_count_at_once(change):
    generator, other = make(replace(PLAIN, num_classes=2)), make(replace(PLAIN, num_classes=2), seed=8)
    ws = torch.randn(2, 6, 6)
    before, expected = generator.synthesize(ws, "const"), other.synthesize(ws, "const")
    pairs = zip(generator.state_dict().values(), other.state_dict().values(), strict=True)
    if change == "in place":
        for own, new in pairs:
            own.copy_(new)
    elif change == "lerp out":
        for own, new in pairs:
            torch.lerp(own.clone(), new, 1.0, out=own)
        generator.weights_changed()
    else:
        generator.load_state_dict(other.state_dict(), assign=change == "loaded by assigning")
    after = generator.synthesize(ws, "const")
    assert torch.equal(after, expected)
    assert not torch.equal(after, before)
    assert generator.double().synthesis.blocks[0].const.dtype == torch.float64
    assert torch.equal(generator.float().synthesize(ws, "const"), expected)


def test_gradients_reach_w():
    generator = make(PLAIN)
    ws = torch.randn(2, 6, 6, requires_grad=True)
    generator.synthesize(ws, "const").square().sum().backward()
    assert ws.grad.abs().sum() > 0


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
        ({"architecture": "unet"}, "architecture must be one of skip, resnet, orig"),
        ({"architecture": ["skip"]}, "architecture"),
        ({"half_blocks": -1}, "half_blocks"),
        ({"mapping_width": 0}, "mapping_width"),
        ({"embed_width": 2.5}, "embed_width"),
        ({"joint_normalization": None}, "joint_normalization"),
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
