"""Compare shadows with independent computations: OpenCV for luma and threshold, a flood fill in Python for pieces."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy import ndimage

from inference_server.pixels.shadow import clean_up, figure_coverage, luma, make_shadow
from lantern_protocol.orders import ShadowSettings

MARROW = ShadowSettings()


def noise(seed: int, size: int = 40, channels: int = 3, sigma: float = 1.5) -> np.ndarray:
    """Smooth random pixels with values below and above any threshold."""
    values = ndimage.gaussian_filter(np.random.RandomState(seed).randn(size, size, channels), (sigma, sigma, 0))
    return np.clip(128 + 70 * values / values.std(), 0, 255).astype(np.uint8)


def disc(size: int = 64, radius: float = 20.3, blur: float = 1.0) -> np.ndarray:
    """A bright disc on black with an edge as soft as a generator's."""
    y, x = np.mgrid[:size, :size] - size / 2 + 0.2
    light = np.clip((radius - np.hypot(x, y)) / blur + 0.5, 0, 1)
    return (light * 255).astype(np.uint8)[:, :, None]


def test_luma_is_opencvs_for_every_colour() -> None:
    red, green, blue = np.meshgrid(*[np.arange(256, dtype=np.uint8)] * 3, indexing="ij")
    colours = np.stack([red, green, blue], axis=-1).reshape(4096, 4096, 3)
    assert np.array_equal(luma(colours), cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY))


@pytest.mark.parametrize("threshold", [0, 3, 50, 200, 254, 255])
def test_the_defaults_are_marrows_rule(threshold: int) -> None:
    pixels = noise(threshold, 64)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    expected = cv2.threshold(grey, threshold, 255, cv2.THRESH_BINARY_INV)[1]
    assert MARROW.threshold == 50
    shadow = make_shadow(pixels, replace(MARROW, threshold=float(threshold)))
    assert shadow.shape == (64, 64, 1) and shadow.dtype == np.uint8
    assert np.array_equal(shadow[:, :, 0], expected)
    between = make_shadow(pixels, replace(MARROW, threshold=min(threshold + 0.5, 255.0)))
    assert np.array_equal(between, shadow)


def test_invert_is_the_complement() -> None:
    pixels = noise(1)
    plain, inverted = (figure_coverage(pixels, replace(MARROW, threshold=120, invert=flag)) for flag in (False, True))
    assert np.array_equal(plain, 255 - inverted)
    soft = [figure_coverage(pixels, ShadowSettings(120, 4, invert=flag)) for flag in (False, True)]
    assert np.abs(soft[0].astype(int) + soft[1] - 255).max() <= 2


def pieces(mask: np.ndarray, diagonal: bool) -> list[list[tuple[int, int]]]:
    """Connected pieces of a mask by flood fill."""
    steps = [(-1, 0), (1, 0), (0, -1), (0, 1)] + [(a, b) for a in (-1, 1) for b in (-1, 1) if diagonal]
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    found = []
    while left:
        piece, edge = [], [left.pop()]
        while edge:
            y, x = edge.pop()
            piece.append((y, x))
            near = {(y + a, x + b) for a, b in steps} & left
            left -= near
            edge.extend(near)
        found.append(piece)
    return found


@pytest.mark.parametrize("seed", range(8))
def test_holes_and_specks_are_those_a_flood_fill_finds(seed: int) -> None:
    mask = noise(seed, 40, 1, sigma=0.8)[:, :, 0] > 120
    holes, specks = 6, 9
    expected = mask.copy()
    for piece in pieces(~mask, diagonal=False):
        on_border = any(y in (0, 39) or x in (0, 39) for y, x in piece)
        if len(piece) <= holes and not on_border:
            expected[tuple(np.transpose(piece))] = True
    assert np.array_equal(clean_up(mask, holes, 0), expected)
    for piece in pieces(expected, diagonal=True):
        if len(piece) <= specks:
            expected[tuple(np.transpose(piece))] = False
    assert np.array_equal(clean_up(mask, holes, specks), expected)
    assert (expected != mask).any()


def test_clean_up_of_nothing_and_everything() -> None:
    for value in (False, True):
        mask = np.full((5, 7), value)
        assert np.array_equal(clean_up(mask, 1000, 0), mask)
        assert not clean_up(mask, 0, 35).any()
        assert np.array_equal(clean_up(mask, 0, 34), mask)


@pytest.mark.parametrize("softness", [0.01, 0.5, 1.0])
def test_an_antialiased_edge_has_its_middle_where_the_hard_one_is(softness: float) -> None:
    pixels = noise(5, 64)
    hard = figure_coverage(pixels, ShadowSettings(120))
    soft = figure_coverage(pixels, ShadowSettings(120, softness))
    assert np.array_equal(soft >= 128, hard == 255)


@pytest.mark.parametrize("softness", [1.0, 2.0, 5.5, 12.0])
def test_softness_is_the_width_of_the_ramp(softness: float) -> None:
    """A straight edge; in the picture, it is a ramp of three pixels around column 32.0."""
    columns = np.clip((np.arange(64) - 31.5) / 3 + 0.5, 0, 1)
    pixels = np.tile((columns * 250).astype(np.uint8), (64, 1))[:, :, None]
    row = figure_coverage(pixels, ShadowSettings(125, softness))[32].astype(float) / 255
    assert (np.diff(row) >= 0).all()
    assert row.sum() == pytest.approx(32, abs=0.1)  # the middle has not moved
    between = np.count_nonzero((row > 0.004) & (row < 0.996))
    assert softness - 2 <= between <= softness + 2


def test_a_disc_keeps_its_area_and_loses_its_stairs() -> None:
    pixels = disc()
    hard, soft = (figure_coverage(pixels, ShadowSettings(127, width)) / 255.0 for width in (0, 1))
    area = np.pi * 20.3**2
    assert soft.sum() == pytest.approx(area, rel=0.01)
    y, x = np.mgrid[:64, :64] - 32 + 0.2
    exact = np.clip(20.3 - np.hypot(x, y) + 0.5, 0, 1)
    assert np.abs(soft - exact).max() < 0.1 < 0.4 < np.abs(hard - exact).max()


def test_cleaned_up_pieces_leave_no_trace_in_soft_edges() -> None:
    pixels = disc(blur=3)
    pixels[30:33, 30:33] = 40
    pixels[2:4, 2:4] = 160
    coverage = figure_coverage(pixels, ShadowSettings(100, 1, fill_holes=50, min_area=50))
    assert (coverage[24:40, 24:40] == 255).all()
    assert (coverage[:8, :8] == 0).all()


def test_inks_and_the_fewest_channels() -> None:
    pixels = noise(2)
    figure = figure_coverage(pixels, MARROW) == 255
    for ink, ground, channels in (
        ((10, 10, 10, 255), (200, 200, 200, 255), 1),
        ((10, 20, 30, 255), (200, 200, 200, 255), 3),
        ((10, 10, 10, 255), (0, 0, 0, 0), 4),
    ):
        shadow = make_shadow(pixels, replace(MARROW, figure=ink, ground=ground))
        assert shadow.shape[2] == channels
        expected = np.where(figure[:, :, None], np.array(ink)[:channels], np.array(ground)[:channels])
        assert np.array_equal(shadow, expected)


def test_an_edge_onto_nothing_has_no_fringe_of_the_grounds_colour() -> None:
    shadow = make_shadow(disc(), ShadowSettings(127, 4, figure=(30, 60, 90, 255), ground=(255, 255, 255, 0)))
    seen = shadow[:, :, 3] > 0
    assert len(np.unique(shadow[:, :, 3])) > 10
    assert (shadow[seen][:, :3] == (30, 60, 90)).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_mix_goes_from_colour_to_shadow(channels: int) -> None:
    pixels = noise(3, channels=channels)
    if channels == 4:
        pixels[:, :, 3] = 255
    settings = ShadowSettings(120, 2, figure=(10, 20, 30, 255), ground=(240, 230, 220, 255))
    shadow = make_shadow(pixels, settings).astype(float)
    colour = pixels[:, :, :3].astype(float) if channels > 1 else np.repeat(pixels, 3, axis=2).astype(float)
    for mix in (0.0, 0.25, 0.5, 0.999):
        mixed = make_shadow(pixels, replace(settings, mix=mix))
        assert mixed.shape[2] == max(channels, 3)
        assert np.abs(mixed[:, :, :3] - (colour * (1 - mix) + shadow * mix)).max() <= 0.51
    grey = make_shadow(pixels[:, :, :1], replace(MARROW, mix=0.0))
    assert np.array_equal(grey, pixels[:, :, :1])


def test_transparent_pixels_are_ground() -> None:
    pixels = noise(4, channels=4)
    pixels[:, :, 3] = 255
    pixels[10:20, 10:20, 3] = 0
    opaque = pixels[:, :, :3]
    for invert in (False, True):
        settings = replace(MARROW, threshold=120, invert=invert)
        coverage = figure_coverage(pixels, settings)
        assert (coverage[10:20, 10:20] == 0).all()
        elsewhere = pixels[:, :, 3] == 255
        assert np.array_equal(coverage[elsewhere], figure_coverage(opaque, settings)[elsewhere])
