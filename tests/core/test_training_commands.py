"""What the server is told to do: command lines, names of folders, lists of pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from latent_lantern.latent_addon.jobs.commands import (
    PLAIN_SIZES,
    DataSetOrder,
    TrainingOrder,
    check_size,
    folder_name,
    free_folder,
    resume_arguments,
    write_paths,
)

IN, OUT = Path("/in"), Path("/out/name")


def test_a_data_set() -> None:
    plain = DataSetOrder(IN, OUT, 256, 256).arguments()
    assert plain == ["dataset", str(IN), str(OUT), "--size", "256", "--crop", "centre", "--nice"]
    more = DataSetOrder(IN, OUT, 512, 256, "smart", mirror=True, every=4).arguments()
    assert more[3:] == ["--size", "512x256", "--crop", "smart", "--nice", "--mirror", "--every", "4"]
    cut = DataSetOrder(IN, OUT, 64, 64, ground=(1.0, 0.5, 0.0), key=(0.0, 1.0, 0.0), trim=True).arguments()
    assert cut[8:] == ["--ground", "#ff8000", "--key", "#00ff00", "--trim"]


def test_a_training() -> None:
    plain = TrainingOrder(IN, OUT, 0.5, "dcgan").arguments()
    assert plain[:5] == ["train", str(IN), "--out", str(OUT), "--hours"]
    assert plain[5:] == ["0.5", "--name", "name", "--nice", "--kind", "dcgan"]
    assert TrainingOrder(IN, OUT, 0.5).arguments()[5:] == ["0.5", "--name", "name", "--nice"]
    start = TrainingOrder(IN, OUT, 12.25, start=Path("/net.pkl"), name="My family").arguments()
    assert start[5:] == ["12.25", "--name", "My family", "--nice", "--from", str(Path("/net.pkl"))]


def test_going_on() -> None:
    assert resume_arguments(OUT) == ["train", "--resume", str(OUT), "--nice"]
    assert resume_arguments(OUT, 6000)[4:] == ["--images", "6000"]


def test_sizes() -> None:
    assert all(check_size(side, side) == "" for side in PLAIN_SIZES) and check_size(1024, 64) == ""
    assert "256 x 64 is near" in check_size(250, 10)
    assert "1024 x 512 is near" in check_size(4000, 500)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Dinner 256", "Dinner 256"),
        ("  a/b\\c:d*e?\n", "a b c d e"),
        ("Küche, 夕食", "Küche, 夕食"),
        ("..", ""),
        ("/", ""),
        ("dots...", "dots"),
        ("con", "con set"),
        ("LPT1.txt", "LPT1.txt set"),
        ("x" * 200, "x" * 60),
    ],
)
def test_names_of_folders_are_good_on_any_system(text: str, name: str) -> None:
    assert folder_name(text) == name


def test_a_folder_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    assert free_folder(tmp_path, "run") == tmp_path / "run"
    (tmp_path / "run").mkdir()
    (tmp_path / "run 2").mkdir()
    assert free_folder(tmp_path, "run") == tmp_path / "run 3"
    assert free_folder(tmp_path, "run", lambda path: path.name == "run 2") == tmp_path / "run 2"


def test_paths_are_listed_once_and_in_order(tmp_path: Path) -> None:
    file = tmp_path / "made" / "list.txt"
    assert write_paths(file, ["/b.png", "/a ü.png", "/b.png"]) == 2
    assert file.read_text("utf-8") == "/b.png\n/a ü.png\n" and list(file.parent.iterdir()) == [file]
