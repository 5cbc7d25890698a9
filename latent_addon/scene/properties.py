"""The settings of a latent strip: `strip.latent_lantern`. The latent itself is `strip["latent"]`."""

from typing import TypeGuard, cast

from bpy.props import (
    BoolProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    PointerProperty,
)
from bpy.types import ImageStrip, PropertyGroup, Scene, Strip

from ..core.animatable import ALL_ROWS, LATENT
from . import changes, versions
from .generator_properties import GeneratorProperties
from .generator_properties import changed as _changed


def _length(settings: PropertyGroup) -> int:
    strip = _strip_of(settings)
    return versions.strip_end(strip) - versions.strip_start(strip)


def _set_length(settings: PropertyGroup, length: int) -> None:
    strip = _strip_of(settings)
    start = versions.strip_start(strip)
    versions.set_handles(strip, start, start + length)
    changes.mark()


def _strip_of(settings: PropertyGroup) -> Strip:
    """Return the strip that has these settings. Searches for it, because a property group does not know its strip."""
    editor = cast(Scene, settings.id_data).sequence_editor
    return next(strip for strip in editor.strips_all if settings_of(strip) == settings)


# Blender reads the annotations as objects: no `from __future__ import annotations` in this file.
class LatentStripSettings(GeneratorProperties, PropertyGroup):
    """Settings of a latent strip. Every setting that decides pixels is part of the frame's name.

    Settings that can be animated are rows of the table in core/animatable.py.
    """

    is_latent: BoolProperty(name="Latent Strip", options={"HIDDEN"})

    length: IntProperty(
        name="Length",
        description="Frames that the strip shows. A longer strip is filled; keys stay where they are",
        min=1,
        soft_max=1000,
        get=_length,
        set=_set_length,
        options={"SKIP_SAVE"},
    )
    space: EnumProperty(
        name="Space",
        description="Latent space of the keys",
        items=(
            ("Z", "Z", "The space that pictures are sampled from"),
            ("W", "W", "The space behind the mapping network: straight lines change the picture more evenly"),
            ("W+", "W+", "One w for each layer of the generator, as in projections of pictures"),
        ),
        options=set(),
        update=_changed,
    )
    interpolation: EnumProperty(
        name="Interpolation",
        description="How the latent moves between keys",
        items=(
            ("FCURVE", "F-Curves", "Each component exactly follows its F-curve"),
            ("SPHERICAL", "Spherical", "The F-curves' direction and easing, with the length of the keys"),
            (
                "GREAT_CIRCLE",
                "Great Circle",
                "The shortest way round the sphere at constant speed from key to key; of the keys' interpolation, only "
                "Constant has an effect",
            ),
        ),
        options=set(),
        update=_changed,
    )
    seed: IntProperty(
        name="Seed", description="Seed that Randomise draws the latent from", min=0, max=2**31 - 1, options=set()
    )
    psi: FloatProperty(
        name="Truncation",
        description="Truncation psi: 0 is the average picture, 1 is the unchanged latent, values between are calmer "
        "pictures",
        default=0.7,
        soft_min=0.0,
        soft_max=1.0,
        min=-4.0,
        max=4.0,
        step=1,
        precision=3,
        update=_changed,
    )
    cutoff: IntProperty(
        name="Cutoff",
        description="How many layers the truncation changes, counted from the coarsest; 0 for all",
        default=ALL_ROWS,
        min=0,
        max=64,
        update=_changed,
    )
    noise: EnumProperty(
        name="Noise",
        description="The generator's fine random detail",
        items=(
            ("CONST", "Fixed", "The noise stored in the checkpoint"),
            ("NONE", "Off", "No noise"),
            ("SEED", "Seed", "Noise drawn from a seed; key the seed to let it move"),
        ),
        options=set(),
        update=_changed,
    )
    noise_seed: IntProperty(name="Noise Seed", description="Seed of the noise", min=0, max=2**31 - 1, update=_changed)

    show_shadow: BoolProperty(
        name="Shadow",
        description="Show the frames as flat shadows. No frame is generated again",
        options=set(),
        update=_changed,
    )
    shadow_threshold: FloatProperty(
        name="Threshold",
        description="Pixels brighter than this are figure (0 to 255)",
        default=50.0,
        min=0.0,
        max=255.0,
        step=100,
        precision=1,
        update=_changed,
    )
    shadow_softness: FloatProperty(
        name="Softness",
        description="Width of the edge in pixels of the picture; 0 for a hard edge",
        default=0.0,
        min=0.0,
        max=64.0,
        soft_max=8.0,
        step=10,
        update=_changed,
    )
    shadow_fill_holes: IntProperty(
        name="Fill Holes",
        description="Holes in the figure of at most this many pixels are filled; 0 fills none",
        min=0,
        soft_max=2000,
        update=_changed,
    )
    shadow_min_area: IntProperty(
        name="Drop Specks",
        description="Pieces of figure of at most this many pixels are dropped; 0 drops none",
        min=0,
        soft_max=500,
        update=_changed,
    )
    shadow_invert: BoolProperty(
        name="Invert", description="Dark pixels are the figure instead of bright ones", update=_changed
    )
    shadow_figure: FloatVectorProperty(
        name="Figure",
        description="Colour of the figure",
        subtype="COLOR_GAMMA",
        size=4,
        default=(0.0, 0.0, 0.0, 1.0),
        min=0.0,
        max=1.0,
        update=_changed,
    )
    shadow_ground: FloatVectorProperty(
        name="Ground",
        description="Colour of the ground; if it is transparent, the strips below show through",
        subtype="COLOR_GAMMA",
        size=4,
        default=(1.0, 1.0, 1.0, 1.0),
        min=0.0,
        max=1.0,
        update=_changed,
    )
    shadow_mix: FloatProperty(
        name="Mix",
        description="0 shows the colour frame, 1 the shadow",
        default=1.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        update=_changed,
    )


def settings_of(strip: Strip) -> LatentStripSettings:
    """Return the settings of a strip; every strip has them, latent or not."""
    return strip.latent_lantern  # pyright: ignore[reportAttributeAccessIssue]


def is_latent(strip: Strip | None) -> TypeGuard[ImageStrip]:
    """Return whether the strip is a latent strip."""
    return isinstance(strip, ImageStrip) and settings_of(strip).is_latent and strip.get(LATENT) is not None


def register() -> None:
    """Attach the settings to Blender's strips."""
    Strip.latent_lantern = PointerProperty(type=LatentStripSettings)  # pyright: ignore[reportAttributeAccessIssue]


def unregister() -> None:
    """Remove the settings from Blender's strips. The values that a file holds stay in the file."""
    del Strip.latent_lantern  # pyright: ignore[reportAttributeAccessIssue]
