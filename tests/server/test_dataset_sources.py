"""Sources as people have them: what a file holds decides, and every file is used or listed with its reason."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset_sources import drawn, entries, first, folder_of, make, moving, save, write_film
from inference_server.datasets.depth import Depth, depth_of
from inference_server.datasets.kinds import Kind, is_film, kind_of
from inference_server.datasets.lists import listed
from inference_server.datasets.reading import Dataset


def reasons(out: Path) -> dict[str, str]:
    path = out / "skipped.txt"
    return dict(line.split(": ", 1) for line in path.read_text().splitlines()) if path.exists() else {}


def used(out: Path) -> list[str]:
    return [one["source"] for one in entries(out) if "picture" in one]


def png(picture: np.ndarray, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, form)
    return file.getvalue()


def test_content_decides_and_nothing_is_left_out_without_a_word(tmp_path: Path) -> None:
    source = tmp_path / "mixed"
    source.mkdir()
    pictures = {
        "IMG_0.JPG": "JPEG", "8f3a2c": "JPEG", "photo.jpg?w=1080": "JPEG", "really webp.jpg": "WEBP", "scan.pcx": "PCX",
        "shot.ppm": "PPM", "icon.ico": "ICO", "tex.dds": "DDS", "plane.sgi": "SGI", "old.tga": "TGA", "x.qoi": "QOI",
        "page.tif": "TIFF", "y.jp2": "JPEG2000", "z.avif": "AVIF", "b.bmp": "BMP",
    }  # fmt: skip
    for seed, (name, form) in enumerate(pictures.items()):
        (source / name).write_bytes(png(drawn(seed), form))
    others = {
        "raw.CR3": (b"\0\0\0\x18ftypcrx " + bytes(200), "raw file"),
        "raw.nef": (b"MM\0*" + bytes(200), "raw file"),
        "raw.RAF": (b"FUJIFILMCCD-RAW " + bytes(200), "raw file"),
        "raw.ORF": (b"IIRO" + bytes(200), "raw file"),
        "raw.RW2": (b"IIU\0" + bytes(200), "raw file"),
        "new.jxl": (b"\xff\x0a" + bytes(200), "JPEG XL"),
        "pic.heic": (b"\0\0\0\x18ftypheic" + bytes(200), "HEIC"),
        "phone.jpg": (b"\0\0\0\x18ftypmif1" + bytes(200), "HEIC"),
        "layers.psb": (b"8BPS\0\2" + bytes(200), "Photoshop"),
        "light.exr": (b"\x76\x2f\x31\x01" + bytes(200), "OpenEXR"),
        "sound.wav": (b"RIFF\0\0\0\0WAVE" + bytes(200), "a sound"),
        "pic.webp.crdownload": (b"<html>", "neither a picture nor a film"),
        "notes.md": (b"# Notes", "neither a picture nor a film"),
        "nothing.png": (b"", "empty"),
    }
    for name, (data, _) in others.items():
        (source / name).write_bytes(data)
    (source / ".DS_Store").write_bytes(b"x")
    (source / "Thumbs.db").write_bytes(b"x")
    assert make(source, tmp_path / "set", "--size", 64, "--duplicates", 0) == 0
    assert sorted(used(tmp_path / "set")) == sorted(pictures)
    found = reasons(tmp_path / "set")
    assert found.keys() == others.keys()
    assert all(words in found[name] for name, (_, words) in others.items())


def test_films_among_pictures_and_a_folder_of_films_are_used(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "mixed", 2)
    write_film(source / "take 10.mp4", moving(1, 8))
    write_film(source / "take 9.mkv", moving(2, 6))
    (source / "broken.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(100))
    out = tmp_path / "set"
    assert make(source, out, "--size", 64, "--duplicates", 0, "--every", 2) == 0
    frames = [f"take 9.mkv frame {n}" for n in (0, 2, 4)] + [f"take 10.mp4 frame {n}" for n in (0, 2, 4, 6)]
    assert used(out) == ["000.png", "001.png", *frames]
    assert list(reasons(out)) == ["broken.mp4"] and "cannot be read as a film" in reasons(out)["broken.mp4"]
    before = {path.name: path.read_bytes() for path in (out / "pictures").iterdir()}
    assert make(source, out, "--size", 64, "--duplicates", 0, "--every", 2) == 0  # continued: nothing is made again
    assert {path.name: path.read_bytes() for path in (out / "pictures").iterdir()} == before
    about = json.loads((out / "dataset.json").read_text())
    assert about["complete"]


@pytest.mark.parametrize("form", ["webp", "png", "gif", "apng"])
def test_an_animated_picture_is_a_film(tmp_path: Path, form: str) -> None:
    frames = [Image.fromarray(picture) for picture in moving(3, 6, step=20)]
    path = tmp_path / f"anim.{form}"
    options = {"lossless": True} if form == "webp" else {}
    kind = "PNG" if form == "apng" else form.upper()
    frames[0].save(path, format=kind, save_all=True, append_images=frames[1:], duration=100, **options)
    assert is_film(path)
    out = tmp_path / "set"
    assert make(path, out, "--size", 64, "--duplicates", 0, "--rate", 5) == 0
    assert used(out) == ["frame 0", "frame 2", "frame 4"]
    folder = tmp_path / "folder"
    folder.mkdir()
    path.rename(folder / path.name)
    assert make(folder, tmp_path / "other", "--size", 64, "--duplicates", 0) == 0
    assert len(used(tmp_path / "other")) == 6


def test_a_zip_of_a_data_set_tool_is_read_with_its_classes(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    names = [f"{number // 2:05d}/img{number:08d}.png" for number in range(5)]
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(name, png(drawn(number)))
        archive.writestr("dataset.json", json.dumps({"labels": [[name, n % 3] for n, name in enumerate(names)]}))
        archive.writestr("__MACOSX/._img.png", b"x")
        archive.writestr("notes.txt", b"hello")
        archive.writestr("../../away.png", b"no picture")
    out = tmp_path / "made"
    assert make(path, out, "--size", 64) == 0
    assert used(out) == names and set(reasons(out)) == {"notes.txt", "../../away.png"}
    labels = json.loads((out / "labels.json").read_text())["labels"]
    assert labels == [[f"{number:06d}.png", number % 3] for number in range(5)]
    zipfile.ZipFile(path).extractall(tmp_path / "unpacked")
    assert make(tmp_path / "unpacked", tmp_path / "again", "--size", 64) == 0
    assert json.loads((tmp_path / "again" / "labels.json").read_text())["labels"] == labels
    assert (first(out, 3) == first(tmp_path / "again", 3)).all()


def test_a_file_in_a_zip_that_cannot_be_unpacked_is_listed(tmp_path: Path) -> None:
    """One is encrypted; the others are used."""
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.png", png(drawn(number)))
    data = bytearray(path.read_bytes())
    place = data.find(b"PK\x01\x02")  # the first entry of the central directory, whose flags come 8 bytes later
    data[place + 8] |= 1
    path.write_bytes(data)
    assert make(path, tmp_path / "made", "--size", 64) == 0
    assert used(tmp_path / "made") == ["1.png", "2.png"]
    assert "it cannot be unpacked" in reasons(tmp_path / "made")["0.png"]


def test_a_zip_that_is_none_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.zip").write_bytes(b"PK\3\4 nothing")
    assert make(tmp_path / "bad.zip", tmp_path / "set", "--size", 64) == 1
    assert "cannot be read as a zip" in capsys.readouterr().err


LISTS = {
    "powershell": ("\r\n".join, "utf-16"),
    "plain": ("\n".join, "utf-8"),
    "marked": ("\n".join, "utf-8-sig"),
    "quoted": (lambda names: "\r\n".join(f'"{name}"' for name in names), "utf-8"),
    "backslashes": (lambda names: "\r\n".join(name.replace("/", "\\") for name in names), "utf-8"),
    "windows": ("\r\n".join, "cp1252"),
    "ffconcat": (
        lambda names: "ffconcat version 1.0\n" + "".join(f"file '{name}'\nduration 1.5\n" for name in names),
        "utf-8",
    ),
}


@pytest.mark.parametrize("form", LISTS)
def test_lists_as_programs_write_them(tmp_path: Path, form: str) -> None:
    names = ["p/shot 1.png", "p/été.png", "p/duration 3.png"]
    for seed, name in enumerate(names):
        save(tmp_path / name, drawn(seed))
    write, encoding = LISTS[form]
    path = tmp_path / "list.txt"
    path.write_bytes(write(names).encode(encoding))
    assert [file.relative_to(tmp_path).as_posix() for file in listed(path).values()] == names
    assert make(path, tmp_path / "set", "--size", 64) == 0
    assert len(Dataset(tmp_path / "set")) == 3


def deep(path: Path, levels: np.ndarray) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(levels).save(path)
    return path


def brightest(out: Path) -> list[int]:
    data = Dataset(out)
    return [int(data.picture(number).max()) for number in range(len(data))]


def ramp(top: float, kind: type) -> np.ndarray:
    levels = np.tile(np.linspace(0, top, 96), (96, 1))
    return (np.rint(levels) if kind is not np.float32 else levels).astype(kind)


def test_deep_pictures_are_made_by_one_rule_for_the_set(tmp_path: Path) -> None:
    """A film of 16 bits that fades to black: each frame has its own share of white."""
    tops = (60000, 20000, 5000, 1000, 200, 60)
    for number, top in enumerate(tops):
        deep(tmp_path / "fade" / f"{number}.png", ramp(top, np.uint16))
    assert make(tmp_path / "fade", tmp_path / "a", "--size", 96, "--duplicates", 0) == 0
    assert brightest(tmp_path / "a") == [round(top / 65535 * 255) for top in tops]
    about = json.loads((tmp_path / "a" / "dataset.json").read_text())["depth"]
    assert about == {"whole": 65535.0, "black": None, "white": None}
    # A picture that is added later is made by the same rule.
    deep(tmp_path / "fade" / "9.png", ramp(255, np.uint16))
    assert make(tmp_path / "fade", tmp_path / "a", "--size", 96, "--duplicates", 0) == 0
    assert brightest(tmp_path / "a")[-1] == 1


def test_twelve_bits_floats_and_directions(tmp_path: Path) -> None:
    def made(name: str, *pictures: np.ndarray) -> list[int]:
        for number, levels in enumerate(pictures):
            deep(tmp_path / name / f"{number}.tif", levels)
        assert make(tmp_path / name, tmp_path / f"{name} set", "--size", 96, "--duplicates", 0) == 0
        return brightest(tmp_path / f"{name} set")

    assert made("twelve", ramp(4095, np.uint16), ramp(2048, np.uint16)) == [255, 128]
    assert made("heights", ramp(1000, np.float32), ramp(500, np.float32))[1] == pytest.approx(128, abs=1)
    light = ramp(1, np.float32)
    light[:5, :5] = 1.5
    assert made("highlight", ramp(0.5, np.float32), light) == [128, 255]
    signed = np.tile(np.linspace(-1, 1, 96, dtype=np.float32), (96, 1))
    made("signed", signed)
    assert first(tmp_path / "signed set")[48, 47].mean() == pytest.approx(127, abs=2)


def test_the_rule_of_depth() -> None:
    whole = [np.array([[0, top]], np.uint16) for top in (3, 700)]
    assert depth_of(whole) == Depth(1023.0) and depth_of([]) == Depth()
    assert depth_of([np.array([[0, 1 << 20]], np.int32)]) == Depth(float(1 << 20))
    assert depth_of([np.full((4, 4), np.nan, np.float32)]) == Depth(None, 0.0, 1.0)
    assert Depth(1023.0).eight_bits(np.array([[1023, 2000, 0]])).tolist() == [[255, 255, 0]]


def test_all_pages_of_a_tiff_are_used(tmp_path: Path) -> None:
    pages = [Image.fromarray(drawn(seed)) for seed in range(4)]
    (tmp_path / "stack").mkdir()
    pages[0].save(tmp_path / "stack" / "film.tif", save_all=True, append_images=pages[1:])
    assert make(tmp_path / "stack", tmp_path / "set", "--size", 96, "--duplicates", 0) == 0
    assert used(tmp_path / "set") == [f"film.tif page {page}" for page in range(1, 5)]
    assert all((first(tmp_path / "set", n) == np.asarray(page)).all() for n, page in enumerate(pages))
    assert make(tmp_path / "stack" / "film.tif", tmp_path / "alone", "--size", 96, "--duplicates", 0) == 0
    assert len(Dataset(tmp_path / "alone")) == 4


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x20ftypisom", Kind.FILM),
        (b"\0\0\0\x20ftypqt  ", Kind.FILM),
        (b"\x1a\x45\xdf\xa3", Kind.FILM),
        (b"RIFF\0\0\0\0AVI ", Kind.FILM),
        ((b"\x47" + bytes(187)) * 3, Kind.FILM),
        ((bytes(4) + b"\x47" + bytes(187)) * 3, Kind.FILM),
        (b"\0\0\x01\xba", Kind.FILM),
        (b"\0\0\0\x20ftypavif", Kind.PICTURE),
        (b"P6\n", Kind.PICTURE),
        (b"%PDF-1.7", Kind.OTHER),
        (b"PK\x03\x04", Kind.OTHER),
    ],
)
def test_first_bytes(tmp_path: Path, head: bytes, kind: Kind) -> None:
    (tmp_path / "file").write_bytes(head + bytes(600))
    assert kind_of(tmp_path / "file")[0] is kind
