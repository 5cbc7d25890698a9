"""Read a strip's properties over time: stored values, the keys of curves, and values that only Blender can compute.

The playhead stays where it is, except in a sweep, which puts it back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from bpy.types import FCurve, ImageStrip, Scene
from idprop.types import IDPropertyArray
from numpy.typing import NDArray

from ..core import fcurves
from ..core.animatable import CLASSES, LATENT, SETTINGS, Kind
from ..core.recipe import Track
from . import timing
from .animatable import WHOLE_NUMBER_PATHS
from .curves import path_prefix
from .properties import settings_of


def stored_array(strip: ImageStrip, name: str) -> NDArray[np.float64]:
    """Return a custom property as the strip holds it now, (D,); empty if there are no numbers under that name.

    It is a copy, because a view would refer to memory that Blender may free.
    """
    value = strip.get(name)
    return np.array(value.to_list() if isinstance(value, IDPropertyArray) else (), np.float64)


def needs_sweep(scene: Scene, strip: ImageStrip) -> bool:
    """Return whether drivers or NLA take part, which only a change of frame evaluates."""
    data = scene.animation_data
    if data is None:
        return False
    if data.use_nla and any(not track.mute and track.strips for track in data.nla_tracks):
        return True
    prefix = path_prefix(strip)
    return any(driver.data_path.startswith(prefix) and not driver.mute for driver in data.drivers)


def sweep(scene: Scene, strip: ImageStrip, frames: Sequence[int]) -> list[StripValues]:
    """Step through `frames` and read what the strip holds at each; the playhead returns to its place."""
    found = []
    with _playhead_kept(scene):
        for frame in frames:
            scene.frame_set(frame)
            found.append(read_values(strip))
    return found


def swept_tracks(values: Sequence[StripValues]) -> dict[str, Track]:
    """Return the values that a sweep has read at each shown frame, by property."""
    tracks = {each.name: _sampled([v.settings[each.name] for v in values]) for each in SETTINGS}
    return tracks | {LATENT: _sampled([v.latent for v in values]), CLASSES: _sampled([v.classes for v in values])}


def _sampled(rows: Sequence[Any]) -> Track:
    samples = np.array(rows, np.float64).reshape(len(rows), -1)
    width = samples.shape[1]
    return Track(np.zeros(width), sampled=np.arange(width), samples=samples)


@dataclass(frozen=True, slots=True)
class StripValues:
    """What a strip holds at one moment: latent (D,), classes (C,), and each animatable setting's components."""

    latent: NDArray[np.float64]
    classes: NDArray[np.float64]
    settings: dict[str, tuple[float, ...]]


def read_values(strip: ImageStrip) -> StripValues:
    """Read the strip's stored values."""
    settings = settings_of(strip)
    values = {each.name: _components(getattr(settings, each.name), each.kind) for each in SETTINGS}
    return StripValues(stored_array(strip, LATENT), stored_array(strip, CLASSES), values)


def _components(value: Any, kind: Kind) -> tuple[float, ...]:
    return tuple(value) if kind.components > 1 else (float(value),)


sweeping = False
"""True while a sweep changes frames, so that the add-on's own handlers can let those changes pass."""


@contextmanager
def _playhead_kept(scene: Scene) -> Iterator[None]:
    global sweeping
    frame, subframe = scene.frame_current, scene.frame_subframe
    sweeping = True
    try:
        yield
    finally:
        scene.frame_set(frame, subframe=subframe)
        sweeping = False


def tracks_of(
    strip: ImageStrip, stored: StripValues, readings: Mapping[tuple[str, int], CurveReading]
) -> dict[str, Track]:
    """Return the strip's properties over time. Components without a curve keep their stored value.

    readings: the strip's curves, by property and component.
    """
    values = {name: np.array(now, np.float64) for name, now in stored.settings.items()}
    values |= {LATENT: stored.latent, CLASSES: stored.classes}
    own: dict[str, dict[int, CurveReading]] = {name: {} for name in values}
    for (name, index), reading in readings.items():
        if index < len(values[name]):
            own[name][index] = reading
    origin = timing.origin(strip)
    return {name: _track(now, own[name], origin) for name, now in values.items()}


def _track(stored: NDArray[np.float64], curves: Mapping[int, CurveReading], origin: int) -> Track:
    base = stored.copy()
    base[list(curves)] = 0.0  # the value stored there is only that of the last frame
    sampled = {index: curve.samples for index, curve in curves.items() if curve.samples is not None}
    groups = fcurves.grouped({i: curve.keys for i, curve in curves.items() if i not in sampled}, origin)
    if not sampled:
        return Track(base, groups)
    return Track(base, groups, np.array(list(sampled), np.intp), np.stack(list(sampled.values()), axis=1))


@dataclass(frozen=True, slots=True)
class CurveReading:
    """A curve as it was read: its keys, and its values (F,) at the shown frames if only Blender can compute them."""

    keys: fcurves.CurveKeys
    samples: NDArray[np.float64] | None = None


def read_curve(curve: FCurve, first: int, end: int, stretch: float) -> CurveReading:
    """Read a curve for the frames first .. end - 1. Blender evaluates modifiers, baked samples and whole numbers.

    stretch: the scene's time stretching (`timing.stretch`). The keys that are returned lie at timeline frames.
    """
    keys = read_keys(curve)
    keys.places[:, :, 0] *= stretch
    if keys.is_simple() and not len(curve.modifiers) and not curve.data_path.endswith(WHOLE_NUMBER_PATHS):
        return CurveReading(keys)
    times = np.arange(first, end) / stretch
    return CurveReading(keys, np.fromiter(map(curve.evaluate, times.tolist()), np.float64, end - first))


def read_keys(curve: FCurve) -> fcurves.CurveKeys:
    """Return the keys of a curve."""
    points = curve.keyframe_points
    count = len(points)
    places = np.empty((3, 2 * count), np.float32)
    for row, part in zip(places, ("co", "handle_left", "handle_right"), strict=True):
        points.foreach_get(part, row)
    kinds = np.empty(count, np.int32)
    points.foreach_get("interpolation", kinds)
    return fcurves.CurveKeys(places.reshape(3, count, 2), kinds, curve.extrapolation == "LINEAR")
