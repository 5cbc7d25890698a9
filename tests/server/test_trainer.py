"""A step of training: what it changes, what it learns, and how pictures grow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from inference_server.datasets.reading import Dataset, DatasetError
from inference_server.terminal.jobs import JobError
from inference_server.training.batches import Batches
from inference_server.training.discriminator import Discriminator
from inference_server.training.distributed import Group
from inference_server.training.networks import finish, training_pictures
from inference_server.training.settings import KINDS, Settings, capacity_channels, network_config, stages
from inference_server.training.trainer import Trainer
from training_data import discs, write_dataset

SETTINGS = Settings(channels=(8, 8, 8), z_dim=8, w_dim=8, batch=8, images=96)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    return Dataset(write_dataset(tmp_path_factory.mktemp("data") / "discs", discs(24)))


def trainer_of(dataset: Dataset, **settings) -> Trainer:
    return Trainer(replace(SETTINGS, **settings), dataset, CPU, Group())


def weights(trainer: Trainer) -> list[torch.Tensor]:
    networks = (trainer.generator, trainer.discriminator, trainer.average)
    return [value.clone() for network in networks for value in network.parameters()]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"kind": "dcgan"},
        {"kind": "glu"},
        {"kind": "glu", "loss": "relativistic", "micro_batch": 4},
        {"loss": "relativistic", "path_weight": 2.0},
        {"augment": "0.7"},
        {"micro_batch": 4},
        {"path_weight": 2.0},
        {"precision": "bfloat16"},
        {"style_mixing": 0.0, "use_noise": False},
    ],
    ids=lambda settings: " ".join(settings) or "plain",
)
def test_a_step_changes_every_weight(dataset, settings):
    trainer = trainer_of(dataset, **settings)
    before = weights(trainer)
    for _ in range(3):
        trainer.step()
    after = weights(trainer)
    same = [index for index, (a, b) in enumerate(zip(before, after, strict=True)) if torch.equal(a, b)]
    assert len(same) <= (0 if settings.get("kind") == "dcgan" else 2)  # noise strengths may stay at 0
    assert trainer.seen == 24
    report = trainer.take_report()
    assert {"g_loss", "d_loss", "d_real", "d_fake", "r1", "augment"} <= report.keys()
    assert ("r2" in report) == (settings.get("loss") == "relativistic")
    assert ("path" in report) == ("path_weight" in settings)
    assert all(np.isfinite(value) for value in report.values())
    assert trainer.is_sound()


def test_micro_batches_add_up_to_the_batch(tmp_path):
    """With known latents and no randomness, a batch in two parts makes the same step as the whole batch."""
    z = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)
    paired = Dataset(write_dataset(tmp_path / "paired", discs(8), z))
    fixed = {"use_noise": False, "style_mixing": 0.0, "augment": "off"}
    whole, parts = trainer_of(paired, **fixed), trainer_of(paired, micro_batch=4, **fixed)
    whole.step()
    parts.step()
    for name in ("generator", "discriminator"):
        pairs = zip(getattr(whole, name).parameters(), getattr(parts, name).parameters(), strict=True)
        for one, other in pairs:
            # Adam's first step is the sign of the gradient: if the gradient is nearly zero, rounding decides.
            assert (one.grad - other.grad).abs().max() <= 1e-4 * (1 + one.grad.abs().max())


def test_the_augmentation_follows_the_discriminator(dataset):
    trainer = trainer_of(dataset, images=10**6)
    for _ in range(40):
        trainer.step()
    report = trainer.take_report()
    assert trainer.probability > 0 if report["sign"] > 0.6 else trainer.probability < 0.01
    assert trainer_of(dataset, augment="0.25").probability == 0.25


def test_weights_that_are_no_numbers_are_noticed(dataset):
    trainer = trainer_of(dataset)
    with torch.no_grad():
        next(trainer.generator.parameters()).view(-1)[0] = float("nan")
    assert not trainer.is_sound()


def test_the_same_seed_makes_the_same_training(dataset):
    runs = [trainer_of(dataset, augment="0.5"), trainer_of(dataset, augment="0.5"), trainer_of(dataset, seed=1)]
    for trainer in runs:
        trainer.step()
        trainer.step()
    first, second, other = (weights(trainer) for trainer in runs)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_learns_the_average_brightness(tmp_path):
    data = np.zeros((64, 8, 8, 1), np.uint8)
    data[:32], data[32:] = 60, 90
    grey = Dataset(write_dataset(tmp_path / "grey", data))
    trainer = trainer_of(grey, channels=(16, 16), use_noise=False, images=1600, batch=16)
    for _ in range(100):
        trainer.step()
    finish(trainer.average, 0)
    with torch.no_grad():
        ws = trainer.average.broadcast(trainer.average.map(torch.randn(64, 8)))
        made = trainer.average.synthesize(ws, "none").mean().item()
    assert abs(made - (75 / 127.5 - 1)) < 0.25


def test_known_latents_find_their_pictures(tmp_path):
    """One component of z decides light or dark. The warm-up must learn which one, without a discriminator."""
    z = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    data = np.broadcast_to(np.where(z[:, 0] > 0, 200, 40).astype(np.uint8)[:, None, None, None], (64, 8, 8, 1))
    grey = Dataset(write_dataset(tmp_path / "grey", data, z))
    trainer = trainer_of(
        grey, channels=(16, 16), images=1616, warm_up=1584, batch=16, augment="off", warm_up_lr=0.01, style_mixing=0.0
    )
    for _ in range(10):
        trainer.step()
    first = trainer.take_report()
    for _ in range(91):
        trainer.step()
    last = trainer.take_report()
    assert "g_loss" not in first
    assert last["match"] < first["match"]
    assert "g_loss" in last
    with torch.no_grad():
        made = trainer.average.synthesize(trainer.average.broadcast(trainer.average.map(torch.from_numpy(z))), "none")
    bright = made.mean(dim=(1, 2, 3)).numpy()
    assert bright[z[:, 0] > 0.3].mean() - bright[z[:, 0] < -0.3].mean() > 0.6


def test_the_discriminator_may_go_first(dataset):
    trainer = trainer_of(dataset, d_first=16)
    before = [value.clone() for value in trainer.generator.parameters()]
    trainer.step()
    trainer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.generator.parameters(), strict=True))
    trainer.step()
    assert not all(torch.equal(a, b) for a, b in zip(before, trainer.generator.parameters(), strict=True))


def test_new_detail_of_real_pictures_fades_in(dataset):
    """A generator that has just grown makes no fine detail, so the real pictures begin without it, too."""
    trainer = trainer_of(dataset, kind="glu", grow=((8, 16),), fade=32)
    pictures = trainer.batches.at(0)[0]
    sharp = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1
    smooth = F.interpolate(F.avg_pool2d(sharp, 2), scale_factor=2.0, mode="bilinear")
    random = torch.Generator()
    for seen, share in ((16, 0.0), (24, 0.25), (48, 1.0), (400, 1.0)):
        trainer.seen = seen
        torch.testing.assert_close(trainer._prepare(pictures, random), smooth + share * (sharp - smooth))
    trainer.seen = 0
    torch.testing.assert_close(trainer._prepare(pictures, random), F.avg_pool2d(sharp, 2))


def test_a_paired_loss_compares_and_the_other_does_not(dataset):
    """Adding a number to all scores changes the losses of single pictures, not those of pairs."""

    def losses(loss: str, more: float) -> list[float]:
        trainer = trainer_of(dataset, kind="glu", loss=loss, use_noise=False)
        with torch.no_grad():
            trainer.discriminator.score.bias += more
        trainer.step()
        report = trainer.take_report()
        return [report["g_loss"], report["d_loss"]]

    assert losses("relativistic", 3.0) == pytest.approx(losses("relativistic", 0.0), rel=1e-4)
    assert losses("logistic", 3.0) != pytest.approx(losses("logistic", 0.0), rel=0.1)


@pytest.mark.parametrize("kind", ["glu", "stylegan2"])
def test_a_larger_network_begins_with_the_smaller_pictures(dataset, kind):
    trainer = trainer_of(dataset, kind=kind, use_noise=False, grow=((8, 16),))
    ws = torch.randn(4, trainer.generator.info.num_ws, 8)
    with torch.no_grad():
        small, large = (
            training_pictures(trainer.generator, ws, level, torch.float32, torch.Generator()) for level in (1, 2)
        )
    # Away from the edges, the larger picture is the smaller one made smooth.
    difference = (F.avg_pool2d(large, 2) - small)[..., 2:-2, 2:-2]
    assert difference.abs().mean() < 0.25 * small.std()


def test_pictures_grow_without_a_jump(dataset):
    trainer = trainer_of(dataset, grow=((4, 16), (8, 48)))
    assert [stage[0] for stage in stages(trainer.settings, trainer.size)] == [4, 8, 16]
    trainer.step()
    assert trainer.level == 0
    z = torch.randn(4, 8)
    small = torch.rand(4, 3, 4, 4)
    with torch.no_grad():
        ws = trainer.generator.broadcast(trainer.generator.map(z))
        now = trainer.generator.synthesis(ws, None, [torch.float32])
        grown = trainer.generator.synthesis(ws, None, [torch.float32] * 2)
        # Later blocks add nothing yet: the larger picture is the smaller one, enlarged, and gets the same score.
        torch.testing.assert_close(F.avg_pool2d(grown, 2)[:, :, 1:-1, 1:-1], now[:, :, 1:-1, 1:-1], atol=0.2, rtol=0.5)
        large = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
        torch.testing.assert_close(trainer.discriminator(large), trainer.discriminator(small))
    sizes = []
    while trainer.seen < 96:
        sizes.append(trainer.level)
        trainer.step()
    assert sizes == [0] + [1] * 4 + [2] * 6
    assert trainer.is_sound()


def test_statistics_of_the_average_dcgan_are_those_of_its_features(dataset):
    trainer = trainer_of(dataset, kind="dcgan")
    for _ in range(4):
        trainer.step()
    average = trainer.average
    finish(average, 0)
    z = torch.randn(512, 8)
    with torch.no_grad():
        stored = average.synthesize(average.broadcast(average.map(z)), "none")
        average.use_batch_statistics(True)
        batch = average.synthesize(average.broadcast(average.map(z)), "none")
    assert (stored - batch).abs().mean() < 0.1 * batch.std()


def test_batches_show_every_picture_once_in_an_epoch(dataset):
    batches = Batches(dataset, 8, 3, 0, 1, 1 << 20)
    seen = [index for start in (0, 8, 16) for index in batches.indices(start)]
    assert sorted(seen) == list(range(24))
    assert batches.indices(24) != batches.indices(0)
    pictures, indices = batches.at(8)
    assert pictures.shape == (8, 16, 16, 3)
    assert all(np.array_equal(dataset.picture(i), picture) for picture, i in zip(pictures, indices, strict=True))
    halves = [Batches(dataset, 4, 3, rank, 2, 0) for rank in (0, 1)]
    assert halves[0].indices(8) + halves[1].indices(8) == batches.indices(8)
    for one in (batches, *halves):
        one.close()


def test_a_picture_that_vanishes_is_named(tmp_path):
    folder = write_dataset(tmp_path / "data", discs(8))
    dataset = Dataset(folder)
    (folder / "pictures" / "0003.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"0003\.png cannot be read"):
        trainer_of(dataset).step()


def test_the_discriminator_sees_a_batch_without_variety():
    torch.manual_seed(0)
    network = Discriminator(3, (8, 8), (4, 4))
    images = torch.randn(8, 3, 8, 8)
    varied, alike = network(images), network(images[:1].expand(8, -1, -1, -1))
    assert varied.shape == (8,)
    assert (varied[0] - alike[0]).abs() > 1e-4
    assert network(images[:3]).shape == (3,)


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (1024, 512), (288, 512)])
def test_networks_of_many_sizes(size):
    for kind in KINDS:
        config = network_config(Settings(kind=kind, images=1), size, 3)
        assert config.size == size
    assert capacity_channels("stylegan2", "small", 5) == (128, 128, 128, 64, 32)
    assert capacity_channels("glu", "small", 5) == (96, 96, 64, 48, 16)
    assert capacity_channels("glu", "medium", 6) == (192, 192, 192, 128, 96, 32)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch": 8, "micro_batch": 3}, "micro-batches of 3"),
        ({"augment": "maybe"}, "augment must be"),
        ({"augment": "1.5"}, "augment must be"),
        ({"lr": -1.0}, "lr must be a number"),
        ({"kind": "vae"}, "no vae"),
        ({"tick": 0}, "tick must be 1 or more"),
        ({"grow": ((64, 10), (32, 20))}, "larger than the one before"),
        ({"precision": "float8"}, "precision"),
    ],
)
def test_settings_that_cannot_be_are_named(settings, message):
    with pytest.raises(JobError, match=message):
        Settings(images=1, **settings)


def test_settings_survive_json():
    settings = Settings(images=5, channels=(8, 4), grow=((64, 10),))
    assert Settings.from_dict(settings.to_dict()) == settings
    with pytest.raises(JobError, match="'new' that this version does not know"):
        Settings.from_dict({"new": 1})
    with pytest.raises(JobError, match="channels for 3 blocks"):
        network_config(Settings(images=1, channels=(8, 8)), (16, 16), 3)
    with pytest.raises(JobError, match="multiples of 32"):
        network_config(Settings(images=1), (250, 250), 3)


def test_the_folder_of_a_data_set_is_checked(tmp_path):
    with pytest.raises(DatasetError, match="is not a data set"):
        Dataset(tmp_path)
    folder = write_dataset(tmp_path / "data", discs(4), np.zeros((3, 8), np.float32))
    with pytest.raises(DatasetError, match="a row for each of the 4 pictures"):
        Dataset(folder)
    (folder / "latents.npy").unlink()
    before = Dataset(folder).fingerprint
    Path(folder / "pictures" / "0001.png").unlink()
    assert len(Dataset(folder)) == 3
    assert Dataset(folder).fingerprint != before
