"""Load a thousand mutants of checkpoints, and check that the fuzzer notices harm."""

from __future__ import annotations

import collections
import os
import re
import sys

import pytest

import fuzz_checkpoints
from watching import watched


def test_mutants_do_no_harm(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fuzz", "--mutants", "1000", "--seed", "7", "--output", str(tmp_path)])
    status = fuzz_checkpoints.main()
    said = capsys.readouterr().out
    assert status == 0, said
    assert said.startswith("1000 mutants of seed 7 in ")
    ends = collections.Counter()
    for count, end in re.findall(r"(\d+) (refused|loaded|unforeseen)", said):
        ends[end] += int(count)
    assert ends.total() == 2000, "each is loaded as a network and as latents"
    assert ends["refused"] > 1000
    assert ends["loaded"] > 10


def test_seed_and_number_decide_a_mutant():
    mutants = fuzz_checkpoints.Mutants(3)
    first = [mutants.mutant(number) for number in range(50)]
    assert [mutants.mutant(number) for number in reversed(range(50))] == first[::-1]
    assert len({raw for _, raw in first}) > 40
    mutants.seed = 4
    assert [mutants.mutant(number) for number in range(50)] != first


def fuzz(tmp_path, monkeypatch, body: str, mutants: int = 3) -> list[str]:
    """The findings when the worker is a script of the test."""
    monkeypatch.setattr(fuzz_checkpoints, "PATIENCE", 0.5)
    script = tmp_path / "worker.py"
    start = "import json, os, sys, time\nsay = lambda **note: print(json.dumps(note), flush=True)\n"
    start += "open(os.path.join(sys.argv[10], 'mutant'), 'w').close()\n"
    script.write_text(start + "for number in range(int(sys.argv[2]), int(sys.argv[4])):\n    " + body)
    return fuzz_checkpoints.fuzz(mutants, 1, tmp_path / "kept", (sys.executable, str(script))).harm


END = """say(begin=number, name='x', worked=time.process_time())
    {}
    say(end=number, said=[''], trouble=None, seconds=0)"""


@pytest.mark.parametrize(
    ("act", "words"),
    [
        ("os._exit(3) if number == 1 else 0", ["1 (x): the process ended with 3"]),
        ("os.kill(os.getpid(), 11) if number == 1 else 0", ["1 (x): the process ended with -11"]),
        ("time.sleep(60) if number == 1 else 0", ["1 (x): hangs"]),
        ("while number == 1: pass", ["1 (x): hangs"]),
        ("pass", []),
    ],
)
def test_crashes_and_hangs_are_found(tmp_path, monkeypatch, act, words):
    assert fuzz(tmp_path, monkeypatch, END.format(act)) == words
    kept = sorted(path.name for path in (tmp_path / "kept").glob("*"))
    assert kept == [f"1-{word[0]}" for word in words]


def test_a_worker_that_does_not_start_is_found(tmp_path, monkeypatch):
    assert fuzz(tmp_path, monkeypatch, "sys.exit(1)") == ["the worker does not start"]


def test_deeds_are_noted(tmp_path):
    path = tmp_path / "file"
    with watched(path) as noted:
        path.write_text("x")
    assert len(noted) == 1
    with watched(path) as noted:
        path.read_text()
    assert noted == []
    for deed in (lambda: os.system("true"), lambda: eval("1"), lambda: open(os.devnull).close(), path.unlink):
        with watched(path) as noted:
            deed()
        assert noted
    os.system("true")
    assert noted[0].startswith("os.remove")
