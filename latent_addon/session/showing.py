"""Frames that have arrived: shown in strips, a few times a second, and counted."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from ..plans.plans import Plans

_PREVIEWS = 32
"""Ordered frames that are remembered for `_show_previews`."""

_SHOW_AGAIN = 0.25
_SHOW_WHILE_PLAYING = 1.0
"""Seconds between pointing strips at frames that have been made: Blender draws every editor again each time, the 3D
Viewport, too. The frame at the playhead does not wait, unless the animation plays."""

_RATE_OVER = 5.0
"""Seconds over which the rate is measured."""


class Showing:
    """Shows frames that have arrived, and knows how fast they arrive. `redraw` is called when strips have changed."""

    def __init__(self, plans: Plans, redraw: Callable[[], None]) -> None:
        self._plans = plans
        self._redraw = redraw
        self._made: deque[tuple[float, int]] = deque(maxlen=256)
        self._arrived: list[str] = []
        """Frames that have been made, and that strips are not pointed at yet."""
        self._previews: dict[str, tuple[str, str, int]] = {}
        """Scene, strip and frame that pictures were last ordered for because someone was looking there."""
        self._shown = 0.0

    def forget_file(self) -> None:
        """Another file is being opened: what has arrived is not for its strips."""
        self._arrived.clear()

    def note_made(self, names: list[str]) -> None:
        """Frames have been made: count them, and keep them until they are shown."""
        self._arrived += names
        self._made.append((time.monotonic(), len(names)))
        self._show_previews(names)

    def note_ordered(self) -> None:
        """Frames have been ordered: remember where someone is looking, in case an edit makes them out of date."""
        for scene, image_strip, name in self._plans.looked_at():
            self._previews[name] = (scene.name, image_strip.name, scene.frame_current)
        while len(self._previews) > _PREVIEWS:
            del self._previews[next(iter(self._previews))]

    def show_arrived(self, at_once: bool = False) -> None:
        """Let strips show what has been made since they were last pointed at frames, if it is time, or at once."""
        if not self._arrived:
            return
        pause = time.monotonic() - self._shown
        if self._plans.playing():
            due = pause > _SHOW_WHILE_PLAYING
        else:
            due = pause > _SHOW_AGAIN or any(name in self._arrived for _, _, name in self._plans.looked_at())
        if due or at_once:
            arrived, self._arrived = self._arrived, []
            self._plans.show_made(arrived)
            self._shown = time.monotonic()
            self._redraw()

    def rate(self) -> float:
        """Return the frames made a second, over the last five seconds."""
        since = time.monotonic() - _RATE_OVER
        recent = [(at, count) for at, count in self._made if at >= since]
        span = time.monotonic() - recent[0][0] if len(recent) > 1 else 0.0
        return sum(count for _, count in recent[1:]) / span if span > 0 else 0.0

    def _show_previews(self, names: list[str]) -> None:
        """Show frames where someone looks. While a slider is dragged, every frame is out of date before it is there."""
        for scene, image_strip, _state in self._plans.strips():
            for name in names:
                if self._previews.get(name) == (scene.name, image_strip.name, scene.frame_current):
                    self._plans.show_preview(scene, image_strip, scene.frame_current, name)
