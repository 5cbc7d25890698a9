"""The plans of all latent strips of the open file, and the pictures that the strips show."""

from __future__ import annotations

import heapq
import math
import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import bpy
from bpy.types import ImageStrip, Scene

from ..core.frame_plan import FramePlan
from ..core.frame_store import FrameStore
from ..scene import changes, drawing, strip, strip_pictures, timing, versions
from ..scene.frame_folder import FrameFolder
from ..scene.properties import settings_of
from ..scene.rendered import shown_in_render
from .plan_pass import PlanPass
from .planning import StripKey
from .strip_state import StripState

_MANY = 2048
"""The most elements that are pointed at pictures at once."""


class Plans:
    """Plans every latent strip of every scene, and points strips at frames.

    folder, store: where frames are. writing: whether files may be written and strips may be pointed at placeholders;
    False for a file that was opened and not yet worked on. changed: called when any plan has changed. making: returns
    whether missing frames are being made. If they are, the picture under the playhead stays until the new one is ready.
    So a user who drags a slider sees the picture change, and not a placeholder.
    """

    def __init__(self, changed: Callable[[], None], making: Callable[[], bool]) -> None:
        self.folder = FrameFolder("", Path())
        self.store = FrameStore(Path())
        self.changed = changed
        self.writing = False
        self.swept = False
        """Whether any strip's values come from drivers or NLA, so that any change in the file may change them."""
        self.postponed = False
        """Whether such a strip waits for the end of playback."""
        self._making = making
        self._states: dict[StripKey, StripState] = {}
        self._pass: PlanPass | None = None

    def forget(self) -> None:
        """Drop all plans, and what is known of the folder: another file is being opened."""
        self._states.clear()
        self._pass = None
        self.store = FrameStore(self.folder.path)

    def use_folder(self, folder: FrameFolder) -> None:
        """Use a different folder for frames."""
        self.folder = folder
        self.store = FrameStore(folder.path)
        for state in self._states.values():
            state.placeholder = ""

    def begin(self) -> None:
        """Begin a pass over all strips. It replaces one that is under way."""
        keys = [StripKey(scene.name, image_strip.name) for scene, strips in _scenes() for image_strip in strips]
        self._states = {key: self._states.get(key) or StripState() for key in keys}
        self.swept = self.postponed = False
        self._pass = PlanPass(self, keys)

    @property
    def behind(self) -> bool:
        """Whether a pass is under way, so that plans may be out of date."""
        return self._pass is not None

    def work(self, seconds: float) -> None:
        """Continue the pass for about `seconds`."""
        if self._pass is not None and self._pass.work(seconds):
            self._pass = None

    def state(self, key: StripKey) -> StripState:
        """Return what is known about the strip of that name."""
        return self._states.setdefault(key, StripState())

    def placeholder_of(self, image_strip: ImageStrip) -> str:
        """Return the name of the picture that the strip shows for missing frames. Raises StoreError."""
        return self.store.placeholder(*settings_of(image_strip).picture_size())

    @staticmethod
    def playing() -> bool:
        """Return whether an animation is playing in any window."""
        return any(window.screen.is_animation_playing for window in bpy.context.window_manager.windows)

    @staticmethod
    def held_up() -> bool:
        """Return whether strips are being dragged: elements that are added now would spoil what Esc restores."""
        return any(
            operator.bl_idname.startswith(("TRANSFORM_OT_seq_slide", "SEQUENCER_OT_"))
            for window in bpy.context.window_manager.windows
            for operator in window.modal_operators
        )

    def point(self, scene: Scene, image_strip: ImageStrip, state: StripState, first: int, end: int) -> None:
        """Point a strip at frames of its plan, numbers first .. end - 1, and at the placeholder for missing ones."""
        names = state.plan.names(first, end)
        present = self.store.names()
        known = present.intersection(names)
        if not self.writing and (not known or (state.came_from is not None and len(known) < len(set(names)))):
            return  # leave the strip as the file has it
        self._name_folder(image_strip)
        placeholder = state.placeholder if self.writing else None
        keep = self._number_at_playhead(scene, image_strip, state) if self._making() else None
        strip.show(image_strip, state.first + first, names, present, placeholder, keep)
        state.kept.difference_update(range(state.first + first, state.first + end))
        if keep is not None and first <= keep - state.first < end and names[keep - state.first - first] not in present:
            state.kept.add(keep)

    def note_origin(self, image_strip: ImageStrip, state: StripState) -> None:
        """Remember the folder that the strip names, if it is not that of the open file's frames.

        A strip that was appended, or made local, names the folder of the file that it came from.
        """
        directory = bpy.path.abspath(image_strip.directory)
        if os.path.isabs(directory) and Path(os.path.normpath(directory)) != self.store.folder:
            state.came_from = Path(directory)

    def bring(self, state: StripState, first: int, end: int) -> None:
        """Take what frames first .. end - 1 of a plan lack from the folder that its strip came from. Raises StoreError.

        The files there stay.
        """
        if state.came_from is None or not self.writing:
            return
        lacking = state.plan.lacking(first, end)
        if lacking and self.store.adopt(state.came_from, lacking):
            state.plan.note(self.store.note_made(lacking))

    def cover(self, scene: Scene, image_strip: ImageStrip, state: StripState, first: int, end: int) -> None:
        """Point a strip at the placeholder where frames first .. end - 1 of its plan are not planned again yet."""
        if self.writing:
            self._name_folder(image_strip)
            keep = self._number_at_playhead(scene, image_strip, state) if self._making() else None
            names = [state.placeholder] * (end - first)
            strip.show(image_strip, state.first + first, names, (), state.placeholder, keep)

    def settle(self) -> None:
        """Stop showing pictures that were kept until new ones are made: nothing is being made any longer."""
        present = self.store.names()
        for _scene, image_strip, state in self.strips():
            for number in state.kept if state.plan is not None and state.fits(image_strip) else ():
                name = state.plan.name_at(state.plan.start + number - state.first)
                if name is not None and self.writing:
                    strip.show(image_strip, number, [name], present, state.placeholder)
            state.kept.clear()
        self.show_backgrounds()

    def note_made(self, names: Collection[str]) -> None:
        """Note that frames have been made; strips are not pointed at them yet."""
        for plan in self.all():
            plan.note(names)

    def show_made(self, names: Collection[str]) -> None:
        """Point strips at frames that have been made."""
        for scene, image_strip, state in self.strips():
            if state.plan is None:
                continue
            made = {n: name for name, numbers in state.plan.places(names).items() for n in numbers}
            if len(made) > _MANY:  # one picture is used by many frames: show the rest in later passes
                changes.mark()
                at = timing.shown_frame(image_strip, scene.frame_current) - state.plan.start
                made = dict(heapq.nsmallest(_MANY, made.items(), key=lambda item: abs(item[0] - at)))
            if made:
                strip.show_made(image_strip, state.first, made)
                state.kept.difference_update(state.first + i for i in made)
        self.show_backgrounds()

    def show_preview(self, scene: Scene, image_strip: ImageStrip, frame: int, name: str) -> None:
        """Show a frame that an edit has made out of date, if it is at the playhead and the new one is not there yet."""
        state = self.state_of(image_strip)
        number = self._number_at_playhead(scene, image_strip, state) if state else None
        if number is not None and scene.frame_current == frame and not state.plan.places([name]):
            planned = state.plan.name_at(timing.shown_frame(image_strip, frame))
            if planned is not None and planned not in self.store.names():
                image_strip.elements[number].filename = name
                state.kept.add(number)

    def name_folder(self) -> None:
        """Set the folder of every strip to the folder of the frames."""
        for _scene, image_strip, state in self.strips():
            if state.plan is not None and (self.writing or state.plan.done):
                self._name_folder(image_strip)

    def _name_folder(self, image_strip: ImageStrip) -> None:
        if image_strip.directory != self.folder.directory:
            image_strip.directory = self.folder.directory

    def _number_at_playhead(self, scene: Scene, image_strip: ImageStrip, state: StripState) -> int | None:
        """Return the number of the element under the playhead, None if it does not show a frame."""
        at = timing.shown_frame(image_strip, scene.frame_current)
        if state.plan is None or not 0 <= at - state.plan.start < len(state.plan):
            return None
        number = state.first + at - state.plan.start
        elements = image_strip.elements
        return number if number < len(elements) and elements[number].filename in self.store.names() else None

    def show_backgrounds(self) -> None:
        """Show the pictures at the playheads behind the drawings."""
        for scene, _strips in _scenes():
            drawing.show_background(scene, self.shown_file(scene))

    def strips(self) -> Iterator[tuple[Scene, ImageStrip, StripState]]:
        """Yield every latent strip of the open file that is planned or has a problem."""
        for scene, strips in _scenes():
            for image_strip in strips:
                state = self._states.get(StripKey(scene.name, image_strip.name))
                if state is not None:
                    yield scene, image_strip, state

    def looked_at(self) -> Iterator[tuple[Scene, ImageStrip, str]]:
        """Yield the planned file under the playhead of every strip that has one there."""
        for scene, image_strip, state in self.strips():
            at = timing.shown_frame(image_strip, scene.frame_current)
            name = state.plan.name_at(at) if state.plan else None
            if name is not None:
                yield scene, image_strip, name

    def all(self) -> list[FramePlan]:
        """Return the plans of all strips that have one."""
        return [state.plan for state in self._states.values() if state.plan]

    def state_of(self, image_strip: ImageStrip) -> StripState | None:
        """Return what is known about a strip, None before it was first planned."""
        return self._states.get(StripKey(image_strip.id_data.name, image_strip.name))

    def shown_file(self, scene: Scene) -> Path | None:
        """Return the picture of the scene's latent strip at its playhead, None if either is missing."""
        current = strip.active_latent_strip(scene)
        state = self.state_of(current) if current else None
        at = timing.shown_frame(current, scene.frame_current) if current else scene.frame_current
        name = state.plan.name_at(at) if state and state.plan else None
        return self.store.folder / name if name and name in self.store.names() else None

    def missing(self, scene: Scene) -> list[tuple[ImageStrip, list[int]]]:
        """Return the scene's strips that lack frames, with their timeline frames; all frames of a strip with a problem.

        Frames that are not planned yet are among them.
        """
        lacking = []
        for of, image_strip, state in self.strips():
            if of != scene:
                continue
            if state.plan is None:
                frames = list(range(versions.strip_start(image_strip), versions.strip_end(image_strip)))
            else:
                frames = state.plan.missing() if state.plan.done < len(state.plan) else []
            if frames:
                lacking.append((image_strip, frames))
        return lacking

    def missing_in_render(
        self, scene: Scene, frames: range | None = None
    ) -> tuple[list[tuple[ImageStrip, list[int]]], int]:
        """Return the strips of which a render of the scene would show placeholders, with the frames of these.

        frames: the scene's frames that are rendered, if they are not all of its range. Frames that are not planned yet
        are among what is missing, and all frames of a strip with a problem. The number is how many frames of latent
        strips the render shows.
        """
        lacking, total = [], 0
        for image_strip, shown in shown_in_render(scene, frames or range(scene.frame_start, scene.frame_end + 1)):
            state = self.state_of(image_strip)
            missing = shown.intersection(state.plan.missing()) if state and state.plan else shown
            total += len(shown)
            if missing:
                lacking.append((image_strip, sorted(missing)))
        return lacking, total

    def unfinished_in_render(self, scene: Scene, frames: range) -> list[tuple[ImageStrip, set[int]]]:
        """Return the strips that show no picture of their own in a render of these frames, with the frames of these.

        They show a placeholder, or a picture from before an edit. It is looked at what strips show, not at plans.
        """
        found = []
        for image_strip, shown in shown_in_render(scene, frames):
            state, elements, first = self.state_of(image_strip), image_strip.elements, timing.origin(image_strip)
            kept = state.kept if state else ()
            numbers = {max(0, min(frame - first, len(elements) - 1)) for frame in shown}
            lacking = {n for n in numbers if n in kept or strip_pictures.is_placeholder(elements[n].filename)}
            if lacking:
                found.append((image_strip, {first + n for n in lacking}))
        return found

    def progress(self, image_strip: ImageStrip) -> tuple[int, int]:
        """Return (frames that are there, frames shown) of a strip."""
        state = self.state_of(image_strip)
        return (state.plan.done, len(state.plan)) if state and state.plan else (0, 0)

    def files_in_use(self) -> set[str]:
        """Return the names of all files that strips of the open file show, and of the colour frames behind shadows.

        It finishes a pass that is under way.
        """
        self.work(math.inf)
        return set().union(*(plan.files() for plan in self.all()))


def _scenes() -> Iterator[tuple[Scene, list[ImageStrip]]]:
    for scene in bpy.data.scenes:
        strips = strip.latent_strips(scene) if scene.library is None else []
        if strips:
            yield scene, strips
