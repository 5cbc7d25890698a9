"""What is known about one strip, and what a pass over all strips needs from their plans."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bpy.types import ImageStrip, Scene

from ..core.animatable import LATENT
from ..core.frame_plan import FramePlan
from ..core.frame_store import FrameStore
from ..core.recipe import Recipe
from . import planning
from .planning import StripKey


@dataclass(slots=True)
class StripState:
    """What is known about one strip."""

    plan: FramePlan | None = None
    recipe: Recipe | None = None
    """What the plan is made from."""
    problem: str = ""
    """Why it cannot be planned, as a text for the user."""
    placeholder: str = ""
    came_from: Path | None = None
    """The folder of frames that the strip named when it came into this file; None if that is the file's own."""
    under_speed: bool = False
    """Whether it is under a Speed effect, which may show any of its elements."""
    key_frames: frozenset[float] = frozenset()
    """Timeline frames at which any component of the latent has a key; without curves that only Blender can evaluate."""
    partial_keys: int = 0
    """Frames with keys of some components only, which the great circle skips."""
    kept: set[int] = field(default_factory=set)
    """Numbers of elements that still show a picture from before an edit, because the user was looking there."""

    def adopt(self, recipe: Recipe) -> bool:
        """Plan with this recipe; return whether the plan has changed. What has not changed is kept."""
        self.partial_keys = recipe.whole.partial if recipe.whole is not None else 0
        groups = recipe.tracks[LATENT].groups
        self.key_frames = frozenset(recipe.origin + time for group in groups for time in group.times.tolist())
        old, before = self.plan, self.recipe
        if old is None or before is None:
            self.plan, self.recipe = FramePlan(recipe), recipe
            return True
        first = recipe.start - recipe.origin
        shift = first - (before.start - before.origin)
        span = recipe.changed_since(before)
        if span is None and not shift and (recipe.start, recipe.end) == (before.start, before.end):
            return False
        if span is not None:
            span = (span[0] - first, span[1] - first)
        self.plan, self.recipe = FramePlan.after(recipe, old, shift, span), recipe
        return True

    @property
    def first(self) -> int:
        """Number of the element that shows the plan's first frame."""
        return self.recipe.start - self.recipe.origin if self.recipe else 0

    def fits(self, image_strip: ImageStrip) -> bool:
        """Whether the strip still shows the frames that are planned."""
        recipe = self.recipe
        return recipe is not None and planning.extent(image_strip, self.under_speed) == (
            recipe.start,
            recipe.end,
            recipe.origin,
        )


class StripPlans(Protocol):
    """The plans of all strips as a pass over them sees them; `Plans` is one.

    writing: whether files may be written and strips may be pointed at placeholders. swept: set when drivers or NLA move
    any strip. postponed: set when such a strip waits for the end of playback.
    """

    writing: bool
    swept: bool
    postponed: bool

    @property
    def store(self) -> FrameStore:
        """Where the frames are."""
        ...

    def changed(self) -> None:
        """Note that a plan has changed."""
        ...

    def playing(self) -> bool:
        """Return whether an animation is playing in any window."""
        ...

    def state(self, key: StripKey) -> StripState:
        """Return what is known about the strip of that name."""
        ...

    def placeholder_of(self, image_strip: ImageStrip) -> str:
        """Return the name of the picture that the strip shows for missing frames. Raises StoreError."""
        ...

    def point(self, scene: Scene, image_strip: ImageStrip, state: StripState, first: int, end: int) -> None:
        """Point a strip at frames of its plan, numbers first .. end - 1."""
        ...

    def note_origin(self, image_strip: ImageStrip, state: StripState) -> None:
        """Remember the folder that the strip names, if it is not that of the open file's frames."""
        ...

    def bring(self, state: StripState, first: int, end: int) -> None:
        """Take what frames of a plan lack from the folder that its strip came from."""
        ...

    def cover(self, scene: Scene, image_strip: ImageStrip, state: StripState, first: int, end: int) -> None:
        """Point a strip at the placeholder where frames first .. end - 1 of its plan are not planned again yet."""
        ...

    def show_backgrounds(self) -> None:
        """Show the pictures at the playheads behind the drawings."""
        ...
