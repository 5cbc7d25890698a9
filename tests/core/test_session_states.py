"""The states of the session: the table in the docs is the Enum, and a state returns to what was below it."""

import re

import pytest

from latent_lantern.latent_addon.session.states import SessionState, States


def test_the_table_in_the_docs_lists_exactly_the_states(root):
    page = (root / "docs" / "architecture.md").read_text("utf-8")
    chapter = page.partition("\n## The session's states\n")[2].partition("\n## ")[0]
    head, rule, *rows = re.findall(r"^\|([^|]*)\|", chapter, re.MULTILINE)
    assert (head.strip(), set(rule)) == ("state", {"-"})
    listed = [row.strip() for row in rows]
    assert sorted(listed) == sorted(state.value for state in SessionState)


@pytest.fixture
def states():
    return States()


def test_a_new_session_is_not_armed(states):
    assert states.state is SessionState.NOT_ARMED
    assert not states.armed and states.halted == "" and not states.making


def test_a_halt_returns_to_armed_or_to_not_armed(states):
    for state in (SessionState.NOT_ARMED, SessionState.ARMED):
        states.halt("Stopped.")
        assert states.state is SessionState.HALTED and states.halted == "Stopped." and not states.making
        states.resume()
        assert states.state is state and states.halted == ""
        states.arm()


def test_a_halted_session_still_knows_whether_it_is_armed(states):
    states.halt("Stopped.")
    assert not states.armed
    states.arm()
    assert states.state is SessionState.ARMED and states.making
    states.halt("Stopped.")
    assert states.armed


def test_the_last_reason_for_a_halt_is_said(states):
    states.halt("First.")
    states.halt("Second.")
    assert states.halted == "Second."
    states.resume()
    assert states.state is SessionState.NOT_ARMED


@pytest.mark.parametrize("halted", [False, True])
@pytest.mark.parametrize("armed", [False, True])
def test_a_render_returns_to_the_state_before_it(states, armed, halted):
    if armed:
        states.arm()
    if halted:
        states.halt("Stopped.")
    before = states.state, states.armed, states.halted, states.making
    states.begin_render()
    states.begin_render()  # Blender may say so for each frame
    assert states.state is SessionState.RENDERING
    assert (states.armed, states.halted, states.making) == before[1:]
    states.end_render()
    assert (states.state, states.armed, states.halted, states.making) == before
    states.end_render()
    assert states.state is before[0]


def test_what_happens_during_a_render_holds_after_it(states):
    states.begin_render()
    states.arm()
    assert states.state is SessionState.RENDERING and states.making
    states.halt("A full disk.")
    assert states.state is SessionState.RENDERING and states.halted == "A full disk."
    states.end_render()
    assert states.state is SessionState.HALTED and states.armed


def test_another_file_is_not_armed_whatever_was_before(states):
    states.arm()
    states.halt("Stopped.")
    states.begin_render()
    states.forget_file()
    assert states.state is SessionState.NOT_ARMED and not states.armed and states.halted == ""
