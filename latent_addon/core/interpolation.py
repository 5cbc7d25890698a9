"""Interpolate from keys to one latent per frame. docs/interpolation.md has the formulas and when to use which.

fcurves.py evaluates the F-curves themselves. This module turns their values, or the whole-vector keys, into the two
motions that curves of single components cannot describe: constant length, and constant speed on a great circle.
Shapes: F frames, K keys, D components; everything is computed in float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

GRID = 65536.0
"""Latents and settings are rounded to multiples of 1/GRID before they are used or hashed."""

LARGEST = 65536.0
"""The largest magnitude that a component may have; a curve that goes beyond it is a mistake."""

_TINY = 1e-12
_NEARLY_PARALLEL = 1e-7
"""Angle in radians below which dividing by sin(angle) is inexact; the chord then equals the arc to 1e-15."""


def round_to_grid(values: Floats) -> NDArray[np.float32]:
    """Return the values rounded to multiples of 2**-16, as float32, without negative zeros.

    A different Blender version evaluates a curve with different last digits; after rounding, both versions name the
    same frame. float32 holds the grid exactly up to 256 in magnitude. Raises ValueError if a value is beyond LARGEST or
    is not a number.
    """
    with np.errstate(over="ignore"):  # the ValueError below says it
        rounded = np.rint(np.asarray(values, np.float64) * GRID) / GRID + 0.0
    if not (np.abs(rounded) <= LARGEST).all():
        raise ValueError(f"A latent has a component beyond {LARGEST:.0f}.")
    return rounded.astype(np.float32)


def spherical(
    values: Floats, frames: Floats, key_frames: Floats, key_values: Floats, holds: NDArray[np.bool_]
) -> Floats:
    """Return vectors (F, D) in the F-curves' direction, with a length that runs linearly between the keys' lengths.

    values (F, D): values of the F-curves. frames (F,). key_frames (K,) ascending and key_values (K, D): the keys.
    holds (K,): whether the key, and so its length, is held until the next key. Where the curves pass through zero there
    is no direction, and their value is returned unchanged.
    """
    if len(key_frames) == 0:
        return values
    lengths = np.linalg.norm(key_values, axis=1)
    wanted = np.interp(frames, key_frames, lengths)
    before = np.clip(np.searchsorted(key_frames, frames, side="right") - 1, 0, None)
    wanted = np.where(holds[before] & (frames >= key_frames[0]), lengths[before], wanted)
    length = np.linalg.norm(values, axis=1)
    scale = np.where(length > _TINY, wanted / np.maximum(length, _TINY), 1.0)
    return values * scale[:, None]


def great_circle(frames: Floats, key_frames: Floats, key_values: Floats, holds: NDArray[np.bool_]) -> Floats:
    """Return vectors (F, D) that move from one whole-vector key to the next along great circles.

    The angular speed between two keys is constant, and the length runs linearly. frames (F,). key_frames (K,)
    ascending, key_values (K, D), K >= 1. holds (K,): whether the key is held until the next key (constant
    interpolation). Before the first and after the last key their values are held. Slerp as in Shoemake, Animating
    Rotation with Quaternion Curves (SIGGRAPH 1985), in D dimensions.
    """
    result = np.empty((len(frames), key_values.shape[1]))
    segment = np.clip(np.searchsorted(key_frames, frames, side="right") - 1, 0, max(len(key_frames) - 2, 0))
    for k in np.unique(segment):
        inside = segment == k
        if len(key_frames) == 1:
            result[inside] = key_values[0]
            continue
        t = np.clip((frames[inside] - key_frames[k]) / (key_frames[k + 1] - key_frames[k]), 0.0, 1.0)
        if holds[k]:
            t = np.floor(t)
        result[inside] = _slerp(key_values[k], key_values[k + 1], t)
    return result


def _slerp(a: Floats, b: Floats, t: Floats) -> Floats:
    length_a, length_b = np.linalg.norm(a), np.linalg.norm(b)
    t = t[:, None]
    if length_a < _TINY or length_b < _TINY:  # no direction: the straight line
        return (1 - t) * a + t * b
    u, v = a / length_a, b / length_b
    # arctan2 keeps its precision near 0 and pi, where arccos of the dot product loses half of its digits
    angle = 2.0 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))
    if angle < _NEARLY_PARALLEL:
        direction = (1 - t) * u + t * v
    else:
        if np.pi - angle < _NEARLY_PARALLEL:
            across, angle = _perpendicular(u), np.pi
        else:
            across = v - np.dot(u, v) * u
            across /= np.linalg.norm(across)
        direction = np.cos(t * angle) * u + np.sin(t * angle) * across
    moved = direction * ((1 - t) * length_a + t * length_b)
    # at the keys exactly their values, bit by bit
    return np.where(t == 0.0, a, np.where(t == 1.0, b, moved))


def _perpendicular(u: Floats) -> Floats:
    """Return a unit vector perpendicular to `u`, always the same one, for opposite keys: they have no shortest way.

    It is made from the axis along which `u` has its smallest component.
    """
    axis = np.zeros_like(u)
    axis[np.argmin(np.abs(u))] = 1.0
    across = axis - np.dot(axis, u) * u
    length = np.linalg.norm(across)
    return across / length if length > _TINY else axis
