"""Compare the evaluation of F-curves with roots found by numpy. The place of a strip must make no difference.

tests/blender/test_evaluation.py compares it with Blender itself.
"""

from dataclasses import replace

import numpy as np
import pytest

from latent_lantern.latent_addon.core import fcurves
from latent_lantern.latent_addon.core.fcurves import BEZIER, CONSTANT, LINEAR, CurveKeys


def curve(times, values, kinds=None, out=None, back=None, slopes=None, extrapolates=False):
    """A curve whose handles are `out` and `back` frames long, with these `slopes`."""
    times, values = np.array(times, np.float64), np.array(values, np.float64)
    spans = np.diff(times)
    out = np.append(spans / 3, 1.0) if out is None else np.full(len(times), out)
    back = np.insert(spans / 3, 0, 1.0) if back is None else np.full(len(times), back)
    slopes = np.zeros(len(times)) if slopes is None else np.array(slopes)
    keyed, left, right = (times, values), (times - back, values - back * slopes), (times + out, values + out * slopes)
    places = np.stack([np.stack(part, axis=1) for part in (keyed, left, right)]).astype(np.float32)
    return CurveKeys(places, np.array(kinds or [BEZIER] * len(times), np.int32), extrapolates)


def evaluate(curves, frames, origin):
    """Values (F, C) of all curves, group by group."""
    values = np.empty((len(frames), len(curves)))
    for group in fcurves.grouped(dict(enumerate(curves)), origin):
        values[:, group.members] = group.evaluate((frames - origin).astype(np.float64))
    return values


def moved(keys, by):
    """The curve as Blender stores it after its strip was moved: the shift is added to every time in float32."""

    return replace(keys, places=keys.places + np.float32([by, 0]))


def by_roots(keys, frame):
    """One value of a Bezier curve, from the roots of its cubic in time."""
    k = np.searchsorted(keys.points[:, 0], frame, side="right") - 1
    x = [keys.points[k, 0], keys.right[k, 0], keys.left[k + 1, 0], keys.points[k + 1, 0]]
    y = [keys.points[k, 1], keys.right[k, 1], keys.left[k + 1, 1], keys.points[k + 1, 1]]

    def power(p):
        p = np.array(p, np.float64)
        return np.array([-p[0] + 3 * p[1] - 3 * p[2] + p[3], 3 * p[0] - 6 * p[1] + 3 * p[2], 3 * (p[1] - p[0]), p[0]])

    cubic = power(x)
    cubic[3] -= frame
    roots = np.roots(cubic)
    real = [r.real for r in roots if abs(r.imag) < 1e-7 and -1e-9 <= r.real <= 1 + 1e-9]
    return np.polyval(power(y), real[0])


@pytest.mark.parametrize("reach", [None, 0.5, 7.0])
def test_bezier_segments_equal_the_roots_of_the_cubic(reach):
    keys = curve([3, 15, 40], [1.0, -2.0, 0.5], out=reach, back=reach, slopes=[0.2, -0.4, 0.1])
    frames = np.arange(3, 40)
    found = evaluate([keys], frames, 0)[:, 0]
    np.testing.assert_allclose(found, [by_roots(keys, frame) for frame in frames], atol=3e-4 if reach is None else 1e-6)


def test_constant_and_linear_segments():
    keys = curve([0, 4, 8], [1.0, 3.0, -1.0], kinds=[CONSTANT, LINEAR, BEZIER])
    found = evaluate([keys], np.arange(-2, 11), 0)[:, 0]
    np.testing.assert_array_equal(found, [1, 1, 1, 1, 1, 1, 3, 2, 1, 0, -1, -1, -1])


def test_extrapolation():
    frames = np.array([-3, 12])
    line = curve([0, 8], [1.0, 5.0], kinds=[LINEAR, LINEAR], extrapolates=True)
    np.testing.assert_allclose(evaluate([line], frames, 0)[:, 0], [-0.5, 7.0])
    along = curve([0, 8], [1.0, 5.0], slopes=[0.25, -2.0], extrapolates=True)
    np.testing.assert_allclose(evaluate([along], frames, 0)[:, 0], [0.25, -3.0])
    held = curve([0, 8], [1.0, 5.0], kinds=[CONSTANT, CONSTANT], extrapolates=True)
    np.testing.assert_array_equal(evaluate([held], frames, 0)[:, 0], [1, 5])
    single = curve([5], [2.0], kinds=[LINEAR], extrapolates=True)
    np.testing.assert_array_equal(evaluate([single], frames, 0)[:, 0], [2, 2])


def test_handles_that_pass_the_other_key_never_turn_back_time():
    keys = curve([0, 10], [0.0, 1.0], out=25.0, back=25.0)
    found = evaluate([keys], np.arange(0, 11), 0)[:, 0]
    assert (np.diff(found) >= 0).all() and found[0] == 0 and found[-1] == 1


@pytest.mark.parametrize("by", [1, 100, 1000, 9999, -37])
def test_a_moved_curve_gives_the_same_bits(by):
    random = np.random.RandomState(3)
    curves = []
    for _ in range(64):
        times = np.array([1, 12, 13, 50, 96])
        spans = np.diff(times)
        automatic = float(np.float32(2.5614))
        keys = curve(times, random.randn(5), slopes=random.randn(5) / 9)
        keys.right[:4, 0] = (times[:4] + spans / automatic).astype(np.float32)
        keys.left[1:, 0] = (times[1:] - spans / automatic).astype(np.float32)
        curves.append(keys)
    here = evaluate(curves, np.arange(-5, 110), 1)
    there = evaluate([moved(keys, by) for keys in curves], np.arange(-5, 110) + by, 1 + by)
    assert here.tobytes() == there.tobytes()


def test_curves_are_evaluated_as_if_each_were_alone():
    curves = [curve([0, 9], [i, -i], out=1.0 + i % 3) for i in range(9)]
    frames = np.arange(-1, 11)
    together = evaluate(curves, frames, 0)
    alone = np.concatenate([evaluate([keys], frames, 0) for keys in curves], axis=1)
    assert together.tobytes() == alone.tobytes()


def test_other_kinds_are_left_to_blender():
    assert not curve([0, 1], [0.0, 1.0], kinds=[BEZIER, 3]).is_simple()
    assert curve([0, 1], [0.0, 1.0]).is_simple()


def test_a_few_frames_give_the_bits_that_all_of_them_give():
    random = np.random.RandomState(7)
    for turn in range(40):
        count = random.randint(1, 7)
        times = np.sort(random.choice(200, count, replace=turn % 4 == 0)).astype(float)
        kinds = random.choice([CONSTANT, LINEAR, BEZIER], count).tolist()
        keys = [curve(times, random.randn(count), kinds, 9.0, 4.0, random.randn(count), turn % 2) for _ in range(3)]
        frames = np.arange(-20, 220)
        with np.errstate(all="ignore"):  # of two keys at the same time the second counts; there is nothing between them
            together = evaluate(keys, frames, 3)
            apart = np.concatenate([evaluate(keys, part, 3) for part in np.array_split(frames, 11)])
        np.testing.assert_array_equal(apart, together)
