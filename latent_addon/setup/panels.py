"""Set Up Inference, as the preferences and the Lantern tab show it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bpy.types import Context, UILayout

from ..environments.installation import SetupPlan, SetupState, SetupStatus
from ..preferences import ROOT_PACKAGE, preferences
from ..session.runtime import runtime
from ..session.session import session
from ..ui.parts import draw_facts, draw_message, wrapped

if TYPE_CHECKING:
    from bpy.stub_internal.rna_enums import IconItems

_INTRODUCTION = (
    "Frames are made by PyTorch, in a separate program outside Blender. It is installed once, into its own folder, "
    "and can be removed again. Blender itself is not changed."
)
_OUTDATED = "What is installed was made for another version of Latent Lantern, which needed other packages."
_LOG_LINES = 8
_FACTS = 0.22
"""The share of the preferences' width that the names of facts take."""


def draw_inference(layout: UILayout, context: Context) -> None:
    """Draw the box in the preferences: the state of inference, the next step, choices, the log."""
    runtime.seen()
    box = layout.box()
    column = box.column()
    column.use_property_split = False
    if runtime.own:
        _draw_own(column, context)
    else:
        _draw_state(column, context, in_tab=False)
        _draw_choices(column, context)
        _draw_log(column, context)


def draw_inference_in_tab(layout: UILayout, context: Context) -> bool:
    """Draw the part of the box that the Lantern tab needs; return whether anything was drawn.

    Nothing is drawn if inference is ready, or if the user has chosen their own Python.
    """
    if session.client.other_version:
        column = layout.box().column()
        _title(column, "of another version", "ERROR")
        _draw_text(column, context, session.client.message)
        column.operator("lantern.reload_extension", icon="FILE_REFRESH")
        return True
    if runtime.own or not (runtime.problem or _unfit() or runtime.planning or runtime.plan):
        return False
    runtime.seen()
    column = layout.box().column()
    _draw_state(column, context, in_tab=True)
    column.operator("preferences.addon_show", text="Details", icon="PREFERENCES").module = ROOT_PACKAGE
    return True


def _draw_state(column: UILayout, context: Context, in_tab: bool) -> None:
    status = runtime.status
    if status.state is SetupState.INSTALLING:
        _draw_installing(column, context, status)
    elif status.state is SetupState.REMOVING:
        _title(column, "being removed ...", "SORTTIME")
    elif runtime.planning:
        _title(column, "looking at this machine ...", "SORTTIME")
        column.operator("lantern.cancel_set_up", text="Cancel", icon="X")
    elif runtime.plan is not None:
        _draw_plan(column, context, runtime.plan, in_tab)
    elif status.state is SetupState.READY and not _unfit():
        _draw_ready(column, context, status)
    elif status.state is SetupState.NOT_SET_UP and not _unfit():
        _title(column, "not set up", "INFO")
        _draw_text(column, context, status.message or _INTRODUCTION)
        _main_button(column, "Set Up Inference")
        if status.leftovers and not in_tab:
            column.operator("lantern.remove_inference", text="Remove What Is Left", icon="TRASH")
    else:
        outdated = status.state is SetupState.OUTDATED and not _unfit()
        _title(column, "set up for another version" if outdated else "broken", "ERROR")
        _draw_text(column, context, _unfit() or status.message or _OUTDATED)
        _main_button(column, "Set Up Again" if outdated else "Repair")
        if not in_tab:
            column.operator("lantern.remove_inference", icon="TRASH")


def _title(column: UILayout, words: str, icon: IconItems) -> None:
    column.label(text=f"Inference: {words}", icon=icon)


def _main_button(column: UILayout, text: str) -> None:
    row = column.row()
    row.scale_y = 1.4
    row.operator("lantern.set_up_inference", text=text, icon="IMPORT")


def _unfit() -> str:
    """Return why the server could not run in an environment that looked complete; "" if it could."""
    return session.client.message if session.client.unfit else ""


def _draw_installing(column: UILayout, context: Context, status: SetupStatus) -> None:
    if status.elsewhere:
        _title(column, "being set up elsewhere", "SORTTIME")
        _draw_text(column, context, status.message)
        return
    _title(column, f"installing, step {status.step} of {status.steps}", "SORTTIME")
    row = column.row(align=True)
    row.scale_y = 1.2
    row.progress(factor=status.fraction, text=f"{status.doing}, {status.fraction:.0%}")
    row.operator("lantern.cancel_set_up", text="", icon="CANCEL")
    _draw_text(column, context, status.detail or "You can continue working meanwhile.")


def _draw_plan(column: UILayout, context: Context, plan: SetupPlan, in_tab: bool) -> None:
    _title(column, "this will be installed", "INFO")
    get = f"{size_text(plan.download)} to download, " if plan.needs_network else ""
    _draw_text(column, context, f"PyTorch for {plan.build.name}: about {get}{size_text(plan.disk)} on disk.")
    if runtime.hindrance:
        draw_message(column, context, runtime.hindrance)
        if not plan.problem:
            column.operator("lantern.show_network_settings", icon="PREFERENCES")
    pair = column.column(align=True) if in_tab else column.row(align=True)
    pair.scale_y = 1.2 if in_tab else 1.4
    words = "Download and Install" if plan.needs_network else "Install"
    pair.operator("lantern.install_inference", text=words, icon="IMPORT")
    pair.operator("lantern.cancel_set_up", text="Not Now", icon="X")
    if not in_tab:  # below the buttons, which would else be out of sight in Blender's small preferences
        draw_facts(column, context, _facts_of(plan), _FACTS)


def _facts_of(plan: SetupPlan) -> list[tuple[str, str]]:
    facts = [("PyTorch for", plan.build.name), ("", plan.why)]
    if plan.python is not None:
        facts.append(("Python", str(plan.python)))
    if plan.needs_network:
        facts.append(("Download", f"About {size_text(plan.download)} from {plan.source}"))
    else:
        facts.append(("From", plan.source[:1].upper() + plan.source[1:]))
    facts.append(("On Disk", f"About {size_text(plan.disk)}; {size_text(plan.free)} are free"))
    facts.append(("Folder", _short(runtime.setup.folder)))
    return facts


def _draw_ready(column: UILayout, context: Context, status: SetupStatus) -> None:
    _title(column, f"ready on {status.device}", "CHECKMARK")
    if status.message:
        draw_message(column, context, status.message, icon="INFO")
    facts = [
        ("PyTorch", f"{status.torch} ({status.build})"),
        ("Python", status.base),
        ("On Disk", f"{size_text(status.size)}; {size_text(status.free)} are free"),
        ("Folder", _short(runtime.setup.folder)),
    ]
    draw_facts(column, context, facts, _FACTS)
    row = column.row(align=True)
    row.operator("lantern.set_up_inference", text="Set Up Again", icon="FILE_REFRESH")
    row.operator("lantern.remove_inference", icon="TRASH")


def _draw_own(column: UILayout, context: Context) -> None:
    problem, checked = runtime.problem, runtime.checked
    if problem:
        _title(column, "your own Python cannot be used", "ERROR")
        _draw_text(column, context, problem)
    elif runtime.checking:
        _title(column, "trying your own Python ...", "SORTTIME")
    elif checked is None:
        _title(column, "your own Python, not tried yet", "QUESTION")
    elif checked.problem:
        _title(column, "your own Python cannot be used", "ERROR")
        _draw_text(column, context, checked.problem)
    else:
        _title(column, f"ready on {checked.device_name}", "CHECKMARK")
        facts = [("PyTorch", checked.torch), ("Python", f"{checked.version}, your own")]
        if checked.forward_ms:
            facts.append(("One Picture", f"{checked.forward_ms:.0f} ms, by a small generator"))
        facts += [("Note" if i == 0 else "", remark) for i, remark in enumerate(checked.remarks)]
        draw_facts(column, context, facts, _FACTS)
    row = column.row(align=True)
    row.prop(preferences(), "server_python", text="")
    row.operator("lantern.stop_using_own_python", text="", icon="X")
    column.operator("lantern.try_own_python", icon="PLAY")


def _draw_choices(column: UILayout, context: Context) -> None:
    chosen = preferences()
    if not _fold(column, "show_choices"):
        return
    inner = column.column()
    inner.use_property_split = True
    inner.use_property_decorate = False
    inner.enabled = not runtime.changing
    inner.prop(chosen, "setup_build")
    inner.prop(chosen, "setup_python")
    inner.prop(chosen, "wheels_folder")
    if runtime.plan is not None:
        passed_over = [("Not Taken" if i == 0 else "", text) for i, text in enumerate(runtime.plan.passed_over)]
        draw_facts(column, context, passed_over, _FACTS)
    column.operator("lantern.use_own_python", icon="FILE_SCRIPT")


def _draw_log(column: UILayout, context: Context) -> None:
    log = runtime.setup.log
    if not log or not _fold(column, "show_setup_log"):
        return
    box = column.box().column(align=True)
    box.scale_y = 0.8
    lines = [part for line in list(log)[-_LOG_LINES:] for part in wrapped(context, line[:400])]
    for line in lines[-_LOG_LINES:]:
        box.label(text=line)
    column.operator("lantern.copy_set_up_log", icon="COPYDOWN")


def _fold(column: UILayout, name: str) -> bool:
    chosen = preferences()
    shown = getattr(chosen, name)
    row = column.row()
    row.alignment = "LEFT"
    row.prop(chosen, name, icon="TRIA_DOWN" if shown else "TRIA_RIGHT", emboss=False)
    return shown


def _draw_text(column: UILayout, context: Context, text: str) -> None:
    lines = column.column(align=True)
    for line in wrapped(context, text):
        lines.label(text=line)


def size_text(size: int) -> str:
    """Return a number of bytes in words: "210 MB", "2.9 GB"."""
    if size < 1e9:
        return f"{size / 1e6:.0f} MB"
    return f"{size / 1e9:.1f} GB" if size < 1e11 else f"{size / 1e9:.0f} GB"


def _short(path: Path) -> str:
    """Return the path with ~ for the home folder."""
    try:
        return str(Path("~", path.relative_to(Path.home())))
    except (ValueError, RuntimeError):
        return str(path)
