"""Find the F-curves of latent strips in a scene: which strip each one belongs to, and which property it moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import bpy
from bpy.types import FCurve, ImageStrip, Scene

from ..core.animatable import CLASSES, LATENT
from . import versions
from .animatable import PATHS, owner_of


def path_prefix(strip: ImageStrip) -> str:
    """Return how the data paths of the strip's properties begin, in its scene."""
    return f'sequence_editor.strips_all["{bpy.utils.escape_identifier(strip.name)}"]'


@dataclass(slots=True)
class StripCurves:
    """The F-curves of one strip: of its latent and classes by component, of its settings by name and component."""

    latent: dict[int, FCurve] = field(default_factory=dict)
    classes: dict[int, FCurve] = field(default_factory=dict)
    settings: dict[tuple[str, int], FCurve] = field(default_factory=dict)


def curves_of_scene(scene: Scene) -> dict[str, StripCurves]:
    """Return the curves of all latent strips, by the strip's path prefix; muted ones move nothing and are left out."""
    found: dict[str, StripCurves] = {}
    for curve in versions.fcurves_of(scene) or ():
        own = _owner(curve)
        if own is None:
            continue
        prefix, name = own
        curves = found.setdefault(prefix, StripCurves())
        if name == LATENT:
            curves.latent[curve.array_index] = curve
        elif name == CLASSES:
            curves.classes[curve.array_index] = curve
        else:
            curves.settings[name, curve.array_index] = curve
    return found


def _owner(curve: FCurve) -> tuple[str, str] | None:
    """Return the path prefix of the curve's strip and its property; None if it moves nothing of a latent strip."""
    return None if curve.mute else owner_of(curve.data_path)  # a muted group moves its curves all the same


Places = dict[tuple[str, int], int]
"""Where a strip's curves are among those of its scene, by property and component."""


@dataclass(slots=True)
class Survey:
    """Where each strip's curves are, found a little at a time. Blender may free curves in between, so none is kept.

    places: by the path prefix of their strip. loose: whether any latent's curve lacks a group. end: how many curves
    were looked at.
    """

    places: dict[str, Places] = field(default_factory=dict)
    loose: bool = False
    end: int = 0

    def look(self, scene: Scene, count: int) -> bool:
        """Look at the scene's next `count` curves; return whether there are more."""
        curves = versions.fcurves_of(scene) or ()
        first, self.end = self.end, min(self.end + count, len(curves))
        for place in range(first, self.end):
            curve = curves[place]
            own = _owner(curve)
            if own is not None:
                self.places.setdefault(own[0], {})[own[1], curve.array_index] = place
                self.loose |= own[1] == LATENT and curve.group is None
        return self.end < len(curves)


def curves_at(scene: Scene, prefix: str, places: Sequence[tuple[tuple[str, int], int]]) -> Iterator[FCurve | None]:
    """Yield the curves that a survey found at these places; None where a different curve is now."""
    curves = versions.fcurves_of(scene) or ()
    count = len(curves)
    for (name, index), place in places:
        curve = curves[place] if place < count else None
        path = prefix + PATHS[name]
        same = curve is not None and curve.data_path == path and curve.array_index == index and not curve.mute
        yield curve if same else None
