"""Contact sheets of a generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from inference_server.checkpoints import save_generator
from inference_server.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from inference_server.training import sheet

CONFIG = StyleGAN2Config(z_dim=8, w_dim=8, channels=(8, 8), mapping_layers=2, mapping_lr=0.1)


@pytest.fixture
def generator() -> StyleGAN2:
    torch.manual_seed(1)
    return StyleGAN2(CONFIG).requires_grad_(False)


def cells(picture: np.ndarray, columns: int) -> np.ndarray:
    """The colour pictures (rows, columns, 8, 8, 3) of a sheet, which has a row of shadows below each row of them."""
    rows = picture.shape[0] // 16
    return picture.reshape(rows, 2, 8, columns, 8, 3)[:, 0].transpose(0, 2, 1, 3, 4)


def test_random_pictures_are_those_of_their_latents(generator):
    z = torch.randn(6, 8)
    found = cells(sheet.sheet_of(generator, z, columns=3), 3).reshape(6, 8, 8, 3)
    with torch.no_grad():
        wanted = generator.synthesize(generator.broadcast(generator.map(z)), "const")
    assert np.abs(found.astype(int) - sheet.to_bytes(wanted).astype(int)).max() <= 1


def test_walks_begin_and_end_at_their_latents(generator):
    z = torch.randn(2, 8)
    found = cells(sheet.walks(generator, z, columns=5), 5)
    ends = cells(sheet.sheet_of(generator, z, columns=2), 2)[0]
    assert np.abs(found[:, 0].astype(int) - ends.astype(int)).max() <= 1
    assert np.abs(found[:, -1].astype(int) - ends[::-1].astype(int)).max() <= 1
    assert not np.array_equal(found[0, 2], found[0, 0])


def test_directions_change_the_picture_in_the_order_of_their_strength(generator):
    found = cells(sheet.directions(generator, torch.randn(1, 8), 8, columns=3), 3).astype(int)
    change = np.abs(found[:, 2] - found[:, 0]).mean(axis=(1, 2, 3))
    assert np.array_equal(found[0, 1], found[7, 1])  # the middle is the same picture in all of them
    assert change[:2].mean() > change[-2:].mean()


def test_the_command_writes_each_kind(generator, tmp_path):
    file = tmp_path / "net.safetensors"
    save_generator(generator, file, {})
    for show, size in (("random", (3 * 8, 4 * 8)), ("walks", (3 * 8, 4 * 8)), ("directions", (3 * 8, 4 * 8))):
        out = tmp_path / f"{show}.png"
        sheet.main([str(file), "--out", str(out), "--show", show, "--rows", "2", "--columns", "3"])
        assert Image.open(out).size == size
