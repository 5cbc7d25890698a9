"""Recipes: the same frames however they are divided into pieces, and which of them an edit changes."""

from dataclasses import replace

import numpy as np
import pytest

from latent_lantern.latent_addon.core import fcurves, spans
from latent_lantern.latent_addon.core.fcurves import BEZIER, CONSTANT, LINEAR, CurveKeys
from latent_lantern.latent_addon.core.frame_request import GeneratorFacts, file_name
from latent_lantern.latent_addon.core.recipe import CLASSES, LATENT, Look, Recipe, Track
from latent_lantern.latent_addon.core.whole_keys import whole_keys

LENGTH = 120
LOOK = Look(GeneratorFacts("ab" * 32, "family", 3, 6, 16, 16), "Z", 1, 1, "FCURVE", "CONST", False, ())
SETTINGS = {
    "snapshot": 1.0,
    "move_x": 0.0,
    "move_y": 0.0,
    "turn": 0.0,
    "zoom": 1.0,
    "psi": 0.7,
    "cutoff": 0.0,
    "noise_seed": 0.0,
    "shadow_threshold": 50.0,
    "shadow_softness": 0.0,
    "shadow_fill_holes": 0.0,
    "shadow_min_area": 0.0,
    "shadow_invert": 0.0,
    "shadow_figure": (0.0, 0.0, 0.0, 1.0),
    "shadow_ground": (1.0, 1.0, 1.0, 1.0),
    "shadow_mix": 1.0,
}


def keys(times, values, kinds=None, extrapolates=False):
    times, values = np.array(times, np.float64), np.array(values, np.float64)
    points = np.stack([times, values], 1).astype(np.float32)
    kinds = np.full(len(times), BEZIER) if kinds is None else np.array(kinds)
    left, right = np.float32([[3.0, 0.4]]), np.float32([[2.0, 0.3]])
    return CurveKeys(np.stack([points, points - left, points + right]), kinds.astype(np.int32), extrapolates)


def recipe(curves, start=1, end=1 + LENGTH, origin=1, look=LOOK, psi=None, base=(0.0, 0.0, 0.0)):
    base = np.array(base)
    base[list(curves)] = 0.0
    tracks = {name: Track(np.atleast_1d(np.array(value, np.float64))) for name, value in SETTINGS.items()}
    tracks[LATENT] = Track(base, fcurves.grouped(curves, origin))
    tracks[CLASSES] = Track(np.empty(0))
    if psi is not None:
        tracks["psi"] = Track(np.zeros(1), fcurves.grouped({0: psi}, origin))
    whole = whole_keys(curves, base) if look.motion != "FCURVE" else None
    return Recipe(start, end, origin, look, tracks, whole)


def three(random, times=(1, 30, 60, 100), kinds=None, extrapolates=False):
    return {i: keys(times, random.randn(len(times)), kinds, extrapolates) for i in range(3)}


def names_of(of):
    return [name.tobytes() for name in of.names(0, len(of))[1]]


@pytest.mark.parametrize("motion", ["FCURVE", "SPHERICAL", "GREAT_CIRCLE"])
@pytest.mark.parametrize("shadow", [False, True])
def test_pieces_are_what_the_whole_is_and_names_are_those_of_the_requests(motion, shadow):
    look = replace(LOOK, motion=motion, shadow=shadow)
    made = recipe(three(np.random.RandomState(1)), look=look, psi=keys([1, 50], [0.5, 0.9], [LINEAR, LINEAR]))
    requests = made.requests(0, LENGTH)
    colours, shown = made.names(0, LENGTH)
    assert [file_name(name.tobytes(), False) for name in colours] == [r.colour_name() for r in requests]
    assert [file_name(name.tobytes(), shadow) for name in shown] == [r.name() for r in requests]
    assert len({request.settings.psi for request in requests}) == 50
    for size in (1, 7, 64):
        pieces = [made.names(i, min(LENGTH, i + size))[1] for i in range(0, LENGTH, size)]
        assert np.array_equal(np.concatenate(pieces), shown)
        assert [r for i in range(0, LENGTH, size) for r in made.requests(i, min(LENGTH, i + size))] == requests


def test_a_moved_strip_asks_for_the_same_and_says_so():
    random = np.random.RandomState(2)
    curves = three(random)
    shifted = {i: replace(c, places=c.places + np.float32([64, 0])) for i, c in curves.items()}
    for motion in ("FCURVE", "SPHERICAL", "GREAT_CIRCLE"):
        look = replace(LOOK, motion=motion)
        here = recipe(curves, look=look)
        there = recipe(shifted, start=65, end=65 + LENGTH, origin=65, look=look)
        assert there.changed_since(here) is None
        assert names_of(there) == names_of(here)


def edited(curves, edit, random):
    """One kind of edit, of one component or of all of them."""
    members = list(curves) if random.rand() < 0.5 else [int(random.randint(3))]
    k = int(random.randint(len(curves[members[0]].points)))
    result = dict(curves)
    for member in members:
        c = curves[member]
        (points, left, right), kinds = c.places.copy(), c.kinds.copy()
        if edit == "value":
            points[k, 1] += 0.5
        elif edit == "handle":
            (left if random.rand() < 0.5 else right)[k, 1] += 0.7
        elif edit == "kind":
            kinds[k] = (kinds[k] + 1) % 3
        elif edit == "time":
            points[k, 0] += 2.0
        elif edit == "remove" and len(points) > 1:
            points, left, right, kinds = (np.delete(part, k, axis=0) for part in (points, left, right, kinds))
        elif edit == "insert":
            extra = points[k] + [[5.0, 0.25]]
            points, left, right = (np.insert(part, k + 1, extra, axis=0) for part in (points, left, right))
            kinds = np.insert(kinds, k + 1, CONSTANT)
        extrapolates = not c.extrapolates if edit == "beyond" else c.extrapolates
        result[member] = CurveKeys(np.stack([points, left, right]), kinds, extrapolates)
    return result


@pytest.mark.parametrize("motion", ["FCURVE", "SPHERICAL", "GREAT_CIRCLE"])
@pytest.mark.parametrize("edit", ["value", "handle", "kind", "time", "remove", "insert", "beyond", "nothing"])
def test_outside_of_what_an_edit_changed_every_frame_is_the_same(edit, motion):
    random = np.random.RandomState(len(edit) + 100 * len(motion))
    look = replace(LOOK, motion=motion)
    shares = []
    for _turn in range(25):
        kinds = random.choice([CONSTANT, LINEAR, BEZIER], 6).tolist()
        times = np.sort(random.choice(np.arange(2, LENGTH - 4, 8), 6, replace=False))
        before = three(random, times, kinds, bool(random.rand() < 0.3))
        after = edited(before, edit, random)
        old, new = recipe(before, look=look), recipe(after, look=look)
        span = new.changed_since(old)
        differing = [i for i, (a, b) in enumerate(zip(names_of(old), names_of(new), strict=True)) if a != b]
        assert not differing or (span is not None and span[0] <= differing[0] and differing[-1] <= span[1])
        shares.append(0.0 if span is None else (min(span[1], LENGTH) - max(span[0], 0)) / LENGTH)
    if edit == "nothing":
        assert max(shares) == 0
    elif edit != "beyond":  # this is so rare that all frames may be named again
        assert min(shares) < 0.5


def test_other_settings_change_everything_and_keyed_ones_what_they_reach():
    random = np.random.RandomState(4)
    curves = three(random)
    plain = recipe(curves, base=(0.0, 0.0, 0.0))
    for look in (replace(LOOK, shadow=True), replace(LOOK, noise="NONE"), replace(LOOK, motion="GREAT_CIRCLE")):
        assert recipe(curves, look=look).changed_since(plain) == spans.EVERYTHING
    two = {i: curves[i] for i in (0, 1)}
    assert recipe(two).changed_since(plain) == spans.EVERYTHING
    assert recipe(two, base=(0.0, 0.0, 0.5)).changed_since(recipe(two)) == spans.EVERYTHING
    psi = keys([1, 40, 80], [0.5, 0.6, 0.7], [LINEAR] * 3)
    late = keys([1, 40, 80], [0.5, 0.6, 0.9], [LINEAR] * 3)
    low, high = recipe(curves, psi=late).changed_since(recipe(curves, psi=psi))
    assert (low, high) == (39.0, np.inf)


def test_what_blender_evaluated_is_compared_frame_by_frame():
    curves = three(np.random.RandomState(5))
    rows = np.random.RandomState(6).randn(LENGTH, 3)

    def sampled(samples):
        made = recipe(curves)
        track = Track(np.zeros(3), sampled=np.arange(3), samples=samples)
        return replace(made, tracks=dict(made.tracks) | {LATENT: track})

    other = rows.copy()
    other[50:61] += 1.0
    assert sampled(rows).changed_since(sampled(rows.copy())) is None
    assert sampled(other).changed_since(sampled(rows)) == (50.0, 60.0)
    assert np.allclose(np.frombuffer(sampled(rows).requests(7, 8)[0].latent, "<f4"), rows[7], atol=2**-16)


def test_a_recipe_is_as_large_as_its_keys_however_long_the_strip_is():
    curves = three(np.random.RandomState(8))

    def size(of):
        groups = [group for track in of.tracks.values() for group in track.groups]
        return sum(
            getattr(g, name).nbytes for g in groups for name in g.__slots__ if hasattr(getattr(g, name), "nbytes")
        )

    assert size(recipe(curves, end=1_000_000)) == size(recipe(curves))


def test_whole_keys_are_where_every_curve_has_one():
    curves = three(np.random.RandomState(9))
    curves[1] = keys([1, 30, 45, 100], [1.0, 2.0, 3.0, 4.0], [CONSTANT] * 4)
    found = whole_keys(curves, np.zeros(4))
    assert found.frames.tolist() == [1.0, 30.0, 100.0] and found.partial == 2
    assert found.values[:, 1].tolist() == [1.0, 2.0, 4.0] and (found.values[:, 3] == 0).all()
    assert not found.holds.any()
    assert whole_keys({1: curves[1]}, np.zeros(4)).holds.all()
    assert len(whole_keys({}, np.zeros(4)).frames) == 0
