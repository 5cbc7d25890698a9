"""The light generator: its shapes, its arithmetic against a plain one, and what each row of W+ decides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from inference_server.checkpoints import load_generator, save_generator
from inference_server.generators.glu import GLUConfig, GLUGenerator, state_shapes
from inference_server.training.networks import finish, training_pictures

CONFIG = GLUConfig(z_dim=6, w_dim=5, channels=(8, 6, 5, 4), base_size=(4, 3))


@pytest.fixture
def generator() -> GLUGenerator:
    torch.manual_seed(0)
    made = GLUGenerator(CONFIG).eval().requires_grad_(False)
    for weight in made.parameters():
        weight.add_(torch.randn_like(weight) * 0.2)
    finish(made, 0)
    return made


def test_the_shapes_are_those_of_the_network(generator: GLUGenerator) -> None:
    for config in (CONFIG, GLUConfig(4, 4, (8, 4), image_channels=1, mapping_layers=1)):
        state = GLUGenerator(config).state_dict()
        assert state_shapes(config) == {key: tuple(value.shape) for key, value in state.items()}
        assert GLUConfig.from_dict(config.to_dict()) == config
    assert (generator.info.height, generator.info.width, generator.info.num_ws) == (32, 24, 3)


def plain(generator: GLUGenerator, ws: torch.Tensor) -> torch.Tensor:
    """The same pictures by torch's own modules, step by step as the papers say."""
    x = F.linear(ws[:, 0], generator.stem.weight, generator.stem.bias).reshape(-1, 16, 4, 3)
    picture, steps = torch.zeros(1), [generator.stem, *generator.blocks]
    for index, step in enumerate(steps):
        if index:
            x = F.conv2d(nn.Upsample(scale_factor=2, mode="nearest")(x), step.weight, padding=1)
        norm = nn.BatchNorm2d(x.shape[1], affine=False).eval()
        norm.load_state_dict({**norm.state_dict(), "running_mean": step.norm.running_mean})
        norm.running_var = step.norm.running_var
        style = step.norm.bias.expand(len(ws), -1)
        if index < 3:
            style = F.linear(ws[:, index], step.norm.weight, step.norm.bias)
        scale, shift = style[:, : x.shape[1], None, None], style[:, x.shape[1] :, None, None]
        x = norm(x) * (1 + scale) + shift
        half = x.shape[1] // 2
        x = x[:, :half] * torch.sigmoid(x[:, half:])
        own = F.conv2d(x, generator.colours[index].weight, generator.colours[index].bias, padding=1)
        if index:
            own = own + nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)(picture)
        picture = own
    return torch.tanh(picture)


def test_pictures_are_those_of_plain_modules(generator: GLUGenerator) -> None:
    ws = torch.randn(5, 3, 5)
    torch.testing.assert_close(generator.synthesize(ws, "const"), plain(generator, ws), atol=2e-6, rtol=1e-5)
    z = torch.randn(4, 6)
    x = z / z.square().mean(dim=1, keepdim=True).sqrt()
    for layer in generator.mapping.layers:
        x = F.leaky_relu(F.linear(x, layer.weight, layer.bias), 0.2)
    torch.testing.assert_close(generator.map(z), x, atol=1e-6, rtol=1e-5)


def test_a_picture_depends_on_no_other_picture_of_its_batch(generator: GLUGenerator) -> None:
    ws = torch.randn(6, 3, 5)
    torch.testing.assert_close(generator.synthesize(ws, "none")[2:3], generator.synthesize(ws[2:3], "none"))


def test_every_row_of_w_plus_decides_something(generator: GLUGenerator) -> None:
    ws = torch.randn(1, 3, 5)
    before = generator.synthesize(ws, "none")
    changes = []
    for row in range(3):
        other = ws.clone()
        other[:, row] += 1
        changes.append((generator.synthesize(other, "none") - before).abs().mean().item())
    assert all(change > 1e-3 for change in changes)


def test_statistics_make_the_pictures_of_training(generator: GLUGenerator) -> None:
    """With the counted statistics, single pictures look like those of a large batch in training."""
    ws = generator.broadcast(generator.map(torch.randn(512, 6)))
    alone = generator.synthesize(ws, "none")
    with torch.no_grad():
        together = training_pictures(generator, ws, 3, torch.float32, torch.Generator())
    generator.use_batch_statistics(False)
    assert (alone - together).abs().mean() < 0.05 * alone.std()


def test_truncation_goes_to_the_mean_w(generator: GLUGenerator) -> None:
    ws = generator.broadcast(generator.map(torch.randn(2, 6)))
    flat = generator.truncate(ws, 0.0, None)
    mean = generator.map(torch.randn(20000, 6)).mean(dim=0)
    assert torch.equal(flat[0], flat[1]) and (flat[0, 0] - mean).abs().max() < 0.05


def test_is_written_and_read_again(generator: GLUGenerator, tmp_path: Path) -> None:
    path = tmp_path / "light.safetensors"
    save_generator(generator, path, {"name": "Light"}, torch.float32)
    again = load_generator(path)
    ws = torch.randn(2, 3, 5)
    assert (again.info.kind, again.info.name, again.config) == ("glu", "Light", CONFIG)
    assert torch.equal(again.synthesize(ws, "none"), generator.synthesize(ws, "none"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("channels", (8,)),
        ("channels", (8, 0)),
        ("channels", (4,) * 13),
        ("base_size", (4,)),
        ("base_size", (4000, 4)),
        ("z_dim", True),
        ("epsilon", 0),
        ("epsilon", float("nan")),
        ("image_channels", 2),
        ("mapping_layers", 0),
        ("surprise", 1),
    ],
)
def test_impossible_values_are_named(name: str, value: object) -> None:
    with pytest.raises(ValueError, match="image would be" if value == (4000, 4) else name):
        GLUConfig.from_dict({**CONFIG.to_dict(), name: value})


def test_takes_bfloat16(generator: GLUGenerator) -> None:
    ws = torch.randn(2, 3, 5)
    exact = generator.synthesize(ws, "none")
    generator.set_precision(torch.bfloat16)
    assert np.abs((generator.synthesize(ws, "none") - exact).numpy()).max() < 0.1
