"""Keyframed F-curves evaluated in float64, relative to where their strip begins.

Blender's own evaluation works in float32 at absolute frames: its last digits change when a strip is moved along the
timeline, and with 512 components nearly every frame would get another name. Here a moved strip gives the same bits
(unless handles were pulled by hand), and so does another Blender that opens the file. Only additions, multiplications
and divisions of single elements are used, in a fixed order, so that machines agree too. Curves with other keys than
constant, linear and Bezier ones, and curves with F-modifiers, are left to Blender.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CONSTANT, LINEAR, BEZIER = 0, 1, 2
"""Keyframe interpolations as Blender numbers them."""

_AUTO_LENGTH = float(np.float32(2.5614))
"""Blender sets automatic handles at this fraction of the way to the next key, and vector handles at a third."""

_HALVINGS = 54
"""Bisections until an interval of [0, 1] is as small as float64 tells apart."""


@dataclass(frozen=True, slots=True)
class CurveKeys:
    """The keys of one F-curve as Blender stores them, with times in absolute frames.

    points, left, right (K, 2) float32: time and value of keys and handles. kinds (K,): interpolation after each key.
    extrapolates: linear extrapolation beyond the ends instead of constant.
    """

    points: NDArray[np.float32]
    left: NDArray[np.float32]
    right: NDArray[np.float32]
    kinds: NDArray[np.int32]
    extrapolates: bool

    def is_simple(self) -> bool:
        """Whether `evaluate` can take this curve."""
        return len(self.kinds) > 0 and int(self.kinds.max()) <= BEZIER

    def shape(self) -> tuple[bytes, ...]:
        """What decides how time runs through the curve: curves that agree in it are evaluated together."""
        times = (self.points[:, 0], self.left[:, 0], self.right[:, 0])
        return (*(part.tobytes() for part in times), self.kinds.tobytes(), bytes([self.extrapolates]))


def evaluate(curves: Sequence[CurveKeys], frames: NDArray[np.int64], origin: int) -> Floats:
    """Evaluate curves (C of them) at timeline frames (F,), ascending; return (F, C).

    origin: the frame that the curves move along with; the result is the same bits wherever it lies.
    """
    result = np.empty((len(frames), len(curves)))
    groups: dict[tuple[bytes, ...], list[int]] = {}
    for i, curve in enumerate(curves):
        groups.setdefault(curve.shape(), []).append(i)
    for members in groups.values():
        same = [curves[i] for i in members]
        result[:, members] = _evaluate_alike(same, (frames - origin).astype(np.float64), origin)
    return result


def _evaluate_alike(curves: list[CurveKeys], at: Floats, origin: int) -> Floats:
    first = curves[0]
    times, before, after = _times(first, origin)
    values = np.stack([curve.points[:, 1] for curve in curves], axis=1).astype(np.float64)  # (K, C)
    left = np.stack([curve.left[:, 1] for curve in curves], axis=1).astype(np.float64)
    right = np.stack([curve.right[:, 1] for curve in curves], axis=1).astype(np.float64)
    result = np.empty((len(at), len(curves)))
    result[at <= times[0]] = values[0]
    result[at >= times[-1]] = values[-1]
    for k in range(len(times) - 1):
        inside = (at >= times[k]) & (at < times[k + 1])
        if not inside.any():
            continue
        kind = first.kinds[k]
        length = times[k + 1] - times[k]
        t = (at[inside] - times[k])[:, None]
        if kind == CONSTANT:
            result[inside] = values[k]
        elif kind == LINEAR:
            result[inside] = values[k] + (values[k + 1] - values[k]) * (t / length)
        else:
            ends = (values[k], right[k], left[k + 1], values[k + 1])
            result[inside] = _bezier(t, length, after[k], before[k + 1], ends)
    for k in range(len(times)):
        result[at == times[k]] = values[k]
    if first.extrapolates:
        _extrapolate(result, at, times, (before[0], after[-1]), values, (left[0], right[-1]), first.kinds)
    return result


def _bezier(x: Floats, length: float, out: float, back: float, ends: tuple[Floats, ...]) -> Floats:
    """Value at the times x (F, 1) after a key, on the curve to the next key.

    out, back: how far in time the two handles reach towards each other. Handles that pass the other key are shortened.
    """
    y0, y1, y2, y3 = ends
    if abs(out) > length:
        y1, out = y0 + (y1 - y0) * (length / abs(out)), np.sign(out) * length
    if abs(back) > length:
        y2, back = y3 + (y2 - y3) * (length / abs(back)), np.sign(back) * length
    low, high = np.zeros_like(x), np.ones_like(x)
    for _ in range(_HALVINGS):
        t = (low + high) / 2
        short = _cubic(t, 0.0, out, length - back, length) < x
        low, high = np.where(short, t, low), np.where(short, high, t)
    return _cubic((low + high) / 2, y0, y1, y2, y3)


def _cubic(t: Floats, a: Floats | float, b: Floats | float, c: Floats | float, d: Floats | float) -> Floats:
    s = 1.0 - t
    return s * s * s * a + 3.0 * s * s * t * b + 3.0 * s * t * t * c + t * t * t * d


def _extrapolate(
    result: Floats,
    at: Floats,
    times: Floats,
    reach: tuple[float, float],
    values: Floats,
    handles: tuple[Floats, Floats],
    kinds: NDArray[np.int32],
) -> None:
    """Overwrite what lies beyond the ends with straight lines, through a linear end's neighbour or along a handle."""
    last = len(times) - 1
    for end, inner, sign in ((0, min(1, last), -1.0), (last, max(0, last - 1), 1.0)):
        outside = at < times[0] if sign < 0 else at > times[-1]
        if not outside.any() or kinds[end] == CONSTANT:
            continue
        if kinds[end] == LINEAR:
            if inner == end:
                continue
            slope = (values[inner] - values[end]) / (times[inner] - times[end])
        else:
            length = reach[0] if sign < 0 else reach[1]
            if length == 0.0:
                continue
            slope = (handles[0 if sign < 0 else 1] - values[end]) / (sign * length)
        result[outside] = values[end] + slope * (at[outside] - times[end])[:, None]


def _times(curve: CurveKeys, origin: int) -> tuple[Floats, Floats, Floats]:
    """Times (K,) of the keys after `origin`, and how far (K,) their handles reach back and forward.

    Stored as float32 at absolute frames, the same handle has other last bits elsewhere on the timeline. Whole frames
    and the handles that Blender places are given exactly; what a person has pulled somewhere stays as it is stored.
    """
    absolute = curve.points[:, 0].astype(np.float64)
    times = absolute - origin
    back = absolute - curve.left[:, 0]
    out = curve.right[:, 0] - absolute
    spans = np.diff(times)
    previous = np.concatenate([spans[:1], spans])  # beyond the ends Blender mirrors the one neighbour
    following = np.concatenate([spans, spans[-1:]])
    if not len(spans):
        previous = following = np.zeros(1)
    tolerance = 4.0 * float(np.spacing(np.float32(np.abs(absolute).max() + 1.0)))
    return times, _snapped(back, previous, following, tolerance), _snapped(out, following, previous, tolerance)


def _snapped(reach: Floats, own: Floats, other: Floats, tolerance: float) -> Floats:
    """Handle lengths as Blender's rules give them, where they are that."""
    snapped = reach.copy()
    for rule in (own / _AUTO_LENGTH, 5.0 * other / _AUTO_LENGTH, own / 3.0):
        snapped = np.where(np.abs(reach - rule) <= tolerance, rule, snapped)
    return snapped
