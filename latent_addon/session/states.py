"""The states of the session, as docs/architecture.md lists them, and which state each one returns to."""

from __future__ import annotations

import enum


class SessionState(enum.Enum):
    """What the session does about missing frames. The values are the first column of the table in the docs."""

    NOT_ARMED = "not armed"
    ARMED = "armed"
    HALTED = "halted"
    RENDERING = "rendering"


class States:
    """The session's state, and the states below it.

    A halt is above `NOT_ARMED` or `ARMED`, and a render is above all others. When a state ends, the session returns to
    the state below it, with all that has changed there in the meantime: a session that halts during a
    render is halted after the render.
    """

    def __init__(self) -> None:
        self._stack = [SessionState.NOT_ARMED]
        self._reason = ""

    @property
    def state(self) -> SessionState:
        """The current state."""
        return self._stack[-1]

    @property
    def armed(self) -> bool:
        """Whether the user has asked for something in this file; also during a halt and during a render."""
        return self._stack[0] is SessionState.ARMED

    @property
    def halted(self) -> str:
        """The sentence that says why no frames are made although some are missing; "" while there is no halt."""
        return self._reason if SessionState.HALTED in self._stack else ""

    @property
    def making(self) -> bool:
        """Whether missing frames are made: armed, and not halted. A render does not change it."""
        return self.armed and SessionState.HALTED not in self._stack

    def arm(self) -> None:
        """Go to `ARMED`, and end a halt."""
        self._stack[0] = SessionState.ARMED
        self.resume()

    def halt(self, reason: str) -> None:
        """Go to `HALTED`, for a reason that a person can read. A later reason replaces an earlier one."""
        self._reason = reason
        if SessionState.HALTED not in self._stack:
            self._stack.insert(1, SessionState.HALTED)

    def resume(self) -> None:
        """End a halt, if there is one."""
        self._leave(SessionState.HALTED)

    def begin_render(self) -> None:
        """Go to `RENDERING`."""
        if self.state is not SessionState.RENDERING:
            self._stack.append(SessionState.RENDERING)

    def end_render(self) -> None:
        """Return to the state below `RENDERING`."""
        self._leave(SessionState.RENDERING)

    def forget_file(self) -> None:
        """Go to `NOT_ARMED`, with nothing above it."""
        self._stack = [SessionState.NOT_ARMED]

    def _leave(self, state: SessionState) -> None:
        if state in self._stack:
            self._stack.remove(state)
