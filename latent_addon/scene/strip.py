"""Latent strips in the sequencer: made, found, kept in step with their handles, pointed at frames."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from bpy.types import ImageStrip, Scene

from ..core.frame_request import GeneratorFacts
from . import changes, versions
from .curves import keys_kept
from .generator_properties import ALL_ROWS
from .properties import CLASSES, LATENT, is_latent, settings_of

FEW = 32
"""Elements that are added one by one: each time, Blender copies all that are there."""


def latent_strips(scene: Scene) -> list[ImageStrip]:
    """The scene's latent strips, those inside of meta strips too."""
    editor = scene.sequence_editor
    return [strip for strip in editor.strips_all if is_latent(strip)] if editor else []


def active_latent_strip(scene: Scene) -> ImageStrip | None:
    """The strip that is meant: the active one, else the only one, else the topmost one under the playhead."""
    editor = scene.sequence_editor
    if editor is None:
        return None
    active = editor.active_strip
    if is_latent(active):
        return active
    strips = latent_strips(scene)
    if len(strips) == 1:
        return strips[0]
    here = [s for s in strips if versions.strip_start(s) <= scene.frame_current < versions.strip_end(s)]
    return max(here, key=lambda strip: strip.channel, default=None)


def add_latent_strip(
    scene: Scene,
    facts: GeneratorFacts,
    path: str,
    latent: Sequence[float],
    directory: str,
    placeholder: str,
    *,
    start: int,
    length: int,
) -> ImageStrip:
    """Add a strip of `length` frames from timeline frame `start`, on the lowest channel that is free there.

    path: the checkpoint or the folder of a run, empty for the built-in one. latent: as long as the generator's z.
    directory: where frames lie, as the strip is to hold it; placeholder: the name of a picture there. The new strip
    becomes the active one.
    """
    editor = scene.sequence_editor_create()
    if not editor.strips:
        # Any other view transform changes the generated pixels; a scene with strips of its own is left as it is.
        scene.view_settings.view_transform = "Standard"  # pyright: ignore[reportAttributeAccessIssue]
    # With this on, Blender may crash on an element whose file is gone and whose size it never learned.
    editor.show_missing_media = False
    made = editor.strips.new_image(
        name="Latent",
        filepath=directory + placeholder,
        channel=_free_channel(scene, start, start + length),
        frame_start=start,
        fit_method="FIT",
    )
    strip = cast(ImageStrip, made)
    strip.directory = directory
    _add_elements(scene, strip, 0, length - 1, placeholder)
    versions.set_handles(strip, start, start + length)
    settings = settings_of(strip)
    settings.is_latent = True
    settings.choose(path, facts)
    settings.cutoff = facts.default_cutoff or ALL_ROWS
    if not facts.normalises_z:  # a straight line would pass through pictures that are paler than its ends
        settings.interpolation = "GREAT_CIRCLE"
    set_latent(strip, latent)
    fit_classes(strip)
    for other in editor.strips_all:
        other.select = other == strip
    editor.active_strip = strip
    return strip


def set_latent(strip: ImageStrip, latent: Sequence[float]) -> None:
    """Give the strip this latent, as doubles: a list of whole numbers would make an integer property."""
    strip[LATENT] = [float(value) for value in latent]
    look: Any = strip.id_properties_ui(LATENT)
    look.update(description="Latent vector of the generator", soft_min=-3.0, soft_max=3.0, step=0.1)
    changes.mark()


def fit_classes(strip: ImageStrip) -> None:
    """Give the strip of a conditional generator class weights of the right length, the first class alone at first."""
    count = settings_of(strip).num_classes
    if count and len(strip.get(CLASSES, ())) != count:
        strip[CLASSES] = [1.0] + [0.0] * (count - 1)


def fit_content(scene: Scene, strip: ImageStrip, placeholder: str) -> bool:
    """Give the strip as many elements as its handles show; return whether any were added.

    Blender holds the first and last picture beyond the elements; a latent strip has frames there instead. Keys stay at
    their frames. Elements that handles hide are kept.
    """
    start, end = versions.strip_start(strip), versions.strip_end(strip)
    before = max(0, versions.content_start(strip) - start)
    after = max(0, end - versions.content_start(strip) - len(strip.elements))
    if not before and not after:
        return False
    if before:
        with keys_kept(scene, strip):
            _add_elements(scene, strip, before, after, placeholder)
            versions.set_content_start(strip, versions.content_start(strip) - before)
    else:
        _add_elements(scene, strip, 0, after, placeholder)
    versions.set_handles(strip, start, end)
    return True


def _add_elements(scene: Scene, strip: ImageStrip, before: int, after: int, name: str) -> None:
    """Add elements that show the picture `name` in front of and behind those that are there."""
    if before + after <= FEW and not before:
        for _ in range(after):
            strip.elements.append(name)
    elif before or after:
        names = [name] * before + [element.filename for element in strip.elements] + [name] * after
        versions.set_elements(scene, strip, names)


def show(
    strip: ImageStrip,
    first: int,
    names: Sequence[str],
    present: Collection[str],
    placeholder: str | None,
    keep: int | None = None,
) -> None:
    """Point the elements from number `first` on at the files `names`, at the placeholder where one is not `present`.

    Without a placeholder, elements whose file is missing are left as they are; so is the element of number `keep`.
    """
    elements = strip.elements
    for i, name in enumerate(names, start=first):
        wanted = name if name in present else None if i == keep else placeholder
        element = elements[i]
        if wanted is not None and element.filename != wanted:
            element.filename = wanted  # also drops what Blender has cached of the strip


def show_made(strip: ImageStrip, first: int, made: Mapping[int, str]) -> None:
    """Point elements, by their number after `first`, at files that are there now."""
    elements = strip.elements
    count = len(elements)
    for i, name in made.items():
        if first + i < count:  # else the strip was cut since it was planned, and is planned again next
            elements[first + i].filename = name


def _free_channel(scene: Scene, start: int, end: int) -> int:
    taken = {
        strip.channel
        for strip in scene.sequence_editor.strips
        if versions.strip_start(strip) < end and start < versions.strip_end(strip)
    }
    return next(channel for channel in range(1, len(taken) + 2) if channel not in taken)
