"""Set a strip's snapshot and classes, and key them if they are animated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from bpy.types import ImageStrip, Scene
from numpy.typing import NDArray

from ..core.animatable import CLASSES
from . import changes, timing, versions
from .animatable import PATHS
from .curves import StripCurves, curves_of_scene, path_prefix
from .evaluation import stored_array
from .properties import settings_of


def set_snapshot(scene: Scene, strip: ImageStrip, number: float) -> None:
    """Show a snapshot, counted from 1; if the snapshot is animated, key it at the playhead."""
    settings_of(strip).snapshot = number
    path = path_prefix(strip) + PATHS["snapshot"]
    if _has_curve(scene, path):
        scene.keyframe_insert(path, frame=timing.key_time(scene, scene.frame_current))
    changes.mark()


def set_class(scene: Scene, strip: ImageStrip, number: int) -> None:
    """Show only one class, 0 <= number < num_classes; if the classes are animated, key them at the playhead."""
    weights = [0.0] * settings_of(strip).num_classes
    weights[number] = 1.0
    strip[CLASSES] = weights
    if _has_curve(scene, _classes_path(strip)):
        insert_class_key(strip, scene.frame_current)
    changes.mark()


def main_class(strip: ImageStrip) -> tuple[int, float]:
    """Return the class with the greatest weight, and its share of all weights."""
    weights = stored_array(strip, CLASSES)
    if not weights.any():
        return 0, 0.0
    number = int(np.argmax(weights))
    return number, float(weights[number] / np.abs(weights).sum())


def insert_class_key(strip: ImageStrip, frame: int) -> None:
    """Key all class weights as they are now, for a timeline frame."""
    time = timing.key_time(cast(Scene, strip.id_data), frame)
    strip.id_data.keyframe_insert(_classes_path(strip), index=-1, frame=time, group=f"Classes {strip.name}")
    changes.mark()


def delete_class_key(scene: Scene, strip: ImageStrip, frame: int) -> bool:
    """Delete the keys of the classes for a timeline frame; return whether there were any."""
    path, time = _classes_path(strip), np.float32(timing.key_time(scene, frame))
    curves = [curve for curve in versions.fcurves_of(scene) or () if curve.data_path == path]
    if not any(point.co[0] == time for curve in curves for point in curve.keyframe_points):
        return False
    scene.keyframe_delete(path, index=-1, frame=float(time))
    changes.mark()
    return True


def classes_at(scene: Scene, strip: ImageStrip, frames: Sequence[float]) -> NDArray[np.float64]:
    """Return the class weights at frames of the F-curves, (frames, C); C is 0 for an unconditional generator."""
    stored = stored_array(strip, CLASSES) if settings_of(strip).num_classes else np.empty(0)
    weights = np.tile(stored, (len(frames), 1))
    own = curves_of_scene(scene).get(path_prefix(strip)) or StripCurves()
    for index, curve in own.classes.items():
        if index < len(stored):
            weights[:, index] = [curve.evaluate(frame) for frame in frames]
    return weights


def _classes_path(strip: ImageStrip) -> str:
    return path_prefix(strip) + PATHS[CLASSES]


def _has_curve(scene: Scene, path: str) -> bool:
    return any(curve.data_path == path for curve in versions.fcurves_of(scene) or ())
