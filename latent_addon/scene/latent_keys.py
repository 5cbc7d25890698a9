"""Set, delete, list and write keys of a whole latent, and keep them where they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import numpy as np
from bpy.types import FCurve, ImageStrip, Scene
from numpy.typing import NDArray

from ..core import fcurves
from ..core.animatable import LATENT
from ..core.whole_keys import WholeKeys, whole_keys
from . import changes, timing, versions
from .animatable import PATHS
from .curves import StripCurves, curves_of_scene, path_prefix
from .evaluation import read_keys, stored_array

GROUP = "Latent"
"""Name of the group of a latent's F-curves."""


def insert_latent_key(strip: ImageStrip, frame: int) -> None:
    """Key the whole latent as it is now for a timeline frame, in one group of curves."""
    time = timing.key_time(cast(Scene, strip.id_data), frame)
    strip.keyframe_insert(PATHS[LATENT], index=-1, frame=time, group=_group_name(strip))
    changes.mark()


def delete_latent_key(scene: Scene, strip: ImageStrip, frame: int) -> bool:
    """Delete the latent's keys for a timeline frame; return whether there were any."""
    time = timing.key_time(scene, frame)
    if not any(np.float32(time) in _key_frames(curve) for curve in _latent_curves(scene, strip)):
        return False
    strip.keyframe_delete(PATHS[LATENT], index=-1, frame=time)
    changes.mark()
    return True


def latent_key_frames(scene: Scene, strip: ImageStrip) -> list[float]:
    """Return the timeline frames at which any component of the latent has a key, ascending, from muted curves too."""
    frames: set[float] = set()
    for curve in _latent_curves(scene, strip):
        frames.update(_key_frames(curve).tolist())
    ratio = timing.stretch(scene)
    return sorted(frames if ratio == 1 else {round(frame * ratio, 3) for frame in frames})


def remove_latent_curves(scene: Scene, strip: ImageStrip) -> None:
    """Remove all F-curves of the latent, muted ones too; the latent keeps its value."""
    curves = versions.fcurves_of(scene)
    for curve in _latent_curves(scene, strip):
        curves.remove(curve)
    changes.mark()


def whole_latent_keys(scene: Scene, strip: ImageStrip) -> WholeKeys:
    """Return the strip's whole-vector keys."""
    own = curves_of_scene(scene).get(path_prefix(strip)) or StripCurves()
    return whole_keys({index: read_keys(curve) for index, curve in own.latent.items()}, stored_array(strip, LATENT))


def write_whole_keys(scene: Scene, strip: ImageStrip, keys: WholeKeys, values: NDArray[np.float64]) -> None:
    """Key the latent at the frames of `keys` with the given values (K, D). Held keys stay held, the others ease."""
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
    """Put each strip's latent curves into their group again: Blender duplicates and splits strips without it."""
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
    """Put the strip's keys back to where they were, to the bit, whatever Blender does to them inside the block."""
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
    """Return "Latent". A second strip of the scene needs a group of its own, or its keys would move along."""
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
