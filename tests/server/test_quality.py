"""Quality numbers: what changes them, and in which direction; and the command that prints them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

import driving
from inference_server.commands import cli
from inference_server.quality import wasserstein
from inference_server.quality.features import RandomFeatures
from inference_server.quality.measure import Quality, Reference, batches_of, describe, measure
from inference_server.quality.neighbours import radii, share_inside
from inference_server.quality.report import generated, images_seen
from inference_server.quality.variety import mean_difference
from inference_server.quality.wasserstein import laplacian_pyramid, level_sizes, sliced_distance
from inference_server.rendering.renderer import Renderer
from inference_server.terminal.jobs import JobError
from training_data import write_dataset

COUNT = 240


def scenes(count: int, seed: int, kinds: tuple[str, ...] = ("disc", "bar")) -> np.ndarray:
    """Pictures uint8 (count, 32, 32, 3): a disc or a bar of a random colour at a random place on black."""
    random = np.random.RandomState(seed)
    y, x = np.mgrid[:32, :32]
    pictures = np.zeros((count, 32, 32, 3), np.uint8)
    for picture in pictures:
        kind, (top, left) = kinds[random.randint(len(kinds))], random.uniform(10, 22, 2)
        inside = np.hypot(y - top, x - left) < 7 if kind == "disc" else (abs(y - top) < 3) & (abs(x - left) < 11)
        picture[inside] = random.randint(90, 256, 3)
    return pictures


def blurred(pictures: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(pictures.astype(np.float32), (0, sigma, sigma, 0)).round().astype(np.uint8)


@pytest.fixture(scope="module", autouse=True)
def fewer_patches() -> Iterator[None]:
    """Use only as many patches as these few small pictures have, and a quarter of the directions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wasserstein, "PATCHES", 1 << 12)
        patch.setattr(wasserstein, "PROJECTIONS", 64)
        yield


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(scenes(COUNT, 1))


@pytest.fixture(scope="module")
def others() -> np.ndarray:
    """Pictures of the same kinds that are not in the reference."""
    return scenes(COUNT, 2)


@pytest.fixture(scope="module")
def best(reference: Reference, others: np.ndarray) -> Quality:
    """The numbers of the best possible generator."""
    return measure(reference, others)


def test_the_same_kind_of_pictures_is_good(reference: Reference, best: Quality) -> None:
    assert list(best.swd_levels) == [32, 16] and best.pictures == COUNT
    assert best.swd == pytest.approx(np.mean(list(best.swd_levels.values())))
    assert best.swd < 60 and best.precision > 0.65 and best.recall > 0.65
    same = measure(reference, scenes(COUNT, 1))
    assert same.swd == 0 and same.precision == same.recall == same.variety == 1
    assert best.variety == pytest.approx(1, abs=0.05)


def test_the_same_pictures_give_the_same_numbers(reference: Reference, others: np.ndarray, best: Quality) -> None:
    np.random.seed(9)
    torch.manual_seed(9)
    assert measure(reference, others) == best
    assert measure(Reference(scenes(COUNT, 1)), others) == best
    uneven = [others[:7], others[7:100], others[100:]]
    again = measure(reference, describe(uneven, COUNT))
    assert again.swd == pytest.approx(best.swd, rel=1e-3)
    assert (again.precision, again.recall) == pytest.approx((best.precision, best.recall), abs=0.02)


def test_blur_makes_everything_worse_the_more_the_worse(
    reference: Reference, others: np.ndarray, best: Quality
) -> None:
    found = [best, *(measure(reference, blurred(others, sigma)) for sigma in (0.4, 0.8, 1.6, 3.2))]
    fine = [quality.swd_levels[32] for quality in found]
    assert all(b > a * 1.1 for a, b in pairwise(fine))
    assert all(b.swd > a.swd for a, b in pairwise(found))
    assert found[4].precision < 0.5 * best.precision and found[4].recall < 0.5 * best.recall
    slight = found[2].swd_levels
    assert slight[32] > 1.5 * slight[16]  # the fine detail is missing


def test_noise_is_seen_in_the_fine_detail(reference: Reference, others: np.ndarray, best: Quality) -> None:
    noise = np.random.RandomState(3).standard_normal(others.shape)
    found = [measure(reference, np.clip(others + noise * s, 0, 255).astype(np.uint8)) for s in (8, 25, 80)]
    swd = [best.swd, *(quality.swd for quality in found)]
    assert all(b > a for a, b in pairwise(swd))
    assert found[-1].precision == 0 and found[-1].recall < 0.05


def test_one_picture_repeated_has_precision_and_no_recall(
    reference: Reference, others: np.ndarray, best: Quality
) -> None:
    one = measure(reference, np.repeat(scenes(COUNT, 1)[:1], COUNT, axis=0))
    assert one.precision == 1 and one.recall <= 0.05 and one.swd > 2 * best.swd
    ten = measure(reference, np.repeat(others[:12], COUNT // 12, axis=0))
    assert ten.recall <= 0.05
    assert one.variety == pytest.approx(0, abs=1e-6) and 0.6 < ten.variety < 1.2


def test_variety_is_the_mean_difference_of_all_pairs_seen_small() -> None:
    few = scenes(30, 5)
    small = few.reshape(30, 16, 2, 16, 2, 3).mean(axis=(2, 4)) / 127.5 - 1
    pairs = [np.abs(a - b).mean() for index, a in enumerate(small) for b in small[index + 1 :]]
    assert mean_difference(describe([few], 30).small) == pytest.approx(np.mean(pairs), rel=1e-5)


def test_pictures_nearer_to_each_other_have_less_variety(
    reference: Reference, others: np.ndarray, best: Quality
) -> None:
    """Grain hardly counts, because the pictures are seen small."""
    middle = others.mean(axis=0)
    found = [measure(reference, (middle + (others - middle) * share).astype(np.uint8)).variety for share in (0.5, 0.25)]
    assert found == pytest.approx([best.variety * 0.5, best.variety * 0.25], rel=0.05)
    noise = np.random.RandomState(3).uniform(-20, 20, others.shape)
    grainy = measure(reference, np.clip(others.astype(float) + noise, 0, 255).astype(np.uint8))
    assert grainy.variety < 1.2 * best.variety


def test_half_of_the_kinds_is_precise_and_recalls_half(reference: Reference, best: Quality) -> None:
    discs = measure(reference, scenes(COUNT, 2, ("disc",)))
    assert discs.precision > best.precision - 0.1
    assert 0.3 < discs.recall < 0.7 and discs.recall < best.recall - 0.2
    assert discs.swd > 1.5 * best.swd


def test_pictures_that_are_alike_only_pairwise_lack_recall_not_precision(reference: Reference) -> None:
    """What truncation does: only pictures near the average, none of the others."""
    mixed = scenes(COUNT, 2)
    mean = mixed.mean(axis=(1, 2))
    central = np.argsort(np.abs(mean - np.median(mean, axis=0)).sum(axis=1))[: COUNT // 3]
    found = measure(reference, mixed[np.resize(central, COUNT)])
    assert found.precision > 0.75 and found.recall < 0.5


def test_wrong_colours_are_seen_in_the_large(reference: Reference, others: np.ndarray, best: Quality) -> None:
    shifted = measure(reference, np.clip(others + np.array([0, 40, 0]), 0, 255).astype(np.uint8))
    assert shifted.swd_levels[16] > 4 * best.swd_levels[16] and shifted.swd_levels[32] < 2 * best.swd_levels[32]
    assert shifted.precision < best.precision - 0.1 and shifted.recall < best.recall - 0.1
    pale = measure(reference, (others * 0.6).astype(np.uint8))
    assert pale.swd > 2 * best.swd and pale.recall < 0.5 * best.recall


@pytest.mark.parametrize(("size", "channels"), [((16, 48), 1), ((24, 40), 4), ((7, 9), 3), ((256, 160), 3)])
def test_any_size_and_channels(size: tuple[int, int], channels: int) -> None:
    random = np.random.RandomState(0)
    pictures = random.randint(0, 256, (16, *size, channels)).astype(np.uint8)
    found = measure(Reference(pictures), pictures[::-1].copy())
    assert found.precision == found.recall == 1
    assert list(found.swd_levels) == [min(one) for one in level_sizes(*size)]
    assert json.loads(json.dumps(found.to_dict()))["swd_levels"].keys() == {str(side) for side in found.swd_levels}


def test_what_cannot_be_compared_is_said(reference: Reference) -> None:
    with pytest.raises(JobError, match="16 x 32 with 3 channels, and those of the data set 32 x 32"):
        measure(reference, np.zeros((20, 32, 16, 3), np.uint8))
    with pytest.raises(JobError, match="1 channels"):
        measure(reference, np.zeros((20, 32, 32, 1), np.uint8))
    with pytest.raises(JobError, match="too few"):
        measure(reference, np.zeros((5, 32, 32, 3), np.uint8))
    with pytest.raises(JobError, match="too small"):
        Reference(np.zeros((20, 6, 32, 3), np.uint8))


def test_levels() -> None:
    assert level_sizes(128, 128) == [(128, 128), (64, 64), (32, 32), (16, 16)]
    assert level_sizes(48, 96) == [(48, 96), (24, 48)]
    assert level_sizes(33, 64) == [(33, 64)]


def test_a_pyramid_adds_up_to_the_picture() -> None:
    """A grey picture is only in the last level; detail that is too fine for half the size is in the first level."""
    levels = laplacian_pyramid(torch.full((1, 1, 64, 64), 0.5))
    assert [tuple(level.shape[2:]) for level in levels] == [(64, 64), (32, 32), (16, 16)]
    assert all(level.abs().max() < 1e-6 for level in levels[:2])
    torch.testing.assert_close(levels[2], torch.full((1, 1, 16, 16), 0.5))
    checks = (torch.arange(64)[:, None] + torch.arange(64)).remainder(2)[None, None].float()
    levels = laplacian_pyramid(checks - 0.5)
    assert levels[0].abs().mean() > 0.49 and levels[1].abs().max() < 1e-6 and levels[2].abs().max() < 1e-6


def test_the_distance_of_shifted_clouds_is_the_shift() -> None:
    """In n dimensions, the projection of a step of length s on a random line is s sqrt(2 / (pi n)) long on average."""
    random = np.random.RandomState(0)
    reals = random.standard_normal((4000, 1, 7, 7)).astype(np.float32)
    for shift in (0.5, 2.0):
        expected = 1000 * shift * 7 * np.sqrt(2 / (np.pi * 49))
        assert sliced_distance(reals, reals + np.float32(shift), 0) == pytest.approx(expected, rel=0.1)
    assert sliced_distance(reals, reals[::-1], 0) == 0


def test_precision_and_recall_of_points_on_a_line() -> None:
    line = np.arange(10.0)[:, None]
    np.testing.assert_allclose(radii(line), [9, 4, 4, 4, 4, 4, 4, 4, 4, 9])
    far = np.array([[4.5], [11.9], [12.1], [-40.0]])
    assert share_inside(far, line, radii(line)) == 0.5


def test_large_sets_are_compared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    points, others = np.random.RandomState(0).standard_normal((2, 100, 5))
    whole = radii(points), share_inside(others, points, radii(points))
    monkeypatch.setattr("inference_server.quality.neighbours.CHUNK", 7)
    np.testing.assert_allclose(radii(points), whole[0])
    assert share_inside(others, points, radii(points)) == whole[1]


def test_the_network_is_the_same_everywhere() -> None:
    """Known numbers of this network. A different network would make all earlier results meaningless."""
    ramp = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
    found = RandomFeatures(3)(ramp)
    assert found.shape == (1, 3072)
    np.testing.assert_allclose(
        found[0, [0, 100, 300, 900, 1500]], [0.601982, 0.0, 0.8172, 0.0, 0.0], rtol=1e-3, atol=1e-5
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "scenes", scenes(48, 4))


def said(capsys: pytest.CaptureFixture, *arguments: object) -> tuple[int, str, str]:
    code = cli.main(["quality", *map(str, arguments), "--device", "cpu"])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_checkpoint_is_measured(dataset: Path, tiny: dict, capsys: pytest.CaptureFixture) -> None:
    code, text, _ = said(capsys, dataset, tiny["path"], "--json", "--count", 40)
    found = json.loads(text)
    assert code == 0 and found["pictures"] == 40 and found["halves"]["pictures"] == 20
    (one,) = found["generators"]
    assert one["sha256"] == tiny["sha256"] and one["images"] is None
    assert one["swd"] > 3 * found["halves"]["swd"] and one["precision"] < 0.1
    assert os.listdir(Path(tiny["path"]).parent) == [Path(tiny["path"]).name]  # no report next to a user's single file


def test_each_snapshot_of_a_run_is_measured_once(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for seed, seen in enumerate((100, 2500)):
        driving.make_checkpoint(tmp_path / f"snapshot-{seen:09d}.safetensors", seed)
    code, text, _ = said(capsys, dataset, tmp_path)
    assert code == 0
    rows = text.splitlines()
    assert "48 pictures" in rows[0] and rows[1].split() == ["swd", "32", "16", "precision", "recall", "variety"]
    assert [row[:28].strip() for row in rows[2:]] == ["the data set's halves", "100 images", "2,500 images"]
    report = tmp_path / "quality.json"
    first = json.loads(report.read_text())
    assert [one["images"] for one in first["generators"]] == [100, 2500]
    first["generators"][0]["swd"] = 12345.5  # if this text is shown, the snapshot was not measured again
    report.write_text(json.dumps(first))
    driving.make_checkpoint(tmp_path / "snapshot-000009000.safetensors", 7)
    _, text, _ = said(capsys, dataset, tmp_path)
    assert "12345.5" in text and "9,000 images" in text
    _, text, _ = said(capsys, dataset, tmp_path, "--psi", 0.5)
    assert "12345.5" not in text
    assert sorted(os.listdir(tmp_path)) == [
        "quality.json",
        *(f"snapshot-{seen:09d}.safetensors" for seen in (100, 2500, 9000)),
    ]


def test_a_data_set_shown_mirrored_is_compared_mirrored(
    tmp_path: Path, tiny: dict, capsys: pytest.CaptureFixture
) -> None:
    found = {}
    for mirror in (False, True):
        folder = write_dataset(tmp_path / str(mirror), scenes(48, 4), mirror=mirror)
        found[mirror] = json.loads(said(capsys, folder, tiny["path"], "--json")[1])["generators"][0]["swd"]
    assert found[True] != found[False]


def test_each_picture_has_noise_of_its_own(tiny: dict) -> None:
    renderer = Renderer("cpu")
    loaded = renderer.open(tiny["path"], tiny["sha256"])
    pictures = list(generated(renderer, loaded, 3, 0.0))  # all of the same latent
    assert [picture.shape for picture in pictures] == [(1, 32, 32, 3)] * 3
    assert not np.array_equal(pictures[0], pictures[1]) and not np.array_equal(pictures[1], pictures[2])
    again = list(generated(renderer, loaded, 3, 0.0))
    np.testing.assert_array_equal(np.concatenate(pictures), np.concatenate(again))


def test_bad_input_is_said_in_a_sentence(
    dataset: Path, tiny: dict, slow: dict, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for arguments, words in (
        ((tmp_path, tiny["path"]), "is not a data set"),
        ((dataset, tmp_path), "no checkpoint in the folder"),
        ((dataset, tmp_path / "missing.pkl"), "missing.pkl"),
        ((dataset, slow["path"]), "256 x 256 with 3 channels, and those of the data set 32 x 32"),
        ((dataset, tiny["path"], "--count", 3), "--count must be"),
        ((dataset, tiny["path"], "--psi", "inf"), "--psi must be"),
        ((write_dataset(tmp_path / "few", scenes(5, 1)), tiny["path"]), "has 5 pictures"),
    ):
        code, text, errors = said(capsys, *arguments)
        assert code in (1, 2) and words in errors and not text and len(errors.splitlines()) == 1, errors


def test_numbers_of_images_are_those_of_our_snapshots() -> None:
    assert images_seen(Path("run/snapshot-000012345.safetensors")) == 12345
    assert images_seen(Path("network-snapshot-000200.pkl")) is None  # thousands, there


def test_batches_hold_every_picture_once() -> None:
    pictures = np.arange(70)[:, None]
    np.testing.assert_array_equal(np.concatenate(list(batches_of(pictures))), pictures)
    with pytest.raises(ValueError, match="16"):
        describe([np.zeros((16, 32, 32, 3), np.uint8)], 20)
