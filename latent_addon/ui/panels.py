"""The Lantern tab, in the Sequencer's and the 3D Viewport's sidebars."""

from __future__ import annotations

import textwrap

from bpy.types import Context, ImageStrip, Panel, UILayout

from ..operators.context import current_strip, working_scene
from ..preferences import ROOT_PACKAGE
from ..scene import drawing, output
from ..scene.properties import settings_of
from ..session import session
from ..worker.client import ServerState


def wrapped(context: Context, text: str) -> list[str]:
    """Break a text into as many lines as the sidebar's width needs; Blender itself would cut its middle out."""
    width = context.region.width if context.region else 300
    scale = context.preferences.system.ui_scale
    return textwrap.wrap(text, max(20, int(width / (6.5 * scale)) - 6))


def draw_message(layout: UILayout, context: Context, text: str, icon: str = "ERROR") -> None:
    """Show a sentence."""
    column = layout.box().column(align=True)
    for i, line in enumerate(wrapped(context, text)):
        column.label(text=line, icon=icon if i == 0 else "BLANK1")


def draw_problem(layout: UILayout, context: Context, text: str) -> None:
    """Show what stands in the way, and the button to where it is put right."""
    draw_message(layout, context, text)
    if "preferences" in text:
        layout.operator("preferences.addon_show", text="Preferences", icon="PREFERENCES").module = ROOT_PACKAGE


class _LanternPanel(Panel):
    bl_category = "Lantern"
    bl_region_type = "UI"


class _Strip:
    """The main panel: which generator, which key, how far."""

    bl_label = "Latent Strip"

    def draw(self, context: Context) -> None:
        layout = self.layout
        strip = current_strip(context)
        if strip is None:
            layout.operator("lantern.add_latent_strip", icon="ADD")
            if session.client.state is ServerState.STARTING:
                layout.label(text="The server is starting ...", icon="SORTTIME")
            if session.halted:
                draw_problem(layout, context, session.halted)
            return
        settings = settings_of(strip)
        row = layout.row(align=True)
        row.label(text=f"{settings.generator_name}, {settings.width} x {settings.height}", icon="IMAGE_DATA")
        row.operator("lantern.choose_generator", text="", icon="FILEBROWSER")
        row.operator("lantern.reload_generator", text="", icon="FILE_REFRESH")
        self._draw_progress(context, strip)
        self._draw_keys(strip)
        layout.operator("lantern.add_latent_strip", icon="ADD")

    def _draw_progress(self, context: Context, strip: ImageStrip) -> None:
        layout = self.layout
        done, total = session.plans.progress(strip)
        state = session.plans.state_of(strip)
        if done < total:
            row = layout.row(align=True)
            text = f"{done} / {total} frames"
            if session.feeder.busy:
                rate = session.rate()
                row.progress(factor=done / total, text=f"{text}, {rate:.1f}/s" if rate else text)
                row.operator("lantern.cancel", text="", icon="CANCEL")
            else:
                # In a file that was opened nothing is made until this is pressed, so it says its name.
                row.progress(factor=done / total, text=text if session.armed else f"{done} / {total}")
                row.operator("lantern.make_frames", text="" if session.armed else "Make Frames", icon="PLAY")
        elif total:
            layout.label(text=f"All {total} frames are there", icon="CHECKMARK")
        problem = session.problem(strip)
        if problem:
            draw_problem(layout, context, problem)
            row = layout.row(align=True)
            row.operator("lantern.make_frames", text="Try Again", icon="FILE_REFRESH")
            if state is not None and state.problem:
                row.operator("lantern.fit_latent")

    def _draw_keys(self, strip: ImageStrip) -> None:
        settings = settings_of(strip)
        row = self.layout.row(align=True)
        row.scale_y = 1.3
        row.operator("lantern.jump_to_latent_key", text="", icon="PREV_KEYFRAME").next = False
        row.operator("lantern.insert_latent_key", text="Key", icon="KEY_HLT")
        row.operator("lantern.delete_latent_key", text="", icon="KEY_DEHLT")
        row.operator("lantern.jump_to_latent_key", text="", icon="NEXT_KEYFRAME").next = True
        self.layout.prop(settings, "length")
        row = self.layout.row(align=True)
        row.operator("lantern.randomise", icon="SHADERFX")
        row.prop(settings, "seed", text="")
        row.operator("lantern.randomise", text="", icon="CHECKMARK").seed = settings.seed


class _Motion:
    """How the latent moves, and how the generator takes it."""

    bl_label = "Latent"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        return current_strip(context) is not None

    def draw(self, context: Context) -> None:
        layout = self.layout
        strip = current_strip(context)
        settings = settings_of(strip)
        layout.use_property_split = True
        layout.prop(settings, "interpolation")
        state = session.plans.state_of(strip)
        if state is not None and state.planner.partial_keys and settings.interpolation == "GREAT_CIRCLE":
            frames = state.planner.partial_keys
            text = f"{frames} frames have keys of some components only; great circles pass over them."
            draw_message(layout, context, text, icon="INFO")
        split = layout.split(factor=0.4)  # a row's own heading is only drawn before properties
        label = split.row()
        label.alignment = "RIGHT"
        label.label(text="Space")
        row = split.row(align=True)
        for space in ("Z", "W"):
            row.operator("lantern.set_space", text=space, depress=settings.space == space).space = space
        layout.prop(settings, "psi")
        layout.prop(settings, "cutoff")
        if settings.has_noise:
            layout.prop(settings, "noise")
            if settings.noise == "SEED":
                layout.prop(settings, "noise_seed")


class _Shadow:
    """The flat shadow."""

    bl_label = "Shadow"

    @classmethod
    def poll(cls, context: Context) -> bool:
        return current_strip(context) is not None

    def draw_header(self, context: Context) -> None:
        self.layout.prop(settings_of(current_strip(context)), "show_shadow", text="")

    def draw(self, context: Context) -> None:
        layout = self.layout
        settings = settings_of(current_strip(context))
        layout.use_property_split = True
        layout.active = settings.show_shadow
        layout.prop(settings, "shadow_threshold")
        layout.prop(settings, "shadow_softness")
        layout.prop(settings, "shadow_fill_holes")
        layout.prop(settings, "shadow_min_area")
        layout.prop(settings, "shadow_invert")
        layout.prop(settings, "shadow_figure")
        layout.prop(settings, "shadow_ground")
        layout.prop(settings, "shadow_mix")
        layout.operator("lantern.shadow_preset", icon="PRESET")


class _Drawing:
    """From the strip to the composite."""

    bl_label = "Drawing"

    @classmethod
    def poll(cls, context: Context) -> bool:
        return current_strip(context) is not None

    def draw(self, context: Context) -> None:
        scene = working_scene(context)
        column = self.layout.column(align=True)
        set_up = drawing.pencil_of(scene) is not None
        column.operator("lantern.set_up_drawing", icon="CHECKMARK" if set_up else "GREASEPENCIL")
        made = output.output_scene_of(scene) is not None
        column.operator("lantern.make_output_scene", icon="CHECKMARK" if made else "SCENE_DATA")
        column.operator("lantern.render_composite", icon="RENDER_ANIMATION")
        self.layout.operator("lantern.export_sequence", icon="EXPORT")


class _Server:
    """The process beside Blender."""

    bl_label = "Server"
    bl_options = {"DEFAULT_CLOSED"}

    _STATES = {
        ServerState.STOPPED: "Not running until frames are missing",
        ServerState.STARTING: "Starting ...",
        ServerState.FAILED: "Stopped",
    }

    def draw(self, context: Context) -> None:
        layout = self.layout
        client = session.client
        device = client.greeting.get("device") or {}
        ready = client.state is ServerState.READY
        layout.label(text=f"Ready: {device.get('name', 'unknown device')}" if ready else self._STATES[client.state])
        if client.message:
            draw_message(layout, context, client.message)
        row = layout.row(align=True)
        if client.state in (ServerState.STARTING, ServerState.READY):
            row.operator("lantern.stop_server", icon="QUIT")
            row.operator("lantern.release_device")
        else:
            row.operator("lantern.start_server", icon="PLAY")
        if client.log:
            column = layout.box().column(align=True)
            column.scale_y = 0.8
            lines = [part for line in list(client.log)[-4:] for part in wrapped(context, line[:400])]
            for line in lines[-8:]:
                column.label(text=line)
            layout.operator("lantern.copy_log", icon="COPYDOWN")


def _in_both_editors() -> tuple[type[Panel], ...]:
    panels = []
    for space, prefix in (("SEQUENCE_EDITOR", "sequencer"), ("VIEW_3D", "view3d")):
        for content in (_Strip, _Motion, _Shadow, _Drawing, _Server):
            name = f"LANTERN_PT_{prefix}{content.__name__.lower()}"
            panels.append(type(name, (content, _LanternPanel), {"bl_idname": name, "bl_space_type": space}))
    return tuple(panels)


CLASSES = _in_both_editors()
