"""The plans of all latent strips of the open file, and the pictures that the strips show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import bpy
from bpy.types import ImageStrip, Scene

from ..core.frame_plan import FramePlan, PlannedFrame
from ..core.frame_store import FrameStore, StoreError
from . import changes, curves, drawing, planning, strip, versions
from .frame_folder import FrameFolder
from .properties import settings_of


@dataclass(slots=True)
class StripState:
    """What is known of one strip."""

    planner: planning.StripPlanner = field(default_factory=planning.StripPlanner)
    plan: FramePlan | None = None
    problem: str = ""
    """Why it cannot be planned, for a person."""
    first: int = 0
    """Index of the element that shows the plan's first frame."""
    offsets: dict[str, list[int]] = field(default_factory=dict)
    """Where in the plan each file is shown."""
    placeholder: str = ""
    done: int = 0
    """How many of the plan's frames are there."""

    def adopt(self, plan: FramePlan) -> None:
        """Take over a new plan."""
        if plan is not self.plan:
            self.plan = plan
            self.offsets = {}
            for i, frame in enumerate(plan.frames):
                self.offsets.setdefault(frame.name, []).append(i)


class Plans:
    """Plans every latent strip of every scene, and points strips at frames.

    folder, store: where frames lie. writing: whether files may be written and strips be pointed at placeholders; False
    for a file that was opened and not yet worked on.
    """

    def __init__(self) -> None:
        self.folder = FrameFolder("", Path())
        self.store = FrameStore(Path())
        self.writing = False
        self.swept = False
        """Whether any strip's values come from drivers or NLA, so that any change in the file may concern it."""
        self._states: dict[tuple[str, str], StripState] = {}

    def forget(self) -> None:
        """Drop all plans: another file is being opened."""
        self._states.clear()

    def use_folder(self, folder: FrameFolder) -> None:
        """Let frames lie in another folder."""
        self.folder = folder
        self.store = FrameStore(folder.path)
        for state in self._states.values():
            state.placeholder = ""

    # --- planning -----------------------------------------------------------------------------------------------------

    def update(self) -> bool:
        """Plan every strip again; return whether any plan is another than before."""
        if _strips_are_dragged():
            changes.mark()  # elements added now would spoil what Esc returns to
            return False
        known, self._states = self._states, {}
        self.swept = False
        moved = False
        for scene, strips in _scenes():
            curves.group_loose_curves(scene, strips)
            by_prefix = curves.curves_of_scene(scene)
            for image_strip in strips:
                key = (scene.name, image_strip.name)
                state = self._states[key] = known.get(key) or StripState()
                before = state.plan
                own = by_prefix.get(curves.path_prefix(image_strip)) or curves.StripCurves()
                try:
                    self._plan_strip(scene, image_strip, own, state)
                    state.problem = ""
                except (planning.PlanError, StoreError) as error:
                    state.problem = str(error)
                    state.plan = None
                moved |= state.plan is not before
        return moved

    def _plan_strip(self, scene: Scene, image_strip: ImageStrip, own: curves.StripCurves, state: StripState) -> None:
        settings_of(image_strip).forget_unreadable()
        planning.check_sizes(image_strip)
        if not self.writing:
            planning.check_effort(image_strip, curves.needs_sweep(scene, image_strip))
        if self.writing:
            state.placeholder = self.placeholder_of(image_strip)
        elif not state.placeholder:
            state.placeholder = image_strip.elements[0].filename
        strip.fit_content(scene, image_strip, state.placeholder)
        state.first = versions.strip_start(image_strip) - versions.content_start(image_strip)
        if not curves.needs_sweep(scene, image_strip):
            state.adopt(state.planner.plan(image_strip, own))
            return
        self.swept = True
        if _playing():
            changes.mark()  # stepping through frames would fight with playback: afterwards, then
            return
        shown = range(versions.strip_start(image_strip), versions.strip_end(image_strip))
        values = curves.sweep(scene, [image_strip], shown)[image_strip.name]
        state.adopt(state.planner.plan_swept(image_strip, own, values))

    def placeholder_of(self, image_strip: ImageStrip) -> str:
        """Name of the picture that the strip shows for missing frames. Raises StoreError."""
        return self.store.placeholder(*settings_of(image_strip).picture_size())

    # --- showing ------------------------------------------------------------------------------------------------------

    def show(self, under_way: bool) -> None:
        """Point every strip at the frames that are there, and at placeholders where one is missing.

        under_way: missing frames are being made. Then the picture under the playhead stays until the new one is there,
        so that whoever drags a slider sees it change instead of a placeholder.
        """
        present = self.store.names()
        for scene, image_strip, state in self.strips():
            if state.plan is None:
                continue
            missing = state.plan.missing(present)
            state.done = len(state.plan.frames) - len(missing)
            if not self.writing and missing and len(missing) == len(state.plan.frames):
                continue  # none of its frames is here: leave what the file says
            if image_strip.directory != self.folder.directory:
                image_strip.directory = self.folder.directory
            placeholder = state.placeholder if self.writing else None
            names = [frame.name for frame in state.plan.frames]
            keep = self._index_at_playhead(scene, image_strip, state) if under_way else None
            strip.show(image_strip, state.first, names, present, placeholder, keep)
        self._show_backgrounds()

    def show_made(self, names: list[str]) -> None:
        """Point strips at frames that have just been made."""
        present = self.store.names()
        for _scene, image_strip, state in self.strips():
            made = {i: name for name in names for i in state.offsets.get(name, ())}
            if made and state.plan is not None:
                strip.show_made(image_strip, state.first, made)
                state.done = len(state.plan.frames) - len(state.plan.missing(present))
        self._show_backgrounds()

    def show_preview(self, scene: Scene, image_strip: ImageStrip, frame: int, name: str) -> None:
        """Show a frame that an edit has overtaken, if its successor is not there and someone is looking at it."""
        state = self.state_of(image_strip)
        index = self._index_at_playhead(scene, image_strip, state) if state else None
        if index is not None and scene.frame_current == frame and name not in state.offsets:
            planned = state.plan.at(frame)
            if planned is not None and planned.name not in self.store.names():
                image_strip.elements[index].filename = name

    def _index_at_playhead(self, scene: Scene, image_strip: ImageStrip, state: StripState) -> int | None:
        """Index of the element under the playhead if it shows a frame, None if it shows something else or nothing."""
        if state.plan is None or state.plan.at(scene.frame_current) is None:
            return None
        index = state.first + scene.frame_current - state.plan.start
        return index if image_strip.elements[index].filename in self.store.names() else None

    def _show_backgrounds(self) -> None:
        for scene, _strips in _scenes():
            drawing.show_background(scene, self.shown_file(scene))

    # --- asking -------------------------------------------------------------------------------------------------------

    def strips(self) -> Iterator[tuple[Scene, ImageStrip, StripState]]:
        """Every latent strip of the open file that is planned or has a problem."""
        for scene, strips in _scenes():
            for image_strip in strips:
                state = self._states.get((scene.name, image_strip.name))
                if state is not None:
                    yield scene, image_strip, state

    def looked_at(self) -> Iterator[tuple[Scene, ImageStrip, PlannedFrame]]:
        """The planned frame under the playhead of every strip that has one there."""
        for scene, image_strip, state in self.strips():
            frame = state.plan.at(scene.frame_current) if state.plan else None
            if frame is not None:
                yield scene, image_strip, frame

    def all(self) -> list[FramePlan]:
        """The plans of all strips that have one."""
        return [state.plan for state in self._states.values() if state.plan]

    def state_of(self, image_strip: ImageStrip) -> StripState | None:
        """What is known of a strip, None before it was first planned."""
        return self._states.get((image_strip.id_data.name, image_strip.name))

    def shown_file(self, scene: Scene) -> Path | None:
        """The picture of the scene's latent strip at its playhead, None while it is missing or there is no strip."""
        current = strip.active_latent_strip(scene)
        state = self.state_of(current) if current else None
        frame = state.plan.at(scene.frame_current) if state and state.plan else None
        return self.store.folder / frame.name if frame and frame.name in self.store.names() else None

    def missing(self, scene: Scene) -> list[tuple[ImageStrip, list[int]]]:
        """The scene's strips that lack frames, with the frames' numbers; all frames of a strip that has a problem."""
        present = self.store.names()
        lacking = []
        for of, image_strip, state in self.strips():
            if of != scene:
                continue
            if state.plan is None:
                frames = list(range(versions.strip_start(image_strip), versions.strip_end(image_strip)))
            else:
                frames = state.plan.missing(present)
            if frames:
                lacking.append((image_strip, frames))
        return lacking

    def progress(self, image_strip: ImageStrip) -> tuple[int, int]:
        """(frames that are there, frames shown) of a strip."""
        state = self.state_of(image_strip)
        return (state.done, len(state.plan.frames)) if state and state.plan else (0, 0)

    def files_in_use(self) -> set[str]:
        """Names of all files that any strip of the open file shows, and of the colour frames behind shadows."""
        return set().union(*(plan.files() for plan in self.all()))


def _scenes() -> Iterator[tuple[Scene, list[ImageStrip]]]:
    for scene in bpy.data.scenes:
        strips = strip.latent_strips(scene) if scene.library is None else []
        if strips:
            yield scene, strips


def _playing() -> bool:
    return any(window.screen.is_animation_playing for window in bpy.context.window_manager.windows)


def _strips_are_dragged() -> bool:
    return any(
        operator.bl_idname.startswith(("TRANSFORM_OT_seq_slide", "SEQUENCER_OT_"))
        for window in bpy.context.window_manager.windows
        for operator in window.modal_operators
    )
