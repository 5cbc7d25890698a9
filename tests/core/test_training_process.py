"""A job's process, which runs next to Blender, and the thread that reads its folder."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from latent_lantern.latent_addon.jobs.found import LOG_FILE, JobState
from latent_lantern.latent_addon.jobs.process import TrainingProcess
from latent_lantern.latent_addon.jobs.watch import Look, TrainingWatch
from latent_lantern.latent_addon.server.launch import module_command


def start(folder: Path, code: str) -> TrainingProcess:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG_FILE).open("ab") as log:
        return TrainingProcess([sys.executable, "-c", code], os.environ, folder, log)


def look(watch: TrainingWatch, folder: Path, *processes: TrainingProcess) -> Look:
    watch.look(folder, processes)
    while (found := watch.take()) is None:
        time.sleep(0.001)
    return found


def test_what_it_prints_is_in_the_log_and_its_end_is_known(tmp_path: Path) -> None:
    (tmp_path / LOG_FILE).write_text("an old story\n")
    process = start(
        tmp_path, "import sys; print('one', flush=True); print('The disk is full.', file=sys.stderr); sys.exit(1)"
    )
    assert process.wait(30) and not process.alive
    launch = process.launch()
    assert (launch.alive, launch.words, launch.spoke) == (False, "The disk is full.", True)
    assert (tmp_path / LOG_FILE).read_text().startswith("an old story\n")


def test_an_end_without_words_is_told_as_well(tmp_path: Path) -> None:
    process = start(tmp_path, "import os; os._exit(7)")
    assert process.wait(30)
    assert process.launch().words == "The process ended (exit code 7) without a word." and not process.launch().spoke
    killed = start(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert killed.wait(30)
    assert killed.launch().words == "The process ended (killed by SIGKILL) without a word."
    assert not killed.launch().spoke


def test_a_good_end_needs_no_words(tmp_path: Path) -> None:
    process = start(tmp_path, "print('Traceback of nothing')")
    assert process.wait(30)
    assert process.launch().words == ""


def test_it_is_in_a_session_of_its_own_and_reads_nothing(tmp_path: Path) -> None:
    process = start(tmp_path, "import os, sys; print(os.getsid(0) == os.getpid(), sys.stdin.read() == '')")
    assert process.wait(30)
    assert (tmp_path / LOG_FILE).read_text() == "True True\n"


def test_one_that_starts_can_be_ended(tmp_path: Path) -> None:
    process = start(tmp_path, "import time; time.sleep(600)")
    assert process.alive
    process.terminate()
    assert process.wait(30)
    process.terminate()  # a second time does no harm


def test_a_program_that_is_none_is_an_error(tmp_path: Path) -> None:
    with (tmp_path / LOG_FILE).open("ab") as log, pytest.raises(OSError):
        TrainingProcess([str(tmp_path / "gone")], {}, tmp_path, log)


def test_the_command_is_the_servers_with_its_own_arguments(tmp_path: Path) -> None:
    command, environment = module_command("python", tmp_path, "train", "x")
    assert command == ["python", "-P", "-s", "-B", "-m", "inference_server", "train", "x"]
    assert environment["PYTHONPATH"] == str(tmp_path)


def test_a_look_takes_in_processes_and_ends(tmp_path: Path) -> None:
    folder = tmp_path / "Runs" / "one"
    process = start(folder, "raise SystemExit('No torch.')")
    assert process.wait(30)
    watch = TrainingWatch()
    assert watch.take() is None and not watch.looking
    found = look(watch, tmp_path, process)
    assert [(job.state, job.problem) for job in found.jobs] == [(JobState.FAILED, "No torch.")]
    assert not watch.looking and found.problem == ""


def test_only_one_look_at_a_time(tmp_path: Path) -> None:
    watch = TrainingWatch()
    watch.look(tmp_path, ())
    watch.look(tmp_path / "other", ())
    while (found := watch.take()) is None:
        time.sleep(0.001)
    assert found.folder == tmp_path and watch.take() is None


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    found = look(TrainingWatch(), loop)
    assert found.jobs == [] and str(loop) in found.problem
