"""From a strip to its plan: every shown frame's latent and settings, as requests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bpy.types import ImageStrip
from numpy.typing import NDArray

from ...inference_server.protocol import ShadowSettings
from ..core import interpolation
from ..core.frame_plan import FramePlan
from ..core.frame_request import FrameRequest, GeneratorFacts
from ..core.transform import inverse_transform
from . import versions
from .curves import (
    ANIMATABLE,
    CurveCache,
    StripCurves,
    StripValues,
    read_values,
    whole_keys,
)
from .generator_properties import ALL_ROWS
from .properties import CLASSES, LATENT, LatentStripSettings, settings_of

Floats = NDArray[np.float64]

LARGEST_SIDE = 16384
"""Pixels of a picture's side; a file that asks for more is not to be believed."""

LONGEST_STRIP = 120_000
MOST_NUMBERS = 1 << 28
"""Frames that a strip shows, more than an hour; and numbers of all their latents, two gigabytes."""

UNASKED_FRAMES = 1000
UNASKED_NUMBERS = 1 << 26
"""What a file that was merely opened may cost: elements added, frames stepped through, numbers of latents."""


class PlanError(Exception):
    """The strip cannot be planned as it is. The text says why and what to do."""


@dataclass(slots=True)
class _Values:
    """Everything evaluated over the shown frames: latent (F, D), classes (F, C), settings (F, components)."""

    latent: Floats
    classes: Floats
    settings: dict[str, Floats]


class StripPlanner:
    """Plans one strip, again and again; what has not changed since the last time is not computed again."""

    def __init__(self) -> None:
        self._cache = CurveCache()
        self._inputs: tuple[object, ...] | None = None
        self._arrays: tuple[Floats, ...] = ()
        self._plan: FramePlan | None = None
        self.partial_keys = 0
        """Frames with keys of some components only, which the great circle passes over."""

    def plan(self, strip: ImageStrip, curves: StripCurves) -> FramePlan:
        """The strip's plan by its F-curves. The same object as before while nothing that matters has changed.

        Raises PlanError.
        """
        check_sizes(strip)
        start, end = versions.strip_start(strip), versions.strip_end(strip)
        stored = read_values(strip)
        settings = {}
        for name in ANIMATABLE:
            own = {index: curve for (of, index), curve in curves.settings.items() if of == name}
            settings[name] = self._cache.evaluate(name, own, np.array(stored.settings[name], np.float64), strip)
        values = _Values(
            self._cache.evaluate(LATENT, curves.latent, stored.latent, strip),
            self._cache.evaluate(CLASSES, curves.classes, stored.classes, strip),
            settings,
        )
        group = settings_of(strip)
        canvas = (group.rows, group.columns)
        inputs = (start, end, group.facts(), canvas, group.space, group.interpolation, group.noise, group.show_shadow)
        arrays = (values.latent, values.classes, *settings.values())
        same = len(arrays) == len(self._arrays) and all(a is b for a, b in zip(arrays, self._arrays, strict=True))
        if self._plan is None or not same or inputs != self._inputs:
            self._move_on_sphere(strip, curves, stored.latent, values, start, end)
            self._plan = FramePlan.of(start, _requests(group, values))
            self._inputs, self._arrays = inputs, arrays
        return self._plan

    def plan_swept(self, strip: ImageStrip, curves: StripCurves, swept: Sequence[StripValues]) -> FramePlan:
        """The strip's plan by values that a sweep read at each shown frame. Raises PlanError."""
        check_sizes(strip)
        start, end = versions.strip_start(strip), versions.strip_end(strip)
        values = _Values(
            np.array([v.latent for v in swept]),
            np.array([v.classes for v in swept]).reshape(len(swept), -1),
            {name: np.array([v.settings[name] for v in swept]) for name in ANIMATABLE},
        )
        self._move_on_sphere(strip, curves, swept[0].latent, values, start, end)
        plan = FramePlan.of(start, _requests(settings_of(strip), values))
        if self._plan is None or plan != self._plan:
            self._plan = plan
        self._inputs = None
        return self._plan

    def _move_on_sphere(
        self, strip: ImageStrip, curves: StripCurves, stored: Floats, values: _Values, start: int, end: int
    ) -> None:
        mode = settings_of(strip).interpolation
        self.partial_keys = 0
        if mode == "FCURVE" or not curves.latent:
            return
        keys = whole_keys(curves, stored)
        self.partial_keys = keys.partial
        if not len(keys.frames):
            return
        frames = np.arange(start, end, dtype=np.float64)
        if mode == "SPHERICAL":
            values.latent = interpolation.spherical(values.latent, frames, keys.frames, keys.values, keys.holds)
        else:
            values.latent = interpolation.great_circle(frames, keys.frames, keys.values, keys.holds)


def check_sizes(strip: ImageStrip) -> None:
    """Raise PlanError unless latent and classes are as long as the generator takes them."""
    group = settings_of(strip)
    doubt = group.doubt()
    if doubt:
        raise PlanError(f"Strip '{strip.name}': {doubt}.")
    facts = group.facts()
    if group.space != "Z" and not facts.has_w:
        raise PlanError(
            f"Strip '{strip.name}' lies in space {group.space}, but {facts.name} has only Z. Press Fit Latent to start "
            "from a new latent."
        )
    wanted = math.prod(group.latent_shape(group.space))
    if not facts.sha256 or not wanted:
        raise PlanError(f"Strip '{strip.name}' has no generator yet. Choose one in the Lantern tab.")
    length = _count(strip[LATENT])
    if length != wanted:
        raise PlanError(
            f"The latent of strip '{strip.name}' has {length} numbers, but {facts.name} takes {wanted} in space "
            f"{group.space}. Choose the generator it was made with, or press Fit Latent to start from a new one."
        )
    frames = versions.strip_end(strip) - versions.strip_start(strip)
    if frames > LONGEST_STRIP or frames * wanted > MOST_NUMBERS:
        raise PlanError(
            f"Strip '{strip.name}' shows {frames} frames, which is more than can be made of latents of {wanted} "
            "numbers. Shorten it, or cut it and move a part to another file."
        )
    width, height = group.picture_size()
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
        raise PlanError(
            f"The pictures of strip '{strip.name}' would be {width} x {height} pixels; up to {LARGEST_SIDE} a side are "
            "made. Choose fewer columns and rows at Canvas."
        )
    if facts.num_classes and _count(strip.get(CLASSES)) != facts.num_classes:
        raise PlanError(
            f"Strip '{strip.name}' needs {facts.num_classes} class weights for {facts.name}. Press Fit Latent."
        )


def check_effort(strip: ImageStrip, swept: bool) -> None:
    """Raise PlanError where the strip is more work than a file may make that was merely opened. swept: whether the
    frames must be stepped through."""
    frames = versions.strip_end(strip) - versions.strip_start(strip)
    added = frames - len(strip.elements)
    too_much = added > UNASKED_FRAMES or (swept and frames > UNASKED_FRAMES)
    if too_much or frames * _count(strip[LATENT]) > UNASKED_NUMBERS:
        raise PlanError(f"Looking through the {frames} frames of strip '{strip.name}' takes long. Press Make Frames.")


def _count(value: object) -> int:
    """How many numbers a custom property holds; a file may hold anything under its name."""
    if hasattr(value, "typecode"):
        return len(value)  # type: ignore[arg-type]
    return int(isinstance(value, int | float))


def _requests(group: LatentStripSettings, values: _Values) -> list[FrameRequest]:
    facts = group.facts()
    try:
        latents = interpolation.round_to_grid(values.latent).astype("<f4")
        classes = interpolation.round_to_grid(values.classes)
    except ValueError as error:
        raise PlanError(f"{error} Look at the F-curves of strip '{group.id_data.name}'.") from error
    settings = {name: column.tolist() for name, column in _in_range(group, values.settings).items()}
    shape = group.latent_shape(group.space)
    width, height = group.picture_size()
    requests = []
    last: tuple[object, ShadowSettings] | None = None
    for i, row in enumerate(latents):
        now = {name: column[i] for name, column in settings.items()}
        if group.show_shadow and (last is None or last[0] != now):
            last = (now, _shadow(now))
        noise = int(now["noise_seed"][0]) if group.noise == "SEED" else group.noise.lower()
        checkpoint, toward, mix = _weights(facts, now["snapshot"][0])
        request = FrameRequest(
            checkpoint=checkpoint,
            space="z" if group.space == "Z" else "w",
            latent=row.tobytes(),
            psi=now["psi"][0],
            cutoff=None if int(now["cutoff"][0]) == ALL_ROWS else int(now["cutoff"][0]),
            noise=noise,
            classes=tuple(classes[i].tolist()) if facts.num_classes else (),
            width=width,
            height=height,
            shape=shape,
            toward=toward,
            mix=mix,
            transform=inverse_transform(*(now[name][0] for name in ("move_x", "move_y", "turn", "zoom"))),
            shadow=last[1] if group.show_shadow and last else None,
        )
        requests.append(request.normalised(facts))
    return requests


def _weights(facts: GeneratorFacts, snapshot: float) -> tuple[str, str, float]:
    """What weights the place `snapshot` in a run means: sha256, sha256 of what is blended in, and how much of it."""
    if not facts.snapshots:
        return facts.sha256, "", 0.0
    place = min(snapshot, float(len(facts.snapshots))) - 1.0
    before = math.floor(place)
    mix = place - before
    toward = facts.snapshots[before + 1].sha256 if mix else ""
    return facts.snapshots[before].sha256, toward, mix


def _in_range(group: LatentStripSettings, settings: dict[str, Floats]) -> dict[str, Floats]:
    """Clamp as Blender does when a curve's value reaches a property, and round to the grid."""
    limited = {}
    for name, column in settings.items():
        prop: Any = group.bl_rna.properties[name]
        column = np.nan_to_num(column)
        if prop.type != "BOOLEAN":
            column = np.clip(column, prop.hard_min, prop.hard_max)
        limited[name] = np.rint(column * interpolation.GRID) / interpolation.GRID
    return limited


def _shadow(now: dict[str, list[float]]) -> ShadowSettings:
    def colour(name: str) -> tuple[int, int, int, int]:
        r, g, b, a = (round(255 * component) for component in now[name])
        return (r, g, b, a)

    return ShadowSettings(
        threshold=now["shadow_threshold"][0],
        softness=now["shadow_softness"][0],
        fill_holes=int(now["shadow_fill_holes"][0]),
        min_area=int(now["shadow_min_area"][0]),
        invert=now["shadow_invert"][0] >= 1.0,
        figure=colour("shadow_figure"),
        ground=colour("shadow_ground"),
        mix=now["shadow_mix"][0],
    )
