"""Compare the motions on the sphere with independent references: scipy's slerp, and the formulas in mpmath."""

import mpmath
import numpy as np
import pytest
from scipy.spatial import geometric_slerp

from latent_lantern.latent_addon.core import interpolation

KEYS = np.array([10.0, 22.0, 40.0])


def some_keys(count=3, size=512, seed=7):
    return np.random.RandomState(seed).randn(count, size)


def test_great_circle_equals_scipys_slerp_between_unit_keys():
    values = some_keys()
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    frames = np.arange(10.0, 41.0)
    moved = interpolation.great_circle(frames, KEYS, values, np.zeros(3, bool))
    for k in (0, 1):
        inside = (frames >= KEYS[k]) & (frames <= KEYS[k + 1])
        t = (frames[inside] - KEYS[k]) / (KEYS[k + 1] - KEYS[k])
        np.testing.assert_allclose(moved[inside], geometric_slerp(values[k], values[k + 1], t), atol=1e-12)


def test_great_circle_has_constant_speed_and_linear_length():
    values = some_keys() * np.array([[1.0], [2.0], [0.5]])
    frames = np.linspace(10, 22, 25)
    moved = interpolation.great_circle(frames, KEYS, values, np.zeros(3, bool))
    lengths = np.linalg.norm(moved, axis=1)
    ends = np.linalg.norm(values[:2], axis=1)
    np.testing.assert_allclose(lengths, np.linspace(ends[0], ends[1], 25), rtol=1e-12)
    unit = moved / lengths[:, None]
    steps = np.arccos(np.clip((unit[1:] * unit[:-1]).sum(axis=1), -1, 1))
    np.testing.assert_allclose(steps, steps[0], rtol=1e-9)


def test_great_circle_hits_its_keys_to_the_bit_and_holds_beyond_them():
    values = some_keys()
    frames = np.array([-5.0, 10.0, 22.0, 40.0, 99.0])
    moved = interpolation.great_circle(frames, KEYS, values, np.zeros(3, bool))
    assert (moved == values[[0, 0, 1, 2, 2]]).all()


def test_great_circle_holds_held_keys():
    values = some_keys()
    moved = interpolation.great_circle(np.array([10.0, 21.9, 22.0]), KEYS, values, np.array([True, False, False]))
    assert (moved == values[[0, 0, 1]]).all()


def test_great_circle_with_one_key():
    moved = interpolation.great_circle(np.array([1.0, 5.0]), np.array([3.0]), some_keys(1), np.array([False]))
    assert (moved == some_keys(1)).all()


@pytest.mark.parametrize("angle", [1e-12, 1e-8, 1e-6, 1e-3, 3.0, np.pi - 1e-6])
def test_great_circle_keeps_its_precision_at_every_angle(angle):
    """The same arc with fifty digits."""
    a = np.array([1.0, 0.0, 0.0])
    with mpmath.workdps(50):
        exact = mpmath.mpf(float(angle))
        b = np.array([float(mpmath.cos(exact)), float(mpmath.sin(exact)), 0.0])
        true_angle = mpmath.atan2(mpmath.mpf(b[1]), mpmath.mpf(b[0]))
        wanted = [[float(mpmath.cos(true_angle * t / 8)), float(mpmath.sin(true_angle * t / 8)), 0.0] for t in range(9)]
    moved = interpolation.great_circle(np.arange(9.0), np.array([0.0, 8.0]), np.stack([a, b]), np.zeros(2, bool))
    np.testing.assert_allclose(moved, wanted, atol=2e-10 if angle > 3.1 else 1e-15)


def test_opposite_keys_go_round_the_sphere_always_the_same_way():
    a = some_keys(1, 16)[0]
    pair = np.stack([a, -a])
    moved = interpolation.great_circle(np.arange(9.0), np.array([0.0, 8.0]), pair, np.zeros(2, bool))
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), np.linalg.norm(a), rtol=1e-12)
    assert abs(moved[4] @ a) < 1e-9
    again = interpolation.great_circle(np.arange(9.0), np.array([0.0, 8.0]), pair.copy(), np.zeros(2, bool))
    assert (moved == again).all()


def test_a_key_without_direction_is_reached_on_a_straight_line():
    pair = np.stack([np.zeros(4), np.array([2.0, 0.0, 0.0, 0.0])])
    moved = interpolation.great_circle(np.arange(3.0), np.array([0.0, 2.0]), pair, np.zeros(2, bool))
    np.testing.assert_allclose(moved[:, 0], [0, 1, 2])


def test_spherical_keeps_direction_and_takes_the_keys_length():
    keys = some_keys(2, 64)
    frames = np.arange(0.0, 13.0)
    eased = (1 - np.cos(np.pi * frames / 12)) / 2
    values = (1 - eased)[:, None] * keys[0] + eased[:, None] * keys[1]
    moved = interpolation.spherical(values, frames, np.array([0.0, 12.0]), keys, np.zeros(2, bool))
    cosines = (moved * values).sum(1) / np.linalg.norm(moved, axis=1) / np.linalg.norm(values, axis=1)
    np.testing.assert_allclose(cosines, 1.0, rtol=1e-12)
    ends = np.linalg.norm(keys, axis=1)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), ends[0] + (ends[1] - ends[0]) * frames / 12, rtol=1e-12)
    np.testing.assert_allclose(moved[[0, -1]], keys, rtol=1e-12)


def test_spherical_leaves_zero_and_unkeyed_values_alone():
    values = np.zeros((3, 4))
    assert (
        interpolation.spherical(values, np.arange(3.0), np.array([0.0]), np.ones((1, 4)), np.zeros(1, bool)) == 0
    ).all()
    values = some_keys(3, 4)
    assert interpolation.spherical(values, np.arange(3.0), np.array([]), np.empty((0, 4)), np.zeros(0, bool)) is values


def test_spherical_holds_the_length_of_held_keys():
    keys = some_keys(3, 16)
    frames = np.arange(8.0, 44.0)
    values = keys[np.clip(np.searchsorted(KEYS, frames, side="right") - 1, 0, 2)]
    moved = interpolation.spherical(values, frames, KEYS, keys, np.array([True, True, False]))
    np.testing.assert_allclose(moved, values, rtol=1e-12)


def test_the_grid_swallows_last_digits_and_negative_zeros():
    values = some_keys(4, 100)
    rounded = interpolation.round_to_grid(values)
    assert rounded.dtype == np.float32
    np.testing.assert_array_equal(rounded.astype(np.float64) * 65536, np.rint(values * 65536))
    assert (interpolation.round_to_grid(rounded.astype(np.float64) + 3e-6) == rounded).all()
    assert interpolation.round_to_grid(np.array([-1e-9])).tobytes() == np.zeros(1, np.float32).tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e5])
def test_the_grid_refuses_what_is_no_number(bad):
    with pytest.raises(ValueError, match="beyond 65536"):
        interpolation.round_to_grid(np.array([0.0, bad]))
