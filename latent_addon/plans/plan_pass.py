"""One pass over all latent strips. It brings plans and elements up to date, a few milliseconds at a time.

Between two turns Blender continues, and may free any object that it has returned. So only names and numbers are kept
from one turn to the next, and each turn looks the objects up again. If an edit comes during a pass, the pass is dropped
and a new one begins. Its results so far are in the plans, and the new pass continues from them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import bpy
from bpy.types import ImageStrip, Scene

from ..core.frame_plan import FramePlan
from ..core.frame_store import StoreError
from ..core.ranges import Ranges
from ..scene import changes, curves, evaluation, latent_keys, strip, timing, versions
from ..scene.properties import settings_of
from . import planning
from .planning import Changed, PlanError, StripKey
from .strip_state import StripPlans, StripState

_NUMBERS = 1 << 17
"""Components that are evaluated before the pass may be interrupted: a few milliseconds."""

_COVERED = 1024
"""Elements that are pointed at the placeholder before the pass may be interrupted."""


class PlanPass:
    """A pass that is under way. `work` does a part of it, and returns True when everything is done."""

    def __init__(self, plans: StripPlans, keys: list[StripKey]):
        self._plans = plans
        self._keys = keys
        self._end = 0.0
        self._steps = self._run()

    def work(self, seconds: float) -> bool:
        """Work for about `seconds`; return whether the pass is finished."""
        self._end = time.monotonic() + seconds
        return next(self._steps, True) is True

    def _run(self) -> Iterator[None]:
        """Yield each time that the turn is over."""
        strips: dict[StripKey, Iterator[None]] = {}
        for scene in dict.fromkeys(key.scene for key in self._keys):
            own = [key for key in self._keys if key.scene == scene]
            try:
                yield from self._sliced(self._begin_scene(scene, own, strips))
            except Changed:
                changes.mark()
        while strips:
            looking = _looking()
            for key in self._nearest_first(strips):
                for _ in strips[key]:
                    if time.monotonic() >= self._end:
                        yield
                    if _looking() != looking:
                        break
                else:
                    del strips[key]
                    continue
                break  # the user looks elsewhere now: sort the strips again
        self._plans.show_backgrounds()

    def _sliced(self, steps: Iterator[None]) -> Iterator[None]:
        for _ in steps:
            if time.monotonic() >= self._end:
                yield

    def _begin_scene(self, scene: str, keys: list[StripKey], strips: dict[StripKey, Iterator[None]]) -> Iterator[None]:
        """Find the scene's curves, and prepare its strips in `strips`."""
        found = yield from planning.survey(scene)
        if found.loose:
            latent_keys.group_loose_curves(bpy.data.scenes[scene], [key.find()[1] for key in keys])
            found = yield from planning.survey(scene)  # grouping has changed the order of the curves
        under_speed = timing.under_speed(bpy.data.scenes[scene])
        for key in keys:
            self._plans.state(key).under_speed = key.strip in under_speed
            strips[key] = self._strip(key, found)

    def _nearest_first(self, keys: Iterable[StripKey]) -> list[StripKey]:
        """Return the strips of the shown scene before others; in each scene, by distance from the playhead.

        The active one comes before all others at the playhead, because it is the one that is being edited.
        """
        shown, _frame = _looking()
        edited = strip.active_latent_strip(bpy.data.scenes[shown]) if shown else None

        def rank(key: StripKey) -> tuple[bool, int]:
            try:
                scene, image_strip = key.find()
            except Changed:
                return False, 0  # planning it raises this again, and handles it
            at, start, end = scene.frame_current, versions.strip_start(image_strip), versions.strip_end(image_strip)
            distance = max(start - at, at - end + 1, 0)
            return key.scene != shown, -1 if image_strip == edited and not distance else distance

        return sorted(keys, key=rank)

    def _strip(self, key: StripKey, found: curves.Survey) -> Iterator[None]:
        """Plan one strip and show it. Yield when the pass may be interrupted: after a few milliseconds at most."""
        state = self._plans.state(key)
        try:
            yield from self._plan_strip(key, found, state)
        except Changed:
            changes.mark()
        except (PlanError, StoreError) as error:
            if state.plan is not None or state.problem != str(error):
                self._plans.changed()
            state.problem = str(error)
            state.plan = None

    def _plan_strip(self, key: StripKey, found: curves.Survey, state: StripState) -> Iterator[None]:
        scene, image_strip = key.find()
        settings_of(image_strip).forget_unreadable()
        planning.check_sizes(image_strip)
        swept = evaluation.needs_sweep(scene, image_strip)
        self._plans.note_origin(image_strip, state)
        if self._plans.writing:
            state.placeholder = self._plans.placeholder_of(image_strip)
        else:
            planning.check_effort(image_strip, swept)
            state.placeholder = state.placeholder or image_strip.elements[0].filename
        strip.fit_content(scene, image_strip, state.placeholder)
        if swept:
            self._plans.swept = True
            if self._plans.playing():
                self._plans.postponed = True  # stepping through frames would disturb playback, so it is done afterwards
                return
        recipe = yield from planning.read_recipe(
            key, found.places.get(curves.path_prefix(image_strip), {}), state.under_speed
        )
        known = state.plan is not None or bool(state.problem)
        changed = state.adopt(recipe)
        if changed:
            self._plans.changed()
        state.problem = ""
        yield from self._show(key, state, edited=changed and known)

    def _show(self, key: StripKey, state: StripState, edited: bool) -> Iterator[None]:
        """Fill the plan in and point the strip at its frames, from the playhead outward."""
        plan = state.plan
        assert plan is not None
        left = Ranges([(0, len(plan))])
        size = max(1, _NUMBERS // max(1, plan.source.width))
        while left:
            scene, image_strip = self._find(key, state)
            taken = left.take(scene.frame_current - plan.start, size)
            assert taken is not None
            first, end = taken
            self._fill_in(image_strip, plan, first, end)
            self._plans.bring(state, first, end)
            self._plans.point(scene, image_strip, state, first, end)
            yield
            if edited and len(plan.unknown) > size:
                yield from self._cover(key, state, plan)
            edited = False

    def _find(self, key: StripKey, state: StripState) -> tuple[Scene, ImageStrip]:
        scene, image_strip = key.find()
        if state.plan is None or not state.fits(image_strip):
            raise Changed
        return scene, image_strip

    def _fill_in(self, image_strip: ImageStrip, plan: FramePlan, first: int, end: int) -> None:
        try:
            plan.fill_in(first, end, self._plans.store.names())
        except ValueError as error:
            raise PlanError(f"{error} Look at the F-curves of strip '{image_strip.name}'.") from error

    def _cover(self, key: StripKey, state: StripState, plan: FramePlan) -> Iterator[None]:
        """Show the placeholder where an edit may have changed pictures, until they are planned again."""
        for first, end in plan.unknown:
            for i in range(first, end, _COVERED):
                scene, image_strip = self._find(key, state)
                self._plans.cover(scene, image_strip, state, i, min(end, i + _COVERED))
                yield


def _looking() -> tuple[str, int]:
    """Return where the user looks: the name of the shown scene, and its frame."""
    scene = versions.sequencer_scene(bpy.context)
    return (scene.name, scene.frame_current) if scene else ("", 0)
