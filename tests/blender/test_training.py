"""Training from Blender: started as a separate process, watched through its folder, found again."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import bpy
import pytest

from latent_lantern.lantern_protocol.job_folder import Status, is_running, read_status, write_status
from latent_lantern.latent_addon import handlers
from latent_lantern.latent_addon.jobs.found import JobState, TrainingJob
from latent_lantern.latent_addon.scene import versions
from latent_lantern.latent_addon.scene.properties import settings_of
from latent_lantern.latent_addon.session.session import session
from latent_lantern.latent_addon.training import panels as ui
from latent_lantern.latent_addon.training.operators import BUILT_IN
from latent_lantern.latent_addon.training.properties import training_form, training_rows
from latent_lantern.latent_addon.training.training import training
from latent_lantern.latent_addon.ui import pictures as icons
from layout import Layout, drawn
from pictures import noise_picture, write_picture
from stage import FAKE_SERVER

FAKE_TRAINER = FAKE_SERVER.with_name("fake_trainer.py")


def wait(until: Callable[[], bool]) -> bool:
    """Tick, as the timer does while the panel is open, until `until()` is true; return False after too long."""
    for _ in range(4000):
        if until():
            return True
        training.seen()
        training._looked = float("-inf")
        training.tick()
        time.sleep(0.005)
    return False


def look() -> None:
    """Look at the whole training folder once."""
    training._looked = float("-inf")
    training.seen()
    training.tick()
    while training._watch.looking:
        training._looked = time.monotonic()
        training.tick()


class Studio:
    """A training folder, a fake trainer, and the form of the open file."""

    def __init__(self, stage, folder: Path):
        self.stage = stage
        self.folder = folder / "Training"
        self.journal_path = folder / "trainings.jsonl"
        self.film = folder / "dinner.mp4"
        self.film.write_bytes(b"film")
        self.gate = folder / "gate"
        """The last step continues until this file exists."""
        stage.preferences.training_folder = str(self.folder)
        self.use_trainer()
        training_form(stage.scene).film = str(self.film)

    @property
    def form(self):
        return training_form(bpy.context.scene)

    def use_trainer(self, *options: object) -> None:
        """Use a fake process with these faults from the next start on. The fake server makes frames, as always."""
        trainer = [sys.executable, str(FAKE_TRAINER), "--journal", str(self.journal_path), *map(str, options), "--"]
        server = [sys.executable, str(FAKE_SERVER)]
        python = self.stage.folder / "python"
        # A shell that was just started with the old script may still be reading it.
        python.unlink(missing_ok=True)
        python.write_text(
            f'#!/bin/sh\nfor last; do :; done\n[ "$last" = serve ] && exec {shlex.join(server)}\n'
            f'exec {shlex.join(trainer)} "$@"\n'
        )
        python.chmod(0o755)
        self.stage.preferences.server_python = str(python)

    def commands(self) -> list[list[str]]:
        """The command lines since the last call."""
        lines = self.journal_path.read_text().splitlines() if self.journal_path.exists() else []
        self.journal_path.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    def started(self) -> Path:
        """The folder of the job that was started last."""
        return max(training._processes.values(), key=lambda process: process.launch().since).folder

    def until(self, state: JobState, folder: Path | None = None) -> TrainingJob:
        """Wait until the job that was started last, or the job in this folder, is in a state."""
        folder = folder or self.started()

        def there() -> bool:
            job = training.job(folder)
            return job is not None and job.state is state

        assert wait(there), training.jobs
        return training.job(folder)

    def until_done(self, done: int) -> TrainingJob:
        """Wait until the job that was started last has done this much."""
        folder = self.started()
        assert wait(lambda: getattr(training.job(folder), "status", Status("", "")).done == done)
        return training.job(folder)

    def make_data_set(self, **form: object) -> TrainingJob:
        """Make a data set and wait for it."""
        for name, value in form.items():
            setattr(self.form, name, value)
        assert bpy.ops.lantern.make_data_set() == {"FINISHED"}
        return self.until(JobState.FINISHED)

    def train(self, *options: object) -> None:
        """Start a training on the newest data set."""
        if not training.ready_data_sets:
            self.make_data_set()
        self.use_trainer(*options)
        assert bpy.ops.lantern.start_training() == {"FINISHED"}


@pytest.fixture
def studio(stage, tmp_path):
    training._forget()
    studio = Studio(stage, tmp_path)
    yield studio
    studio.gate.touch()
    for process in training._processes.values():
        process.terminate()
        assert process.wait(20)
    training._forget()


def said(content: type) -> str:
    """The text of a panel, in one line."""
    return " ".join(drawn(content).texts)


def test_nothing_is_touched_before_a_button_is_pressed(studio):
    for content in (ui.TrainingPanel, ui.PicturesPanel, ui.StartTrainingPanel, ui.TrainingsPanel):
        drawn(content)
    handlers.timer()
    look()
    assert not studio.folder.exists() and studio.commands() == []
    assert "None yet" in said(ui.TrainingsPanel) and "None yet" in said(ui.StartTrainingPanel)


def test_the_folder_is_read_only_while_somebody_looks_or_something_runs(studio):
    training._seen = float("-inf")
    training.tick()
    assert not training._watch.looking
    drawn(ui.TrainingPanel)
    training.tick()
    assert training._watch.looking


def test_a_film_becomes_a_data_set(studio):
    job = studio.make_data_set(every=6, size="128", crop="smart", mirror=True)
    assert job.folder == studio.folder / "Data Sets" / "dinner 128"
    (command,) = studio.commands()
    assert command[:3] == ["dataset", str(studio.film), str(job.folder)]
    assert command[3:] == ["--size", "128", "--crop", "smart", "--nice", "--mirror", "--every", "6"]
    words = said(ui.PicturesPanel)
    assert "dinner 128: Finished" in words and "4,000 pictures kept, 12 skipped." in words
    assert ("wm.path_open", {"filepath": str(job.folder)}) in drawn(ui.PicturesPanel).operators
    assert "dinner 128 (newest)" in said(ui.StartTrainingPanel)


def test_progress_is_shown_and_stop_keeps_what_is_there(studio):
    studio.use_trainer("--until", studio.gate)
    assert bpy.ops.lantern.make_data_set() == {"FINISHED"}
    studio.until_done(3000)
    words = said(ui.PicturesPanel)
    assert "3,000 of 4,000 pictures" in words and "61.2 pictures/s, 125 min left" in words.replace(
        "2 h 5 min", "125 min"
    )
    assert bpy.ops.lantern.start_training.poll() is False
    assert bpy.ops.lantern.stop_job(folder=str(training.jobs[0].folder)) == {"FINISHED"}
    job = studio.until(JobState.STOPPED)
    assert "Make it again to continue from there." in job.sentence()
    studio.commands()
    studio.use_trainer()
    assert bpy.ops.lantern.make_data_set() == {"FINISHED"}
    studio.until(JobState.FINISHED)
    assert studio.commands()[0][2] == str(job.folder)  # continues in the same folder
    assert studio.make_data_set().folder.name == "dinner 256 2"  # nothing that is finished is overwritten


def test_a_folder_and_an_odd_size(studio, tmp_path):
    (tmp_path / "Bilder für alle").mkdir()
    job = studio.make_data_set(
        source="FOLDER", pictures=str(tmp_path / "Bilder für alle"), size="OTHER", width=512, height=256
    )
    assert job.name == "Bilder für alle 512x256"
    (command,) = studio.commands()
    assert command[1] == str(tmp_path / "Bilder für alle") and command[4] == "512x256" and "--every" not in command
    studio.form.height = 250
    with pytest.raises(RuntimeError, match="512 x 256 is near"):
        bpy.ops.lantern.make_data_set()
    assert "512 x 256 is near" in said(ui.TrainingPanel)
    assert studio.commands() == []


def test_figures_are_cut_out(studio):
    assert "key" not in drawn(ui.PicturesPanel).props
    studio.make_data_set(use_key=True, trim=True, key=(0, 0, 1), ground=(1, 1, 1))
    assert studio.commands()[0][-5:] == ["--ground", "#ffffff", "--key", "#0000ff", "--trim"]
    assert {"key", "trim"} <= set(drawn(ui.PicturesPanel).props)


def test_the_frames_of_a_strip_become_a_list_of_files(studio, tmp_path):
    names = ["a.png", "b.png", "a.png", "c.png", "d.png"]
    for name in set(names):
        write_picture(tmp_path / name, noise_picture(1, 8, 8))
    editor = studio.stage.scene.sequence_editor_create()
    strips = editor.strips
    strip = strips.new_image(name="Shots", filepath=str(tmp_path / "a.png"), channel=1, frame_start=1)
    for name in names[1:]:
        strip.elements.append(name)
    studio.form.source = "STRIP"
    assert not bpy.ops.lantern.make_data_set.poll()
    assert "None selected" in said(ui.PicturesPanel)
    editor.active_strip = strip
    assert "Shots" in said(ui.PicturesPanel)
    job = studio.make_data_set()
    (command,) = studio.commands()
    assert job.name == "Shots 256" and command[1] == str(job.folder) + ".txt"
    lines = Path(command[1]).read_text().splitlines()
    assert lines == [str(tmp_path / name) for name in ("a.png", "b.png", "c.png", "d.png")]


def test_a_movie_strip_stands_for_its_film(studio, tmp_path):
    scene = studio.stage.scene
    editor = scene.sequence_editor_create()
    strips = editor.strips
    picture = write_picture(tmp_path / "a.png", noise_picture(1, 64, 64))
    strips.new_image(name="Picture", filepath=str(picture), channel=1, frame_start=1)
    versions.set_file_format(scene.render.image_settings, "FFMPEG")
    scene.render.ffmpeg.format, scene.render.ffmpeg.codec = "MPEG4", "H264"
    scene.render.resolution_x = scene.render.resolution_y = 64
    scene.frame_start, scene.frame_end = 1, 3
    scene.render.use_file_extension = False
    scene.render.filepath = str(tmp_path / "shot.mp4")
    bpy.ops.render.render(animation=True)
    editor.active_strip = strips.new_movie(name="Shot", filepath=scene.render.filepath, channel=2, frame_start=1)
    studio.form.source = "STRIP"
    assert "every" in drawn(ui.PicturesPanel).props
    job = studio.make_data_set(every=2)
    (command,) = studio.commands()
    assert command[1] == str(tmp_path / "shot.mp4") and command[-2:] == ["--every", "2"] and job.name == "shot 256"


def test_frames_that_are_not_made_yet_are_no_pictures(studio):
    studio.stage.preferences.make_automatically = False
    studio.stage.add_strip(4)
    studio.form.source = "STRIP"
    with pytest.raises(RuntimeError, match="Make its frames first"):
        bpy.ops.lantern.make_data_set()
    studio.stage.fill()
    studio.make_data_set()
    (command,) = studio.commands()
    assert all(Path(line).name.startswith("c_") for line in Path(command[1]).read_text().splitlines())


def test_a_training_is_watched_to_its_end(studio):
    studio.train("--until", studio.gate)
    studio.until_done(3000)
    data_set, run = studio.commands()
    job = training.runs[0]
    assert job.folder == studio.folder / "Runs" / "dinner 256"
    assert run[:6] == ["train", data_set[2], "--out", str(job.folder), "--hours", "4"]
    assert run[6:] == ["--name", "dinner 256", "--nice"]
    words = said(ui.TrainingsPanel)
    for piece in ("dinner 256: Training", "3,000 of 4,000 images", "61.2 images/s, 2 h 5 min left", "4 snapshots"):
        assert piece in words
    assert "Frames still come, only slower." in words
    assert "Generator loss: 0.7312" in words and "Size: 64 x 64" in words
    line = Layout()
    ui.LANTERN_UL_trainings.draw_item(None, bpy.context, line, None, None, 0, None, "", 0)
    assert line.texts == ["dinner 256", "75%"]
    studio.gate.touch()
    done = studio.until(JobState.FINISHED)
    assert "Finished: 4,000 images in 3 min." in said(ui.TrainingsPanel)
    assert ("lantern.resume_training", {"longer": True}) in drawn(ui.TrainingsPanel).operators
    assert done.picture.name == "preview-000003000.png"
    assert bpy.ops.lantern.resume_training(longer=True) == {"FINISHED"}
    studio.until(JobState.FINISHED)
    studio.until_done(6000)
    assert studio.commands() == [["train", "--resume", str(job.folder), "--nice", "--images", "6000"]]


def test_a_stopped_training_is_gone_on_with(studio):
    studio.train("--until", studio.gate)
    studio.until_done(3000)
    assert bpy.ops.lantern.stop_job() == {"FINISHED"}
    studio.until(JobState.STOPPED)
    assert "Stopped at 3,000 images. Resume continues from there." in said(ui.TrainingsPanel)
    studio.use_trainer()
    assert bpy.ops.lantern.resume_training() == {"FINISHED"}
    assert studio.until(JobState.FINISHED).status.done == 4000


def test_one_that_is_only_starting_is_ended(studio):
    studio.train("--silent-until", studio.gate)
    job = studio.until(JobState.STARTING)
    assert "Starting" in said(ui.TrainingsPanel)
    process = training._processes[job.folder]
    assert bpy.ops.lantern.stop_job() == {"FINISHED"}
    assert process.wait(20)
    assert wait(lambda: not training.runs)


def test_a_killed_training_is_interrupted(studio):
    studio.train("--until", studio.gate)
    studio.until_done(3000)
    os.kill(training.runs[0].status.pid, signal.SIGKILL)
    studio.until(JobState.INTERRUPTED)
    assert "Interrupted at 3,000 images. Resume continues from there." in said(ui.TrainingsPanel)
    assert ("lantern.resume_training", {}) in drawn(ui.TrainingsPanel).operators


@pytest.mark.parametrize(
    "options", [("--refuse", "The Python at X has no torch."), ("--break", "The disk of X is full.")]
)
def test_one_that_fails_says_why(studio, options):
    studio.train(*options)
    job = studio.until(JobState.FAILED)
    assert job.problem == options[1]
    assert options[1] in said(ui.TrainingsPanel)


def test_one_that_has_failed_before_the_first_look_is_noticed_with_the_panel_closed(studio):
    training._seen = float("-inf")
    studio.use_trainer("--refuse", "No torch.")
    assert bpy.ops.lantern.make_data_set() == {"FINISHED"}
    assert training._processes[studio.started()].wait(20)
    training.tick()
    while training._watch.looking:
        training.tick()
    assert [job.problem for job in training.jobs] == ["No torch."]


def test_what_failed_at_once_leaves_its_name_free(studio):
    studio.train("--refuse", "No torch in this Python.")
    failed = studio.until(JobState.FAILED)
    assert not bpy.ops.lantern.resume_training.poll()
    assert {"preferences.addon_show", "lantern.resume_training"} & {
        name for name, _ in drawn(ui.TrainingsPanel).operators
    } == {"preferences.addon_show"}
    studio.train()
    assert studio.until(JobState.FINISHED).folder == failed.folder


def test_a_resumed_training_that_cannot_start_says_why(studio):
    studio.train("--die", "2")
    studio.until(JobState.INTERRUPTED)
    studio.use_trainer("--refuse", "The Python at X has no torch.")
    bpy.ops.lantern.resume_training()
    assert studio.until(JobState.FAILED).problem == "The Python at X has no torch."


def test_without_a_python_the_button_to_the_preferences_is_shown(studio):
    studio.stage.preferences.server_python = ""
    with pytest.raises(RuntimeError, match="not set up"):
        bpy.ops.lantern.make_data_set()
    assert "preferences.addon_show" in {name for name, _ in drawn(ui.TrainingPanel).operators}
    assert not studio.folder.exists()


def test_a_training_folder_that_cannot_be_made_is_named(studio, tmp_path):
    studio.stage.preferences.training_folder = str(studio.film / "inside a file")
    with pytest.raises(RuntimeError, match="cannot be written to"):
        bpy.ops.lantern.make_data_set()


def test_the_next_blender_finds_it_again_and_stops_it(studio):
    studio.train("--until", studio.gate)
    studio.until_done(3000)
    folder, process = training.runs[0].folder, training._processes[training.runs[0].folder]
    training.close()  # as when Blender ends
    assert training.runs == [] and process.alive
    drawn(ui.TrainingsPanel)
    studio.until(JobState.WORKING, folder)
    assert bpy.ops.lantern.stop_job() == {"FINISHED"}
    studio.until(JobState.STOPPED, folder)
    assert process.wait(20)


def test_it_stops_with_blender_where_that_is_wanted(studio):
    studio.train("--until", studio.gate)
    studio.until_done(3000)
    folder, process = training.runs[0].folder, training._processes[training.runs[0].folder]
    studio.stage.preferences.keep_training = False
    training.tick()
    training.close()
    assert process.wait(20)
    assert read_status(folder).state == "stopped"


def test_opening_a_file_starts_nothing_and_reads_nothing_of_it(studio, tmp_path):
    studio.form.data_set = str(tmp_path / "elsewhere")
    studio.form.start, studio.form.start_file = "FILE", str(tmp_path / "gone.pkl")
    row = training_rows().rows.add()
    row.name, row.folder = "A stranger", "/somewhere"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "file.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "file.blend"))
    assert studio.form.film == str(studio.film) and len(training_rows().rows) == 0
    for content in (ui.TrainingPanel, ui.PicturesPanel, ui.StartTrainingPanel, ui.TrainingsPanel):
        drawn(content)
    look()
    assert studio.commands() == [] and not studio.folder.exists() and not session.armed


def test_a_run_makes_the_strips_pictures(studio):
    studio.train()
    run = studio.until(JobState.FINISHED)
    assert bpy.ops.lantern.use_training() == {"FINISHED"}
    strip = studio.stage.scene.sequence_editor.active_strip
    assert settings_of(strip).generator == str(run.folder) and len(settings_of(strip).snapshots) == 4
    assert "Newer Snapshots" in drawn(ui.TrainingsPanel).texts
    studio.stage.fill()
    other = studio.stage.add_strip(3, start=200)
    assert bpy.ops.lantern.use_training() == {"FINISHED"}
    assert settings_of(other).generator == str(run.folder)
    bpy.ops.ed.undo_push(message="before")
    training.tick()
    bpy.ops.lantern.choose_data_set(data_set="NEWEST")
    assert studio.form.data_set == ""


def test_a_training_goes_on_from_the_strips_generator(studio):
    studio.make_data_set()
    studio.form.start = "STRIP"
    assert not bpy.ops.lantern.start_training.poll()
    strip = studio.stage.add_strip(3)
    studio.train()
    first = studio.until(JobState.FINISHED)
    assert studio.commands()[-1][-2:] == ["--from", str(BUILT_IN)] and list(BUILT_IN.glob("*.safetensors"))
    bpy.ops.lantern.use_training()
    studio.form.run_name = "Drifted"
    studio.train()
    studio.until(JobState.FINISHED)
    assert studio.commands()[-1][-2:] == ["--from", str(first.folder)]
    settings_of(strip).snapshot = 2.0
    studio.train()
    studio.until(JobState.FINISHED)
    assert studio.commands()[-1][-2:] == ["--from", str(first.folder / "snapshot-000001000.safetensors")]
    assert len(training.runs) == 3


def test_another_data_set_can_be_chosen(studio, tmp_path):
    first = studio.make_data_set()
    studio.make_data_set(data_set_name="Second: the/set")
    assert training.data_set("").name == "Second the set"
    bpy.ops.lantern.choose_data_set(data_set=str(first.folder))
    assert "dinner 256" in drawn(ui.StartTrainingPanel).texts
    assert "dinner 256: Finished" in said(ui.PicturesPanel)
    studio.train()
    studio.until(JobState.FINISHED)
    assert studio.commands()[-1][1] == str(first.folder)


def test_the_new_training_is_chosen_and_stays_so(studio):
    studio.train()
    studio.until(JobState.FINISHED)
    studio.form.run_name = "Second"
    studio.train()
    studio.until(JobState.FINISHED)
    rows = training_rows()
    assert [row.name for row in rows.rows] == ["Second", "dinner 256"] and rows.chosen == 0
    rows.chosen = 1
    studio.form.run_name = "Third"
    bpy.ops.lantern.start_training()
    studio.until(JobState.FINISHED)
    assert rows.rows[rows.chosen].name == "Third"
    rows.chosen = 2
    other = studio.folder / "Fourth, from elsewhere"
    other.mkdir()
    write_status(other, Status("training", "working", done=5))
    assert wait(lambda: len(training.runs) == 4)
    assert rows.rows[rows.chosen].name == "dinner 256" and not is_running(other)


def test_pictures_are_loaded_again_only_when_they_change(studio, monkeypatch):
    loaded = []

    class Icons(dict):
        def load(self, key, path, *_):
            assert key not in self
            loaded.append(Path(path).name)
            self[key] = type("Icon", (), {"icon_id": 7})

    monkeypatch.setattr(icons.pictures, "_icons", Icons())
    monkeypatch.setattr(icons.pictures, "_loaded", {})
    monkeypatch.setattr(icons, "SHOWN", 0.0)
    studio.train("--until", studio.gate)
    studio.until_done(3000)
    assert loaded.count("preview-000003000.png") == 1 and loaded[0] == "contact_sheet.png"
    before = len(loaded)
    look()
    assert len(loaded) == before
    drawn(ui.TrainingsPanel)
