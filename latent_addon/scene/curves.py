"""A latent strip's F-curves: found, keyed, and evaluated at every frame without moving the playhead."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import bpy
import numpy as np
from bpy.types import FCurve, ImageStrip, Scene
from numpy.typing import NDArray

from . import changes, versions
from .properties import CLASSES, LATENT, settings_of

GROUP = "Latent"
ANIMATABLE = {
    "psi": 1,
    "cutoff": 1,
    "noise_seed": 1,
    "shadow_threshold": 1,
    "shadow_softness": 1,
    "shadow_fill_holes": 1,
    "shadow_min_area": 1,
    "shadow_invert": 1,
    "shadow_figure": 4,
    "shadow_ground": 4,
    "shadow_mix": 1,
}
"""Settings that may have F-curves, and how many components each has."""

_LATENT_PATH = f'["{LATENT}"]'
_CLASSES_PATH = f'["{CLASSES}"]'
_SETTINGS_PATH = ".latent_lantern."
_CONSTANT, _BEZIER = 0, 2
"""Keyframe interpolations as `foreach_get` gives them."""


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
        path = curve.data_path
        if not path.startswith("sequence_editor.strips_all["):
            continue
        if curve.mute or (curve.group is not None and curve.group.mute):
            continue
        prefix, name = _split_path(path)
        if name == _LATENT_PATH:
            found.setdefault(prefix, StripCurves()).latent[curve.array_index] = curve
        elif name == _CLASSES_PATH:
            found.setdefault(prefix, StripCurves()).classes[curve.array_index] = curve
        elif name in ANIMATABLE:
            found.setdefault(prefix, StripCurves()).settings[name, curve.array_index] = curve
    return found


def _split_path(path: str) -> tuple[str, str]:
    for array in (_LATENT_PATH, _CLASSES_PATH):
        if path.endswith(array):
            return path[: -len(array)], array
    prefix, _, name = path.rpartition(_SETTINGS_PATH)
    return prefix, name


# --- keys ------------------------------------------------------------------------------------------------------------


def insert_latent_key(strip: ImageStrip, frame: int) -> None:
    """Key the whole latent as it is now, in one group of curves."""
    strip.keyframe_insert(_LATENT_PATH, index=-1, frame=frame, group=_group_name(strip))
    changes.mark()


def delete_latent_key(scene: Scene, strip: ImageStrip, frame: int) -> bool:
    """Take the latent's keys at `frame` away; return whether there were any."""
    curves = _latent_curves(scene, strip)
    if not any(frame in _key_frames(curve) for curve in curves):
        return False
    strip.keyframe_delete(_LATENT_PATH, index=-1, frame=frame)
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
    return whole_keys(own, stored_array(strip, LATENT))


def write_whole_keys(scene: Scene, strip: ImageStrip, keys: WholeKeys, values: NDArray[np.float64]) -> None:
    """Key the latent at the frames of `keys` with other values (K, D). Held keys stay held, the rest ease."""
    curves = versions.fcurves_of(scene, ensure=True)
    path = path_prefix(strip) + _LATENT_PATH
    kinds = np.where(keys.holds, _CONSTANT, _BEZIER).astype(np.int32)
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
    for strip in strips:
        loose = [curve for curve in _latent_curves(scene, strip) if curve.group is None]
        if loose:
            name = _group_name(strip)
            groups = versions.channelbag(scene).groups
            group = groups.get(name) or groups.new(name)
            for curve in loose:  # assigning re-orders the curves, so they were listed first
                curve.group = group


def shift_keys(scene: Scene, strip: ImageStrip, by: int) -> None:
    """Move all keys of the strip along the time axis."""
    prefix = path_prefix(strip)
    for curve in versions.fcurves_of(scene) or ():
        if not curve.data_path.startswith(prefix):
            continue
        points = curve.keyframe_points
        for part in ("co", "handle_left", "handle_right"):
            values = np.empty(2 * len(points), np.float32)
            points.foreach_get(part, values)
            values[0::2] += by
            points.foreach_set(part, values)
        curve.update()


def _latent_curves(scene: Scene, strip: ImageStrip) -> list[FCurve]:
    path = path_prefix(strip) + _LATENT_PATH
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


# --- whole-vector keys -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WholeKeys:
    """Frames at which every moving component of a latent has a key.

    frames (K,), values (K, D), holds (K,): the key holds until the next one. partial: frames with keys of some
    components only, which great circles cannot heed.
    """

    frames: NDArray[np.float64]
    values: NDArray[np.float64]
    holds: NDArray[np.bool_]
    partial: int


def whole_keys(curves: StripCurves, stored: NDArray[np.float64]) -> WholeKeys:
    """Find the whole-vector keys; components without a curve keep their stored value. stored (D,)."""
    common: set[float] | None = None
    every: set[float] = set()
    tables: dict[int, dict[float, tuple[float, int]]] = {}
    for index, curve in curves.latent.items():
        points = curve.keyframe_points
        at = np.empty(2 * len(points), np.float32)
        kinds = np.empty(len(points), np.int32)
        points.foreach_get("co", at)
        points.foreach_get("interpolation", kinds)
        frames = at[0::2].tolist()
        tables[index] = dict(zip(frames, zip(at[1::2].tolist(), kinds.tolist(), strict=True), strict=True))
        every.update(frames)
        common = set(frames) if common is None else common & set(frames)
    ordered = sorted(common or ())
    values = np.tile(stored, (len(ordered), 1))
    holds = np.ones(len(ordered), bool)
    for index, table in tables.items():
        if index >= len(stored):
            continue
        for k, frame in enumerate(ordered):
            values[k, index], kind = table[frame]
            holds[k] &= kind == _CONSTANT
    return WholeKeys(np.array(ordered, np.float64), values, holds, len(every) - len(ordered))


# --- evaluation ------------------------------------------------------------------------------------------------------


def stored_array(strip: ImageStrip, name: str) -> NDArray[np.float64]:
    """A custom property as the strip holds it now, (D,), empty if it has none. A copy: views of them dangle."""
    value = strip.get(name)
    return np.array(value[:] if hasattr(value, "__getitem__") else (), np.float64)


def needs_sweep(scene: Scene, strip: ImageStrip) -> bool:
    """Whether drivers or NLA take part, which only a change of frame evaluates."""
    data = scene.animation_data
    if data is None:
        return False
    if data.use_nla and any(not track.mute and track.strips for track in data.nla_tracks):
        return True
    prefix = path_prefix(strip)
    return any(driver.data_path.startswith(prefix) and not driver.mute for driver in data.drivers)


def sweep(scene: Scene, strips: Sequence[ImageStrip], frames: Sequence[int]) -> dict[str, list[StripValues]]:
    """Step through `frames` and read what the strips hold at each, by strip name; the playhead returns to its place."""
    found: dict[str, list[StripValues]] = {strip.name: [] for strip in strips}
    with _playhead_kept(scene):
        for frame in frames:
            scene.frame_set(frame)
            for strip in strips:
                found[strip.name].append(read_values(strip))
    return found


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
        name: tuple(getattr(settings, name)) if size > 1 else (float(getattr(settings, name)),)
        for name, size in ANIMATABLE.items()
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


class CurveCache:
    """Evaluated curves of one strip, so that after an edit only the curves that changed are evaluated again."""

    def __init__(self) -> None:
        self._rows: dict[object, tuple[bytes, NDArray[np.float64]]] = {}
        self._frames: tuple[int, int] = (0, 0)

    def evaluate(self, key: object, curve: FCurve, first: int, end: int) -> NDArray[np.float64]:
        """Values of `curve` at the frames first..end-1, F-modifiers and extrapolation included."""
        if (first, end) != self._frames:
            self._rows.clear()
            self._frames = (first, end)
        signature = curve_signature(curve)
        known = self._rows.get(key)
        if known is not None and signature and known[0] == signature:
            return known[1]
        row = np.fromiter(map(curve.evaluate, range(first, end)), np.float64, end - first)
        if known is not None and np.array_equal(known[1], row):
            row = known[1]  # the caller tells by identity that nothing moved
        self._rows[key] = (signature, row)
        return row


def curve_signature(curve: FCurve) -> bytes:
    """A digest of all that decides the curve's values; empty when it cannot tell (F-modifiers, baked samples)."""
    points = curve.keyframe_points
    count = len(points)
    if len(curve.modifiers) or not count:
        return b""
    digest = hashlib.blake2b(digest_size=16)
    pairs = np.empty(2 * count, np.float32)
    for part in ("co", "handle_left", "handle_right"):
        points.foreach_get(part, pairs)
        digest.update(pairs)
    kinds = np.empty(count, np.int32)
    for part in ("interpolation", "easing"):
        points.foreach_get(part, kinds)
        digest.update(kinds)
    singles = np.empty(count, np.float32)
    for part in ("back", "amplitude", "period"):
        points.foreach_get(part, singles)
        digest.update(singles)
    digest.update(curve.extrapolation.encode())
    return digest.digest()
