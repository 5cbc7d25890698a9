"""Compare StyleGAN3 and StyleGAN-XL with a naive reference in float64, written from the papers in a different way."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from inference_server.generators import filtered_lrelu as product
from inference_server.generators.kinds import build
from inference_server.generators.stylegan3_config import LayerConfig, StyleGAN3Config
from stylegan3_reference import Reference, colours, layer, make, naive_filtered_lrelu, tensors

T_LAYERS = (
    layer(5, 4, 14, 14, half=True),
    layer(4, 6, 14, 20, up=4, half=True),
    layer(6, 3, 20, 12, clamp=1.5, half=True),
    colours(3, 12),
)
T = StyleGAN3Config(
    z_dim=5, w_dim=6, input_channels=5, input_size=(14, 14), input_rate=8.0, input_bandwidth=2.0, layers=T_LAYERS
)
R = replace(
    T,
    layers=(
        layer(5, 4, 14, 14, kernel=1, radial=True),
        layer(4, 6, 14, 20, kernel=1, up=4, radial=True, clamp=None),
        layer(6, 3, 20, 12, kernel=1),
        colours(3, 12, 1),
    ),
)
XL = replace(T, num_classes=3, embedding=7, class_averages=True, mapping_layers=3)
CONFIGS = {
    "T": T,
    "R, grey": R,
    "classes": replace(T, num_classes=3, mapping_lr=1.0),
    "XL": XL,
    "XL, one average": replace(XL, class_averages=False),
}


def inputs(config: StyleGAN3Config, n: int = 2) -> tuple[torch.Tensor, torch.Tensor | None]:
    torch.manual_seed(7)
    classes = torch.tensor([[0.0, 1.0, 0.0], [0.3, 0.0, 0.7]])[:n] if config.num_classes else None
    return torch.randn(n, config.z_dim), classes


def transforms(n: int) -> torch.Tensor:
    torch.manual_seed(3)
    return torch.eye(3) + 0.3 * torch.randn(n, 3, 3) * torch.tensor([[1.0], [1.0], [0.0]])


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.shape == expected.shape
    assert expected.std(dim=-1).max() > 1e-3
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_reference(config):
    generator = make(config)
    reference = Reference(generator)
    z, classes = inputs(config)
    w = generator.map(z, classes)
    for row in range(len(z)):
        close(w[row].double(), reference.map(z[row], None if classes is None else classes[row]))
    ws = generator.broadcast(w) + 0.1 * torch.randn(2, config.num_ws, config.w_dim)
    pictures, moved = generator.synthesize(ws, "const"), generator.synthesize(ws, 5, transforms(2))
    for row in range(len(z)):
        close(pictures[row].double(), reference.synthesize(ws[row]))
        close(moved[row].double(), reference.synthesize(ws[row], transforms(2)[row]))
    assert (pictures - moved).abs().max() > 1e-2


def test_a_batch_in_one_convolution_is_the_same():
    # The way in which other devices compute it.
    generator = make(T)
    ws = generator.broadcast(generator.map(inputs(T)[0]))
    close(generator.synthesis(ws, transforms(2), torch.float32), generator.synthesize(ws, "none", transforms(2)))
    assert generator.synthesize(ws[:0], "none").shape == (0, 3, 12, 12)


@pytest.mark.parametrize("radial", [False, True])
@pytest.mark.parametrize(
    ("up", "down", "size", "out", "padding"),
    [(2, 2, 9, 11, (9, 8, 9, 8)), (4, 2, 9, 16, (-2, 9, 5, 2)), (2, 1, 9, 7, (3, 1, 3, 1)), (3, 4, 9, 4, (6, 4, 4, 6))],
)
@pytest.mark.parametrize("tile", [4, 64])
def test_filters(monkeypatch, radial, up, down, size, out, padding, tile):
    monkeypatch.setattr(product, "TILE_SIDE", tile)
    monkeypatch.setattr(product, "TILE_CHANNELS", 2)
    torch.manual_seed(1)
    up_taps, down_taps = 5 + up, 4 + down
    wide = [size * up + sum(padding[side : side + 2]) - up_taps + 1 for side in (0, 2)]
    made = tuple((side - down_taps) // down + 1 for side in wide)
    config = LayerConfig(3, 3, (size,) * 2, made, 1, up, down, up_taps, down_taps, radial, padding, clamp=0.7)
    x, up_filter = torch.randn(2, 3, size, size), torch.randn(up_taps)
    down_filter = torch.randn(*(down_taps,) * (2 if radial else 1))
    expected = naive_filtered_lrelu(x.double(), config, up_filter, down_filter)
    close(product.filtered_lrelu(x, config, up_filter, down_filter).double(), expected)


def test_threads_make_the_same_picture():
    generator = make(T)
    ws = generator.broadcast(generator.map(inputs(T)[0]))
    alone = generator.synthesize(ws, "const")
    threads = torch.get_num_threads()
    patch = pytest.MonkeyPatch()
    try:
        patch.setattr(product, "TILE_SIDE", 5)
        torch.set_num_threads(3)
        with torch.inference_mode():
            close(generator.synthesize(ws, "const"), alone)
        close(generator.synthesize(ws, "const"), alone)
        assert torch.get_num_threads() == 3
    finally:
        patch.undo()
        torch.set_num_threads(threads)


def test_half_precision():
    generator = make(T)
    ws = generator.broadcast(generator.map(inputs(T)[0]))
    exact = generator.synthesize(ws, "const")
    scale = exact.abs().max()
    for dtype, error in ((torch.bfloat16, 0.1), (torch.float16, 0.02)):
        generator.set_precision(dtype)
        rough = generator.synthesize(ws, "const")
        assert rough.dtype == torch.float32
        assert 0 < (rough - exact).abs().max() < error * scale
        assert (generator.synthesis(ws, None, dtype) - exact).abs().max() < error * scale
    generator.set_precision(None)
    assert torch.equal(generator.synthesize(ws, "const"), exact)


def test_truncation():
    generator = make(T)
    ws = generator.broadcast(generator.map(inputs(T)[0]))
    average = generator.mapping.w_avg
    cut = generator.truncate(ws, torch.tensor([0.5, 0.0]), 2)
    assert torch.allclose(cut[0, :2], (ws[0, :2] + average) / 2, atol=1e-5)
    assert torch.allclose(cut[1, :2], average.expand(2, -1), atol=1e-5)
    assert torch.equal(cut[:, 2:], ws[:, 2:])


def test_every_class_has_its_average():
    generator = make(XL)
    ws = generator.broadcast(generator.map(*inputs(XL)))
    averages = generator.mapping.w_avg
    cut = generator.truncate(ws, 0.0, None, inputs(XL)[1])
    assert torch.allclose(cut[0], averages[1].expand_as(cut[0]), atol=1e-5)
    assert torch.allclose(cut[1], (0.3 * averages[0] + 0.7 * averages[2]).expand_as(cut[1]), atol=1e-5)
    assert torch.allclose(generator.truncate(ws, 0.0, None)[0], averages.mean(dim=0).expand_as(cut[0]), atol=1e-5)


def test_what_it_says_of_itself():
    info = make(R).info
    assert (info.width, info.height, info.channels, info.num_ws, info.kind) == (12, 12, 1, 5, "stylegan3")
    assert info.has_transform and not info.has_noise and info.normalises_z


def test_wrong_shapes():
    generator = make(XL)
    ws = torch.randn(2, 5, 6)
    with pytest.raises(ValueError, match="z must"):
        generator.map(torch.randn(2, 4), torch.ones(2, 3))
    with pytest.raises(ValueError, match="classes"):
        generator.map(torch.randn(2, 5))
    with pytest.raises(ValueError, match="classes must"):
        generator.map(torch.randn(2, 5), torch.ones(2, 4))
    with pytest.raises(ValueError, match="ws must"):
        generator.synthesize(ws[:, :4], "const")
    with pytest.raises(ValueError, match="noise"):
        generator.synthesize(ws, "loud")
    with pytest.raises(ValueError, match="transform"):
        generator.synthesize(ws, "const", torch.eye(3))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_settings_survive_json(config):
    assert StyleGAN3Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("z_dim", 0, "z_dim"),
        ("w_dim", 1e9, "w_dim"),
        ("num_classes", True, "num_classes"),
        ("input_size", [14], "input_size"),
        ("input_size", [8192, 8191], "take what comes"),
        ("input_rate", float("nan"), "input_rate"),
        ("input_bandwidth", 4.0, "input_bandwidth"),
        ("mapping_lr", 0, "mapping_lr"),
        ("output_scale", "much", "output_scale"),
        ("class_averages", 1, "class_averages"),
        ("class_averages", True, "needs classes"),
        ("layers", {}, "layers"),
        ("layers", [], "layers"),
        ("layers", [3], "names"),
        ("layers", [{}] * 65, "layers"),
        ("surprise", 1, "surprise"),
        ("layers.0.kernel", 0, "kernel"),
        ("layers.0.out_size", [15, 14], "sizes"),
        ("layers.0.padding", [9, 8], "padding"),
        ("layers.0.padding", [9, 8, -400, 8], "sizes"),
        ("layers.0.clamp", 0, "clamp"),
        ("layers.0.radial", None, "radial"),
        ("layers.0.out_channels", 5, "layer 1"),
        ("layers.0.surprise", 1, "surprise"),
        ("layers.3.is_colour", False, "one to colour"),
        ("layers.3.up", 2, "filters"),
        ("layers.3.padding", [1, 0, 0, 0], "padded"),
        ("layers.3.out_channels", 5, "channels"),
    ],
)
def test_bad_settings(path, value, message):
    values = json.loads(json.dumps(T.to_dict()))
    where, _, name = path.rpartition(".")
    target = values
    for part in where.split(".") if where else ():
        target = target[int(part)] if isinstance(target, list) else target[part]
    target[name] = value
    with pytest.raises(ValueError, match=message):
        StyleGAN3Config.from_dict(values)


def test_settings_that_would_take_all_memory():
    with pytest.raises(ValueError, match="memory"):
        replace(T, input_size=(8000, 8000), input_channels=8192)
    with pytest.raises(ValueError, match="memory"):
        layer(5, 8192, 8000, 8000)


def test_weights_have_the_right_shapes():
    own = tensors(T)
    with pytest.raises(ValueError, match="up_filter"):
        build("stylegan3", T, {**own, "synthesis.layers.1.up_filter": torch.zeros(12)}, {})


class BrokenKernel:
    """Replaces the module that needs Triton."""

    def __init__(self, in_plan: Exception | None = None) -> None:
        self.in_plan = in_plan
        self.calls = 0

    def make_plan(self, *_: object) -> str:
        if self.in_plan is not None:
            raise self.in_plan
        return "plan"

    def filtered_lrelu(self, *_: object) -> torch.Tensor:
        self.calls += 1
        raise RuntimeError("no compiler")


@pytest.mark.parametrize(
    ("in_plan", "calls", "lines"), [(None, 1, 1), (ValueError("too long"), 0, 0), (OSError("broken"), 0, 1)]
)
def test_without_the_fused_kernel(monkeypatch, caplog, in_plan, calls, lines):
    generator = make(T)
    ws = generator.broadcast(generator.map(inputs(T)[0]))
    exact = generator.synthesize(ws, "const")
    broken = BrokenKernel(in_plan)
    monkeypatch.setitem(sys.modules, "inference_server.generators.triton_filtered_lrelu", broken)
    monkeypatch.setattr("inference_server.generators.triton_filtered_lrelu", broken, raising=False)
    monkeypatch.setattr(product, "fuses", lambda x: True)
    monkeypatch.setattr(product.FilteredLReLU, "fusing_fails", False)
    for _ in range(2):
        assert torch.equal(generator.synthesize(ws, "const"), exact)
    assert broken.calls == calls
    assert len(caplog.records) == lines


def test_plans_are_forgotten_with_the_weights():
    generator = make(T)
    activation = generator.synthesis.layers[1].activation
    activation.plans[(torch.device("cpu"), torch.float32)] = "of other filters"
    generator.weights_changed()
    assert not activation.plans
