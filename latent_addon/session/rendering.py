"""What happens when Blender renders a scene whose strips lack frames: without a window they are made, else it is said.

With a window, Blender calls `frame_begins` from the thread of the render. There no strip may be changed, and no script
can stop a render. Without a window everything is on the main thread, and what changes before a frame is rendered shows.
"""

from __future__ import annotations

import sys
from typing import Protocol

import bpy
from bpy.types import ImageStrip, Scene

from ..plans.plans import Plans
from ..scene.output import drop_kept_pictures
from ..scene.rendered import in_words


class RenderingUser(Protocol):
    """What makes frames for a render; the session is one."""

    @property
    def plans(self) -> Plans:
        """The plans of all strips."""
        ...

    def fill_for_render(self, scene: Scene, frames: range) -> bool:
        """Make what a render of these frames of the scene would lack, and wait for it."""
        ...

    def problem(self, image_strip: ImageStrip | None) -> str:
        """Say what stands in the strip's way; "" if nothing does."""
        ...


class RenderWatch:
    """Watches one render after another, and knows where they show placeholders."""

    def __init__(self, user: RenderingUser) -> None:
        self._user = user
        self._scene = ""
        self._going_on = False
        self._rendered: list[int] = []
        """Frames that were begun and not looked at yet; the render's thread appends to it."""
        self._lacking: dict[str, set[int]] = {}
        self._reason = ""

    def begin(self, scene: Scene) -> None:
        """A render begins."""
        self._scene, self._going_on, self._reason = scene.name, True, ""
        self._rendered, self._lacking = [], {}

    def frame_begins(self, scene: Scene) -> None:
        """A frame is about to be rendered. Without a window, make what it lacks and wait for it."""
        if bpy.app.background and not self._reason:
            self._fill(scene, range(scene.frame_current, scene.frame_current + 1))
        self._rendered.append(scene.frame_current)

    def _fill(self, scene: Scene, frames: range) -> None:
        lacking, _total = self._user.plans.missing_in_render(scene, frames)
        if not lacking:
            return
        if not self._user.fill_for_render(scene, frames):
            # Another attempt at each of the following frames would take as long, and fail.
            self._reason = self._user.problem(lacking[0][0]) or "They were not made in time."
        drop_kept_pictures(scene)

    def look(self) -> bool:
        """Look whether what was begun since the last look shows placeholders; return whether `notice` has changed."""
        scene = bpy.data.scenes.get(self._scene)
        before = sum(map(len, self._lacking.values()))
        while self._rendered and scene is not None:
            frame = self._rendered.pop(0)
            for strip, unfinished in self._user.plans.unfinished_in_render(scene, range(frame, frame + 1)):
                self._lacking.setdefault(strip.name, set()).update(unfinished)
        return sum(map(len, self._lacking.values())) != before

    def end(self) -> None:
        """The render is over."""
        self.look()
        self._going_on = False
        if bpy.app.background and self._lacking:
            print(f"Latent Lantern: {self.notice}", file=sys.stderr)

    def forget(self) -> None:
        """Another file is opened: its renders have shown nothing yet."""
        self._lacking = {}

    @property
    def notice(self) -> str:
        """What is wrong with the pictures of the render that goes on, or with those of the last one; "" if nothing."""
        if not self._lacking:
            return ""
        words = in_words({name: sorted(frames) for name, frames in self._lacking.items()})
        if self._going_on:
            return (
                f"This render shows placeholders: {words} are not made. Stop it with Esc and press Render Composite, "
                "which makes them first."
            )
        return f"The last render shows placeholders: {words} were not made. {self._reason or _NEXT_TIME}"


_NEXT_TIME = "Press Render Composite, which makes them first."
