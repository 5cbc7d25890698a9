"""Many random faults, decided by seeds: no wrong picture, nothing lost, and the next click works. See `storm.py`.

LANTERN_STORM=1-500 in the environment makes the run long; with -rP, the longest tick of each seed is printed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import bpy
import pytest

from latent_lantern.latent_addon.session import session as session_module
from latent_lantern.latent_addon.session.session import session
from storm import Storm
from storm_deeds import do_one

DEEDS = 8
ENOUGH = 20
"""After this many ticks, every file of a small folder has been examined, and the result is shown."""

LONGEST_TICK = 1.0
"""Seconds. A machine that is busy with other work may delay any tick."""


def seeds() -> list[int]:
    chosen = os.environ.get("LANTERN_STORM", "1-24" if bpy.app.version >= (5, 2) else "1-6")
    ends = [part.partition("-")[::2] for part in chosen.split(",")]
    return [seed for first, last in ends for seed in range(int(first), int(last or first) + 1)]


@pytest.fixture
def storm(stage, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Storm]:
    storm = Storm(stage, request.param)
    monkeypatch.setattr("time.time", storm.clocks.time)
    monkeypatch.setattr("time.time_ns", storm.clocks.time_ns)
    monkeypatch.setattr("time.monotonic", storm.clocks.monotonic)
    monkeypatch.setattr(session.client, "_clock", storm.clocks.monotonic)
    monkeypatch.setattr(session.client, "_patience", 1.0)
    monkeypatch.setattr(session_module, "_LOOK_AGAIN", 0.05)
    yield storm
    storm.close()
    session._looked = session._planned = 0.0  # the clock now goes back, as no real one does


@pytest.mark.parametrize("storm", seeds(), indirect=True)
def test_after_the_storm(storm: Storm) -> None:
    try:
        storm.set_up()
        if storm.seed % 2:
            session.turn = session.longest_turn = 0.0  # make plans in the smallest pieces
        for _ in range(DEEDS):
            do_one(storm)
            storm.run(0.25, ENOUGH)
            storm.check()
            if storm.random.random() < 0.5 and storm.settle(6.0):
                storm.check()
                storm.check_quiet()
        storm.lift()
        storm.check_after()
    except BaseException:
        print(*storm.journal, *list(session.client.log)[-12:], session.halted, sep="\n")
        raise
    longest, worked, after = max(storm.ticks)
    print(f"longest tick {longest * 1000:.0f} ms, {worked * 1000:.0f} of them at work, after {after}")
    assert longest < LONGEST_TICK, after
