"""The Lantern tab, in the Sequencer's and the 3D Viewport's sidebars."""

from __future__ import annotations

from bpy.types import Panel

from .latent import LatentPanel, TransformPanel
from .library import GeneratorsPanel, LANTERN_UL_generators
from .picture import DrawingPanel, ShadowPanel
from .server import ServerPanel
from .strip import StripPanel

CONTENTS = (StripPanel, LatentPanel, TransformPanel, ShadowPanel, DrawingPanel, GeneratorsPanel, ServerPanel)
"""From top to bottom."""


class _LanternPanel(Panel):
    bl_category = "Lantern"
    bl_region_type = "UI"


def _in_both_editors() -> tuple[type[Panel], ...]:
    panels = []
    for space, prefix in (("SEQUENCE_EDITOR", "sequencer"), ("VIEW_3D", "view3d")):
        for content in CONTENTS:
            name = f"LANTERN_PT_{prefix}_{content.__name__.removesuffix('Panel').lower()}"
            panels.append(type(name, (content, _LanternPanel), {"bl_idname": name, "bl_space_type": space}))
    return tuple(panels)


CLASSES = (LANTERN_UL_generators, *_in_both_editors())
