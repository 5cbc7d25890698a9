"""The Lantern tab, in the Sequencer's and the 3D Viewport's sidebars."""

from __future__ import annotations

from bpy.types import Panel

from .drawing.panels import DrawingPanel
from .library.panels import GeneratorsPanel, LANTERN_UL_generators
from .setup.server_panel import ServerPanel
from .shot.latent_panel import LatentPanel, TransformPanel
from .shot.shadow_panel import ShadowPanel
from .shot.strip_panel import StripPanel
from .training.panels import LANTERN_UL_trainings, PicturesPanel, StartTrainingPanel, TrainingPanel, TrainingsPanel
from .ui.parts import Content

CONTENTS: tuple[type[Content], ...] = (
    StripPanel,
    LatentPanel,
    TransformPanel,
    ShadowPanel,
    DrawingPanel,
    GeneratorsPanel,
    TrainingPanel,
    PicturesPanel,
    StartTrainingPanel,
    TrainingsPanel,
    ServerPanel,
)
"""From top to bottom. A panel that is `inside` another one comes after it."""


class _LanternPanel(Panel):
    bl_category = "Lantern"
    bl_region_type = "UI"


def _in_both_editors() -> tuple[type[Panel], ...]:
    panels = []
    for space, prefix in (("SEQUENCE_EDITOR", "sequencer"), ("VIEW_3D", "view3d")):
        for content in CONTENTS:
            name = _name(prefix, content)
            about = {"bl_idname": name, "bl_space_type": space}
            if "inside" in vars(content):
                about["bl_parent_id"] = _name(prefix, content.inside)
            panels.append(type(name, (content, _LanternPanel), about))
    return tuple(panels)


def _name(prefix: str, content: type) -> str:
    return f"LANTERN_PT_{prefix}_{content.__name__.removesuffix('Panel').lower()}"


BLENDER_CLASSES = (LANTERN_UL_generators, LANTERN_UL_trainings, *_in_both_editors())
