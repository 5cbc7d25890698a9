"""What the folders of data sets and trainings show: states, texts, pictures, and everything that may be wrong."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from latent_lantern.lantern_protocol.job_folder import FolderLock, Status, write_status
from latent_lantern.latent_addon.jobs.found import (
    DATA_SETS,
    LOG_FILE,
    RUNS,
    JobState,
    Launch,
    TrainingJob,
    find_jobs,
    holds_nothing,
    last_words,
    read_job,
)
from latent_lantern.latent_addon.jobs.words import facts_in_words, hint_of


def make(folder: Path, **status: object) -> Path:
    """A folder with this status; its job is a training unless the values name another."""
    folder.mkdir(parents=True)
    write_status(folder, Status(**{"job": "training", "state": "working", "updated": time.time(), **status}))
    return folder


def only(folder: Path, launches: dict[Path, Launch] | None = None) -> TrainingJob:
    (job,) = find_jobs(folder, launches)
    return job


def test_a_folder_that_is_not_there_holds_no_jobs(tmp_path: Path) -> None:
    assert find_jobs(tmp_path / "gone") == []
    (tmp_path / "file").write_bytes(b"")
    assert find_jobs(tmp_path / "file") == []


def test_jobs_are_found_at_both_depths_and_of_both_kinds(tmp_path: Path) -> None:
    make(tmp_path / DATA_SETS / "dinner", job="dataset", state="finished")
    make(tmp_path / RUNS / "family", state="stopped")
    make(tmp_path / "plain", state="finished")
    (tmp_path / "by hand").mkdir()
    (tmp_path / "by hand" / "dataset.json").write_text("{}")
    (tmp_path / "by hand" / "contact_sheet.png").write_bytes(b"picture")
    (tmp_path / "holidays" / "2019" / "deep").mkdir(parents=True)
    make(tmp_path / ".hidden" / "job")
    jobs = {job.name: job for job in find_jobs(tmp_path)}
    assert {name: job.kind for name, job in jobs.items()} == {
        "dinner": "dataset",
        "family": "training",
        "plain": "training",
        "by hand": "dataset",
    }
    assert jobs["by hand"].state is JobState.FINISHED and jobs["by hand"].picture.name == "contact_sheet.png"


def test_the_newest_comes_first_whatever_was_written_last(tmp_path: Path) -> None:
    for age, name in enumerate(("third", "second", "first")):
        folder = make(tmp_path / name)
        FolderLock(folder).release()
        os.utime(folder / "lock", (1000.0 - age, 1000.0 - age))
    write_status(tmp_path / "first", Status("training", "finished"))
    assert [job.name for job in find_jobs(tmp_path)] == ["third", "second", "first"]


@pytest.mark.parametrize(
    ("said", "locked", "state"),
    [
        ("starting", True, JobState.STARTING),
        ("working", True, JobState.WORKING),
        ("finished", True, JobState.WORKING),  # it will release the folder soon
        ("starting", False, JobState.INTERRUPTED),
        ("working", False, JobState.INTERRUPTED),
        ("finished", False, JobState.FINISHED),
        ("stopped", False, JobState.STOPPED),
        ("failed", False, JobState.FAILED),
    ],
)
def test_the_state_follows_from_the_status_and_the_lock(
    tmp_path: Path, said: str, locked: bool, state: JobState
) -> None:
    folder = make(tmp_path / "run", state=said, message="why", done=12345)
    lock = FolderLock(folder)
    if not locked:
        lock.release()
    job = only(tmp_path)
    assert job.state is state and job.active is locked
    lock.release()


def test_one_that_was_asked_to_stop_is_stopping_while_it_runs(tmp_path: Path) -> None:
    folder = make(tmp_path / "run")
    lock = FolderLock(folder)
    (folder / "stop").touch()
    assert only(tmp_path).state is JobState.STOPPING
    assert "saves" in only(tmp_path).sentence()
    lock.release()
    assert only(tmp_path).state is JobState.INTERRUPTED


def test_a_process_is_believed_until_the_job_speaks(tmp_path: Path) -> None:
    folder = make(tmp_path / "run", state="stopped", done=5, updated=time.time() - 100)
    now = time.time()
    assert only(tmp_path, {folder: Launch(now, alive=True)}).state is JobState.STARTING
    failed = only(tmp_path, {folder: Launch(now, alive=False, words="No torch.")})
    assert (failed.state, failed.problem) == (JobState.FAILED, "No torch.")
    assert only(tmp_path, {folder: Launch(now - 200, alive=False, words="An old story.")}).state is JobState.STOPPED
    assert only(tmp_path, {folder: Launch(now, alive=False)}).state is JobState.STOPPED


def test_a_job_that_could_not_write_why_it_failed_is_heard_all_the_same(tmp_path: Path) -> None:
    folder = make(tmp_path / "run", done=5)
    full = Launch(0.0, alive=False, words="The disk is full.", spoke=True)
    assert (only(tmp_path, {folder: full}).state, only(tmp_path, {folder: full}).problem) == (
        JobState.FAILED,
        "The disk is full.",
    )
    killed = Launch(0.0, alive=False, words="The process ended (killed by SIGKILL) without a word.")
    assert only(tmp_path, {folder: killed}).state is JobState.INTERRUPTED


def test_a_process_without_a_status_is_starting_then_failed(tmp_path: Path) -> None:
    folder = tmp_path / RUNS / "run"
    folder.mkdir(parents=True)
    assert find_jobs(tmp_path) == []
    assert only(tmp_path, {folder: Launch(time.time(), alive=True)}).state is JobState.STARTING
    (folder / LOG_FILE).write_text("loading\nThe Python at X has no torch.\n")
    job = only(tmp_path)  # as the next Blender sees it
    assert (job.kind, job.state, job.problem) == ("training", JobState.FAILED, "The Python at X has no torch.")


def test_sentences_say_how_far_it_came_and_what_can_be_done() -> None:
    def job(state: JobState, kind: str = "training", **status: object) -> TrainingJob:
        resumable = bool(status.get("done"))
        status = Status(kind, "working", **status)
        return TrainingJob(Path("x"), kind, state, status, problem="Why.", resumable=resumable)

    assert (
        job(JobState.INTERRUPTED, done=12345).sentence() == "Interrupted at 12,345 images. Resume continues from there."
    )
    assert job(JobState.INTERRUPTED).sentence() == "Interrupted before it had begun. Start it again."
    assert "Make it again" in job(JobState.STOPPED, "dataset", done=3).sentence()
    assert job(JobState.FAILED).sentence() == "Why."
    assert job(JobState.FINISHED, done=400000, seconds=7000).sentence() == "Finished: 400,000 images in 1 h 57 min."
    assert job(JobState.FINISHED, "dataset", message="12 skipped.").sentence() == "12 skipped."
    working = job(JobState.WORKING, done=1000, total=4000, rate=10.04, seconds_left=300)
    assert (working.doing(), working.counted(), working.pace()) == (
        "Training",
        "1,000 of 4,000 images",
        "10.0 images/s, 5 min left",
    )
    assert working.factor == 0.25 and job(JobState.WORKING, done=7).factor == 0.0
    assert job(JobState.WORKING, done=9, total=5).factor == 1.0
    assert job(JobState.WORKING, done=7).counted() == "7 images" and job(JobState.WORKING).pace() == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"job": "training"}',
        '{"job": "training", "state": "dancing"}',
        '{"job": "nonsense", "state": "working"}',
        "[" * 100_000,
    ],
)
def test_a_status_that_is_none_is_no_job_and_no_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "status.json").write_text(text)
    assert find_jobs(tmp_path) == []


def test_odd_numbers_can_be_shown(tmp_path: Path) -> None:
    folder = make(tmp_path / "run")
    odd = {"done": -5, "total": 10, "rate": float("nan"), "seconds": float("inf"), "seconds_left": -1e300}
    text = json.dumps({"job": "training", "state": "finished", **odd, "facts": {"loss": float("nan"), "list": [1]}})
    (folder / "status.json").write_text(text)
    job = only(tmp_path)
    assert (job.factor, job.pace(), job.sentence()) == (0.0, "", "Finished: 0 images in 0 s.")
    assert list(job.status.facts) == ["loss"]


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "C:\\x.png", "..\\secret.png", "gone.png", ""])
def test_only_pictures_in_the_folder_are_shown(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.png").write_bytes(b"picture")
    make(tmp_path / "run", picture=name)
    assert only(tmp_path).picture is None


def test_only_a_run_that_was_begun_can_be_gone_on_with(tmp_path: Path) -> None:
    folder = make(tmp_path / "run")
    assert not only(tmp_path).resumable
    (folder / "run.json").write_text("{}")
    assert only(tmp_path).resumable


def test_snapshots_and_the_newest_picture(tmp_path: Path) -> None:
    folder = make(tmp_path / "run", picture="previews/preview-2.png")
    (folder / "previews").mkdir()
    picture = folder / "previews" / "preview-2.png"
    picture.write_bytes(b"picture")
    for name in ("snapshot-000000001.safetensors", "snapshot-000000002.safetensors", "resume.state", "snapshot-x.part"):
        (folder / name).write_bytes(b"")
    first = only(tmp_path)
    assert (first.snapshots, first.picture) == (2, picture)
    os.utime(picture, (5, 5))
    assert only(tmp_path).picture_stamp != first.picture_stamp


def test_a_finished_job_is_read_again_only_when_it_changes(tmp_path: Path) -> None:
    folder = make(tmp_path / "run", state="finished")
    first = read_job(folder, "training")
    assert read_job(folder, "training", None, first) is first
    write_status(folder, Status("training", "stopped", done=3))
    os.utime(folder / "status.json", (9, 9))
    assert read_job(folder, "training", None, first).state is JobState.STOPPED
    lock = FolderLock(folder)
    assert read_job(folder, "training", None, first).state is JobState.WORKING
    lock.release()


def test_what_holds_nothing_may_be_used_again(tmp_path: Path) -> None:
    folder = make(tmp_path / "run", state="failed")
    (folder / LOG_FILE).write_text("words")
    assert holds_nothing(folder) and holds_nothing(tmp_path / "gone")
    lock = FolderLock(folder)
    assert not holds_nothing(folder)
    lock.release()
    (folder / "run.json").write_text("{}")
    assert not holds_nothing(folder)


def test_numbers_are_shown_in_words() -> None:
    facts = {"g_loss": 0.731234, "r1": 0.1, "size": "64 x 64", "augment": 0.25, "new_one": 12345, "plan": "one; two"}

    def words(state: JobState, kind: str, facts: dict[str, str | float], done: int = 9) -> list[str]:
        status = Status(kind, "working", done=done, facts=facts)
        return facts_in_words(TrainingJob(Path("x"), kind, state, status))

    assert words(JobState.WORKING, "training", facts) == [
        "Generator loss: 0.7312",
        "Size: 64 x 64",
        "Augmentation: 0.25",
        "New one: 12,345",
    ]
    assert words(JobState.STARTING, "training", facts)[-2:] == ["One", "Two"]
    assert words(JobState.WORKING, "training", {"plan": "one"}, done=0) == ["One"]
    assert words(JobState.FINISHED, "dataset", {"kept": 3, "skipped": 0, "duplicates": 2}) == [
        "Near-duplicates left out: 2"
    ]


def test_few_pictures_are_worth_a_hint() -> None:
    assert "repeats them" in hint_of(12) and "are few" in hint_of(200) and hint_of(5000) == ""


def test_the_last_words_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / LOG_FILE
    assert last_words(log) == ""
    log.write_bytes(b"an old story\n")
    start = log.stat().st_size
    assert last_words(log, start) == ""
    with log.open("ab") as file:
        file.write(
            b"x" * 100_000 + b"\n\r\x1b[KTraining, 1 of 2\r\x1b[KTraining, 2 of 2\n\n  The disk is full.\xff \n\n"
        )
    assert last_words(log, start) == "The disk is full.\ufffd"
    assert last_words(log) == "The disk is full.\ufffd"
