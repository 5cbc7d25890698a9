"""The drawn data set, the augmentation and the training script, in seconds."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from inference_server.checkpoints import load_generator
from inference_server.generators.stylegan2 import StyleGAN2Config
from inference_server.training import figures, sheet
from inference_server.training.augment import augment
from inference_server.training.discriminator import Discriminator
from inference_server.training.train import Run, Settings, load_pictures, train

ROOT = Path(__file__).resolve().parents[2]
CONFIG = StyleGAN2Config(z_dim=8, w_dim=8, channels=(16, 16), mapping_layers=2, mapping_lr=0.1)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "figures.npy"
    figures.main(["--count", "24", "--size", "16", "--seed", "3", "--out", str(path)])
    return path


@pytest.fixture
def settings(data, tmp_path) -> Settings:
    return Settings(data, tmp_path / "run", CONFIG, (16, 16, 16), images=96, batch=8, save_every=48)


def log_of(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def state_of(run: Run) -> list[torch.Tensor]:
    return [
        value
        for network in (run.generator, run.discriminator, run.average)
        for key, value in network.state_dict().items()
        if not key.endswith("w_avg")
    ]


def test_bad_data_is_named(tmp_path):
    with pytest.raises(ValueError, match="holds no pictures"):
        load_pictures(tmp_path)
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    assert load_pictures(tmp_path).shape == (1, 4, 4, 1)
    Image.new("L", (4, 5)).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match=r"b\.png differs from a\.png"):
        load_pictures(tmp_path)
    np.save(tmp_path / "c.npy", np.zeros((2, 4, 4, 3)))
    with pytest.raises(ValueError, match="must hold bytes"):
        load_pictures(tmp_path / "c.npy")


def test_pictures_must_fit_the_network(settings):
    with pytest.raises(ValueError, match="sizes must be the same"):
        Run(replace(settings, config=replace(CONFIG, base_size=(3, 3))))
    with pytest.raises(ValueError, match="cannot be halved"):
        Run(replace(settings, d_channels=(8, 8, 8, 8, 8)))


def test_augment():
    torch.manual_seed(0)
    images = torch.rand(64, 3, 16, 24, requires_grad=True)
    random = torch.Generator().manual_seed(0)
    assert augment(images, 0.0, random) is images
    changed = augment(images, 0.5, random)
    assert changed.shape == images.shape
    same = (changed == images).all(dim=(1, 2, 3))
    assert 0 < same.sum() < 20  # one in sixteen: none of the four changes
    changed.sum().backward()
    assert images.grad.abs().sum() > 0
    uncovered = augment(torch.ones(64, 1, 16, 16), 1.0, random)
    assert (uncovered == -1).any()


def test_discriminator_sees_a_batch_without_variety():
    torch.manual_seed(0)
    network = Discriminator(3, (8, 8), (4, 4))
    images = torch.randn(8, 3, 8, 8)
    varied, alike = network(images), network(images[:1].expand(8, -1, -1, -1))
    assert varied.shape == (8,)
    assert (varied[0] - alike[0]).abs() > 1e-4
    assert network(images[:3]).shape == (3,)


def test_training_moves_and_writes(settings):
    torch.manual_seed(0)
    before = state_of(Run(settings))
    run = train(replace(settings, augment=0.5, mirror=True))
    assert run.seen == 96
    assert all(a.isfinite().all() for a in state_of(run))
    changed = [not torch.equal(a, b) for a, b in zip(before, state_of(run), strict=True)]
    assert sum(changed) >= len(changed) - 6  # only the stored noise maps stay
    log = log_of(settings.out)
    assert [line["images"] for line in log] == [48, 96]
    assert {"seconds", "images_per_second", "g_loss", "d_loss", "d_real", "d_fake", "r1"} <= set(log[0])
    assert log[0]["d_loss"] != log[1]["d_loss"]
    names = sorted(path.name for path in settings.out.iterdir())
    assert names == [
        "log.jsonl",
        "preview-000000048.png",
        "preview-000000096.png",
        "snapshot-000000048.safetensors",
        "snapshot-000000096.safetensors",
        "state.safetensors",
    ]
    assert Image.open(settings.out / "preview-000000096.png").size == (6 * 8, 8 * 8)
    snapshot = settings.out / "snapshot-000000096.safetensors"
    sheet.main([str(snapshot), "--out", str(settings.out / "sheet.png"), "--rows", "2", "--columns", "3"])
    assert Image.open(settings.out / "sheet.png").size == (3 * 8, 4 * 8)
    generator = load_generator(snapshot)
    assert generator.info.training.startswith("96 images seen in ")
    assert generator.mapping.w_avg.abs().sum() > 0


def test_learns_the_average_colour(tmp_path):
    """Grey pictures of two brightnesses: a hundred steps must bring the generator there."""
    data = np.zeros((64, 8, 8, 1), np.uint8)
    data[:32], data[32:] = 60, 90
    np.save(tmp_path / "grey.npy", data)
    config = replace(CONFIG, image_channels=1, use_noise=False)
    settings = Settings(tmp_path / "grey.npy", tmp_path / "run", config, (16, 16), images=1600, save_every=1600)
    run = train(settings)
    with torch.no_grad():
        ws = run.average.broadcast(run.average.map(torch.randn(64, 8)))
        made = run.average.synthesize(ws, "none").mean().item()
    assert abs(made - (75 / 127.5 - 1)) < 0.25


def test_known_latents_find_their_pictures(tmp_path):
    """Light or dark, as one component of z says: the warm-up must learn which, and nothing needs a discriminator."""
    z = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    data = np.broadcast_to(np.where(z[:, 0] > 0, 200, 40).astype(np.uint8)[:, None, None, None], (64, 8, 8, 1))
    np.save(tmp_path / "grey.npy", data)
    np.save(tmp_path / "z.npy", z)
    settings = Settings(
        tmp_path / "grey.npy",
        tmp_path / "run",
        replace(CONFIG, image_channels=1),
        (16, 16),
        images=1600,
        save_every=800,
        lr=1e-2,
        latents=tmp_path / "z.npy",
        warm_up=1584,
    )
    run = train(settings)
    with torch.no_grad():
        made = run.average.synthesize(run.average.broadcast(run.average.map(torch.from_numpy(z))), "none")
    bright = made.mean(dim=(1, 2, 3)).numpy()
    assert bright[z[:, 0] > 0.3].mean() - bright[z[:, 0] < -0.3].mean() > 0.6
    first, last = log_of(tmp_path / "run")
    assert "g_loss" not in first
    assert last["match"] < first["match"]
    assert "g_loss" in last
    with pytest.raises(ValueError, match="must have shape"):
        Run(replace(settings, config=replace(CONFIG, image_channels=1, z_dim=9)))
    with pytest.raises(ValueError, match="mirrored"):
        Run(replace(settings, mirror=True))
    with pytest.raises(ValueError, match="needs the latents"):
        Run(replace(settings, latents=None))


def test_a_stopped_run_carries_on_as_if_it_had_not_stopped(settings):
    whole = train(settings)
    first = replace(settings, out=settings.out.with_name("second"))
    run = Run(first)
    first.out.mkdir()
    for _ in range(6):
        run.step()
    run.save_state()
    for _ in range(3):
        run.step()  # done after the save: lost, and done again
    rest = train(first)
    assert rest.seen == 96
    for a, b in zip(state_of(whole), state_of(rest), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="another network"):
        Run(replace(first, config=replace(CONFIG, mapping_lr=0.5)))


def test_growing_starts_from_the_same_pictures(settings):
    small = train(settings)
    config = replace(CONFIG, channels=(16, 16, 8))
    grown = Run(
        replace(
            settings,
            out=settings.out.with_name("grown"),
            config=config,
            d_channels=(16, 16, 16, 8),
            grow_from=settings.out,
        )
    )
    assert grown.seen == 96
    other = train(replace(settings, out=settings.out.with_name("other"), seed=9))
    z = torch.randn(4, 8)
    with torch.no_grad():
        before = small.average.synthesize(small.average.broadcast(small.average.map(z)), "none")
        after = grown.generator.synthesize(grown.generator.broadcast(grown.generator.map(z)), "none")
        torch.testing.assert_close(
            torch.nn.functional.avg_pool2d(after, 2)[:, :, 2:-2, 2:-2].mean(),
            before[:, :, 2:-2, 2:-2].mean(),
            rtol=0.1,
            atol=0.05,
        )
        images = torch.nn.functional.interpolate(before, scale_factor=2)
        torch.testing.assert_close(grown.discriminator(images), small.discriminator(before))
        mixed = Run(replace(grown.settings, discriminator_from=other.settings.out))
        torch.testing.assert_close(mixed.discriminator(images), other.discriminator(before))
    grown.step()


def test_killed_while_training(data, tmp_path):
    out = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "inference_server.training.train",
        "--data",
        str(data),
        "--out",
        str(out),
        "--channels",
        "16,16",
        "--z-dim",
        "8",
        "--w-dim",
        "8",
        "--mapping-layers",
        "2",
        "--images",
        "1000000",
        "--batch",
        "4",
        "--save-every",
        "16",
        "--keep-snapshots",
        "2",
        "--threads",
        "1",
        "--device",
        "cpu",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for kills in (1, 2):
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not (out / "log.jsonl").exists() or len(log_of(out)) < 2 * kills:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        process.wait()
    images = [line["images"] for line in log_of(out)]
    assert len(images) >= 4
    # A kill between a save and its line loses the line, never more than one interval of training.
    assert all(later - earlier in (0, 16, 32) for earlier, later in pairwise(images))
    assert len(list(out.glob("snapshot-*.safetensors"))) <= 3
    config = replace(CONFIG, mapping_lr=0.01)
    run = Run(Settings(data, out, config, (16, 16), images=1000000, batch=4, device="cpu"))
    assert run.seen >= images[-1]
    load_generator(sorted(out.glob("snapshot-*.safetensors"))[-1])
