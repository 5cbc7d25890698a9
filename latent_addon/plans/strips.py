"""The latent strips as a wanter of frames, the one with the highest priority."""

from __future__ import annotations

from collections.abc import Callable, Collection

from bpy.types import Scene

from ...lantern_protocol.params import GeneratorFile
from ..core.frame_plan import FramePlan
from ..scene import changes, timing
from ..scene.properties import settings_of
from .plans import Plans


class Strips:
    """The `FrameWanter` of the strips of all scenes.

    making: says whether missing frames of strips are made now. failed: called with the reason when frames cannot be
    made.
    """

    def __init__(self, plans: Plans, making: Callable[[], bool], failed: Callable[[str], None]) -> None:
        self._plans = plans
        self._making = making
        self._failed = failed
        self.before_render: tuple[str, int] | None = None
        """A scene that waits to be rendered, by its name, and the middle of what is rendered: frames near that are
        ordered first, not those that are looked at."""

    @property
    def priority(self) -> int:
        """The highest: nothing delays the frame at the playhead."""
        return 0

    @property
    def lacks(self) -> bool:
        """Whether any frame of any strip is known to be missing, whether it may be made now or not."""
        return any(state.plan is not None and state.plan.lacks for _, _, state in self._plans.strips())

    def plans(self) -> list[tuple[FramePlan, int]]:
        """Return the plans of all strips, each with its scene's playhead; [] while no frames of strips are made."""
        if not self._making():
            return []
        return [
            (state.plan, timing.shown_frame(image_strip, self._at(scene)))
            for scene, image_strip, state in self._plans.strips()
            if state.plan
        ]

    def _at(self, scene: Scene) -> int:
        """Return the frame from which frames are ordered outward: the playhead, or the middle of what is rendered."""
        if self.before_render is not None and scene.name == self.before_render[0]:
            return self.before_render[1]
        return scene.frame_current

    def looked_at(self) -> set[str]:
        """Return the names of the files at playheads; {} while no frames of strips are made, or a render waits."""
        if self.before_render is not None or not self._making():
            return set()
        return {name for _, _, name in self._plans.looked_at()}

    def generator(self, sha256: str) -> GeneratorFile | None:
        """Return a generator of the open file, as requests name it; None if no strip has it any more."""
        for _, image_strip, _ in self._plans.strips():
            sources = settings_of(image_strip).sources()
            if sha256 in sources:
                return GeneratorFile(sources[sha256], sha256)
        return None

    def files_in_use(self) -> set[str]:
        """Return the names of all files that strips show, and of the colour frames behind shadows."""
        return self._plans.files_in_use()

    def made(self, names: Collection[str]) -> None:
        """Note in the plans that files have come."""
        self._plans.note_made(names)

    def failed(self, reason: str) -> None:
        """Say that frames of strips cannot be made."""
        self._failed(reason)

    def look_again(self, present: Collection[str]) -> None:
        """Let the next pass over the strips look which files are there."""
        if self._plans.all():
            changes.mark()
