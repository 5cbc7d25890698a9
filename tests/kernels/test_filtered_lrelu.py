"""The fused kernel in Triton's interpreter, against the naive reference. No GPU is needed, but Triton is."""

import os

os.environ["TRITON_INTERPRET"] = "1"  # before Triton is imported

import pytest
import torch

from inference_server.generators import filtered_lrelu as product
from inference_server.generators import triton_filtered_lrelu as fused
from inference_server.generators.stylegan3_config import LayerConfig
from stylegan3_reference import layer, make, naive_filtered_lrelu
from test_stylegan3 import R, T, inputs

LAYERS = {
    "T": layer(2, 2, 50, 48),
    "T, four times": layer(2, 2, 30, 52, up=4, clamp=None),
    "R": layer(2, 2, 50, 48, kernel=1, radial=True),
    "down more": layer(2, 2, 30, 24, down=4),
    "odd, clamped": LayerConfig(2, 2, (9, 11), (6, 8), 1, 3, 4, 8, 8, True, (6, 4, 4, 9), clamp=0.7),
    "cropped": LayerConfig(2, 2, (30, 30), (11, 15), 1, 2, 2, 12, 12, False, (-9, -8, -1, -8)),
}


@pytest.mark.parametrize("config", LAYERS.values(), ids=LAYERS.keys())
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 2e-6), (torch.float16, 3e-3)])
def test_kernel(config, dtype, error):
    torch.manual_seed(0)
    x = torch.randn(2, 2, config.conv_size[1], config.conv_size[0]).to(dtype)
    up_filter = torch.randn(config.up_taps)
    down_filter = torch.randn((config.down_taps,) * (2 if config.radial else 1))
    plan = fused.make_plan(config, up_filter, down_filter, x.device, dtype)
    found = fused.filtered_lrelu(x, config, plan)
    expected = naive_filtered_lrelu(x.double(), config, up_filter, down_filter)
    assert found.dtype == dtype
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= error * expected.abs().max()


def test_symmetric_filters_need_half_the_pairs():
    config = LAYERS["R"]
    taps = torch.randn(12, 12)
    plan = fused.make_plan(config, torch.randn(12), taps + taps.flip(0), torch.device("cpu"), torch.float32)
    assert len(plan.down) == 6


def test_filters_that_are_too_long():
    config = LayerConfig(2, 2, (90, 90), (26, 26), 1, 2, 2, 65, 65, False, (0, 0, 0, 0))
    with pytest.raises(ValueError, match="too long"):
        fused.make_plan(config, torch.randn(65), torch.randn(65), torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("config", [T, R], ids=["T", "R"])
def test_whole_network(monkeypatch, caplog, config):
    generator = make(config)
    ws = generator.broadcast(generator.map(inputs(config)[0]))
    exact = generator.synthesize(ws, "const")
    monkeypatch.setattr(product, "fuses", lambda x: True)
    found = generator.synthesize(ws, "const")
    assert not caplog.records
    assert all(layer.activation.plans for layer in generator.synthesis.layers[:-1])
    assert (found - exact).abs().max() <= 1e-5 * exact.abs().max()
