"""Compare files of rosinality's StyleGAN2, and of encoders that contain it, with the slow reference."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from inference_server.checkpoints import CheckpointError, load_generator
from inference_server.generators.stylegan2 import StyleGAN2
from inference_server.generators.stylegan2_config import StyleGAN2Config
from stylegan2_reference import Reference, make

PLAIN = StyleGAN2Config(z_dim=6, w_dim=6, channels=(4, 3, 2), mapping_layers=2)
CONFIGS = {
    "plain": PLAIN,
    "wide, transparent": replace(PLAIN, base_size=(2, 4), image_channels=4, mapping_layers=3),
    "one size": replace(PLAIN, channels=(3,)),
}


def their_tensors(origin: StyleGAN2) -> dict[str, torch.Tensor]:
    """The state with rosinality's names, including the filters."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    binomial = torch.outer(row, row)
    state, tensors = origin.state_dict(), {}

    def convolution(ours: str, theirs: str) -> None:
        tensors[f"{theirs}.conv.weight"] = state[f"{ours}.weight"][None]
        tensors[f"{theirs}.conv.modulation.weight"] = state[f"{ours}.affine.weight"]
        tensors[f"{theirs}.conv.modulation.bias"] = state[f"{ours}.affine.bias"]

    def layer(ours: str, theirs: str, number: int) -> None:
        convolution(ours, theirs)
        tensors[f"{theirs}.noise.weight"] = state[f"{ours}.noise_strength"].reshape(1)
        tensors[f"{theirs}.activate.bias"] = state[f"{ours}.bias"]
        tensors[f"noises.noise_{number}"] = state[f"{ours}.noise_const"][None, None]

    def colours(ours: str, theirs: str) -> None:
        convolution(ours, theirs)
        tensors[f"{theirs}.bias"] = state[f"{ours}.bias"].reshape(1, -1, 1, 1)

    for index in range(origin.config.mapping_layers):
        for part in ("weight", "bias"):
            tensors[f"style.{index + 1}.{part}"] = state[f"mapping.fc{index}.{part}"]
    tensors["input.input"] = state["synthesis.blocks.0.const"][None]
    layer("synthesis.blocks.0.conv1", "conv1", 0)
    colours("synthesis.blocks.0.torgb", "to_rgb1")
    for index in range(1, len(origin.config.channels)):
        layer(f"synthesis.blocks.{index}.conv0", f"convs.{2 * index - 2}", 2 * index - 1)
        layer(f"synthesis.blocks.{index}.conv1", f"convs.{2 * index - 1}", 2 * index)
        colours(f"synthesis.blocks.{index}.torgb", f"to_rgbs.{index - 1}")
        tensors[f"convs.{2 * index - 2}.conv.blur.kernel"] = binomial
        tensors[f"to_rgbs.{index - 1}.upsample.kernel"] = binomial
    return tensors


def check(path: Any, origin: StyleGAN2) -> None:
    generator, reference = load_generator(path), Reference(origin)
    assert generator.config == origin.config
    assert generator.info.origin == "rosinality's StyleGAN2 (PyTorch)"
    z = torch.randn(2, origin.config.z_dim, generator=torch.Generator().manual_seed(1))
    w = generator.map(z)
    ws = torch.randn(2, origin.config.num_ws, 6, generator=torch.Generator().manual_seed(2))
    images = generator.synthesize(ws, "const")
    for row in range(2):
        np.testing.assert_allclose(w[row], reference.map(z[row].double().numpy(), None), rtol=1e-5, atol=2e-6)
        expected = reference.synthesize(ws[row].double().numpy(), reference.stored_noise())
        np.testing.assert_allclose(images[row], expected, rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(generator.mapping.w_avg, origin.mapping.w_avg)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
@pytest.mark.parametrize("zipped", [True, False])
def test_converted_weights(config, zipped, tmp_path):
    origin = make(config)
    value = {"g_ema": their_tensors(origin), "latent_avg": origin.mapping.w_avg}
    torch.save(value, tmp_path / "net.pt", _use_new_zipfile_serialization=zipped)
    check(tmp_path / "net.pt", origin)


def test_checkpoints_of_a_training(tmp_path):
    origin, other = make(PLAIN), make(PLAIN, seed=9)
    reference, random = Reference(origin), np.random.RandomState(0)
    z = random.randn(10_000, 6).astype(np.float32).astype(np.float64)
    origin.mapping.w_avg.copy_(torch.from_numpy(np.mean([reference.map(row, None) for row in z], axis=0)))
    value = {
        "g": their_tensors(other),
        "d": {"final_linear.0.weight": torch.zeros(2, 2)},
        "g_ema": their_tensors(origin),
        "g_optim": {"state": {}, "param_groups": []},
        "args": argparse.Namespace(size=16, latent=6),
        "ada_aug_p": 0.0,
    }
    torch.save(value, tmp_path / "005000.pt")
    check(tmp_path / "005000.pt", origin)


def test_encoders(tmp_path):
    origin = make(PLAIN)
    inner = {f"decoder.{key}": tensor for key, tensor in their_tensors(origin).items()}
    inner["encoder.input_layer.0.weight"] = torch.zeros(3)
    for average in (origin.mapping.w_avg, origin.mapping.w_avg.repeat(6, 1)):
        torch.save({"state_dict": inner, "latent_avg": average, "opts": {"device": "cuda"}}, tmp_path / "e4e.pt")
        check(tmp_path / "e4e.pt", origin)


def test_missing_noise_is_always_the_same(tmp_path):
    origin = make(PLAIN)
    tensors = {key: tensor for key, tensor in their_tensors(origin).items() if not key.startswith("noises.")}
    random = np.random.RandomState(0)
    for layer in origin.synthesis.layers:
        layer.noise_const.copy_(torch.from_numpy(random.randn(*layer.size).astype(np.float32)))
    torch.save({"g_ema": tensors, "latent_avg": origin.mapping.w_avg}, tmp_path / "old.pt")
    check(tmp_path / "old.pt", origin)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"convs.1.conv.weight": None}, "convs.1.conv.weight is missing"),
        ({"convs.1.conv.weight": torch.zeros(3, 3, 3, 3)}, "convs.1.conv.weight has the shape"),
        ({"conv1.conv.weight": torch.zeros(2, 4, 4, 3, 3)}, "conv1.conv.weight has the shape"),
        ({"to_rgb1.bias": torch.zeros(1, 12, 1, 1)}, "image_channels must be 1, 3 or 4, not 12"),
        ({"convs.0.conv.blur.kernel": torch.ones(4, 4)}, "another filter than"),
        ({"input.input": torch.zeros(1, 4, 4, 4, dtype=torch.int64)}, "input.input is missing"),
        ({"noises.noise_2": torch.zeros(1, 1, 4, 4)}, "noise_const"),
        ({"style.1.weight": torch.zeros(7, 6)}, "do not fit together"),
        ({"style.1.weight": None}, "its mapping network is missing"),
    ],
)
def test_what_does_not_fit_is_refused(changes, words, tmp_path):
    tensors = {**their_tensors(make(PLAIN)), **changes}
    torch.save({"g_ema": {key: value for key, value in tensors.items() if value is not None}}, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match=words) as caught:
        load_generator(tmp_path / "bad.pt")
    assert str(caught.value).startswith("bad.pt ")
