"""A training that comes apart is seen, goes back to its last good state, and goes on with a smaller step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference_server.checkpoints.snapshots import find_snapshots
from inference_server.commands import cli
from inference_server.training.course import PATIENCE, Course, Measure
from inference_server.training.trainer import Trainer
from lantern_protocol.job_folder import read_status
from training_data import SMALL, discs, log_of, write_dataset


def values(count: int, seed: int, mean: float = 0.0, deviation: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, deviation, (count, 40)).astype(np.float32)


def test_the_distance_is_that_of_sorted_values_in_units_of_the_variety() -> None:
    reals = values(128, 0)
    measure = Measure(reals)
    assert measure.of(reals) == (0.0, 1.0)
    spread = np.mean([np.abs(a - b).mean() for i, a in enumerate(reals) for b in reals[i + 1 :]])
    shifted, variety = measure.of(reals + 0.5)
    assert (shifted, variety) == pytest.approx((0.5 / spread, 1.0), rel=1e-5)
    other, _ = measure.of(values(128, 1))
    assert other < 0.2
    middle, none = measure.of(np.repeat(reals[:1], 128, axis=0))
    assert none == 0 and middle > 0.7  # one picture again and again is far from the data set


def test_one_bad_look_is_chance_and_three_are_not() -> None:
    course = Course()
    looks = [1.4, 1.0, 0.4, 0.7, 0.45, 0.3, 0.9, 0.8]
    assert not any(course.look(distance) for distance in looks) and course.best == 0.3
    assert not course.good
    assert course.look(0.6)
    assert Course(**course.to_dict()) == course


def test_a_small_distance_may_double_by_chance() -> None:
    course = Course()
    assert not any(course.look(distance) for distance in (0.1, 0.25, 0.28, 0.29, 0.27)) and course.good


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", discs(24))


def coming_apart(monkeypatch: pytest.MonkeyPatch, bad: dict[int, range]) -> None:
    """Let the pictures be bad at these numbers of images, until the run has gone back so often."""

    def course(self: Trainer) -> tuple[float, float]:
        wrong = self.seen in bad.get(self.course.returns, ())
        return (0.9, 0.1) if wrong else (0.3, 0.9)

    monkeypatch.setattr(Trainer, "take_course", course)


def train(*arguments: object) -> int:
    return cli.main(["train", "--device", "cpu", *map(str, arguments)])


def test_goes_back_and_on_with_a_smaller_step(data, tmp_path, monkeypatch, capsys) -> None:
    coming_apart(monkeypatch, {0: range(81, 1000)})
    rates = {}
    step = Trainer.step

    def noted(self: Trainer) -> None:
        step(self)
        rates.setdefault(self.course.returns, self.d_adam.param_groups[0]["lr"])

    monkeypatch.setattr(Trainer, "step", noted)
    run = tmp_path / "run"
    options = ("--images", 160, "--tick", 16, "--snapshot-every", 32, "--decay-from", 1)
    assert train(data, "--out", run, *options, *SMALL) == 0
    assert "became much worse before 128 images. Training went back to 64 images" in capsys.readouterr().out
    assert rates[1] == pytest.approx(rates[0] / 2)
    assert [line["images"] for line in log_of(run)] == list(range(16, 161, 16))
    assert [line["images"] for line in log_of(run / "left-1")] == list(range(80, 129, 16))
    assert (run / "left-1" / "snapshot-000000096.safetensors").exists()
    assert [int(path.stem[-9:]) for path in find_snapshots(run)] == [0, 32, 64, 96, 128, 160]
    assert log_of(run)[-1]["distance"] == 0.3 and log_of(run)[-1]["variety"] == 0.9


def test_gives_up_when_going_back_does_not_help(data, tmp_path, monkeypatch, capsys) -> None:
    coming_apart(monkeypatch, {returns: range(33, 1000) for returns in range(10)})
    run = tmp_path / "run"
    assert train(data, "--out", run, "--images", 400, "--tick", 8, "--snapshot-every", 16, *SMALL) == 1
    assert "have become much worse 5 times" in capsys.readouterr().err
    assert read_status(run).state == "failed"
    assert sorted(path.name for path in run.glob("left-*")) == [f"left-{number}" for number in range(1, 5)]
    assert PATIENCE == 3 and (run / "good.state").exists()


def test_pictures_that_grow_from_less_than_sixteen_pixels_are_compared(tmp_path) -> None:
    data = write_dataset(tmp_path / "data", discs(24, (32, 32)))
    options = ("--channels", "8,8,8,8", "--z-dim", "8", "--w-dim", "8", "--batch", "8", "--tick", "8", "--seed", "1")
    assert train(data, "--out", tmp_path / "run", "--images", 32, "--grow", "8:16,16:24", *options) == 0
    assert all(np.isfinite([line["distance"], line["variety"]]).all() for line in log_of(tmp_path / "run"))
    assert len(log_of(tmp_path / "run")) == 4
