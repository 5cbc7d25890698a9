"""`dev.py test` with jobs side by side: their order, their outputs, their outcomes, and how they are stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import dev
from processes import naming
from tools import environments, side_by_side
from tools.console import Problem
from tools.side_by_side import Ended, Started

PATIENCE = 60.0


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def wait_for(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def talk_at_once(name: str, other: str, folder: Path) -> list[str]:
    """A program that says half of its words, waits until the other has said half of its own, and says the rest."""
    return python(
        "import pathlib, sys, time\n"
        f"folder = pathlib.Path({str(folder)!r})\n"
        f"print('{name} begins', flush=True)\n"
        f"print('{name} warns', file=sys.stderr, flush=True)\n"
        f"(folder / '{name}').touch()\n"
        f"while not (folder / '{other}').exists(): time.sleep(0.01)\n"
        f"print('{name} ends')"
    )


def test_programs_run_at_once_and_their_outputs_are_whole(tmp_path: Path) -> None:
    commands = {"a": talk_at_once("a", "b", tmp_path), "b": talk_at_once("b", "a", tmp_path)}
    events = list(side_by_side.run_all(commands, 2))
    assert events[:2] == [Started("a", ("a",)), Started("b", ("a", "b"))]
    ended = {event.name: event for event in events[2:] if isinstance(event, Ended)}
    for name in ("a", "b"):
        assert ended[name].output.decode().split("\n") == [f"{name} begins", f"{name} warns", f"{name} ends", ""]
        assert ended[name].status == 0
    assert events[-1].running == ()


def test_no_more_run_at_once_than_may_and_they_begin_in_their_order(tmp_path: Path) -> None:
    note = f"open({str(tmp_path / 'notes')!r}, 'a').write"
    commands = {
        name: python(f"import time; {note}('{name}\\n'); time.sleep(0.1); {note}('{name} ended\\n')") for name in "cab"
    }
    events = list(side_by_side.run_all(commands, 1))
    assert [event.name for event in events] == ["c", "c", "a", "a", "b", "b"]
    assert (tmp_path / "notes").read_text().split("\n")[:-1] == ["c", "c ended", "a", "a ended", "b", "b ended"]
    assert max(len(event.running) for event in side_by_side.run_all(commands, 2)) == 2


def test_each_exit_status_is_told_and_a_failure_stops_no_other() -> None:
    commands = {str(status): python(f"raise SystemExit({status})") for status in (3, 0, 1)}
    statuses = {event.name: event.status for event in side_by_side.run_all(commands, 2) if isinstance(event, Ended)}
    assert statuses == {"3": 3, "0": 0, "1": 1}


def test_a_program_that_does_not_listen_is_killed_when_the_others_are_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "PATIENCE", 0.5)
    deaf = (
        "import os, signal, time, pathlib\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        f"pathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch()\n"
        "time.sleep(600)"
    )
    events = side_by_side.run_all({"deaf": python(deaf), "sleeping": python("import time; time.sleep(600)")}, 2)
    assert [next(events).name, next(events).name] == ["deaf", "sleeping"]
    wait_for(lambda: any(tmp_path.iterdir()))
    started = time.monotonic()
    events.close()
    assert time.monotonic() - started < PATIENCE
    assert not naming(str(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_dev_py_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    """Not even what the jobs have started themselves: each starts one that waits."""
    waiting = f"import os, pathlib, time; pathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch(); time.sleep(600)"
    code = (
        "import dev, sys\n"
        "from tools.console import run\n"
        f"dev.plain_tests = lambda args, layer, rest: run([sys.executable, '-c', {waiting!r}])\n"
        "dev.PROGRAM = [sys.executable, __file__]\n"
        "sys.exit(dev.main(sys.argv[1:]))"
    )
    script = tmp_path / "script.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(dev.ROOT)!r})\n{code}")
    command = [sys.executable, str(script), "test", "--jobs", "2", "core", "server"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        wait_for(lambda: len([path for path in tmp_path.iterdir() if path.name.isdigit()]) == 2)
        process.send_signal(number)
        assert b"stopped" in process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130
    wait_for(lambda: not naming(str(tmp_path)))  # a killed process may take a moment to go


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Exit statuses by the names of jobs; a job prints its arguments and ends with its own."""
    statuses: dict[str, int] = {}
    script = tmp_path / "job.py"
    code = "import json, pathlib, sys\nprint(*sys.argv[1:])\nstatuses = json.loads(pathlib.Path({!r}).read_text())\n"
    code += "sys.exit(next((status for name, status in statuses.items() if name in sys.argv), 0))"
    script.write_text(code.format(str(tmp_path / "statuses.json")))
    monkeypatch.setattr(dev, "PROGRAM", (sys.executable, script))
    run_all = side_by_side.run_all

    def with_statuses(*arguments: object) -> object:
        (tmp_path / "statuses.json").write_text(repr(statuses).replace("'", '"'))
        return run_all(*arguments)

    monkeypatch.setattr(side_by_side, "run_all", with_statuses)
    monkeypatch.delenv("CI", raising=False)
    return statuses


def test_dev_py_starts_the_longest_first_and_sums_up_in_the_order_of_the_layers(
    jobs: dict[str, int], capfd: pytest.CaptureFixture[str]
) -> None:
    assert dev.main(["test", "--jobs", "3"]) == 0
    said = capfd.readouterr().err.splitlines()
    begun = [line.split(" begins")[0].removeprefix("dev.py: -- ") for line in said if " begins; running: " in line]
    blenders = [f"blender {version}" for version in environments.TESTED_BLENDERS]
    assert begun == ["window", "server", *reversed(blenders), "core", "versions", "lint"]
    parts = said[-1].partition(" s: ")[2].split("; ")
    assert [part.partition(" passed (")[0] for part in parts] == [
        *("lint", "core", "server", *blenders, "versions", "window")
    ]


def test_dev_py_hands_its_arguments_on_and_prints_what_a_job_printed(
    jobs: dict[str, int], capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["--python", "/a python", "--blender", "5.1"]
    assert dev.main(["test", *words, "--jobs", "2", "core", "blender", "-k", "strip"]) == 0
    printed = capfd.readouterr().out.splitlines()
    assert sorted(printed) == [
        "job --python /a python --blender 5.1 blender 5.1 -k strip",
        "job --python /a python --blender 5.1 core -k strip",
    ]


@pytest.mark.parametrize(
    ("status", "options", "outcome", "ends_with"),
    [
        (1, [], "FAILED", 1),
        (-9, [], "FAILED", 1),
        (dev.NOTHING_SELECTED, [], "nothing selected", 1),
        (dev.NOTHING_SELECTED, ["-k", "strip"], "nothing selected", 0),
        (dev.MISSING, [], "missing", 1),
        (dev.MISSING, ["--allow-missing"], "missing", 0),
    ],
)
def test_dev_py_tells_how_each_job_ended(
    jobs: dict[str, int],
    capfd: pytest.CaptureFixture[str],
    status: int,
    options: list[str],
    outcome: str,
    ends_with: int,
) -> None:
    jobs["server"] = status % 256
    assert dev.main(["test", "--jobs", "2", "core", "server", *options]) == ends_with
    said = capfd.readouterr().err
    assert f"dev.py: == server: {outcome} after " in said
    assert f"server {outcome} (" in said.splitlines()[-1] and "core passed (" in said.splitlines()[-1]


def test_a_job_tells_its_outcome_by_its_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(*_: object) -> int:
        raise environments.Missing("no Python 3.13")

    def fails(*_: object) -> int:
        raise Problem("no zip")

    seen = []
    monkeypatch.setattr(dev, "plain_tests", lambda args, layer, rest: seen.append((layer, rest)) or 5)
    monkeypatch.setattr(dev, "blender_tests", lacks)
    monkeypatch.setattr(dev, "lint", fails)
    monkeypatch.setattr(dev, "window_tests", lambda args, rest: 0)
    assert dev.main(["job", "server", "-k", "strip"]) == dev.NOTHING_SELECTED
    assert seen == [("server", ["-k", "strip"])]
    assert dev.main(["job", "blender 5.2"]) == dev.MISSING
    assert dev.main(["job", "lint"]) == 1
    assert dev.main(["job", "window"]) == 0
