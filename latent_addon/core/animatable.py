"""The one table of what can be animated on a latent strip.

The curves, the recipe and the limits of a plan read it. It is in the core, without Blender, because the recipe reads
it and the core may not import the scene; scene/animatable.py adds where the properties are in Blender. To make one
more setting animatable, add one row here and a property of the same name to LatentStripSettings.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LATENT = "latent"
"""Name of the latent: of its track, and of the custom property that holds it."""

CLASSES = "classes"
"""Name of the class weights of a conditional generator: of their track, and of the custom property that holds them."""

ALL_ROWS = 0
"""A cutoff that truncates every row."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a setting's value is.

    components: how many numbers it has, each of which may have an F-curve. whole_number: whether Blender rounds what
    its curves give. read: turns the numbers into the value that a request holds.
    """

    components: int
    whole_number: bool
    read: Callable[[Sequence[float]], Any]


NUMBER = Kind(1, False, lambda now: now[0])
COUNT = Kind(1, True, lambda now: int(now[0]))
ROWS = Kind(1, True, lambda now: None if int(now[0]) == ALL_ROWS else int(now[0]))
SWITCH = Kind(1, True, lambda now: now[0] >= 1.0)
COLOUR = Kind(4, False, lambda now: tuple(round(255 * component) for component in now))


class Part(enum.Enum):
    """The part of a frame's request that a setting goes to. The setting fills the argument that its row names."""

    WEIGHTS = "the place in a run of snapshots"
    TRANSFORM = "core.transform.inverse_transform"
    RENDER = "RenderSettings"
    SHADOW = "ShadowSettings"


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: a setting's name, which is also its property's, what its value is, and where the value goes."""

    name: str
    kind: Kind
    part: Part
    argument: str


SETTINGS = (
    Setting("snapshot", NUMBER, Part.WEIGHTS, "snapshot"),
    Setting("move_x", NUMBER, Part.TRANSFORM, "move_x"),
    Setting("move_y", NUMBER, Part.TRANSFORM, "move_y"),
    Setting("turn", NUMBER, Part.TRANSFORM, "turn"),
    Setting("zoom", NUMBER, Part.TRANSFORM, "zoom"),
    Setting("psi", NUMBER, Part.RENDER, "psi"),
    Setting("cutoff", ROWS, Part.RENDER, "cutoff"),
    Setting("noise_seed", COUNT, Part.RENDER, "noise"),
    Setting("shadow_threshold", NUMBER, Part.SHADOW, "threshold"),
    Setting("shadow_softness", NUMBER, Part.SHADOW, "softness"),
    Setting("shadow_fill_holes", COUNT, Part.SHADOW, "fill_holes"),
    Setting("shadow_min_area", COUNT, Part.SHADOW, "min_area"),
    Setting("shadow_invert", SWITCH, Part.SHADOW, "invert"),
    Setting("shadow_figure", COLOUR, Part.SHADOW, "figure"),
    Setting("shadow_ground", COLOUR, Part.SHADOW, "ground"),
    Setting("shadow_mix", NUMBER, Part.SHADOW, "mix"),
)
"""Every setting that may have F-curves. The latent and the classes may too; their lengths are the generator's."""

_OF_PART = {part: tuple(setting for setting in SETTINGS if setting.part is part) for part in Part}


def arguments(part: Part, now: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return the arguments of one part of a request. now: each setting's components at a frame, by its name."""
    return {setting.argument: setting.kind.read(now[setting.name]) for setting in _OF_PART[part]}
