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

from ..core import fcurves
from . import changes, versions
from .properties import CLASSES, LATENT, settings_of

GROUP = "Latent"
ANIMATABLE = {
    "snapshot": 1,
    "move_x": 1,
    "move_y": 1,
    "turn": 1,
    "zoom": 1,
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
_WHOLE_NUMBERS = (".cutoff", ".noise_seed", ".shadow_fill_holes", ".shadow_min_area", ".shadow_invert")
"""How the paths end of curves that Blender rounds as it evaluates them."""


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
        if curve.mute:  # a muted group moves its curves all the same
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
    for strip in strips:
        loose = [curve for curve in _latent_curves(scene, strip) if curve.group is None]
        if loose:
            name = _group_name(strip)
            groups = versions.channelbag(scene).groups
            group = groups.get(name) or groups.new(name)
            for curve in loose:  # assigning re-orders the curves, so they were listed first
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
            holds[k] &= kind == fcurves.CONSTANT
    return WholeKeys(np.array(ordered, np.float64), values, holds, len(every) - len(ordered))


# --- evaluation ------------------------------------------------------------------------------------------------------


def stored_array(strip: ImageStrip, name: str) -> NDArray[np.float64]:
    """A custom property as the strip holds it now, (D,), empty if it has none, or no numbers under that name. A copy:
    views of them dangle."""
    value = strip.get(name)
    return np.array(value[:] if hasattr(value, "typecode") else (), np.float64)


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
    """Evaluated properties of one strip, so that nothing is computed again that has not changed."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[bytes, NDArray[np.float64]]] = {}

    def evaluate(
        self, name: str, curves: dict[int, FCurve], stored: NDArray[np.float64], strip: ImageStrip
    ) -> NDArray[np.float64]:
        """Values (F, D) of a property at the frames that the strip shows, without moving the playhead.

        curves: its F-curves by component; components without one keep their `stored` (D,) value. As long as the outcome
        is the same, the same array is returned.
        """
        first, end = versions.strip_start(strip), versions.strip_end(strip)
        origin = versions.content_start(strip)
        curves = {index: curve for index, curve in curves.items() if index < len(stored)}
        keys = {index: read_keys(curve) for index, curve in curves.items()}
        simple = {index: found for index, found in keys.items() if found is not None}
        by_blender = {
            index: np.fromiter(map(curve.evaluate, range(first, end)), np.float64, end - first)
            for index, curve in curves.items()
            if index not in simple
        }
        base = stored.copy()
        base[list(curves)] = 0.0  # what is stored there is only the last frame's value
        digest = hashlib.blake2b(f"{first} {end} {origin} {sorted(simple)} {sorted(by_blender)}".encode())
        digest.update(base.data)
        for row in by_blender.values():
            digest.update(row.data)
        for found in simple.values():
            for part in (found.points, found.left, found.right, found.kinds):
                digest.update(part.data)
            digest.update(bytes([found.extrapolates]))
        signature = digest.digest()
        if name not in self._known or self._known[name][0] != signature:
            values = np.tile(base, (end - first, 1))
            if simple:
                values[:, list(simple)] = fcurves.evaluate(list(simple.values()), np.arange(first, end), origin)
            for index, row in by_blender.items():
                values[:, index] = row
            self._known[name] = (signature, values)
        return self._known[name][1]


def read_keys(curve: FCurve) -> fcurves.CurveKeys | None:
    """The keys of a curve, or None where only Blender can say what it does: modifiers, baked samples, whole numbers."""
    points = curve.keyframe_points
    count = len(points)
    if not count or len(curve.modifiers) or curve.data_path.endswith(_WHOLE_NUMBERS):
        return None
    places = np.empty((3, 2 * count), np.float32)
    for row, part in zip(places, ("co", "handle_left", "handle_right"), strict=True):
        points.foreach_get(part, row)
    kinds = np.empty(count, np.int32)
    points.foreach_get("interpolation", kinds)
    keyed, left, right = places.reshape(3, count, 2)
    keys = fcurves.CurveKeys(keyed, left, right, kinds, curve.extrapolation == "LINEAR")
    return keys if keys.is_simple() else None
