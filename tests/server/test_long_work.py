"""Long work: a slow fake job in slices, while frames are ordered, requests cancelled and the server ended."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import driving
from driving import Server, jobs, plain_frames
from inference_server.serving import scheduler as scheduler_module
from inference_server.serving.long_work import TELL_EVERY, LongWork, Slices
from inference_server.serving.scheduler import Order, Scheduler, Ticket
from lantern_protocol import errors, framing
from lantern_protocol.errors import ProtocolError
from lantern_protocol.orders import FrameOrder

ENDLESS = 1 << 30
"""Slices that no test waits for."""

WITH_A_SLOW_JOB = """
import json, os, sys, threading, time
import torch
from inference_server.commands import cli
from inference_server.rendering.renderer import Renderer
from inference_server.serving import connection, service
from inference_server.serving.device import DeviceThread
from inference_server.serving.scheduler import Scheduler
from lantern_protocol.errors import LATENT_MISMATCH, ProtocolError

journal = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
FAILURES = {
    "refused": ProtocolError(LATENT_MISMATCH, "Nothing was found."),
    "bug": KeyError("a bug"),
    "memory": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB"),
}

class Outcome:
    def __init__(self, value):
        self.value = value

    def to_json(self):
        return self.value

def note(*words):
    os.write(journal, json.dumps(words).encode() + b"\\n")

def noted(kind, method, *details):
    def call(self, *arguments):
        note(kind, *(detail(*arguments) for detail in details))
        return method(self, *arguments)
    return call

Scheduler.submit = noted("ordered", Scheduler.submit, lambda ticket, *_: ticket.job)
Renderer.render = noted("batch", Renderer.render, lambda loaded, frames: len(frames.latents))
DeviceThread._let_go = noted("released", DeviceThread._let_go)

def slow_job(device, name, count, fails=None):
    try:
        for done in range(count):
            note("slice", name)
            time.sleep(0.01)
            if done == 2 and fails:
                raise FAILURES[fails]
            yield done + 1, count
        if fails == "no answer":
            return {"name": name}
        return Outcome({"name": name, "device": device.renderer.device.type})
    finally:
        note("closed", name, threading.current_thread() is threading.main_thread())

class Service(service.Service):
    def take(self, message):
        if isinstance(message, dict) and message.get("method") == "tests/slow":
            asker = connection.Asker(self.connection, message["id"], True)
            self._in_slices(asker, lambda device, _answers: slow_job(device, **message["params"]))
        else:
            super().take(message)

service.Service = Service
sys.exit(cli.main(["serve", "--device", "cpu", *sys.argv[1:]]))
"""


class Journal:
    """What the fake job and the device thread have done, in order."""

    def __init__(self, path: Path):
        self.path = path
        path.touch()

    def command(self, *options: str) -> list[str]:
        """The command line of a server with the fake job."""
        return [sys.executable, "-c", WITH_A_SLOW_JOB, str(self.path), *options]

    def events(self) -> list[list[Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def of(self, name: str) -> list[list[Any]]:
        """The events of one job."""
        return [event for event in self.events() if event[1:2] == [name]]


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Journal:
    return Journal(tmp_path_factory.mktemp("journal") / "events")


@pytest.fixture(scope="module")
def patient(journal: Journal) -> Iterator[Server]:
    """A server with the fake job."""
    with Server(command=journal.command()) as server:
        yield server


def told(server: Server, request: int) -> list[dict[str, Any]]:
    """The progress of a request so far."""
    return [note for note in server.noted("work/progress") if note["id"] == request]


def begun(server: Server, name: str, count: int = ENDLESS, **more: Any) -> int:
    """Start the fake job, and wait until it has said something."""
    request = server.send("tests/slow", name=name, count=count, **more)
    server.until(lambda: told(server, request))
    return request


def outcome(server: Server, request: int) -> int | dict[str, Any]:
    """The result of a request, or the code of its error."""
    try:
        return server.answer(request)
    except ProtocolError as error:
        return error.code


def test_no_frame_waits_for_more_than_one_slice(patient: Server, journal: Journal, tiny: dict, folder: Path) -> None:
    request = begun(patient, "search")
    mine = [next(jobs) for _ in range(8)]
    for job in mine:
        frames = patient.generate(job, folder, tiny, np.zeros((70, 8)), plain_frames(70, f"job{job}-"))
        assert patient.answer(frames)["made"] == 70
        seen = told(patient, request)[-1]["done"]
        patient.until(lambda seen=seen: told(patient, request)[-1]["done"] > seen)  # and it goes on afterwards
    assert patient.ask("work/cancel", id=request) == {"cancelled": True}
    assert outcome(patient, request) == errors.CANCELLED
    events = journal.events()
    for job in mine:
        after = events[events.index(["ordered", job]) + 1 :]
        kinds = [event[0] for event in after[: _place(after, 70)]]
        assert kinds.count("slice") <= 1, kinds  # the one that was under way when the order came
        assert "slice" not in kinds[1:], kinds  # and none between two batches
    done = [note["done"] for note in told(patient, request)]
    assert done == sorted(set(done)) and done[0] == 1
    assert {note["total"] for note in told(patient, request)} == {ENDLESS}


def _place(events: list[list[Any]], frames: int) -> int:
    """The number of events after which so many frames have been made."""
    made = itertools.accumulate(event[1] if event[0] == "batch" else 0 for event in events)
    return next(place for place, count in enumerate(made, 1) if count >= frames)


def test_two_long_works_take_turns(patient: Server, journal: Journal) -> None:
    first, second = begun(patient, "a"), patient.send("tests/slow", name="b", count=30)
    assert outcome(patient, second) == {"name": "b", "device": "cpu"}
    patient.ask("work/cancel", id=first)
    assert outcome(patient, first) == errors.CANCELLED
    slices = "".join(event[1] for event in journal.events() if event in (["slice", "a"], ["slice", "b"]))
    assert slices.count("b") == 30
    assert slices[slices.index("b") : slices.rindex("b")] == "ba" * 29
    assert journal.of("a")[-1] == ["closed", "a", True] and journal.of("b")[-1] == ["closed", "b", True]


def test_cancel_closes_the_work_between_two_slices(patient: Server, journal: Journal) -> None:
    request, other = begun(patient, "first"), begun(patient, "other")
    for unknown in (request + 1000, "nobody", str(request)):
        assert patient.ask("work/cancel", id=unknown) == {"cancelled": False}
    assert patient.ask("work/cancel", id=request) == {"cancelled": True}
    with pytest.raises(ProtocolError, match="cancelled before its end") as caught:
        patient.answer(request)
    assert caught.value.code == errors.CANCELLED
    assert journal.of("first")[-2:] == [["slice", "first"], ["closed", "first", True]]
    assert patient.ask("work/cancel", id=request) == {"cancelled": False}  # it has ended
    seen = told(patient, other)[-1]["done"]
    patient.until(lambda: told(patient, other)[-1]["done"] > seen)
    patient.ask("work/cancel", id=other)
    assert outcome(patient, other) == errors.CANCELLED


def test_work_that_waits_is_cancelled_before_its_first_slice(
    patient: Server, journal: Journal, slow: dict, folder: Path
) -> None:
    job = next(jobs)
    frames = patient.generate(job, folder, slow, np.zeros((400, 8)), plain_frames(400))
    patient.until(lambda: patient.made(job))
    request = patient.send("tests/slow", name="unborn", count=ENDLESS)
    assert patient.ask("work/cancel", id=request) == {"cancelled": True}
    assert outcome(patient, request) == errors.CANCELLED
    assert frames not in patient.answers, "the work is cancelled while frames are still made"
    patient.ask("frames/cancel", job=job)
    patient.answer(frames)
    assert journal.of("unborn") == [] and told(patient, request) == []


@pytest.mark.parametrize(
    ("fails", "code", "words"),
    [
        ("refused", errors.LATENT_MISMATCH, "Nothing was found."),
        ("bug", errors.INTERNAL_ERROR, "KeyError: 'a bug'"),
        ("memory", errors.OUT_OF_MEMORY, "Memory ran out on CPU"),
    ],
)
def test_an_error_in_a_slice_answers_the_request_and_the_device_goes_on(
    patient: Server, journal: Journal, tiny: dict, folder: Path, fails: str, code: int, words: str
) -> None:
    other = begun(patient, f"beside {fails}")
    request = patient.send("tests/slow", name=fails, count=ENDLESS, fails=fails)
    with pytest.raises(ProtocolError, match=words) as caught:
        patient.answer(request)
    assert caught.value.code == code
    assert journal.of(fails) == [["slice", fails]] * 3 + [["closed", fails, True]]
    frames = patient.generate(next(jobs), folder, tiny, np.zeros((3, 8)), plain_frames(3))
    assert patient.answer(frames)["made"] == 3
    patient.ask("work/cancel", id=other)
    assert outcome(patient, other) == errors.CANCELLED


def test_work_that_returns_no_answer_is_an_error_and_the_server_lives(patient: Server) -> None:
    with pytest.raises(ProtocolError, match="cannot be sent") as caught:
        patient.ask("tests/slow", name="wrong", count=1, fails="no answer")
    assert caught.value.code == errors.INTERNAL_ERROR
    assert patient.ask("ping") == {}


@pytest.mark.parametrize("wrong", [None, True, 1.5, [1], {}])
def test_what_is_no_id_is_refused(patient: Server, wrong: Any) -> None:
    with pytest.raises(ProtocolError, match="'id' must be") as caught:
        patient.ask("work/cancel", id=wrong)
    assert caught.value.code == errors.INVALID_PARAMS


def test_generators_stay_on_the_device_while_long_work_is_under_way(tmp_path: Path, tiny: dict, folder: Path) -> None:
    journal = Journal(tmp_path / "events")
    with Server(command=journal.command("--idle-seconds", "0.1")) as server:
        assert server.answer(server.generate(1, folder, tiny, np.zeros((1, 8)), plain_frames(1)))["made"] == 1
        server.until(lambda: any("Nothing to do" in note["text"] for note in server.noted("log")))
        server.notes.clear()
        request = begun(server, "long", 100)
        assert server.answer(server.generate(2, folder, tiny, np.zeros((1, 8)), plain_frames(1, "g")))["made"] == 1
        assert outcome(server, request) == {"name": "long", "device": "cpu"}
        server.until(lambda: any("Nothing to do" in note["text"] for note in server.noted("log")))
    kinds = [event[0] for event in journal.events() if event[0] in ("slice", "closed", "released")]
    assert kinds == ["released", *["slice"] * 100, "closed", "released"]


def test_shutdown_cancels_what_is_under_way(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "events")
    with Server(command=journal.command()) as server:
        requests = [begun(server, "a"), begun(server, "b")]
        assert server.ask("shutdown") == {}
        assert [outcome(server, request) for request in requests] == [errors.CANCELLED] * 2
        assert server.process.wait(driving.PATIENCE) == 0
    assert sorted(event for event in journal.events() if event[0] == "closed") == [
        ["closed", "a", True],
        ["closed", "b", True],
    ]


def test_the_end_of_stdin_closes_what_is_under_way(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "events")
    with Server(command=journal.command()) as server:
        begun(server, "a")
        assert server.end() == 0
    assert journal.events()[-1] == ["closed", "a", True]


def test_the_parents_death_closes_what_is_under_way(tmp_path: Path) -> None:
    """The work is closed although this process keeps the pipe open."""
    journal = Journal(tmp_path / "events")
    stdin_read, stdin_write = os.pipe()
    stdout_read, stdout_write = os.pipe()
    start = "import subprocess, sys; subprocess.Popen(sys.argv[1:]).wait()"
    parent = subprocess.Popen(
        [sys.executable, "-c", start, *journal.command()], stdin=stdin_read, stdout=stdout_write, cwd=driving.ROOT
    )
    os.close(stdin_read)
    os.close(stdout_write)
    with open(stdin_write, "wb") as stdin, open(stdout_read, "rb") as stdout:
        messages = framing.read_messages(stdout)
        stdin.write(framing.encode_message(framing.request(1, "initialize", driving.VERSIONS)))
        stdin.write(framing.encode_message(framing.request(2, "tests/slow", {"name": "a", "count": ENDLESS})))
        stdin.flush()
        assert next(messages)["id"] == 1
        assert next(messages)["params"]["id"] == 2
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        last = list(messages)[-1]  # the server is gone
    assert (last["id"], last["error"]["code"]) == (2, errors.CANCELLED)
    assert journal.events()[-1] == ["closed", "a", True]


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Job:
    """A fake job by its name: what it has done, what it has told, and how its request was answered."""

    def __init__(self, name: str, count: int, did: list[str], identity: int | str | None = None):
        self.told: list[tuple[int, int]] = []
        self.answers: list[Any] = []
        self.clock = Clock()
        self._name, self._count, self._did = name, count, did
        self.work = LongWork(
            name if identity is None else identity, self._slices, self.answers.append, self._tell, self.clock
        )

    def _slices(self) -> Slices:
        try:
            for done in range(self._count):
                self._did.append(self._name)
                yield done + 1, self._count
            return {"name": self._name}
        finally:
            self._did.append(f"{self._name} closed")

    def _tell(self, done: int, total: int) -> None:
        self.told.append((done, total))


def one_turn(scheduler: Scheduler, did: list[str]) -> bool:
    """Do the next thing as the device thread does; return whether there was one."""
    work = scheduler.wait(0)
    if isinstance(work, Order):
        scheduler.take(work.batch_key).settle("made")
        did.append(work.spec.name)
    elif isinstance(work, LongWork):
        scheduler.settle(work, work.step())
    elif work is not None:
        work()
    return work is not None


def all_turns(scheduler: Scheduler, did: list[str]) -> None:
    while one_turn(scheduler, did):
        pass


def order(scheduler: Scheduler, job: int, *names: str) -> None:
    ticket = Ticket(job, Path("/frames"), len(names), lambda _: None)
    scheduler.submit(ticket, [FrameOrder(name, 0) for name in names], append=False)


def test_calls_and_frames_come_before_slices_and_patient_calls_take_turns_with_them() -> None:
    scheduler, did = Scheduler(), []
    for name in ("a", "b"):
        scheduler.work(Job(name, 3, did).work)
    for card in ("card 1", "card 2", "card 3"):
        scheduler.call(lambda card=card: did.append(card), patient=True)
    order(scheduler, 1, "frame 1", "frame 2")
    scheduler.call(lambda: did.append("call"))
    all_turns(scheduler, did)
    slices = ["a", "card 1", "b", "card 2", "a", "card 3", "b", "a", "b"]
    assert did[:-2] == ["call", "frame 1", "frame 2", *slices] and did[-2:] == ["a closed", "b closed"]


def test_what_comes_during_a_slice_is_done_before_the_next() -> None:
    scheduler, did = Scheduler(), []
    scheduler.work(Job("a", 5, did).work)
    for number in range(4):
        one_turn(scheduler, did)
        order(scheduler, number, f"frame {number}")
        one_turn(scheduler, did)
        scheduler.call(lambda number=number: did.append(f"call {number}"))
        one_turn(scheduler, did)
    assert did == [event for number in range(4) for event in ("a", f"frame {number}", f"call {number}")]


def test_progress_is_told_five_times_a_second_at_most() -> None:
    scheduler, did = Scheduler(), []
    job = Job("a", 1000, did)
    scheduler.work(job.work)
    for _ in range(1000):
        one_turn(scheduler, did)
        job.clock.now += 0.013
    assert job.told == sorted(set(job.told)) and job.told[0] == (1, 1000)
    assert 13 / TELL_EVERY - 5 <= len(job.told) <= 13 / TELL_EVERY + 1
    all_turns(scheduler, did)
    assert job.answers == [{"name": "a"}]


def test_progress_only_grows() -> None:
    told: list[tuple[int, int]] = []
    clock = Clock()

    def slices() -> Slices:
        for done in (1, 3, 2, 3, 4):
            clock.now += 1.0
            yield done, 4
        return {}

    work = LongWork(1, slices, lambda _: None, lambda *progress: told.append(progress), clock)
    while work.step() is None:
        pass
    assert told == [(1, 4), (3, 4), (4, 4)]


def test_cancelled_during_its_last_slice_it_is_answered_once() -> None:
    scheduler, did = Scheduler(), []
    job = Job("a", 1, did)
    scheduler.work(job.work)
    one_turn(scheduler, did)
    work = scheduler.wait(0)
    assert work is job.work
    result = work.step()
    assert result == {"name": "a"}
    assert scheduler.cancel_work("a")  # from the reader thread, before the device thread tells the end
    scheduler.settle(work, result)
    all_turns(scheduler, did)
    assert [answer.code for answer in job.answers] == [errors.CANCELLED]
    assert not scheduler.cancel_work("a")


def test_a_mistake_in_cleaning_up_is_told_and_survived(caplog: pytest.LogCaptureFixture) -> None:
    def slices() -> Slices:
        try:
            while True:
                yield 0, 1
        finally:
            raise RuntimeError("cannot clean up")

    scheduler, answers = Scheduler(), []
    scheduler.work(LongWork(1, slices, answers.append, lambda *_: None))
    one_turn(scheduler, [])
    assert scheduler.cancel_work(1)
    all_turns(scheduler, [])
    assert [answer.code for answer in answers] == [errors.CANCELLED]
    assert "RuntimeError: cannot clean up" in caplog.text


def test_stop_closes_all_of_them_before_the_last_call() -> None:
    scheduler, did = Scheduler(), []
    begun, waiting, late = (Job(name, 9, did) for name in ("begun", "waiting", "late"))
    scheduler.work(begun.work)
    one_turn(scheduler, did)
    scheduler.work(waiting.work)
    scheduler.stop()
    scheduler.call(lambda: did.append("finish"))
    scheduler.work(late.work)
    assert not scheduler.stopped
    all_turns(scheduler, did)
    assert scheduler.stopped and did == ["begun", "begun closed", "finish"]
    for job in (begun, waiting, late):
        assert [answer.code for answer in job.answers] == [errors.CANCELLED]


def test_no_more_than_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_module, "MOST_CALLS", 3)
    scheduler, did = Scheduler(), []
    scheduler.call(lambda: did.append("call"))
    scheduler.call(lambda: did.append("card"), patient=True)
    scheduler.work(Job("a", 1, did).work)
    with pytest.raises(ProtocolError, match="Too many"):
        scheduler.work(Job("b", 1, did).work)
    with pytest.raises(ProtocolError, match="Too many"):
        scheduler.call(lambda: None)
    all_turns(scheduler, did)
    scheduler.work(Job("c", 1, did).work)
    all_turns(scheduler, did)
    assert did == ["call", "a", "card", "a closed", "c", "c closed"]
