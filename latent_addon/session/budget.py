"""The frame budget: deletes the oldest frames that nothing needs."""

from __future__ import annotations

from collections.abc import Callable

from ..plans.plans import Plans
from ..preferences import preferences

GIGABYTE = 1e9


class FrameBudget:
    """Keeps the store within the budget in the preferences: once when the strips have their frames, once at the end.

    halt: called with a sentence if the frames in use alone take more than the budget.
    """

    def __init__(self, plans: Plans, halt: Callable[[str], None]) -> None:
        self._plans = plans
        self._halt = halt
        self._due = False
        self._lacked = False
        """Whether strips have lacked frames since the budget was last kept."""

    def note_made(self) -> None:
        """Frames have been made, so the store has grown."""
        self._due = True

    def note_lacking(self) -> None:
        """Strips lack frames."""
        self._lacked = True

    def strips_finished(self, others_lack: bool, files_in_use: Callable[[], set[str]]) -> None:
        """Keep to the budget if it is due: no strip lacks a frame.

        others_lack: whether anything else does. Then frames are deleted only the first time.
        """
        if not self._due or not (self._lacked or not others_lack) or self._plans.store.unchecked:
            return
        self._due = self._lacked = False
        removed = self._plans.store.enforce_budget(round(preferences().budget * GIGABYTE), files_in_use())
        if removed.over:
            self._halt(
                f"The frames in use take {removed.over / GIGABYTE:.1f} GB more than the frame budget. "
                "Raise the budget in the preferences, or shorten strips; nothing in use was deleted."
            )
