"""Latent strips in the Sequencer: add and find them, fit their elements to their handles, point them at frames."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from bpy.types import ImageStrip, Scene

from ..core.animatable import ALL_ROWS, CLASSES, LATENT
from ..core.frame_request import GeneratorFacts
from . import changes, timing, versions, view
from .latent_keys import keys_kept
from .properties import is_latent, settings_of

FEW = 32
"""The most elements that are added one by one, because Blender copies all existing elements each time."""


MOST_CHANNELS = 128
"""Blender's own limit."""


class NoRoomError(Exception):
    """There is no place for another strip. The text says what to do."""


def latent_strips(scene: Scene) -> list[ImageStrip]:
    """Return the scene's latent strips, also those inside meta strips."""
    editor = scene.sequence_editor
    return [strip for strip in editor.strips_all if is_latent(strip)] if editor else []


def active_latent_strip(scene: Scene) -> ImageStrip | None:
    """Return the latent strip that the user means, or None.

    It is the active strip, else the only latent strip, else the topmost one under the playhead.
    """
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

    path: the checkpoint or the folder of a run, empty for the built-in generator. latent: as long as the generator's z.
    directory: the folder of frames, in the form that the strip stores. placeholder: the name of a picture in it. The
    new strip becomes the active one, and is returned. Raises NoRoomError, before anything is changed.
    """
    editor = scene.sequence_editor_create()
    channel = _free_channel(scene, start, start + length)
    if not editor.strips:
        view.use_standard(scene)  # a scene that has strips already stays as it is
    # With this on, Blender may crash at an element whose file is gone before Blender read its size.
    editor.show_missing_media = False
    made = editor.strips.new_image(
        name="Latent",
        filepath=directory + placeholder,
        channel=channel,
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
    """Set the strip's latent, as doubles, because a list of whole numbers would make an integer property."""
    strip[LATENT] = [float(value) for value in latent]
    look: Any = strip.id_properties_ui(LATENT)
    look.update(description="Latent vector of the generator", soft_min=-3.0, soft_max=3.0, step=0.1)
    changes.mark()


def fit_classes(strip: ImageStrip) -> None:
    """Give the strip of a conditional generator class weights of the right length; new weights show class 0 alone."""
    count = settings_of(strip).num_classes
    if count and len(strip.get(CLASSES, ())) != count:
        strip[CLASSES] = [1.0] + [0.0] * (count - 1)


def fit_content(scene: Scene, strip: ImageStrip, placeholder: str) -> bool:
    """Add elements until the strip has as many as its handles show; return whether any were added.

    Beyond the elements Blender would repeat the first and the last picture; a latent strip has frames there instead.
    Keys stay at their frames. Elements that the handles hide are kept, and those that a hard split cut off come back.
    """
    if versions.is_retimed(strip):  # its retiming keys say which frames it has, and how long it shows them
        return False
    start, end, first = versions.strip_start(strip), versions.strip_end(strip), timing.origin(strip)
    trimmed = any(versions.hard_trims(strip))
    before = max(0, first - start)
    after = max(0, end - first - len(strip.elements))
    if not before and not after and not trimmed:
        return False
    if before or trimmed:
        with keys_kept(scene, strip):
            versions.clear_hard_trims(strip)
            _add_elements(scene, strip, before, after, placeholder)
            versions.set_content_start(strip, first - before)
    else:
        _add_elements(scene, strip, 0, after, placeholder)
    versions.set_handles(strip, start, end)
    return True


def _add_elements(scene: Scene, strip: ImageStrip, before: int, after: int, name: str) -> None:
    """Add elements that show the picture `name`, `before` the existing ones and `after` them."""
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
    """Point the elements from number `first` at the files `names`, or at the placeholder if a file is not `present`.

    If there is no placeholder, elements whose file is missing stay as they are. The element with number `keep` stays as
    it is, too, if its file is missing.
    """
    elements = strip.elements
    for i, name in enumerate(names, start=first):
        wanted = name if name in present else None if i == keep else placeholder
        element = elements[i]
        if wanted is not None and element.filename != wanted:
            element.filename = wanted  # this also clears Blender's cache of the strip


def show_made(strip: ImageStrip, first: int, made: Mapping[int, str]) -> None:
    """Point elements at files that now exist. made: file names by the element's number, counted from `first`."""
    elements = strip.elements
    count = len(elements)
    for i, name in made.items():
        if first + i < count:  # else the strip was cut after it was planned, and will be planned again
            elements[first + i].filename = name


def _free_channel(scene: Scene, start: int, end: int) -> int:
    taken = {
        strip.channel
        for strip in scene.sequence_editor.strips
        if versions.strip_start(strip) < end and start < versions.strip_end(strip)
    }
    free = next(channel for channel in range(1, len(taken) + 2) if channel not in taken)
    if free > MOST_CHANNELS:
        raise NoRoomError(
            f"All {MOST_CHANNELS} channels of the Sequencer are taken at frame {start}. Move the playhead, or remove a "
            "strip there."
        )
    return free
