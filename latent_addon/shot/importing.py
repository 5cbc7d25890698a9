"""Imports latents from files: projections of pictures, and vectors that other tools have found."""

from collections.abc import Callable
from typing import Any

import bpy
from bpy.props import IntProperty, StringProperty
from bpy.types import Context, Event
from bpy_extras.io_utils import ImportHelper

from ...lantern_protocol import methods
from ...lantern_protocol.answers import ImportedLatents
from ...lantern_protocol.params import ImportParams
from ..scene import latent_keys, strip
from ..scene.context import the_strip, working_scene
from ..scene.fitting import size_kept
from ..scene.properties import settings_of
from ..session.describing import generator_of
from ..session.questions import Floats, array_of
from ..session.session import session
from ..ui.asking import AskingStripOperator


class LANTERN_OT_import_latents(AskingStripOperator, ImportHelper):
    """Load latents from a file into the strip, in z, w or W+. If the latent is animated, they are keyed"""

    bl_idname = "lantern.import_latents"
    bl_label = "Import Latents"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ".npy"
    filter_glob: StringProperty(default="*.npy;*.npz;*.pt;*.pth;*.pkl;*.csv", options={"HIDDEN"})
    spacing: IntProperty(
        name="Spacing",
        description="Frames between keys if the file holds several latents, the first at the playhead; "
        "0 takes only the first latent",
        default=0,
        min=0,
        soft_max=250,
    )

    @property
    def _file(self) -> str:
        return self.filepath  # pyright: ignore[reportAttributeAccessIssue]

    def invoke(self, context: Context, event: Event) -> set[str]:
        if self.properties.is_property_set("filepath"):  # the file was dropped
            return self.execute(context)
        return ImportHelper.invoke(self, context, event)

    def ask(self, context: Context, answered: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        generator = generator_of(settings_of(the_strip(context)))
        session.ask(methods.IMPORT, ImportParams(bpy.path.abspath(self._file), generator), answered, failed)

    def act(self, context: Context, answer: ImportedLatents) -> set[str]:
        latents, space = array_of(answer.latents), answer.space.upper()
        problem = self._problem(context, latents, space)
        if problem:
            self.report({"ERROR"}, problem)
            return {"CANCELLED"}
        self._give(context, latents, space)
        return {"FINISHED"}

    def _problem(self, context: Context, latents: Floats, space: str) -> str:
        """Return why the strip cannot take these latents; "" if it can."""
        settings = settings_of(the_strip(context))
        if not len(latents):
            return f"{self._file} holds no latents."
        wanted = settings.facts().latent_shape(space)
        if latents.shape[1:] != wanted:
            found, taken = (" x ".join(map(str, shape)) for shape in (latents.shape[1:], wanted))
            text = f"{self._file} holds latents of {found} numbers in {space}"
            return f"{text}, and {settings.generator_name} takes {taken}."
        return ""

    def _give(self, context: Context, latents: Floats, space: str) -> None:
        scene, image_strip = working_scene(context), the_strip(context)
        settings = settings_of(image_strip)
        if space == "Z":
            with size_kept(image_strip):
                settings.columns = settings.rows = 1
        flat = latents.reshape(len(latents), -1)
        if space != settings.space or len(image_strip["latent"]) != flat.shape[1]:
            latent_keys.remove_latent_curves(scene, image_strip)  # keys of one space mean nothing in another
        settings.space = space
        count = len(flat) if self.spacing else 1
        keyed = count > 1 or bool(latent_keys.latent_key_frames(scene, image_strip))
        for i in reversed(range(count)):  # the first latent comes last: it stays, and the playhead shows it
            strip.set_latent(image_strip, flat[i].tolist())
            if keyed:
                latent_keys.insert_latent_key(image_strip, scene.frame_current + i * self.spacing)
        text = f"{count} latents keyed, {self.spacing} frames apart" if count > 1 else f"A latent in {space}"
        if len(flat) > count:
            text += f"; the file holds {len(flat) - 1} more, which a Spacing above 0 would key"
        self.report({"INFO"}, text)


BLENDER_CLASSES = (LANTERN_OT_import_latents,)
