"""The panels of training: the pictures, the new generator, and the list of trainings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bpy.types import Context, UILayout, UIList

from ..jobs.found import JobState, TrainingJob
from ..jobs.words import facts_in_words, hint_of
from ..preferences import ROOT_PACKAGE, preferences
from ..scene.context import current_strip, working_scene
from ..scene.properties import settings_of
from ..scene.strip_pictures import has_pictures
from ..setup.panels import draw_inference_in_tab
from ..ui.parts import Content, draw_message, draw_problem, heading, wrapped
from .operators import chosen_run, default_name, selected_strip
from .properties import OTHER_SIZE, TrainingForm, TrainingRow, training_form, training_rows
from .training import icon_of, training

if TYPE_CHECKING:
    from bpy.stub_internal.rna_enums import IconItems

_ICONS: dict[JobState, IconItems] = {
    JobState.STARTING: "SORTTIME",
    JobState.WORKING: "PLAY",
    JobState.STOPPING: "SORTTIME",
    JobState.FINISHED: "CHECKMARK",
    JobState.STOPPED: "PAUSE",
    JobState.INTERRUPTED: "UNLINKED",
    JobState.FAILED: "ERROR",
}


class TrainingPanel(Content):
    """Problems of training. The other panels of training are inside this one."""

    bl_label = "Training"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Context) -> None:
        layout = self.layout
        training.seen()
        explained = training.without_python and draw_inference_in_tab(layout, context)
        for problem in filter(None, ("" if explained else training.problem, training.unreadable)):
            draw_problem(layout, context, problem)


class PicturesPanel(Content):
    """From a film, a folder or a strip to a data set."""

    bl_label = "Pictures"
    inside = TrainingPanel

    def draw(self, context: Context) -> None:
        layout = self.layout
        training.seen()
        scene = working_scene(context)
        form = training_form(scene)
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column()
        column.prop(form, "source")
        strip = selected_strip(scene) if form.source == "STRIP" else None
        if form.source == "STRIP":
            known = has_pictures(strip)
            heading(column, "Strip").label(text=strip.name[:24] if known else "None selected")
        else:
            column.prop(form, "film" if form.source == "FILM" else "pictures")
        if form.source == "FILM" or (strip is not None and strip.type == "MOVIE"):
            column.prop(form, "every", text="Every n-th")
        column.prop(form, "size")
        if form.size == OTHER_SIZE:
            column.prop(form, "width")
            column.prop(form, "height")
        column.prop(form, "crop")
        column.prop(form, "ground")
        column.prop(form, "use_key")
        if form.use_key:
            column.prop(form, "key")
            column.prop(form, "trim")
        column.prop(form, "mirror")
        named = form.source != "STRIP" or has_pictures(strip)
        column.prop(form, "data_set_name", placeholder=default_name(form, strip) if named else "")
        layout.operator("lantern.make_data_set", icon="IMGDISPLAY")
        shown = _shown_data_set(form)
        if shown is not None:
            _draw_data_set(layout, context, shown)


class StartTrainingPanel(Content):
    """From a data set to a training."""

    bl_label = "New Generator"
    inside = TrainingPanel

    def draw(self, context: Context) -> None:
        layout = self.layout
        training.seen()
        form = training_form(working_scene(context))
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column()
        row = heading(column, "Data Set")
        row.operator_menu_enum("lantern.choose_data_set", "data_set", text=_data_set_name(form))
        column.prop(form, "data_set", text="Folder")
        column.prop(form, "start")
        if form.start == "NOTHING":
            column.prop(form, "kind")
        elif form.start == "FILE":
            column.prop(form, "start_file")
        else:
            strip = current_strip(context)
            name = settings_of(strip).generator_name if strip else "No latent strip"
            heading(column, "Generator").label(text=name[:24])
        column.prop(form, "hours")
        data_set = training.data_set(form.data_set)
        column.prop(form, "run_name", placeholder=data_set.name if data_set else "")
        job = training.job(data_set) if data_set else None
        if job is not None and job.status.done:
            _draw_lines(layout, context, hint_of(job.status.done))
        layout.operator("lantern.start_training", icon="PLAY")
        keep = preferences().keep_training
        words = "It continues when Blender closes." if keep else "It stops, and is saved, when Blender closes."
        for line in wrapped(context, words):
            layout.label(text=line)


class LANTERN_UL_trainings(UIList):
    """One line for each training: its state and its name."""

    def draw_item(
        self,
        _context: Context,
        layout: UILayout,
        _data: Any,
        _row: TrainingRow,
        _icon: int,
        _active: Any,
        _active_property: str,
        index: int = 0,
        _filter: int = 0,
    ) -> None:
        job = training.run(index)
        if job is None:
            return
        row = layout.row()
        row.label(text=job.name, icon=_ICONS[job.state])
        short = row.row()
        short.alignment = "RIGHT"
        short.label(text=f"{job.factor:.0%}" if job.state is JobState.WORKING else job.doing())


class TrainingsPanel(Content):
    """The list of trainings, and the progress of the chosen one."""

    bl_label = "Trainings"
    inside = TrainingPanel

    def draw(self, context: Context) -> None:
        layout = self.layout
        training.seen()
        rows = training_rows()
        if not training.runs:
            draw_message(layout, context, "None yet. Make a data set, then start a training.", icon="INFO")
            return
        layout.template_list("LANTERN_UL_trainings", "", rows, "rows", rows, "chosen", rows=3)
        job = chosen_run()
        if job is not None:
            _draw_run(layout, context, job)


def _shown_data_set(form: TrainingForm) -> TrainingJob | None:
    """Return the data set that is being made, else the one that would be trained on, else the newest."""
    making = next((job for job in training.data_sets if job.active), None)
    if making is not None:
        return making
    newest = next(iter(training.data_sets), None)
    if not form.data_set:
        return newest
    folder = training.data_set(form.data_set)
    return training.job(folder) if folder else newest


def _data_set_name(form: TrainingForm) -> str:
    folder = training.data_set(form.data_set)
    return "None yet" if folder is None else folder.name if form.data_set else f"{folder.name} (newest)"


def _draw_data_set(layout: UILayout, context: Context, job: TrainingJob) -> None:
    box = layout.box().column()
    _draw_name(box, context, job)
    _draw_state(box, context, job)
    _draw_facts(box, context, job)
    _draw_picture(box, job)
    row = box.row(align=True)
    if job.active:
        row.operator("lantern.stop_job", icon="PAUSE").folder = str(job.folder)
    row.operator("wm.path_open", text="Open Folder", icon="FILE_FOLDER").filepath = str(job.folder)


def _draw_run(layout: UILayout, context: Context, job: TrainingJob) -> None:
    box = layout.box().column()
    _draw_name(box, context, job)
    _draw_state(box, context, job)
    if job.active:
        box.label(text="Frames still come, only slower.", icon="INFO")
    _draw_picture(box, job)
    if job.snapshots:
        box.label(text="1 snapshot" if job.snapshots == 1 else f"{job.snapshots} snapshots")
    _draw_facts(box, context, job)
    row = box.row(align=True)
    if job.active:
        row.operator("lantern.stop_job", icon="PAUSE").folder = str(job.folder)
    elif job.state is JobState.FINISHED and job.status.done:
        row.operator("lantern.resume_training", text="Train Longer", icon="PLAY").longer = True
    elif job.resumable:
        row.operator("lantern.resume_training", icon="PLAY")
    row.operator("wm.path_open", text="Open Folder", icon="FILE_FOLDER").filepath = str(job.folder)
    row = box.row(align=True)
    row.operator("lantern.use_training", icon="IMAGE_DATA")
    strip = current_strip(context)
    if strip is not None and settings_of(strip).generator == str(job.folder):
        row.operator("lantern.reload_generator", text="Newer Snapshots", icon="FILE_REFRESH")


def _draw_name(layout: UILayout, context: Context, job: TrainingJob) -> None:
    for i, line in enumerate(wrapped(context, f"{job.name}: {job.doing()}")):
        layout.label(text=line, icon=_ICONS[job.state] if i == 0 else "BLANK1")


def _draw_state(layout: UILayout, context: Context, job: TrainingJob) -> None:
    """Draw progress, pace, and a sentence if there is one."""
    if job.state in (JobState.WORKING, JobState.STOPPING) and job.status.total:
        layout.progress(factor=job.factor, text=job.counted())
    elif job.state is JobState.WORKING:
        layout.label(text=job.counted())
    if job.state is JobState.WORKING and job.pace():
        layout.label(text=job.pace())
    sentence = job.sentence()
    for line in wrapped(context, sentence):
        layout.label(text=line)
    if job.state is JobState.FAILED and ("preferences" in sentence or "Python" in sentence):
        layout.operator("preferences.addon_show", text="Preferences", icon="PREFERENCES").module = ROOT_PACKAGE


def _draw_facts(layout: UILayout, context: Context, job: TrainingJob) -> None:
    column = layout.column(align=True)
    column.scale_y = 0.8
    for text in facts_in_words(job):
        _draw_lines(column, context, text)


def _draw_lines(layout: UILayout, context: Context, text: str) -> None:
    for i, line in enumerate(wrapped(context, text)):
        layout.label(text=line if i == 0 else f"    {line}")


def _draw_picture(layout: UILayout, job: TrainingJob) -> None:
    icon = icon_of(job)
    if icon:
        layout.template_icon(icon_value=icon, scale=12.0)
