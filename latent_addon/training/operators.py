"""Operators that make data sets, train on them, and use what was trained."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty
from bpy.types import Context, ImageStrip, Operator, Scene

from ..core.frame_request import GeneratorFacts
from ..jobs.commands import DataSetOrder, TrainingOrder, check_size, folder_name, write_paths
from ..jobs.found import TrainingJob
from ..scene.choosing import choose_generator
from ..scene.context import current_strip, the_strip, working_scene
from ..scene.properties import settings_of
from ..scene.strip_pictures import film_of, has_pictures, pictures_of
from ..session.adding import add_strip
from ..session.runtime import SERVER_ROOT
from ..session.session import session
from ..ui.asking import AskingOperator
from .properties import TrainingForm, training_form, training_rows
from .training import training

BUILT_IN = SERVER_ROOT / "inference_server" / "weights" / "family_at_dinner"
"""The snapshots of the generator that comes with the extension, for trainings that continue from it."""

_NO_DATA_SET = "Make a data set first, or choose the folder of one"
SHORTEST, LONGEST = 0.02, 10_000.0
"""Hours of a training."""

LONGER = 0.5
"""The part of its length by which Train Longer lengthens a finished training."""


class _Problem(Exception):
    """Raised if what the user asked for cannot be done. The text is shown to the user."""


def chosen_run() -> TrainingJob | None:
    """Return the training that is chosen in the list, None if there is none."""
    return training.run(training_rows().chosen)


class LANTERN_OT_make_data_set(Operator):
    """Make a data set from the film, the folder or the selected strip, in a separate process"""

    bl_idname = "lantern.make_data_set"
    bl_label = "Make Data Set"

    @classmethod
    def poll(cls, context: Context) -> bool:
        scene = working_scene(context)
        form = training_form(scene)
        missing = {"FILM": "" if form.film else "Choose a film", "FOLDER": "" if form.pictures else "Choose a folder"}
        missing["STRIP"] = "" if has_pictures(selected_strip(scene)) else "Select an image strip or a movie strip"
        if missing[form.source]:
            cls.poll_message_set(missing[form.source])
            return False
        return True

    def execute(self, context: Context) -> set[str]:
        try:
            order = self._order(working_scene(context))
        except _Problem as problem:
            return _refused(self, str(problem))
        if not training.make_data_set(order):
            return _refused(self, training.problem)
        self.report({"INFO"}, f"The data set {order.out.name} is being made")
        return {"FINISHED"}

    def _order(self, scene: Scene) -> DataSetOrder:
        form = training_form(scene)
        width, height = form.picture_size()
        if problem := check_size(width, height):
            raise _Problem(problem)
        strip = selected_strip(scene) if form.source == "STRIP" else None
        source = _source(form, strip)
        if source is not None and not source.exists():
            raise _Problem(f"There is nothing at {source}. Choose another film or folder.")
        out = training.data_set_folder(form.data_set_name or default_name(form, strip))
        job = training.job(out)
        if job is not None and job.active:
            raise _Problem(f"The data set {out.name} is being made. Wait for it, or stop it first.")
        if source is None:
            assert strip is not None
            source = out.with_name(f"{out.name}.txt")
            _write_pictures(strip, source)
        is_film = form.source == "FILM" or (strip is not None and strip.type == "MOVIE")
        every = form.every if is_film else 1
        return DataSetOrder(
            source,
            out,
            width,
            height,
            form.crop,
            form.mirror,
            every,
            tuple(form.ground),
            tuple(form.key) if form.use_key else None,
            form.use_key and form.trim,
        )


def selected_strip(scene: Scene) -> Any:
    """Return the active strip of a scene's Sequencer, None without one."""
    return scene.sequence_editor.active_strip if scene.sequence_editor else None


def default_name(form: TrainingForm, strip: Any) -> str:
    """Return the name of a data set that the user gives no name: its source, and the size of its pictures."""
    if form.source == "STRIP":
        source = Path(film_of(strip)).stem if strip.type == "MOVIE" else strip.name
    else:
        source = Path(form.film).stem if form.source == "FILM" else Path(form.pictures).name
    width, height = form.picture_size()
    return folder_name(f"{source} {width}" if width == height else f"{source} {width}x{height}")


def _source(form: TrainingForm, strip: Any) -> Path | None:
    """Return where the pictures come from; None if a list of them has to be written."""
    if form.source == "STRIP":
        return Path(film_of(strip)) if strip.type == "MOVIE" else None
    path = bpy.path.abspath(form.film if form.source == "FILM" else form.pictures)
    return Path(os.path.abspath(path))


def _write_pictures(strip: ImageStrip, file: Path) -> None:
    pictures = pictures_of(strip)
    if not pictures:
        raise _Problem(f"{strip.name} has no pictures yet. Make its frames first.")
    try:
        write_paths(file, pictures)
    except OSError as error:
        raise _Problem(
            f"{file} cannot be written ({error.strerror or error}). Choose another training folder in the preferences."
        ) from error


class LANTERN_OT_start_training(Operator):
    """Train a generator on the data set, in a separate process. You can stop it and continue it at any time"""

    bl_idname = "lantern.start_training"
    bl_label = "Start Training"

    @classmethod
    def poll(cls, context: Context) -> bool:
        scene = working_scene(context)
        form = training_form(scene)
        if training.data_set(form.data_set) is None:
            cls.poll_message_set(_NO_DATA_SET)
            return False
        if form.start == "FILE" and not form.start_file:
            cls.poll_message_set("Choose the checkpoint to start from")
            return False
        if form.start == "STRIP" and current_strip(context) is None:
            cls.poll_message_set("Select the latent strip whose generator to start from")
            return False
        return True

    def execute(self, context: Context) -> set[str]:
        form = training_form(working_scene(context))
        data_set = training.data_set(form.data_set)
        if data_set is None:  # deleted since the button was drawn
            return _refused(self, _NO_DATA_SET)
        try:
            order = TrainingOrder(
                data_set,
                training.run_folder(form.run_name or data_set.name),
                max(SHORTEST, min(form.hours, LONGEST)),  # a .blend may hold a value that is no number
                "" if form.kind == "AUTO" else form.kind,
                self._start(context, form),
                form.run_name.lstrip("- "),  # a name must not be read as an option
            )
        except _Problem as problem:
            return _refused(self, str(problem))
        if not training.train(order):
            return _refused(self, training.problem)
        self.report({"INFO"}, f"{order.out.name} is being trained")
        return {"FINISHED"}

    def _start(self, context: Context, form: TrainingForm) -> Path | None:
        if form.start == "NOTHING":
            return None
        chosen = form.start == "FILE"
        path = Path(os.path.abspath(bpy.path.abspath(form.start_file))) if chosen else _generator(the_strip(context))
        if not path.exists():
            raise _Problem(f"There is no checkpoint at {path}. Choose another one to start from.")
        return path


def _generator(strip: ImageStrip) -> Path:
    """Return the file of a strip's generator. Of a run at its last snapshot, return the folder: it holds more."""
    settings = settings_of(strip)
    place = Path(os.path.abspath(bpy.path.abspath(settings.generator))) if settings.generator else BUILT_IN
    shown = settings.current_snapshot()
    if shown >= len(settings.snapshots) - 1:
        return place
    return place / settings.snapshots[shown].path


class LANTERN_OT_stop_job(Operator):
    """Stop. What is done so far is saved first, and can be continued later"""

    bl_idname = "lantern.stop_job"
    bl_label = "Stop"

    folder: StringProperty(options={"SKIP_SAVE", "HIDDEN"})

    @classmethod
    def poll(cls, _context: Context) -> bool:
        if not any(job.active for job in training.jobs):
            cls.poll_message_set("Nothing is being trained or made")
            return False
        return True

    def execute(self, _context: Context) -> set[str]:
        job = training.job(self.folder) if self.folder else chosen_run()
        if job is None or not job.active:
            return _refused(self, "It is not running any more.")
        training.stop(job)
        return _refused(self, training.problem) if training.problem else {"FINISHED"}


class LANTERN_OT_resume_training(Operator):
    """Continue the chosen training from where it was last saved"""

    bl_idname = "lantern.resume_training"
    bl_label = "Resume"

    longer: BoolProperty(
        name="Longer", description="Train half as long again as it has trained so far", options={"SKIP_SAVE", "HIDDEN"}
    )

    @classmethod
    def poll(cls, _context: Context) -> bool:
        run = chosen_run()
        if run is None or run.active or not run.resumable:
            cls.poll_message_set("Choose a training that has been stopped. If it never began, press Start Training")
            return False
        return True

    @classmethod
    def description(cls, _context: Context, properties: Any) -> str:
        if properties.longer:
            return "Add half of its length to the training. It continues from where it ended"
        return "Continue the chosen training from where it was last saved"

    def execute(self, _context: Context) -> set[str]:
        run = chosen_run()
        if run is None:
            return {"CANCELLED"}
        images = round(run.status.done * (1 + LONGER)) if self.longer else 0
        return {"FINISHED"} if training.resume(run, images) else _refused(self, training.problem)


class LANTERN_OT_use_training(AskingOperator):
    """Use the training's snapshots as the current latent strip's generator. If there is no latent strip, add one"""

    bl_idname = "lantern.use_training"
    bl_label = "Use on Strip"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        run = chosen_run()
        if run is None or not run.snapshots:
            cls.poll_message_set("The training has no snapshot yet")
            return False
        return super().poll(context)

    def ask(self, _context: Context, answered: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        self._folder = str(chosen_run().folder)
        session.describe(self._folder, answered, failed)

    def act(self, context: Context, answer: GeneratorFacts) -> set[str]:
        strip = current_strip(context)
        if strip is None:
            strip = add_strip(context, self._folder, answer)
        else:
            choose_generator(working_scene(context), strip, self._folder, answer)
        self.report({"INFO"}, f"{strip.name} shows {answer.name}")
        return {"FINISHED"}


_kept_items: list[tuple[str, str, str]] = []
"""The items of the list, kept here because Blender does not keep the strings of a list that Python makes each time."""


def _data_set_items(_self: Any, _context: Context | None) -> list[tuple[str, str, str]]:
    found = [(str(job.folder), job.name, f"{job.counted()}, in {job.folder}") for job in training.ready_data_sets]
    _kept_items[:] = [("NEWEST", "The Newest", "The data set that was made last"), *found]
    return _kept_items


class LANTERN_OT_choose_data_set(Operator):
    """Choose one of the data sets in the training folder"""

    bl_idname = "lantern.choose_data_set"
    bl_label = "Choose Data Set"
    bl_options = {"REGISTER", "UNDO"}

    data_set: EnumProperty(name="Data Set", description="Data set to train on", items=_data_set_items)

    def execute(self, context: Context) -> set[str]:
        training_form(working_scene(context)).data_set = "" if self.data_set == "NEWEST" else self.data_set
        return {"FINISHED"}


def _refused(operator: Operator, problem: str) -> set[str]:
    training.problem = problem
    session.redraw()
    operator.report({"ERROR"}, problem)
    return {"CANCELLED"}


BLENDER_CLASSES = (
    LANTERN_OT_make_data_set,
    LANTERN_OT_start_training,
    LANTERN_OT_stop_job,
    LANTERN_OT_resume_training,
    LANTERN_OT_use_training,
    LANTERN_OT_choose_data_set,
)
