"""A latent strip's F-curves: found, keyed, and evaluated at every frame without moving the playhead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import bpy
import numpy as np
from bpy.types import FCurve, ImageStrip, Scene
from idprop.types import IDPropertyArray
from numpy.typing import NDArray

from ..core import fcurves
from ..core.animatable import CLASSES, LATENT, SETTINGS
from ..core.recipe import Track
from ..core.whole_keys import WholeKeys, whole_keys
from . import changes, versions
from .animatable import PATHS, WHOLE_NUMBER_PATHS, owner_of
from .properties import settings_of

GROUP = "Latent"


def path_prefix(strip: ImageStrip) -> str:
    """How data paths of the strip's properties begin, in its scene."""
    return f'sequence_editor.strips_all["{bpy.utils.escape_identifier(strip.name)}"]'


@dataclass(slots=True)
class StripCurves:
    """The F-curves of one strip: of its latent and classes by component, of its settings by name and component."""

    latent: dict[int, FCurve] = field(default_factory=dict)
    classes: dict[int, FCurve] = field(default_factory=dict)
    settings: dict[tuple[str, int], FCurve] = field(default_factory=dict)


def curves_of_scene(scene: Scene) -> dict[str, StripCurves]:
    """All curves of latent strips, by the path prefix of their strip, without muted ones, which move nothing."""
    found: dict[str, StripCurves] = {}
    for curve in versions.fcurves_of(scene) or ():
        own = _owner(curve)
        if own is None:
            continue
        prefix, name = own
        curves = found.setdefault(prefix, StripCurves())
        if name == LATENT:
            curves.latent[curve.array_index] = curve
        elif name == CLASSES:
            curves.classes[curve.array_index] = curve
        else:
            curves.settings[name, curve.array_index] = curve
    return found


def _owner(curve: FCurve) -> tuple[str, str] | None:
    """Whose curve it is, by path prefix, and of which property; None if it moves nothing of a latent strip."""
    return None if curve.mute else owner_of(curve.data_path)  # a muted group moves its curves all the same


Places = dict[tuple[str, int], int]
"""Where a strip's curves are among those of its scene, by property and component."""


@dataclass(slots=True)
class Survey:
    """Whose curves are where, found out a little at a time; the curves themselves must not be kept meanwhile.

    places: by the path prefix of their strip. loose: whether any latent's curve lacks a group. end: how many curves
    were looked at.
    """

    places: dict[str, Places] = field(default_factory=dict)
    loose: bool = False
    end: int = 0

    def look(self, scene: Scene, count: int) -> bool:
        """Look at the scene's next `count` curves; return whether there are more."""
        curves = versions.fcurves_of(scene) or ()
        first, self.end = self.end, min(self.end + count, len(curves))
        for place in range(first, self.end):
            curve = curves[place]
            own = _owner(curve)
            if own is not None:
                self.places.setdefault(own[0], {})[own[1], curve.array_index] = place
                self.loose |= own[1] == LATENT and curve.group is None
        return self.end < len(curves)


def curves_at(scene: Scene, prefix: str, places: Sequence[tuple[tuple[str, int], int]]) -> Iterator[FCurve | None]:
    """The curves that a survey found at these places, each None if there is another one now."""
    curves = versions.fcurves_of(scene) or ()
    count = len(curves)
    for (name, index), place in places:
        curve = curves[place] if place < count else None
        path = prefix + PATHS[name]
        same = curve is not None and curve.data_path == path and curve.array_index == index and not curve.mute
        yield curve if same else None


# --- keys ------------------------------------------------------------------------------------------------------------


def insert_latent_key(strip: ImageStrip, frame: int) -> None:
    """Key the whole latent as it is now, in one group of curves."""
    strip.keyframe_insert(PATHS[LATENT], index=-1, frame=frame, group=_group_name(strip))
    changes.mark()


def delete_latent_key(scene: Scene, strip: ImageStrip, frame: int) -> bool:
    """Take the latent's keys at `frame` away; return whether there were any."""
    curves = _latent_curves(scene, strip)
    if not any(frame in _key_frames(curve) for curve in curves):
        return False
    strip.keyframe_delete(PATHS[LATENT], index=-1, frame=frame)
    changes.mark()
    return True


def latent_key_frames(scene: Scene, strip: ImageStrip) -> list[float]:
    """Frames at which any component of the latent has a key, ascending, from muted curves too."""
    frames: set[float] = set()
    for curve in _latent_curves(scene, strip):
        frames.update(_key_frames(curve).tolist())
    return sorted(frames)


def remove_latent_curves(scene: Scene, strip: ImageStrip) -> None:
    """Take all F-curves of the latent away, muted ones too; the latent keeps its value."""
    curves = versions.fcurves_of(scene)
    for curve in _latent_curves(scene, strip):
        curves.remove(curve)
    changes.mark()


def whole_latent_keys(scene: Scene, strip: ImageStrip) -> WholeKeys:
    """The strip's whole-vector keys."""
    own = curves_of_scene(scene).get(path_prefix(strip)) or StripCurves()
    return whole_keys({index: read_keys(curve) for index, curve in own.latent.items()}, stored_array(strip, LATENT))


def write_whole_keys(scene: Scene, strip: ImageStrip, keys: WholeKeys, values: NDArray[np.float64]) -> None:
    """Key the latent at the frames of `keys` with other values (K, D). Held keys stay held, the rest ease."""
    curves = versions.fcurves_of(scene, ensure=True)
    path = path_prefix(strip) + PATHS[LATENT]
    kinds = np.where(keys.holds, fcurves.CONSTANT, fcurves.BEZIER).astype(np.int32)
    for index in range(values.shape[1] if len(keys.frames) else 0):
        points = curves.new(path, index=index).keyframe_points
        points.add(len(keys.frames))
        points.foreach_set("co", np.column_stack([keys.frames, values[:, index]]).astype(np.float32).ravel())
        points.foreach_set("interpolation", kinds)
    for curve in _latent_curves(scene, strip):
        curve.update()
    group_loose_curves(scene, [strip])
    changes.mark()


def group_loose_curves(scene: Scene, strips: Sequence[ImageStrip]) -> None:
    """Give each strip's latent curves their group again: Blender duplicates and splits strips without it."""
    owners = {path_prefix(strip) + PATHS[LATENT]: strip for strip in strips}
    loose: dict[str, list[FCurve]] = {}
    for curve in versions.fcurves_of(scene) or ():
        if curve.group is None and curve.data_path in owners:
            loose.setdefault(curve.data_path, []).append(curve)
    for path, curves in loose.items():
        name = _group_name(owners[path])
        groups = versions.channelbag(scene).groups
        group = groups.get(name) or groups.new(name)
        for curve in curves:  # assigning re-orders the curves, so they were listed first
            curve.group = group


@contextmanager
def keys_kept(scene: Scene, strip: ImageStrip) -> Iterator[None]:
    """Let the strip's keys stay where they are, to the bit, whatever Blender does to them inside of the block."""
    prefix = path_prefix(strip)
    kept = []
    for curve in versions.fcurves_of(scene) or ():
        if curve.data_path.startswith(prefix):
            for part in ("co", "handle_left", "handle_right"):
                values = np.empty(2 * len(curve.keyframe_points), np.float32)
                curve.keyframe_points.foreach_get(part, values)
                kept.append((curve.keyframe_points, part, values))
    yield
    for points, part, values in kept:
        points.foreach_set(part, values)


def _latent_curves(scene: Scene, strip: ImageStrip) -> list[FCurve]:
    path = path_prefix(strip) + PATHS[LATENT]
    return [curve for curve in versions.fcurves_of(scene) or () if curve.data_path == path]


def _group_name(strip: ImageStrip) -> str:
    """The group is called Latent; a second strip of the scene needs one of its own, or its keys would move along."""
    bag = versions.channelbag(strip.id_data)
    group = bag.groups.get(GROUP) if bag else None
    own = path_prefix(strip)
    if group is None or all(curve.data_path.startswith(own) for curve in group.channels):
        return GROUP
    return f"{GROUP} {strip.name}"


def _key_frames(curve: FCurve) -> NDArray[np.float32]:
    points = np.empty(2 * len(curve.keyframe_points), np.float32)
    curve.keyframe_points.foreach_get("co", points)
    return points[0::2]


# --- evaluation ------------------------------------------------------------------------------------------------------


def stored_array(strip: ImageStrip, name: str) -> NDArray[np.float64]:
    """A custom property as the strip holds it now, (D,), empty if it has none, or no numbers under that name. A copy:
    views of them dangle."""
    value = strip.get(name)
    return np.array(value.to_list() if isinstance(value, IDPropertyArray) else (), np.float64)


def needs_sweep(scene: Scene, strip: ImageStrip) -> bool:
    """Whether drivers or NLA take part, which only a change of frame evaluates."""
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
    """The values that a sweep has read at each shown frame, by property."""
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
    values = {
        each.name: tuple(getattr(settings, each.name))
        if each.kind.components > 1
        else (float(getattr(settings, each.name)),)
        for each in SETTINGS
    }
    return StripValues(stored_array(strip, LATENT), stored_array(strip, CLASSES), values)


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
    """The strip's properties over time: components without a curve keep their stored value. readings: its curves."""
    values = {name: np.array(now, np.float64) for name, now in stored.settings.items()}
    values |= {LATENT: stored.latent, CLASSES: stored.classes}
    own: dict[str, dict[int, CurveReading]] = {name: {} for name in values}
    for (name, index), reading in readings.items():
        if index < len(values[name]):
            own[name][index] = reading
    origin = versions.content_start(strip)
    return {name: _track(now, own[name], origin) for name, now in values.items()}


def _track(stored: NDArray[np.float64], curves: Mapping[int, CurveReading], origin: int) -> Track:
    base = stored.copy()
    base[list(curves)] = 0.0  # what is stored there is only the last frame's value
    sampled = {index: curve.samples for index, curve in curves.items() if curve.samples is not None}
    groups = fcurves.grouped({i: curve.keys for i, curve in curves.items() if i not in sampled}, origin)
    if not sampled:
        return Track(base, groups)
    return Track(base, groups, np.array(list(sampled), np.intp), np.stack(list(sampled.values()), axis=1))


@dataclass(frozen=True, slots=True)
class CurveReading:
    """A curve as it was: its keys, and where only Blender can say what they do its values (F,) at the shown frames."""

    keys: fcurves.CurveKeys
    samples: NDArray[np.float64] | None = None


def read_curve(curve: FCurve, first: int, end: int) -> CurveReading:
    """Read a curve for the frames first .. end - 1. Modifiers, baked samples and whole numbers are left to Blender."""
    keys = read_keys(curve)
    if keys.is_simple() and not len(curve.modifiers) and not curve.data_path.endswith(WHOLE_NUMBER_PATHS):
        return CurveReading(keys)
    return CurveReading(keys, np.fromiter(map(curve.evaluate, range(first, end)), np.float64, end - first))


def read_keys(curve: FCurve) -> fcurves.CurveKeys:
    """The keys of a curve."""
    points = curve.keyframe_points
    count = len(points)
    places = np.empty((3, 2 * count), np.float32)
    for row, part in zip(places, ("co", "handle_left", "handle_right"), strict=True):
        points.foreach_get(part, row)
    kinds = np.empty(count, np.int32)
    points.foreach_get("interpolation", kinds)
    return fcurves.CurveKeys(places.reshape(3, count, 2), kinds, curve.extrapolation == "LINEAR")
