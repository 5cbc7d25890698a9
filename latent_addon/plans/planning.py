"""Makes the recipe of a strip from its settings, its curves' keys, and values that only Blender can evaluate."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any, NamedTuple, TypeVar, cast

import bpy
from bpy.types import ImageStrip, Scene
from idprop.types import IDPropertyArray

from ...lantern_protocol.answers import LARGEST_SIDE
from ..core.animatable import CLASSES, LATENT, SETTINGS, SWITCH
from ..core.frame_plan import FramePlan
from ..core.recipe import Look, Recipe
from ..core.whole_keys import whole_keys
from ..scene import curves, evaluation, timing, versions
from ..scene.curves import Places
from ..scene.evaluation import CurveReading, StripValues
from ..scene.properties import LatentStripSettings, settings_of

Result = TypeVar("Result")

LONGEST_STRIP = 120_000
MOST_NUMBERS = 1 << 28
"""The most frames that a strip may show (more than an hour), and the most numbers in all their latents (2 GB)."""

UNASKED_FRAMES = 1000
UNASKED_NUMBERS = 1 << 26
"""What opening a file may cost, before the user does anything: elements added, frames stepped through, and numbers of
latents."""

_READ = 64
"""Curves that are read before the work may be interrupted: about a millisecond."""

_SURVEY = 2048
"""Curves whose names are looked at before the work may be interrupted."""

_STEP = 4
"""Frames that are stepped through before the work may be interrupted."""


class PlanError(Exception):
    """The strip cannot be planned as it is. The text says why and what to do."""


class Changed(Exception):
    """The strip has changed since its reading began: begin again."""


class StripKey(NamedTuple):
    """A strip by its names, because Blender may free the strip's object as soon as it continues."""

    scene: str
    strip: str

    def find(self) -> tuple[Scene, ImageStrip]:
        """Return the scene and the strip as they are now. Raises Changed if the strip is gone."""
        scene = bpy.data.scenes.get(self.scene)
        strip = scene.sequence_editor.strips_all.get(self.strip) if scene and scene.sequence_editor else None
        if scene is None or not isinstance(strip, ImageStrip):
            raise Changed
        return scene, strip


def read_recipe(key: StripKey, places: Places, under_speed: bool) -> Generator[None, None, Recipe]:
    """Read a strip's recipe, a little at a time; at each `yield` Blender may continue.

    places: where its curves are, from `survey`. under_speed: whether it is under a Speed effect. Raises PlanError if
    the strip cannot be planned, and Changed if the strip or its curves have changed meanwhile.
    """
    scene, strip = key.find()
    check_sizes(strip)
    shown = extent(strip, under_speed)
    start, end, _origin = shown
    swept = (yield from _sweep(key, start, end)) if evaluation.needs_sweep(scene, strip) else None
    heeded = swept is None or settings_of(key.find()[1]).interpolation != "FCURVE"
    readings = (yield from _read_curves(key, places, start, end)) if heeded else {}
    scene, strip = key.find()
    if shown != extent(strip, under_speed):
        raise Changed
    group = settings_of(strip)
    stored = evaluation.read_values(strip) if swept is None else swept[0]
    tracks = evaluation.tracks_of(strip, stored, readings) if swept is None else evaluation.swept_tracks(swept)
    keys = {index: reading.keys for (name, index), reading in readings.items() if name == LATENT}
    whole = whole_keys(keys, stored.latent) if keys and group.interpolation != "FCURVE" else None
    return Recipe(*shown, _look(group), tracks, whole)


def extent(strip: ImageStrip, under_speed: bool = False) -> tuple[int, int, int]:
    """Return the first frame whose picture is planned, the frame after the last one, and that of the first element."""
    return *timing.shown_range(strip, under_speed), timing.origin(strip)


def _read_curves(
    key: StripKey, places: Places, start: int, end: int
) -> Generator[None, None, dict[tuple[str, int], CurveReading]]:
    readings: dict[tuple[str, int], CurveReading] = {}
    waiting = list(places.items())
    for first in range(0, len(waiting), _READ):
        scene, strip = key.find()
        prefix = curves.path_prefix(strip)
        part = waiting[first : first + _READ]
        for (named, _place), curve in zip(part, curves.curves_at(scene, prefix, part), strict=True):
            if curve is None:
                raise Changed
            readings[named] = evaluation.read_curve(curve, start, end, timing.stretch(scene))
        yield
    return readings


def _sweep(key: StripKey, start: int, end: int) -> Generator[None, None, list[StripValues]]:
    found: list[StripValues] = []
    for first in range(start, end, _STEP):
        scene, strip = key.find()
        found += evaluation.sweep(scene, strip, range(first, min(first + _STEP, end)))
        yield
    return found


def _look(group: LatentStripSettings) -> Look:
    limits = []
    for setting in SETTINGS:
        if setting.kind is not SWITCH:
            prop: Any = group.bl_rna.properties[setting.name]
            limits.append((setting.name, float(prop.hard_min), float(prop.hard_max)))
    return Look(
        facts=group.facts(),
        space=group.space,
        rows=group.rows,
        columns=group.columns,
        motion=group.interpolation,
        noise=group.noise,
        shadow=group.show_shadow,
        limits=tuple(limits),
    )


def survey(name: str) -> Generator[None, None, curves.Survey]:
    """Find each strip's curves in the scene of this name, a little at a time. Raises Changed if the scene is gone."""
    found = curves.Survey()
    while True:
        scene = bpy.data.scenes.get(name)
        if scene is None:
            raise Changed
        if not found.look(scene, _SURVEY):
            return found
        yield


def plan_of(strip: ImageStrip) -> FramePlan:
    """Return the strip's whole plan, made at once. Raises PlanError."""
    scene = cast(Scene, strip.id_data)
    places = finish(survey(scene.name)).places.get(curves.path_prefix(strip), {})
    under_speed = strip.name in timing.under_speed(scene)
    plan = FramePlan(finish(read_recipe(StripKey(scene.name, strip.name), places, under_speed)))
    plan.complete(())
    return plan


def finish(work: Generator[None, None, Result]) -> Result:
    """Do all of a piece of work at once, and return its result."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def check_sizes(strip: ImageStrip) -> None:
    """Raise PlanError unless latent and classes have the lengths that the generator takes, and sizes are allowed."""
    group = settings_of(strip)
    doubt = group.doubt()
    if doubt:
        raise PlanError(f"Strip '{strip.name}': {doubt}.")
    facts = group.facts()
    if group.space != "Z" and not facts.has_w:
        raise PlanError(
            f"Strip '{strip.name}' is in space {group.space}, but {facts.name} has only Z. Press Fit Latent to start "
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
    """Raise PlanError if the strip is more work than opening a file may cost.

    swept: whether its frames must be stepped through.
    """
    frames = versions.strip_end(strip) - versions.strip_start(strip)
    added = frames - len(strip.elements)
    too_much = added > UNASKED_FRAMES or (swept and frames > UNASKED_FRAMES)
    if too_much or frames * _count(strip[LATENT]) > UNASKED_NUMBERS:
        raise PlanError(f"Looking through the {frames} frames of strip '{strip.name}' takes long. Press Make Frames.")


def _count(value: object) -> int:
    """Return how many numbers a custom property holds; 0 for anything else that a file may hold under its name."""
    if isinstance(value, IDPropertyArray):
        numbers: Any = value
        return len(numbers)
    return int(isinstance(value, int | float))
