"""What happens between *Render Composite* and the render: the frames that it needs are made."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.types import ImageStrip, Scene

from ..scene.rendered import in_words
from ..session.session import session


class Preparation:
    """Makes the frames that the composite of a scene needs, in front of a person who may go on working.

    path: of the movie, as the person gave it. left, total: how many frames are missing, of how many.
    """

    def __init__(self, scene: Scene, path: str) -> None:
        self.path = path
        self.left = self.total = 0
        self._scene = scene.name
        session.make_for_render(scene)
        session.tick()

    @property
    def scene(self) -> Scene | None:
        """The working scene, None if it was deleted meanwhile."""
        return bpy.data.scenes.get(self._scene)

    def look(self) -> str | None:
        """Count what is missing. Return "" when the render can begin, why it never can, or None while frames are made.

        Raises LookupError if the scene was deleted.
        """
        scene = self.scene
        if scene is None:
            raise LookupError
        lacking, self.total = session.plans.missing_in_render(scene)
        self.left = sum(len(frames) for _, frames in lacking)
        if not lacking:
            return None if session.plans.behind else ""
        why = session.halted or next(filter(None, (session.problem(strip) for strip, _ in lacking)), "")
        return refusal(lacking, why) if why else None

    @property
    def text(self) -> str:
        """How far the frames are, in words."""
        return f"{self.total - self.left} / {self.total} frames for {Path(self.path).name}"

    def end(self) -> None:
        """Show what was made. Nothing more is made for the render alone."""
        session.made_for_render()
        session.showing.show_arrived(at_once=True)


preparing: Preparation | None = None
"""What waits for its frames now."""


def refusal(lacking: list[tuple[ImageStrip, list[int]]], why: str) -> str:
    """Return that the composite is not rendered: which frames of which strips are missing, and why."""
    return f"Not rendered: {in_words({strip.name: frames for strip, frames in lacking})} could not be made. {why}"
