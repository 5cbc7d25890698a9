"""generate and convert: every option on the original projects' checkpoints, and every refusal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import driving
from inference_server.checkpoints import load_generator, save_generator
from inference_server.generators.dcgan import DCGAN, DCGANConfig, DCGANLayer
from inference_server.pixels.encoding import read_png
from test_cli import run

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def made(capsys: pytest.CaptureFixture, tmp_path: Path) -> object:
    """Run generate on a checkpoint; arrays among the options are written to files. Returns the pictures."""

    def generate(checkpoint: Path | str, *options: object) -> np.ndarray:
        arguments = [checkpoint, *options]
        for index, option in enumerate(arguments):
            if isinstance(option, np.ndarray):
                np.save(tmp_path / f"{index}.npy", option)
                arguments[index] = tmp_path / f"{index}.npy"
        out = tmp_path / "out.npy"
        code, _, errors = run(capsys, "generate", "--device", "cpu", "--out", out, "--checkpoint", *arguments)
        assert code == 0, errors
        return np.load(out)

    return generate


@pytest.fixture(scope="module")
def dcgan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DCGAN of 16 x 16 pixels. Its stored statistics differ from those of any batch."""
    torch.manual_seed(0)
    layers = (
        DCGANLayer(6, 8, (4, 4), (1, 1), (0, 0)),
        DCGANLayer(8, 8),
        DCGANLayer(8, 3, batch_norm=False, activation="tanh"),
    )
    generator = DCGAN(DCGANConfig(z_dim=6, layers=layers))
    with torch.no_grad():
        for name, buffer in generator.named_buffers():
            buffer.copy_(torch.rand_like(buffer) + ("var" in name))
    path = tmp_path_factory.mktemp("dcgan") / "dcgan.safetensors"
    save_generator(generator, path, {}, torch.float32)
    return path


def test_stylegan2_of_the_originals_code(made) -> None:
    reference = np.load(FIXTURES / "ada_skip.npz")
    z = reference["z"]
    checkpoint = FIXTURES / "ada_skip.pkl"
    for noise in ("const", "none"):
        assert np.allclose(made(checkpoint, "--latents", z, "--noise", noise), reference[f"img_{noise}"], atol=1e-4)
    mixed = reference["ws_mix"]
    for space in ("w", "w+"):
        pictures = made(checkpoint, "--latents", mixed, "--space", space)
        assert np.allclose(pictures, reference["img_mix"], atol=1e-4)
    one = made(checkpoint, "--latents", mixed[1], "--space", "w+")
    assert np.allclose(one, reference["img_mix"][1:], atol=1e-4)
    assert np.allclose(made(checkpoint, "--latents", z[0]), reference["img_const"][:1], atol=1e-4)


def test_stylegan1_is_cut_off_as_its_authors_do(made) -> None:
    reference = np.load(FIXTURES / "tf_sg1_128_asym.npz")
    checkpoint = FIXTURES / "tf_sg1_128_asym.pkl"
    own = made(checkpoint, "--latents", reference["z"][:1], "--psi", 0.7)
    tolerance = {"atol": 1e-4, "rtol": 1e-5 * np.abs(reference["img_psi07_cut8"]).max()}
    assert np.allclose(own, reference["img_psi07_cut8"][:1], **tolerance)
    assert np.array_equal(own, made(checkpoint, "--latents", reference["z"][:1], "--psi", 0.7, "--cutoff", 8))
    every = made(checkpoint, "--latents", reference["z"][:1], "--psi", 0.7, "--cutoff", "all")
    assert np.abs(every - own).max() > 0.01


def test_stylegan3_is_moved(made) -> None:
    reference = np.load(FIXTURES / "sg3t.npz")
    matrix = reference["transform"]
    checkpoint = FIXTURES / "sg3t.pkl"
    for transform in (matrix, np.stack([matrix] * 2)):
        pictures = made(checkpoint, "--latents", reference["z"], "--transform", transform)
        assert np.allclose(pictures, reference["img_transform"], atol=1e-4)
    each = made(checkpoint, "--latents", reference["z"], "--transform", np.stack([np.eye(3), matrix]))
    assert np.allclose(each[1], reference["img_transform"][1], atol=1e-4)
    assert np.abs(each[0] - reference["img_transform"][0]).max() > 1e-3


def test_classes_are_weights_or_numbers(made, tmp_path: Path) -> None:
    checkpoint = driving.make_checkpoint(tmp_path / "c.safetensors", **driving.TINY, num_classes=3)["path"]
    weights = np.eye(3)[[2, 0, 2, 1]]
    seeds = ["--seeds", "1-4", "--classes"]
    expected = made(checkpoint, *seeds, weights)
    assert np.array_equal(made(checkpoint, *seeds, np.array([2, 0, 2, 1])), expected)
    assert np.array_equal(made(checkpoint, *seeds, np.array(2))[0], expected[0])
    assert np.array_equal(made(checkpoint, *seeds, np.array([0.0, 0.0, 1.0]))[2], expected[2])
    assert np.abs(made(checkpoint, *seeds, np.array([0.5, 0.0, 0.5]))[0] - expected[0]).max() > 1e-4


def test_pngs_are_the_pictures_in_eight_bits(made, capsys, tmp_path: Path) -> None:
    checkpoint = FIXTURES / "ada_gray_nonoise.pkl"
    pictures = made(checkpoint, "--seeds", "0-4", "--batch", 2)
    arguments = ["--checkpoint", checkpoint, "--seeds", "0-4", "--batch", 2, "--device", "cpu"]
    code, _, said = run(capsys, "generate", *arguments, "--out", tmp_path / "pngs")
    assert code == 0 and said.endswith("5 of 5 frames\n")
    assert sorted(p.name for p in (tmp_path / "pngs").iterdir()) == [f"frame_{i:04}.png" for i in range(5)]
    for index, picture in enumerate(pictures):
        expected = np.floor(np.clip(picture * 127.5 + 128, 0, 255)).transpose(1, 2, 0)
        assert np.array_equal(read_png(tmp_path / "pngs" / f"frame_{index:04}.png"), expected)


def test_batch_statistics_are_those_of_the_batch(made, dcgan: Path) -> None:
    stored = made(dcgan, "--seeds", "0-5")
    together = made(dcgan, "--seeds", "0-5", "--batch-statistics")
    generator = load_generator(dcgan)
    generator.use_batch_statistics(True)
    z = np.concatenate([np.random.RandomState(seed).randn(1, 6) for seed in range(6)]).astype(np.float32)
    with torch.inference_mode():
        expected = generator.synthesize(generator.broadcast(generator.map(torch.from_numpy(z))), "const").numpy()
    assert np.allclose(together, expected, atol=1e-5) and np.abs(together - stored).max() > 0.01
    pairs = made(dcgan, "--seeds", "0-5", "--batch-statistics", "--batch", 2)
    assert np.abs(pairs - together).max() > 0.01


def test_a_canvas_is_larger(made, dcgan: Path) -> None:
    z = np.random.RandomState(0).randn(6, 2, 3)
    one = made(dcgan, "--latents", z)
    assert one.shape == (1, 3, 20, 24)
    several = made(dcgan, "--latents", np.stack([z * 0.5, z]))
    assert np.allclose(several[1], one[0], atol=1e-5)


def test_half_precision_is_near(made) -> None:
    checkpoint = FIXTURES / "ada_skip.pkl"
    exact = made(checkpoint, "--seeds", "1")
    near = made(checkpoint, "--seeds", "1", "--dtype", "bfloat16")
    assert 0 < np.abs(near - exact).max() < 0.1 * np.abs(exact).max()


def test_weights_between_two_snapshots(made, tmp_path: Path) -> None:
    paths = [driving.make_checkpoint(tmp_path / f"{seed}.safetensors", seed)["path"] for seed in (1, 2)]
    ends = [made(path, "--seeds", "5-6") for path in paths]
    toward = ["--seeds", "5-6", "--toward", paths[1], "--mix"]
    assert np.array_equal(made(paths[0], *toward, 0), ends[0])
    assert np.array_equal(made(paths[0], *toward, 1), ends[1])
    halves = made(paths[0], *toward, 0.5)
    low, high = (load_generator(path) for path in paths)
    with torch.inference_mode():
        for key, value in low.state_dict().items():
            value.copy_((value + high.state_dict()[key]) / 2)
        low.weights_changed()
        z = np.concatenate([np.random.RandomState(seed).randn(1, 8) for seed in (5, 6)]).astype(np.float32)
        expected = low.synthesize(low.broadcast(low.map(torch.from_numpy(z))), "const").numpy()
    assert np.allclose(halves, expected, atol=1e-5)


def test_many_pictures_are_not_held_in_memory(made, capsys, tmp_path: Path, tiny: dict) -> None:
    """Ten thousand pictures of 12 KB. Only one batch is in memory: the file grows while they are made."""
    code = """
import resource, sys
import numpy as np
from inference_server.commands import cli
options = ["--checkpoint", sys.argv[1], "--out", sys.argv[2], "--device", "cpu", "--seeds"]
assert cli.main(["generate", *options, "0-9"]) == 0
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert cli.main(["generate", *options, "0-9999"]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    command = [sys.executable, "-c", code, tiny["path"], tmp_path / "x.npy"]
    done = subprocess.run(command, cwd=driving.ROOT, capture_output=True, text=True, check=True)
    assert np.load(tmp_path / "x.npy", mmap_mode="r").shape == (10000, 3, 32, 32)
    assert (tmp_path / "x.npy").stat().st_size > 120e6
    assert int(done.stdout.split()[-1]) < 40_000  # kilobytes


def test_what_does_not_fit_is_one_line(capsys, tmp_path: Path, tiny: dict) -> None:
    arrays = {
        "moves": np.zeros((2, 2, 3)),
        "turn": np.eye(3),
        "numbers": np.array([0, 7]),
        "classes": np.zeros((3, 2, 2)),
        "canvas": np.zeros((8, 2, 2)),
    }
    for name, values in arrays.items():
        np.save(tmp_path / f"{name}.npy", values)
    other = driving.make_checkpoint(tmp_path / "other.safetensors", z_dim=8, w_dim=12, channels=(8, 8, 8, 4))
    good = ["generate", "--checkpoint", tiny["path"], "--seeds", "1,2", "--out", tmp_path / "x.npy", "--device", "cpu"]
    for options, code, words in (
        (["--transform", tmp_path / "moves.npy"], 2, "2 x 2 x 3 numbers; a transform is 3 x 3"),
        (["--transform", tmp_path / "turn.npy"], 1, "cannot move or turn"),
        (["--classes", tmp_path / "numbers.npy"], 2, "class numbers outside"),
        (["--classes", tmp_path / "classes.npy"], 2, "3 x 2 x 2 numbers"),
        (["--batch-statistics"], 2, "for DCGANs; 'tiny' (stylegan2)"),
        (["--mix", "0.5"], 2, "--toward"),
        (["--mix", "1.5", "--toward", other["path"]], 2, "between 0 and 1"),
        (["--mix", "0.5", "--toward", other["path"]], 1, "different makes"),
        (["--space", "w"], 2, "drawn in z"),
        (["--psi", "nan"], 2, "finite"),
    ):
        found, text, errors = run(capsys, *good, *options)
        assert (found, text, errors.count("\n")) == (code, "", 1), errors
        assert words in errors
    canvas = ["generate", "--checkpoint", tiny["path"], "--latents", tmp_path / "canvas.npy"]
    found, _, errors = run(capsys, *canvas, "--out", tmp_path / "x.npy", "--device", "cpu")
    assert found == 1 and "8 x 2 x 2 values" in errors
    found, _, errors = run(capsys, *good, "--cutoff", "some")
    assert found == 2 and "neither a whole number nor all" in errors
    assert not list(tmp_path.glob("*x.npy"))


def test_a_picture_of_no_numbers_leaves_no_file(capsys, tmp_path: Path, tiny: dict) -> None:
    np.save(tmp_path / "w.npy", np.full((1, 12), 3e38, dtype=np.float32))
    options = ["--checkpoint", tiny["path"], "--latents", tmp_path / "w.npy", "--space", "w", "--device", "cpu"]
    for out in (tmp_path / "x.npy", tmp_path / "pngs"):
        code, _, errors = run(capsys, "generate", *options, "--out", out)
        assert code == 1 and "values that are not numbers" in errors
    assert not list(tmp_path.rglob("*x.npy")) and not list(tmp_path.rglob("*.png"))


def test_convert(made, capsys, tmp_path: Path) -> None:
    source, out = FIXTURES / "tf_sg2_32_resnet.pkl", tmp_path / "own.safetensors"
    code, said, _ = run(capsys, "convert", source, out, "--name", "Faces", "--licence", "mine")
    assert code == 0 and "32 x 32" in said and f"{out}: Faces, float32" in said
    info = load_generator(out).info
    assert (info.name, info.licence, info.origin) == ("Faces", "mine", load_generator(source).info.origin)
    assert np.array_equal(made(out, "--seeds", "3"), made(source, "--seeds", "3"))
    before = out.read_bytes()
    for options, words in (([], "--overwrite"), (["--dtype", "float16"], "is there already")):
        code, said, errors = run(capsys, "convert", source, out, *options)
        assert code == 2 and words in errors and out.read_bytes() == before
    code, _, _ = run(capsys, "convert", source, out, "--overwrite", "--dtype", "bfloat16")
    assert code == 0 and len(out.read_bytes()) < 0.6 * len(before)
    code, _, errors = run(capsys, "convert", out, out, "--overwrite")
    assert code == 2 and "there already" in errors
    for arguments, code, words in (
        ((source, tmp_path / "x.pkl"), 2, ".safetensors"),
        ((tmp_path / "gone.pkl", tmp_path / "x.safetensors"), 1, "gone.pkl"),
        ((source, tmp_path / "no" / "x.safetensors"), 1, "x.safetensors"),
    ):
        found, _, errors = run(capsys, "convert", *arguments)
        assert found == code and words in errors and errors.count("\n") == 1
    assert not list(tmp_path.glob("x.*")) and not list(tmp_path.glob("*.part*"))


def test_a_folder_is_converted_snapshot_by_snapshot(capsys, tmp_path: Path) -> None:
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    for seed in (1, 2, 10):
        driving.make_checkpoint(run_folder / f"snap-{seed}.safetensors", seed)
    code, said, _ = run(capsys, "convert", run_folder, tmp_path / "out", "--dtype", "float16")
    assert code == 0 and said.index("snap-2") < said.index("snap-10")
    assert len(list((tmp_path / "out").iterdir())) == 3
    (tmp_path / "out" / "snap-1.safetensors").unlink()
    code, said, errors = run(capsys, "convert", run_folder, tmp_path / "out")
    assert code == 2 and "snap-2.safetensors is there already" in errors and said == ""
    code, said, errors = run(capsys, "info", run_folder)
    assert code == 0 and "snapshot 3     snap-10" in said and "name           snap-10" in said
