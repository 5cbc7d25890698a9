"""The command train, from the options to a run's folder: stopped, killed, resumed, started from given weights."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from inference_server.checkpoints import load_generator, save_generator
from inference_server.checkpoints.snapshots import find_snapshots
from inference_server.commands import cli
from inference_server.datasets.reading import Dataset
from inference_server.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from inference_server.terminal.jobs import Job, JobError, duration
from inference_server.training import run_folder
from inference_server.training.estimate import Trials
from inference_server.training.run_folder import read_state
from inference_server.training.settings import Settings
from lantern_protocol.job_folder import FolderLock, Status, ask_to_stop, is_running, read_status, write_status
from training_data import SMALL, discs, log_of, losses_of, write_dataset

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "discs", discs(24))


def train(*arguments: object) -> int:
    return cli.main(["train", "--device", "cpu", *map(str, arguments)])


def started(*arguments: object) -> subprocess.Popen:
    command = [sys.executable, "-m", "inference_server", "train", "--device", "cpu", "--threads", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([*command, *map(str, arguments)], env=environment, stderr=subprocess.DEVNULL)


def wait_for(condition, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_run_leaves_what_its_folder_promises(data, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(data, "--out", run, "--images", 96, "--tick", 32, "--snapshot-every", 48, *SMALL) == 0
    said = capsys.readouterr().out
    assert "24 pictures of 16 x 16 on cpu, float32" in said
    assert "Only 24 pictures" in said
    assert [line["images"] for line in log_of(run)] == [32, 48, 64, 96]
    assert {"g_loss", "d_loss", "d_real", "d_fake", "r1", "augment", "rate"} <= log_of(run)[0].keys()
    names = [path.name for path in find_snapshots(run)]
    assert names == [f"snapshot-{seen:09d}.safetensors" for seen in (0, 48, 96)]
    assert Image.open(run / "previews" / "preview-000000096.png").size == (6 * 16, 8 * 16)
    generator = load_generator(run / names[-1])
    assert generator.info.training.startswith("96 images in ")
    assert generator.info.name == "discs"
    assert generator.mapping.w_avg.abs().sum() > 0
    assert list((run / "tensorboard").glob("events.*"))
    status = read_status(run)
    assert (status.state, status.done, status.total) == ("finished", 96, 96)
    assert status.picture == "previews/preview-000000096.png"
    assert not is_running(run)
    assert not list(run.rglob("*.part"))


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(data, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    rest = ("--tick", 16, "--snapshot-every", 48, "--augment", "0.4", "--path-weight", 1, *SMALL)
    assert train(data, "--out", whole, "--images", 160, *rest) == 0
    assert train(data, "--out", parts, "--images", 80, *rest, "--decay-from", 1) == 0
    about = json.loads((parts / "run.json").read_text())
    about["settings"]["decay_from"] = 0.8
    about["settings"]["images"] = 160
    (parts / "run.json").write_text(json.dumps(about))
    with (parts / "log.jsonl").open("a") as log:
        log.write('{"images": 96, "d_loss": 7}\n{"ima')  # written after the state, then killed
    assert train("--resume", parts) == 0
    assert losses_of(parts) == losses_of(whole)
    first, second = (read_state(run / "resume.state")[0] for run in (whole, parts))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    one, other = (find_snapshots(run)[-1].read_bytes() for run in (whole, parts))
    assert len(one) == len(other)


def test_killed_and_resumed(data, tmp_path, monkeypatch):
    run = tmp_path / "run"
    options = (data, "--out", run, "--images", 1000000, "--tick", 16, "--snapshot-every", 32, *SMALL)
    for _ in range(2):
        before = len(find_snapshots(run)) if run.exists() else 0
        process = started(*options)
        wait_for(lambda before=before: run.exists() and len(list(run.glob("snapshot-*"))) >= before + 3)
        assert is_running(run)
        process.kill()
        process.wait()
        assert not is_running(run)
        assert read_status(run).state == "working"  # and it does not run: it was interrupted
        snapshots = find_snapshots(run)
        load_generator(snapshots[-1])
        assert int(read_state(run / "resume.state")[1]["seen"]) >= int(snapshots[-2].stem.split("-")[1])
    process = started("--resume", run)
    wait_for(lambda: is_running(run) and read_status(run).done > 0)
    ask_to_stop(run)
    assert process.wait(60) == 0
    status = read_status(run)
    assert status.state == "stopped"
    assert int(read_state(run / "resume.state")[1]["seen"]) == status.done
    assert snapshots[-1] in find_snapshots(run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_end_by_a_signal(tmp_path, number):
    before = signal.getsignal(number)
    with Job(tmp_path, "training", "images", quiet=True) as job:
        assert not job.stop_asked()
        signal.raise_signal(number)
        assert job.stop_asked()
    assert read_status(tmp_path).state == "stopped"
    assert signal.getsignal(number) is before


def test_two_processes_train_one_network(data, tmp_path):
    run = tmp_path / "run"
    process = started(data, "--out", run, "--images", 64, "--tick", 32, "--processes", 2, *SMALL)
    assert process.wait(240) == 0
    status = read_status(run)
    assert (status.state, status.done) == ("finished", 64)
    assert [line["images"] for line in log_of(run)] == [32, 64]
    process = started("--resume", run, "--processes", 2, "--images", 1000000)
    wait_for(lambda: read_status(run).done > 64, 240)
    ask_to_stop(run)
    assert process.wait(60) == 0
    assert read_status(run).state == "stopped"


def test_one_run_is_trained_by_one_process(data, tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    lock = FolderLock(run)
    assert train(data, "--out", run, "--images", 8, *SMALL) == 1
    assert "Another process is at work" in capsys.readouterr().err
    lock.release()
    assert train(data, "--out", run, "--images", 8, *SMALL) == 0


@pytest.mark.parametrize("kind", ["glu", "stylegan2"])
def test_training_goes_on_from_other_weights(data, tmp_path, capsys, kind):
    """Style drift: from a checkpoint, from a run with its discriminator, and to larger pictures."""
    first = tmp_path / "first"
    assert train(data, "--out", first, "--images", 64, "--kind", kind, *SMALL) == 0
    made = load_generator(find_snapshots(first)[-1])
    other = write_dataset(tmp_path / "other", discs(24, seed=5))
    for start, d_first in ((find_snapshots(first)[-1], 4000), (first, 0)):
        drift = tmp_path / f"drift {d_first}"
        assert train(other, "--out", drift, "--images", 16, "--from", start, "--batch", 8) == 0
        about = json.loads((drift / "run.json").read_text())
        assert about["settings"]["channels"] == [8, 8, 8]
        assert about["settings"]["d_first"] == d_first
        begun = load_generator(find_snapshots(drift)[0])
        for key, value in made.state_dict().items():
            if "w_avg" not in key and "running" not in key:
                torch.testing.assert_close(value, begun.state_dict()[key])
    large = write_dataset(tmp_path / "large", discs(24, (32, 32)))
    grown = tmp_path / "grown"
    assert train(large, "--out", grown, "--images", 16, "--from", first, "--batch", 8) == 0
    z = torch.randn(4, 8)
    begun = load_generator(find_snapshots(grown)[0])
    assert (begun.info.kind, begun.info.width, begun.config.channels) == (kind, 32, (8, 8, 8, 8))
    with torch.no_grad():
        small, wide = (one.synthesize(one.broadcast(one.map(z)), "const") for one in (made, begun))
    assert (torch.nn.functional.avg_pool2d(wide, 2) - small)[:, :, 2:-2, 2:-2].abs().mean() < 0.1
    wrong = write_dataset(tmp_path / "wrong", discs(8, (64, 32)))
    assert train(wrong, "--out", tmp_path / "no", "--images", 8, "--from", first) == 1
    assert "Make the data set with --size 16x16" in capsys.readouterr().err


def test_a_dcgan_is_trained_and_opened(data, tmp_path):
    run = tmp_path / "run"
    options = ("--channels", "8,8,8", "--z-dim", "8", "--batch", "8")
    assert train(data, "--out", run, "--images", 32, "--kind", "dcgan", *options) == 0
    generator = load_generator(find_snapshots(run)[-1])
    assert (generator.info.kind, generator.info.width) == ("dcgan", 16)
    again = tmp_path / "again"
    assert train(data, "--out", again, "--images", 32, "--from", run, "--batch", 8) == 0
    assert load_generator(find_snapshots(again)[-1]).info.kind == "dcgan"


def test_hours_become_images(tmp_path):
    data = write_dataset(tmp_path / "data", discs(8, (128, 128)))
    run = tmp_path / "run"
    options = ("--kind", "stylegan2", "--channels", "8,8,8,8,8,8", "--z-dim", "8", "--w-dim", "8", "--batch", "4")
    assert train(data, "--out", run, "--hours", 0.0005, *options) == 0
    settings = json.loads((run / "run.json").read_text())["settings"]
    (side, until), images = settings["grow"][0], settings["images"]
    assert side == 64
    assert 0 < until < images
    assert read_status(run).done == images


def test_hours_go_on_where_the_told_stages_end(tmp_path, monkeypatch):
    """Small pictures are quicker. The time that they take is that of their own rate, not that of the full size."""
    rates = {8: 100.0, 16: 50.0, 32: 10.0}
    monkeypatch.setattr(Trials, "_rate", lambda _, settings, side: (rates[side], 0))
    with Job(tmp_path / "job", "training", "images") as job:
        trials = Trials(Dataset(write_dataset(tmp_path / "data", discs(8, (32, 32)))), torch.device("cpu"), job)
        grow = ((8, 1000), (16, 2000))  # 10 seconds and 20 seconds
        spent = trials.spend(Settings(grow=grow, batch=8), 90 / 3600, grow=False)
        assert spent == Settings(grow=grow, batch=8, images=2000 + 60 * 10)
        assert trials.estimate(spent).seconds == pytest.approx(90)
        with pytest.raises(JobError, match="stages in --grow take 30 s, and --hours gives 20 s"):
            trials.spend(Settings(grow=grow, batch=8), 20 / 3600, grow=False)


def test_grows_as_told(tmp_path, capsys):
    data = write_dataset(tmp_path / "data", discs(8, (32, 32)))
    options = ("--channels", "8,8,8,8", "--z-dim", "8", "--w-dim", "8", "--batch", "8", "--images", 48)
    assert train(data, "--out", tmp_path / "run", "--grow", "8:16,16:32", *options) == 0
    assert "images 16 to 32 with pictures of side 16" in capsys.readouterr().out
    assert train(data, "--out", tmp_path / "other", "--grow", "12:16", *options) == 1
    assert "cannot grow from 12" in capsys.readouterr().err


def test_pairs_of_latent_and_picture(tmp_path, capsys):
    z = np.random.default_rng(0).standard_normal((16, 8)).astype(np.float32)
    data = write_dataset(tmp_path / "data", discs(16), z)
    run = tmp_path / "run"
    assert train(data, "--out", run, "--images", 48, "--warm-up", 24, "--tick", 8, *SMALL) == 0
    assert "g_loss" not in log_of(run)[0]
    assert {"match", "g_loss"} <= log_of(run)[-1].keys()
    options = ("--channels", "8,8,8", "--z-dim", "9", "--images", 8)
    assert train(data, "--out", tmp_path / "other", *options) == 1
    assert "latents have 8 components, not 9" in capsys.readouterr().err
    plain = write_dataset(tmp_path / "plain", discs(16))
    assert train(plain, "--out", tmp_path / "other", "--images", 8, "--warm-up", 8, *SMALL) == 1
    assert "needs a data set with latents" in capsys.readouterr().err


def test_a_training_that_comes_apart_stops_with_what_was_good(data, tmp_path, capsys):
    run = tmp_path / "run"
    options = (data, "--out", run, "--tick", 16, "--snapshot-every", 16, "--images", 4000, "--lr", 1e12, *SMALL)
    assert train(*options) == 1
    assert "broke down" in capsys.readouterr().err
    status = read_status(run)
    assert status.state == "failed"
    assert "no longer numbers" in status.message
    for path in find_snapshots(run):
        assert all(value.isfinite().all() for value in load_generator(path).state_dict().values())


def test_a_full_disk_stops_with_what_was_saved(data, tmp_path, capsys, monkeypatch):
    run = tmp_path / "run"
    options = ("--images", 96, "--tick", 16, "--snapshot-every", 16, *SMALL)
    real, saved = run_folder.save_file, []

    def full(tensors, path, about):
        saved.append(path)
        if len(saved) > 2:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        real(tensors, path, about)

    monkeypatch.setattr(run_folder, "save_file", full)
    assert train(data, "--out", run, *options) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert "make room, then resume" in read_status(run).message
    assert not list(run.glob("*.part"))
    seen = int(read_state(run / "resume.state")[1]["seen"])
    monkeypatch.undo()
    assert train("--resume", run) == 0
    assert seen < read_status(run).done == 96


def test_a_changed_data_set_is_noticed(data, tmp_path, capsys):
    own = tmp_path / "own"
    shutil.copytree(data, own)
    run = tmp_path / "run"
    assert train(own, "--out", run, "--images", 16, *SMALL) == 0
    (own / "pictures" / "0003.png").unlink()
    assert train("--resume", run, "--images", 32) == 1
    assert "it had 24 pictures and has 23" in capsys.readouterr().err
    assert train("--resume", run, "--images", 32, "--changed-data") == 0
    assert train(own, "--out", run, "--images", 48, "--lr", 0.5) == 1
    assert "begun with a different --lr" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{data}"], "--out RUN"),
        (["{data}", "--out", "{tmp}/run"], "how long to train"),
        (["--out", "{tmp}/run", "--images", "8"], "Give a data set"),
        (["--resume", "{tmp}/none"], "There is no run in"),
        (["--resume", "{tmp}"], "There is no run in"),
        (["{tmp}", "--out", "{tmp}/run", "--images", "8"], "is not a data set"),
        (["{data}", "--out", "{tmp}/run", "--images", "8", "--from", "{tmp}/none.pkl"], "none.pkl"),
        (["{data}", "--out", "{tmp}/run", "--images", "8", "--device", "cuda:9"], "cuda:9"),
        (["{data}", "--out", "{tmp}/run", "--images", "8", "--processes", "3"], "among 3 processes"),
        (["{data}", "--out", "{tmp}/file/run", "--images", "8"], "cannot be written to"),
    ],
)
def test_bad_input_is_a_sentence(data, tmp_path, capsys, arguments, message):
    (tmp_path / "file").touch()
    texts = [text.format(data=data, tmp=tmp_path) for text in arguments]
    assert cli.main(["train", *texts]) in (1, 2)
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "Traceback" not in error


def test_others_snapshots_are_not_mixed_with_a_run(data, tmp_path, capsys):
    config = StyleGAN2Config(z_dim=8, w_dim=8, channels=(8, 8), mapping_layers=2)
    save_generator(StyleGAN2(config), tmp_path / "mine.safetensors", {})
    assert train(data, "--out", tmp_path, "--images", 8, *SMALL) == 1
    assert "choose another folder" in capsys.readouterr().err


def test_the_status_is_read_without_trust(tmp_path):
    assert read_status(tmp_path) is None
    status = Status("training", "working", done=5, facts={"g_loss": 1.5}, updated=2.0)
    write_status(tmp_path, status)
    assert read_status(tmp_path) == status
    for text in ("", "[]", '{"job": 3, "state": "working"}', '{"job": "training", "state": "dancing"}', "[" * 100000):
        (tmp_path / "status.json").write_text(text)
        assert read_status(tmp_path) is None
    odd = {"job": "training", "state": "working", "done": "many", "rate": True, "message": "x" * 9999, "facts": [1]}
    (tmp_path / "status.json").write_text(json.dumps(odd))
    read = read_status(tmp_path)
    assert (read.done, read.rate, len(read.message), read.facts) == (0, 0.0, 2000, {})


def test_a_job_says_how_it_ended(tmp_path):
    with Job(tmp_path, "dataset", "pictures", quiet=True) as job:
        job.tell(message="Reading", done=3)
        assert is_running(tmp_path)
    assert (read_status(tmp_path).state, read_status(tmp_path).done) == ("finished", 3)
    with pytest.raises(JobError, match="no film"), Job(tmp_path, "dataset", "pictures", quiet=True):
        raise JobError("There is no film.")
    assert (read_status(tmp_path).state, read_status(tmp_path).message) == ("failed", "There is no film.")
    assert not is_running(tmp_path)
    assert [duration(seconds) for seconds in (4, 720, 12000, 7200, 260000)] == [
        "4 s",
        "12 min",
        "3 h 20 min",
        "2 h",
        "3 days 0 h",
    ]
