"""The drawn family at dinner: what decides a picture, no jumps, its shadows, and its folder."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from inference_server.training import figures
from inference_server.training.figures import heads, people, scene, things
from inference_server.training.figures.heads import Head
from inference_server.training.figures.knobs import Knobs, ramp
from inference_server.training.figures.pen import Pen, along, shade

LUMA = np.array((0.299, 0.587, 0.114))


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """Forty pictures at 128 pixels."""
    return np.stack([figures.draw_picture(figures.latent(1, index), 128) for index in range(40)])


@pytest.fixture(scope="module")
def shadows(pictures) -> np.ndarray:
    """Masks of the figures: true where they are, (40, 128, 128)."""
    return figures.silhouette(pictures)[..., 0] == 0


def change(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Mean change in each 16 x 16 block of two pictures of 128 pixels."""
    difference = np.abs(first.astype(float) - second).mean(axis=2)
    return difference.reshape(8, 16, 8, 16).mean(axis=(1, 3))


def test_a_latent_decides_a_picture():
    z = figures.latent(5, 2)
    assert z.shape == (figures.LATENT,)
    assert z.dtype == np.float32
    picture = figures.draw_picture(z, 64)
    assert picture.shape == (64, 64, 3)
    assert picture.dtype == np.uint8
    assert figures.draw_picture(z).shape == (256, 256, 3)
    assert np.array_equal(picture, figures.draw_picture(2 * z, 64))
    assert not np.array_equal(picture, figures.draw_picture(figures.latent(5, 3), 64))


def largest_steps(start: np.ndarray, end: np.ndarray, count: int) -> np.ndarray:
    """The largest change of any block in each of ``count`` equal steps from latent to latent."""
    path = [figures.draw_picture(start + (end - start) * place / count, 128) for place in range(count + 1)]
    return np.array([change(one, other).max() for one, other in pairwise(path)])


def test_a_small_step_in_z_is_a_small_step_in_the_picture():
    """On straight paths between pictures, the fastest moment is examined more closely. It must not be a jump.

    A block that changes from empty to a figure changes by 100 to 250. In steps of a thousandth of the path, only edges
    change: they move by half a pixel, the finest step in which pictures are drawn.
    """
    for index in range(8):
        start, end = figures.latent(1, index), figures.latent(2, index)
        steps = largest_steps(start, end, 48)
        assert steps.min() > 1  # and something always moves
        fastest = int(steps.argmax())
        there, then = (start + (end - start) * (fastest + ahead) / 48 for ahead in (0, 1))
        assert largest_steps(there, then, 20).max() < 13


def test_a_small_step_of_any_component_is_a_small_step_in_the_picture():
    for part, names in ((0, figures.SCENE), (32, figures.PERSON), (56, figures.PERSON)):
        for number in range(len(names)):
            z = figures.latent(3, part + number)
            moved = z.copy()
            moved[part + number] += 0.002
            assert change(figures.draw_picture(z, 128), figures.draw_picture(moved, 128)).max() < 6, names[number]


def test_every_component_moves_its_own_part():
    """One component goes from 0.9 to -0.9, or back. The length of z stays, so the others keep their effect."""
    bases = list(np.random.default_rng(0).choice((-0.9, 0.9), (4, figures.LATENT)))
    starts = [figures.draw_picture(base, 64).astype(float) for base in bases]
    for component in range(figures.LATENT):
        columns = np.zeros(64)
        for base, start in zip(bases, starts, strict=True):
            z = base.copy()
            z[component] *= -1
            columns += np.abs(figures.draw_picture(z, 64) - start).mean(axis=(0, 2))
        if 24 <= component < 32:
            assert not columns.any(), component  # not used
        else:
            assert columns.any(), component
        if 32 <= component < 56:
            assert not columns[32:].any(), component  # the person at the left end
        elif 56 <= component < 104:
            assert not columns[:12].any() and not columns[52:].any(), component  # the two in the middle
        elif component >= 104:
            assert not columns[:32].any(), component  # the person at the right end


def test_every_component_has_a_name_of_its_own():
    assert len(set(figures.SCENE)) == len(figures.SCENE) == 24
    assert len(set(figures.PERSON)) == len(figures.PERSON) == 24


def test_knobs():
    knobs = Knobs((-9.0, 0.0, 9.0, 5.0), ("a", "b", "c"))
    assert (knobs.between("a", 2, 6), knobs.between("b", 2, 6), knobs.between("c", 2, 6)) == (2, 4, 6)
    assert knobs.either("b", -1, 3) == pytest.approx(1)
    assert (knobs.grown("a"), knobs.grown("c")) == (0, 1)
    many = Knobs(np.random.default_rng(0).standard_normal(4000), [str(number) for number in range(4000)])
    grown = np.array([many.grown(name) for name in many.places])
    assert 0.2 < (grown == 0).mean() < 0.3
    assert 0.2 < (grown == 1).mean() < 0.3
    often = np.array([many.either(name) for name in many.places])
    assert (often < 0.1).mean() > 1.5 * ((often > 0.45) & (often < 0.55)).mean()
    assert [ramp(value, 0.6, 0.2) for value in (0.7, 0.4, 0.1)] == [0, pytest.approx(0.5), 1]


def test_figures_make_shadows(pictures, shadows):
    assert set(np.unique(figures.silhouette(pictures))) == {0, 255}
    share = shadows.mean(axis=(1, 2))
    assert share.min() > 0.35
    assert share.max() < 0.52
    # Bright inside: only few pixels, all on edges, are between ground and figure.
    luma = pictures @ LUMA
    assert ((luma > 20) & (luma < 60)).mean() < 0.03
    # Seats are fixed: a body in each and the table between them, in every picture.
    for x, y in ((17, 82), (111, 82), (40, 86), (88, 86)):
        assert shadows[:, y - 2 : y + 3, x - 2 : x + 3].mean() > 0.8
    # Gestures are not fixed: arms on both sides of the heads in the middle appear and disappear.
    for x in (40, 88):
        assert 0.1 < shadows[:, 34:50, x - 3 : x + 4].any(axis=(1, 2)).mean() < 0.9
    # The two in the middle do not touch.
    assert shadows[:, 48, 62:67].mean() < 0.35
    # Above the hats it is dark, except for the lamp.
    assert shadows[:, :20, :40].mean() < 0.02


def test_every_colour_is_brighter_than_its_gaps():
    rows = (scene.CLOTH, scene.HAIR, scene.WOOD, scene.SKIN)
    colours = [along(row, place) for row in rows for place in np.linspace(0, 1, 41)]
    colours += [shade(colour, factor) for colour in colours for factor in (0.86, 0.9, 1.3)]
    colours += [
        heads.WHITE,
        heads.RIM,
        people.METAL,
        things.METAL,
        things.GLASS,
        things.CREAM,
        things.CRUST,
        things.RED,
    ]
    assert min(np.array(colours) @ LUMA) > 60
    assert min(np.array([shade((10, 0, 0), 0.5)]) @ LUMA) > 70


def head(yaw: float, **components: float) -> np.ndarray:
    """A head on a canvas of 256, its neck at (128, 176), four pixels per unit. Components that are not named are 0."""
    canvas = Image.new("RGB", (256, 256))
    knobs = Knobs([components.get(name.replace(" ", "_"), 0.0) for name in figures.PERSON], figures.PERSON)
    colours = {"skin": (250, 210, 170), "hair": (230, 120, 40), "hat": (60, 200, 80), "band": (200, 90, 220)}
    Head(Pen(ImageDraw.Draw(canvas), 4.0).moved(32, 44), knobs, colours, yaw).draw()
    return np.asarray(canvas)


def holes(picture: np.ndarray) -> int:
    """Dark pixels of the face that are not connected with the ground."""
    dark = np.pad((picture @ LUMA < 50).astype(np.uint8) * 255, 1, constant_values=255)
    ground = Image.fromarray(dark)
    ImageDraw.floodfill(ground, (0, 0), 0)
    return int((np.asarray(ground) == 255).sum())


def test_a_face_turns():
    bare = {"crown": -3.0, "hair": -3.0, "bun": -3.0, "beard": -3.0, "glasses": -3.0}
    front, side = head(0.0, **bare), head(1.2, **bare)
    figure = (front @ LUMA > 50)[:170]
    assert abs(int(figure[:, :128].sum()) - int(figure[:, 128:].sum())) < 0.03 * figure.sum()
    assert holes(front) > holes(side) > 40  # two eyes and a mouth, then one
    assert holes(head(0.0, **bare | {"mouth": 3.0})) > holes(head(0.0, **bare | {"mouth": -3.0})) + 100
    assert holes(head(0.0, **bare | {"eyes": 3.0})) > holes(head(0.0, **bare | {"eyes": -3.0})) + 60
    # A nose in profile is part of the outline.
    reach = [np.flatnonzero((head(1.2, **bare | {"nose": nose}) @ LUMA > 50).any(axis=0)).max() for nose in (-3, 3)]
    assert reach[1] > reach[0] + 10


@pytest.mark.parametrize("part", ["crown", "hair", "bun", "beard", "glasses"])
def test_what_a_head_wears_grows_from_nothing(part):
    bare = {"crown": -3.0, "hair": -3.0, "bun": -3.0, "beard": -3.0, "glasses": -3.0, "brim": 3.0}
    for yaw in (-0.5, 0.0, 1.0):
        sizes = [head(yaw, **bare | {part: place}).astype(float) for place in (-3.0, -1.0, 0.0, 1.0, 3.0)]
        far = [np.abs(size - sizes[0]).mean() for size in sizes]
        assert far[0] == far[1] < far[2] < far[3] == far[4]


def test_an_elbow_joins_upper_and_lower_arm():
    for hand in ((10.0, 3.0), (4.0, -12.0), (-7.0, 9.0)):
        for bend in (1, -1):
            elbow = people.bent((1.0, 2.0), hand, 9.0, 9.0, bend)
            assert math.dist(elbow, (1.0, 2.0)) == pytest.approx(9, rel=0.01)
            assert math.dist(elbow, hand) == pytest.approx(9, rel=0.01)
    assert people.bent((0, 0), (10, 0), 6, 6, 1)[1] > 0 > people.bent((0, 0), (10, 0), 6, 6, -1)[1]


def test_contact_sheet(pictures):
    sheet = figures.contact_sheet(pictures[:7], 3)
    assert sheet.shape == (4 * 128, 3 * 128, 3)
    assert np.array_equal(sheet[256:384, 128:256], pictures[4])
    assert np.array_equal(sheet[384:, 128:256], figures.silhouette(pictures[4]))


def command(folder: Path, count: int = 3, size: int = 32, seed: int = 1, *more: str) -> None:
    figures.main(["--count", str(count), "--size", str(size), "--seed", str(seed), "--out", str(folder), *more])


def test_the_command_draws_pictures_and_latents(tmp_path, capsys):
    out, sheet = tmp_path / "drawn", tmp_path / "sheet.png"
    command(out, 3, 32, 1, "--workers", "2", "--sheet", str(sheet))
    assert "3 pictures of 32 x 32" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["latents.npy", "pictures"]
    files = sorted((out / "pictures").iterdir())
    assert [path.name for path in files] == ["000000.png", "000001.png", "000002.png"]
    latents = np.load(out / "latents.npy")
    assert latents.shape == (3, figures.LATENT)
    assert latents.dtype == np.float32
    for z, path in zip(latents, files, strict=True):
        with Image.open(path) as picture:
            assert picture.mode == "RGB"
            assert np.array_equal(np.asarray(picture), figures.draw_picture(z, 32))
    assert Image.open(sheet).size == (96, 64)


def test_a_stopped_command_carries_on(tmp_path):
    command(tmp_path)
    first, second, third = sorted((tmp_path / "pictures").iterdir())
    whole, made = second.read_bytes(), first.stat().st_mtime_ns
    second.unlink()
    second.with_suffix(".unfinished").write_bytes(whole[:50])
    command(tmp_path, 4)
    assert second.read_bytes() == whole
    assert first.stat().st_mtime_ns == made
    assert sorted(path.name for path in third.parent.iterdir()) == [f"{index:06d}.png" for index in range(4)]
    assert np.load(tmp_path / "latents.npy").shape == (4, figures.LATENT)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"seed": 2}, "belongs to other pictures"),
        ({"count": 2}, "belongs to other pictures"),
        ({"size": 64}, "is 32 x 32 pixels, not 64 x 64"),
    ],
)
def test_other_pictures_are_not_mixed_in(tmp_path, capsys, other, said):
    command(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as ended:
        command(tmp_path, **other)
    assert ended.value.code == 1
    assert said in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_file_in_the_way_is_named(tmp_path, capsys):
    (tmp_path / "drawn").write_text("mine")
    with pytest.raises(SystemExit):
        command(tmp_path / "drawn")
    assert "The pictures could not be drawn" in capsys.readouterr().err
    assert (tmp_path / "drawn").read_text() == "mine"
