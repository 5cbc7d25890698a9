"""The queue and the encoders on their own, for cases that tests over pipes cannot time exactly."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from inference_server.serving import pipeline
from inference_server.serving.pipeline import THERE, Flight, Pipeline
from inference_server.serving.scheduler import Order, Scheduler, Ticket
from lantern_protocol.answers import Counts
from lantern_protocol.errors import INTERNAL_ERROR, LATENT_MISMATCH, ProtocolError
from lantern_protocol.orders import FrameOrder, RenderSettings

FOLDER = Path("/frames")


def ticket(job: int, total: int) -> tuple[Ticket, list]:
    """A ticket, and the list that gets its answer."""
    answers: list = []
    return Ticket(job, FOLDER, total, answers.append), answers


def orders(*names: str, **settings: object) -> list[FrameOrder]:
    return [FrameOrder(name, 0, RenderSettings(**settings)) for name in names]


def take_all(scheduler: Scheduler) -> list[str]:
    """Take batches as the device thread does; return the names; the names of a batch are joined."""
    batches = []
    while isinstance(head := scheduler.wait(0), Order):
        names = []
        while (order := scheduler.take(head.batch_key)) is not None:
            names.append(order.spec.name)
            order.settle("made")
            if order.alone:
                break
        batches.append(" ".join(names))
    return batches


def test_batches_hold_what_can_be_made_together() -> None:
    scheduler = Scheduler()
    first, answers = ticket(1, 7)
    scheduler.submit(
        first, [*orders("a", "b", "c"), *orders("d", "e", noise=3), *orders("f", "g", noise="none")], False
    )
    assert take_all(scheduler) == ["a", "b c", "d e", "f g"]
    assert answers == [Counts(made=7, failed=0, dropped=0)]


def test_newer_jobs_drop_older_ones_and_append_joins() -> None:
    scheduler = Scheduler()
    old, old_answers = ticket(4, 2)
    new, new_answers = ticket(5, 2)
    more, more_answers = ticket(5, 2)
    late, late_answers = ticket(4, 1)
    again, again_answers = ticket(5, 1)
    scheduler.submit(old, orders("a", "b"), append=True)
    scheduler.submit(new, orders("c", "d"), append=True)
    assert old_answers == [Counts(made=0, failed=0, dropped=2)]
    scheduler.submit(more, orders("e", "c"), append=True)
    scheduler.submit(late, orders("z"), append=True)
    assert late_answers == [Counts(made=0, failed=0, dropped=1)]
    assert take_all(scheduler) == ["c", "d", "e"]
    assert new_answers == more_answers == [Counts(made=2, failed=0, dropped=0)]
    scheduler.submit(again, orders("f"), append=False)
    assert scheduler.cancel(4) == 0 and scheduler.cancel(5) == 1
    assert again_answers == [Counts(made=0, failed=0, dropped=1)]


def test_a_refused_ticket_leaves_the_others() -> None:
    scheduler = Scheduler()
    bad, bad_answers = ticket(1, 2)
    good, good_answers = ticket(1, 1)
    scheduler.submit(bad, orders("a", "b"), append=False)
    scheduler.submit(good, orders("c"), append=True)
    error = ProtocolError(LATENT_MISMATCH, "No.")
    scheduler.refuse(bad, error)
    assert bad_answers == [error]
    assert take_all(scheduler) == ["c"]
    assert good_answers == [Counts(made=1, failed=0, dropped=0)]


def test_calls_come_before_frames_and_stop_ends_waiting() -> None:
    scheduler = Scheduler()
    first, _ = ticket(1, 1)
    scheduler.submit(first, orders("a"), append=False)
    called = []
    scheduler.call(lambda: called.append(1))
    scheduler.wait(None)()
    assert called == [1]
    waiting = threading.Thread(target=lambda: called.append(scheduler.wait(None)))
    assert isinstance(scheduler.wait(None), Order)
    scheduler.cancel(1)
    waiting.start()
    scheduler.stop()
    waiting.join()
    assert called == [1, None] and scheduler.stopped
    late, late_answers = ticket(9, 3)
    scheduler.submit(late, orders("a", "b", "c"), append=False)
    assert late_answers == [Counts(made=0, failed=0, dropped=3)]


class Reports(list):
    """Collects what a pipeline reports, as names with a mark for errors."""

    def __call__(self, flight: Flight, seconds: float) -> None:
        assert seconds >= 0
        marks = ("!" if i in flight.errors else "" for i in range(len(flight.orders)))
        self.append(" ".join(order.spec.name + mark for order, mark in zip(flight.orders, marks, strict=True)))


def flight(job: int, *names: str) -> Flight:
    first, _ = ticket(job, len(names))
    return Flight(job, [Order(first, spec) for spec in orders(*names)], 0.0)


class Black:
    def pixels(self) -> np.ndarray:
        return np.zeros((2, 2, 3), dtype=np.uint8)


PIXELS = Black()


def test_reports_keep_the_order_of_a_job_whoever_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    gates = {name: threading.Event() for name in "abcd"}
    monkeypatch.setattr(pipeline, "write_order", lambda order, colour: gates[order.spec.name].wait())
    reports = Reports()
    encoders = Pipeline(reports, threads=4)
    encoders.add(flight(1, "a", "b"), [PIXELS, PIXELS], 8)
    encoders.add(flight(1, "c"), [PIXELS], 8)
    encoders.add(flight(2, "d"), [PIXELS], 8)
    gates["d"].set()
    gates["c"].set()
    gates["b"].set()
    while "d" not in reports:
        assert encoders.flush(0.01) is False
    assert reports == ["d"]
    gates["a"].set()
    assert encoders.flush(60)
    assert reports == ["d", "a b", "c"]
    encoders.close(60)


def test_the_queue_is_bounded_and_the_newest_job_is_written_first(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, begun, written = threading.Event(), threading.Event(), []

    def write(order: Order, colour: np.ndarray) -> None:
        begun.set()
        gate.wait()
        written.append(order.spec.name)

    monkeypatch.setattr(pipeline, "write_order", write)
    encoders = Pipeline(Reports(), threads=1)
    encoders.add(flight(1, "a"), [PIXELS], 2)
    begun.wait()
    encoders.add(flight(1, "b", "c"), [PIXELS] * 2, 2)
    over = threading.Thread(target=encoders.add, args=(flight(1, "d"), [PIXELS], 2))
    over.start()
    encoders.add(flight(2, "e"), [PIXELS], 2)  # a newer job does not wait behind an older one
    over.join(0.05)
    assert over.is_alive()
    gate.set()
    over.join()
    assert encoders.flush(60)
    assert written == ["a", "e", "b", "c", "d"]
    encoders.close(60)


def test_errors_and_files_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(order: Order, colour: np.ndarray) -> None:
        if order.spec.name == "b":
            raise RuntimeError("a bug")

    monkeypatch.setattr(pipeline, "write_order", write)
    reports, flown = Reports(), flight(1, "a", "b", "c", "d")
    encoders = Pipeline(reports, threads=2)
    encoders.add(flown, [THERE, PIXELS, ProtocolError(-1, "not a picture"), PIXELS], 4)
    assert encoders.flush(60)
    assert reports == ["a b! c! d"]
    assert flown.errors[1].code == INTERNAL_ERROR and "a bug" in str(flown.errors[1])
    encoders.close(60)
