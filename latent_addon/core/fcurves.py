"""Evaluate keyframed F-curves in float64, relative to the first frame of their strip.

Blender itself evaluates in float32 at absolute frames. The last digits of its values change when a strip is moved
along the timeline, and with 512 components nearly every frame would get a different name. Here a moved strip gives the
same bits (unless handles were pulled by hand), and so does another Blender that opens the file. Only additions,
multiplications and divisions of single elements are used, in a fixed order, so that all machines get the same result.
Blender evaluates the other curves: those with keys that are not constant, linear or Bezier, and those with F-modifiers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CONSTANT, LINEAR, BEZIER = 0, 1, 2
"""Keyframe interpolations as Blender numbers them."""

_AUTO_LENGTH = float(np.float32(2.5614))
"""Blender's automatic handles are as long as the time to the next key divided by this; vector handles, by 3."""

_HALVINGS = 54
"""Number of bisections until a part of [0, 1] is as small as float64 can distinguish."""


@dataclass(frozen=True, slots=True)
class CurveKeys:
    """The keys of one F-curve as Blender stores them, with times in absolute frames.

    places (3, K, 2) float32: time and value of the keys, of their left handles, and of their right handles. kinds (K,):
    interpolation after each key. extrapolates: linear extrapolation beyond the ends instead of constant.
    """

    places: NDArray[np.float32]
    kinds: NDArray[np.int32]
    extrapolates: bool

    @property
    def points(self) -> NDArray[np.float32]:
        """Time and value of the keys, (K, 2)."""
        return self.places[0]

    @property
    def left(self) -> NDArray[np.float32]:
        """Time and value of the left handles, (K, 2)."""
        return self.places[1]

    @property
    def right(self) -> NDArray[np.float32]:
        """Time and value of the right handles, (K, 2)."""
        return self.places[2]

    def is_simple(self) -> bool:
        """Return whether this module can evaluate these keys."""
        return len(self.kinds) > 0 and int(self.kinds.max()) <= BEZIER

    def shape(self) -> tuple[bytes, bytes, bool]:
        """Return what decides how time runs through the curve; curves for which it is equal are evaluated together."""
        return self.places[:, :, 0].tobytes(), self.kinds.tobytes(), self.extrapolates


@dataclass(frozen=True, slots=True)
class CurveGroup:
    """Curves whose keys and handles are at the same times, so that time runs through them in the same way.

    members (C,): the component that each curve moves. times (K,): times of the keys, counted from the strip's first
    frame. before, after (K,): how far in time the handles reach back and forward. values, left, right (K, C) float32:
    values of the keys, of their left handles and of their right handles. kinds (K,), extrapolates: as in CurveKeys.
    """

    members: NDArray[np.intp]
    times: Floats
    before: Floats
    after: Floats
    values: NDArray[np.float32]
    left: NDArray[np.float32]
    right: NDArray[np.float32]
    kinds: NDArray[np.int32]
    extrapolates: bool

    def evaluate(self, at: Floats) -> Floats:
        """Return values (F, C) at ascending times (F,). Only the segments that contain these times are used."""
        result = np.empty((len(at), len(self.members)))
        places = np.searchsorted(self.times, at, side="right") - 1  # the last key that is not later, -1 for none
        edges = np.flatnonzero(np.diff(places)) + 1
        for first, end in zip((0, *edges), (*edges, len(at)), strict=True):
            if first < end:
                self._evaluate_segment(int(places[first]), at[first:end], result[first:end])
        return result

    def _evaluate_segment(self, k: int, at: Floats, result: Floats) -> None:
        last = len(self.times) - 1
        here = self.values[max(k, 0)].astype(np.float64)
        result[:] = here
        if k < 0 or k == last:
            if self.extrapolates:
                result += self._slope(k < 0) * (at - self.times[max(k, 0)])[:, None]
            return
        inside = at != self.times[k]
        kind = self.kinds[k]
        if kind == CONSTANT or not inside.any():
            return
        there = self.values[k + 1].astype(np.float64)
        length = self.times[k + 1] - self.times[k]
        t = (at[inside] - self.times[k])[:, None]
        if kind == LINEAR:
            result[inside] = here + (there - here) * (t / length)
        else:
            ends = (here, self.right[k].astype(np.float64), self.left[k + 1].astype(np.float64), there)
            result[inside] = _bezier(t, length, self.after[k], self.before[k + 1], ends)

    def _slope(self, before: bool) -> Floats | float:
        """Return the slope of the curve beyond an end: through the neighbour of a linear end, or along a handle."""
        last = len(self.times) - 1
        end, inner = (0, min(1, last)) if before else (last, max(0, last - 1))
        value = self.values[end].astype(np.float64)
        if self.kinds[end] == LINEAR and inner != end:
            return (self.values[inner].astype(np.float64) - value) / (self.times[inner] - self.times[end])
        reach, handle = (-self.before[0], self.left[0]) if before else (self.after[-1], self.right[-1])
        if self.kinds[end] == BEZIER and reach != 0.0:
            return (handle.astype(np.float64) - value) / reach
        return 0.0


def grouped(curves: Mapping[int, CurveKeys], origin: int) -> tuple[CurveGroup, ...]:
    """Return groups of the curves, given by component, whose keys and handles are at the same times.

    origin: the strip's first frame, with which the curves move. The groups are the same bits, whatever its number is.
    """
    alike: dict[tuple[bytes, bytes, bool], list[int]] = {}
    for member, curve in curves.items():
        alike.setdefault(curve.shape(), []).append(member)
    groups = []
    for members in alike.values():
        first = curves[members[0]]
        times, before, after = _times(first, origin)
        together = np.stack([curves[member].places for member in members])  # (C, 3, K, 2)
        values, left, right = np.ascontiguousarray(together[..., 1].transpose(1, 2, 0))
        order = np.array(members, np.intp)
        groups.append(CurveGroup(order, times, before, after, values, left, right, first.kinds, first.extrapolates))
    return tuple(groups)


def _bezier(x: Floats, length: float, out: float, back: float, ends: tuple[Floats, ...]) -> Floats:
    """Return the values at the times x (F, 1) after a key, on the Bezier curve to the next key.

    out, back: how far in time the two handles reach towards each other. A handle that reaches beyond the other key is
    shortened.
    """
    y0, y1, y2, y3 = ends
    if abs(out) > length:
        y1, out = y0 + (y1 - y0) * (length / abs(out)), np.sign(out) * length
    if abs(back) > length:
        y2, back = y3 + (y2 - y3) * (length / abs(back)), np.sign(back) * length
    t = _place(x[:, 0], length, out, back)[:, None]
    return _cubic(t, y0, y1, y2, y3)


def _place(x: Floats, length: float, out: float, back: float) -> Floats:
    """Return how far along a Bezier segment (0 to 1) its time is x (F,).

    The cubic is written out here, because this runs often, each time with few numbers.
    """
    low, high = np.zeros_like(x), np.ones_like(x)
    third = length - back
    for _ in range(_HALVINGS):
        t = (low + high) / 2
        s = 1.0 - t
        s3 = 3.0 * s
        short = s3 * s * t * out + s3 * t * t * third + t * t * t * length < x
        low, high = np.where(short, t, low), np.where(short, high, t)
    return (low + high) / 2


def _cubic(t: Floats, a: Floats | float, b: Floats | float, c: Floats | float, d: Floats | float) -> Floats:
    s = 1.0 - t
    return s * s * s * a + 3.0 * s * s * t * b + 3.0 * s * t * t * c + t * t * t * d


def _times(curve: CurveKeys, origin: int) -> tuple[Floats, Floats, Floats]:
    """Return the times (K,) of the keys after `origin`, and how far (K,) their handles reach back and forward.

    Blender stores them as float32 at absolute frames, so the same handle has different last bits at another place on
    the timeline. Whole frames and the handles that Blender places are returned exactly; a handle that a person has
    pulled stays as it is stored.
    """
    absolute = curve.points[:, 0].astype(np.float64)
    times = absolute - origin
    back = absolute - curve.left[:, 0]
    out = curve.right[:, 0] - absolute
    spans = np.diff(times)
    previous = np.concatenate([spans[:1], spans])  # beyond the ends Blender mirrors the only neighbour
    following = np.concatenate([spans, spans[-1:]])
    if not len(spans):
        previous = following = np.zeros(1)
    tolerance = 4.0 * float(np.spacing(np.float32(np.abs(absolute).max() + 1.0)))
    return times, _snapped(back, previous, following, tolerance), _snapped(out, following, previous, tolerance)


def _snapped(reach: Floats, own: Floats, other: Floats, tolerance: float) -> Floats:
    """Return handle lengths, each replaced by the exact length of a Blender rule if it is that within `tolerance`."""
    snapped = reach.copy()
    for rule in (own / _AUTO_LENGTH, 5.0 * other / _AUTO_LENGTH, own / 3.0):
        snapped = np.where(np.abs(reach - rule) <= tolerance, rule, snapped)
    return snapped
