"""What happens to one picture: formats of pictures, crops, figures cut out, near-duplicates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFilter

from dataset_sources import drawn, first, folder_of, make, save
from inference_server.datasets.cropping import smart_position, window
from inference_server.datasets.cut_out import bounds, cut_out
from inference_server.datasets.duplicates import Duplicates, cells_of
from inference_server.datasets.pictures import open_picture
from inference_server.datasets.reading import Dataset

GREEN = (30, 190, 60)


def figure(size: tuple[int, int], left: int, grey: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A reddish or grey disc with stripes in front of a green screen, and how much it covers each pixel, (h, w)."""
    y, x = np.mgrid[: size[1], : size[0]]
    cover = np.clip(30.5 - np.hypot(x - left - 30, y - size[1] / 2), 0, 1)
    body = np.where((y // 6 % 2 == 0)[..., None], (90, 90, 90) if grey else (220, 120, 100), (240, 220, 210))
    return np.rint(body * cover[..., None] + np.array(GREEN) * (1 - cover[..., None])).astype(np.uint8), cover


@pytest.mark.parametrize("grey", [True, False])
def test_a_figure_is_cut_out_softly_and_without_spill(grey: bool) -> None:
    picture, cover = figure((120, 80), 20, grey)
    made = cut_out(picture, GREEN, 0.1).astype(float)
    alpha = made[..., 3] / 255
    assert alpha[cover == 0].max() == 0 and alpha[cover == 1].min() > 0.99
    edge = (cover > 0.1) & (cover < 0.9)
    # If a figure's hue is opposite to the screen's, its edge becomes a little wider; the method causes this.
    assert np.abs(alpha[edge] - cover[edge]).mean() < (0.12 if grey else 0.25)
    greenish = made[..., 1] - np.maximum(made[..., 0], made[..., 2])
    assert (greenish * alpha).max() < (16 if grey else 40)  # of 255, seen on black
    assert np.abs(made[cover == 1][:, :3] - picture[cover == 1]).max() <= 2


def test_a_drawing_on_white_paper_is_cut_out() -> None:
    paper = np.full((60, 60, 3), 252, np.uint8)
    paper[20:40, 10:30] = (60, 40, 50)
    made = cut_out(paper, (255, 255, 255), 0.25)
    assert made[..., 3][20:40, 10:30].min() == 255 and made[:15, :, 3].max() == 0
    left, top, right, bottom = bounds(made[..., 3], margin=0.1)
    assert (left, top, right, bottom) == (8, 18, 32, 42)
    assert bounds(np.zeros((10, 10), np.uint8)) is None


def test_a_keyed_figure_stands_on_the_ground_colour(tmp_path: Path) -> None:
    save(tmp_path / "source" / "a.png", figure((160, 80), 90)[0])
    save(tmp_path / "source" / "none.png", np.full((80, 160, 3), GREEN, np.uint8))
    words = ["--size", 64, "--key", "#1ebe3c", "--trim", "--ground", "#203040", "--crop", "fit"]
    assert make(tmp_path / "source", tmp_path / "set", *words) == 0
    picture = first(tmp_path / "set").astype(int)
    assert np.abs(picture[0, 0] - (0x20, 0x30, 0x40)).max() <= 1
    assert picture[32, 2:62, 0].min() > 100  # trimmed: the disc reaches from edge to edge
    assert "nothing is left" in (tmp_path / "set" / "skipped.txt").read_text()


def test_transparency_is_laid_on_the_ground_or_kept(tmp_path: Path) -> None:
    picture = np.zeros((96, 96, 4), np.uint8)
    picture[:, 48:] = (200, 100, 50, 255)
    save(tmp_path / "source" / "a.png", picture)
    make(tmp_path / "source", tmp_path / "white", "--size", 96, "--ground", "white")
    assert first(tmp_path / "white")[5, 5].tolist() == [255, 255, 255]
    make(tmp_path / "source", tmp_path / "kept", "--size", 96, "--alpha")
    assert first(tmp_path / "kept")[5, 5, 3] == 0 and first(tmp_path / "kept")[5, 90].tolist() == [200, 100, 50, 255]


def test_the_smart_window_finds_the_figure_and_the_centre_else() -> None:
    for left in (0, 100, 180):
        picture = np.full((80, 240, 3), 90, np.uint8)
        picture[10:70, left : left + 60] = drawn(1, (60, 60))
        at = window((240, 80), (64, 64), smart_position(Image.fromarray(picture), (64, 64)))
        assert at[0] - 3 <= left and at[2] + 3 >= left + 60, left
    assert smart_position(Image.new("RGB", (300, 100), (80, 80, 80)), (64, 64)) == pytest.approx(0.5, abs=0.05)
    upright = np.full((240, 80, 3), 90, np.uint8)
    upright[170:230] = drawn(1, (80, 60))
    assert smart_position(Image.fromarray(upright), (64, 64)) > 0.8
    assert window((100, 50), (64, 64), 0.5) == (25, 0, 75, 50) and window((50, 100), (128, 64), 1) == (0, 75, 50, 100)


def test_every_kind_of_picture_shows_the_same(tmp_path: Path) -> None:
    grey = np.asarray(Image.fromarray(drawn(5)).convert("L").filter(ImageFilter.GaussianBlur(2)))
    image = Image.fromarray(grey)
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    Image.fromarray(grey.astype(np.float32) / 255).save(tmp_path / "float.tif")
    Image.fromarray(grey.astype(np.int32) * 257).save(tmp_path / "32.tif")
    image.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "palette.png")
    image.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=98)
    image.convert("LA").save(tmp_path / "la.png")
    for name, options in (("l.webp", {"lossless": True}), ("l.gif", {}), ("l.bmp", {}), ("l.tif", {})):
        image.save(tmp_path / name, **options)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", exif=exif, quality=98)
    for path in sorted(tmp_path.iterdir()):
        opened = open_picture(path)
        assert opened.mode == "RGB", path.name
        assert np.abs(np.asarray(opened).astype(int) - grey[..., None]).max() <= 12, path.name


def test_colour_profiles_become_srgb(tmp_path: Path) -> None:
    lab = ImageCms.createProfile("LAB")
    srgb = ImageCms.createProfile("sRGB")
    picture = Image.fromarray(drawn(6))
    in_lab = ImageCms.profileToProfile(picture, srgb, lab, outputMode="LAB")
    in_lab.save(tmp_path / "lab.tif", icc_profile=ImageCms.ImageCmsProfile(lab).tobytes())
    assert np.abs(np.asarray(open_picture(tmp_path / "lab.tif")).astype(int) - np.asarray(picture)).mean() < 2
    picture.save(tmp_path / "broken.png", icc_profile=b"no profile")
    assert np.array_equal(np.asarray(open_picture(tmp_path / "broken.png")), np.asarray(picture))


def test_near_duplicates_are_found_and_others_are_not() -> None:
    known = Duplicates(3)
    pictures = [Image.fromarray(drawn(seed, (128, 128))) for seed in range(60)]
    for number, picture in enumerate(pictures):
        assert known.find(cells_of(picture)) is None, number
        known.add(str(number), cells_of(picture))
    noise = np.random.default_rng(0)
    for number, picture in enumerate(pictures):
        pixels = np.asarray(picture.resize((200, 200)).resize((128, 128))).astype(int)
        again = np.clip(pixels + noise.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)
        assert known.find(cells_of(Image.fromarray(again))) == str(number)
    nothing = Duplicates(0)
    nothing.add("0", cells_of(pictures[0]))
    assert nothing.find(cells_of(pictures[0])) is None


def test_another_colour_or_a_moved_arm_is_another_picture() -> None:
    picture = np.zeros((128, 128, 3), np.uint8)
    picture[30:120, 50:80] = (200, 60, 60)
    recoloured = picture[..., [2, 1, 0]]
    arm = picture.copy()
    arm[40:48, 80:120] = (200, 60, 60)
    known = Duplicates(3)
    known.add("0", cells_of(Image.fromarray(picture)))
    assert known.find(cells_of(Image.fromarray(recoloured))) is None
    assert known.find(cells_of(Image.fromarray(arm))) is None


def test_enlarged_pictures_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder_of(tmp_path / "source", 3, (96, 96))
    save(tmp_path / "source" / "large.png", drawn(9, (200, 200)))
    make(tmp_path / "source", tmp_path / "set", "--size", 128)
    assert len(Dataset(tmp_path / "set")) == 4
    assert "3 of them were smaller than the size" in capsys.readouterr().out
