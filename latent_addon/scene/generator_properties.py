"""A latent strip's properties of its generator: the file or run, the server's description of it, canvas, transform."""

import math
import os

import bpy
from bpy.props import BoolProperty, CollectionProperty, FloatProperty, IntProperty, StringProperty
from bpy.types import Context, PropertyGroup

from ...lantern_protocol.answers import LONGEST_LATENT, LONGEST_VECTOR, MOST_CLASSES
from ..core.frame_request import GeneratorFacts, Snapshot
from . import changes

LARGEST_CANVAS = 32
"""Columns or rows of z that a strip may have."""

LONGEST_RUN = 4096
"""The most snapshots of a run. A file may hold any number of them."""

_FLAT_FACTS = {
    "sha256": "sha256",
    "name": "generator_name",
    "z_dim": "z_dim",
    "w_dim": "w_dim",
    "num_ws": "num_ws",
    "width": "width",
    "height": "height",
    "num_classes": "num_classes",
    "has_noise": "has_noise",
    "has_w": "has_w",
    "has_truncation": "has_truncation",
    "has_transform": "has_transform",
    "normalises_z": "normalises_z",
    "canvas_step": "canvas_step",
}
"""The property's name here for each field of GeneratorFacts."""


def changed(_self: PropertyGroup, _context: Context) -> None:
    """Mark a change. The update callback of every setting that decides pixels."""
    changes.mark()


# Blender reads the annotations as objects: no `from __future__ import annotations` in this file.
class LatentSnapshot(PropertyGroup):
    """A checkpoint of the run that a strip shows. `name` comes from PropertyGroup."""

    path: StringProperty()
    sha256: StringProperty()

    def value(self) -> Snapshot:
        """Return the same as a plain value."""
        return Snapshot(self.name, self.path, self.sha256)


class GeneratorProperties:
    """The part of LatentStripSettings that describes the generator."""

    generator: StringProperty(
        name="Generator",
        description="Checkpoint file that makes the pictures, or the folder of a run's snapshots; "
        "empty for the built-in family at dinner",
        subtype="FILE_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
    )
    generator_name: StringProperty(name="Generator Name", options={"HIDDEN"})
    sha256: StringProperty(
        name="SHA-256", description="Identity of the checkpoint that the frames were made with", options={"HIDDEN"}
    )
    z_dim: IntProperty(options={"HIDDEN"})
    w_dim: IntProperty(options={"HIDDEN"})
    num_ws: IntProperty(default=1, options={"HIDDEN"})
    width: IntProperty(options={"HIDDEN"})
    height: IntProperty(options={"HIDDEN"})
    num_classes: IntProperty(options={"HIDDEN"})
    has_noise: BoolProperty(default=True, options={"HIDDEN"})
    has_w: BoolProperty(default=True, options={"HIDDEN"})
    has_truncation: BoolProperty(default=True, options={"HIDDEN"})
    has_transform: BoolProperty(options={"HIDDEN"})
    normalises_z: BoolProperty(default=True, options={"HIDDEN"})
    canvas_step: IntProperty(options={"HIDDEN"})

    snapshots: CollectionProperty(type=LatentSnapshot, options={"HIDDEN"})
    snapshot: FloatProperty(
        name="Snapshot",
        description="Which snapshot of the run makes the pictures, counted from 1; 2.5 is halfway between the "
        "second and the third. Key it to let training time pass; a larger number shows the last snapshot",
        default=1.0,
        min=1.0,
        soft_max=20.0,
        step=10,
        precision=3,
        update=changed,
    )

    columns: IntProperty(
        name="Columns",
        description="Vectors of the latent side by side, each of which widens the picture",
        default=1,
        min=1,
        max=LARGEST_CANVAS,
        options={"HIDDEN"},
    )
    rows: IntProperty(
        name="Rows",
        description="Vectors of the latent below each other, each of which makes the picture higher",
        default=1,
        min=1,
        max=LARGEST_CANVAS,
        options={"HIDDEN"},
    )

    move_x: FloatProperty(
        name="Move X",
        description="How far the picture is moved to the right, in picture widths. The generator continues the picture "
        "beyond its edge",
        step=1,
        precision=3,
        soft_min=-1.0,
        soft_max=1.0,
        min=-16.0,
        max=16.0,
        update=changed,
    )
    move_y: FloatProperty(
        name="Move Y",
        description="How far the picture is moved up, in picture heights",
        step=1,
        precision=3,
        soft_min=-1.0,
        soft_max=1.0,
        min=-16.0,
        max=16.0,
        update=changed,
    )
    turn: FloatProperty(
        name="Turn",
        description="How far the picture is turned about its middle, counter-clockwise",
        subtype="ANGLE",
        soft_min=-math.pi,
        soft_max=math.pi,
        min=-200 * math.pi,
        max=200 * math.pi,
        update=changed,
    )
    zoom: FloatProperty(
        name="Zoom",
        description="How much larger the picture is shown, about its middle",
        default=1.0,
        step=1,
        precision=3,
        soft_min=0.5,
        soft_max=4.0,
        min=0.05,
        max=64.0,
        update=changed,
    )

    def facts(self) -> GeneratorFacts:
        """Return the generator's last description, without the facts that are used only when a strip is added."""
        flat = {field: getattr(self, own) for field, own in _FLAT_FACTS.items()}
        return GeneratorFacts(**flat, snapshots=tuple(snapshot.value() for snapshot in self.run()))

    def run(self) -> list[LatentSnapshot]:
        """Return the snapshots, at most LONGEST_RUN of them."""
        return self.snapshots[:LONGEST_RUN]

    def doubt(self) -> str:
        """Return a sentence for a person if no generator can have these numbers; "" if one can."""
        vectors = (self.z_dim, self.w_dim)
        canvas = self.z_dim * self.rows * self.columns
        fits = (
            all(0 <= length <= LONGEST_VECTOR for length in vectors)
            and 1 <= self.rows <= LARGEST_CANVAS
            and 1 <= self.columns <= LARGEST_CANVAS
            and self.num_ws >= 0
            and max(canvas, self.num_ws * self.w_dim) <= LONGEST_LATENT
            and 0 <= self.num_classes <= MOST_CLASSES
        )
        if fits:
            return ""
        return "What the file says about the generator is not possible. Choose the generator again"

    def forget_unreadable(self) -> None:
        """Delete texts that are not UTF-8, which a damaged file may hold: Blender raises an error at each read."""
        for name in ("generator", "generator_name", "sha256"):
            try:
                getattr(self, name)
            except UnicodeDecodeError:
                self.property_unset(name)  # pyright: ignore[reportAttributeAccessIssue]
        try:
            for snapshot in self.run():
                snapshot.value()
        except UnicodeDecodeError:
            self.snapshots.clear()

    def set_facts(self, facts: GeneratorFacts) -> None:
        """Store the description of the generator.

        Known snapshots keep their numbers, so that keys keep their meaning. New snapshots are added after them.
        Snapshots that are no longer in the folder stay in the list, so that their frames can report which file is
        missing. The snapshots of the built-in generator come with the extension, and are simply replaced. If the
        generator was not a run before, its last snapshot is shown.
        """
        first_run = not self.snapshots
        for field, own in _FLAT_FACTS.items():
            setattr(self, own, getattr(facts, field))
        if not (facts.snapshots and self.generator):
            self.snapshots.clear()
        if facts.snapshots and first_run:
            self.snapshot = len(facts.snapshots)
        known = {snapshot.path: snapshot for snapshot in self.snapshots}
        for new in facts.snapshots:
            entry = known.get(new.path) or self.snapshots.add()
            entry.name, entry.path, entry.sha256 = new.name, new.path, new.sha256
        changes.mark()

    def choose(self, path: str, facts: GeneratorFacts) -> None:
        """Let a different file or run make the pictures.

        A run shows its last snapshot. If the strip did not show the last snapshot before, it keeps that number.
        """
        earlier = self.snapshot if self.snapshot < len(self.snapshots) else None
        if path != self.generator:
            self.snapshots.clear()
            self.generator = path
        self.set_facts(facts)
        if earlier is not None:
            self.snapshot = earlier

    def latent_shape(self, space: str) -> tuple[int, ...]:
        """Return the shape of the strip's latent in space "Z", "W" or "W+"."""
        return self.facts().latent_shape(space, self.rows, self.columns)

    def picture_size(self) -> tuple[int, int]:
        """Return the width and height of the strip's pictures in pixels."""
        return self.facts().picture_size(self.rows, self.columns)

    def current_snapshot(self) -> int:
        """Return the index of the shown snapshot, the earlier one if two are blended; 0 for a single file."""
        return max(0, math.floor(self._place()))

    def _place(self) -> float:
        """Return the strip's place in the list of snapshots, counted from 0, with a fraction between two snapshots."""
        return min(self.snapshot, float(len(self.run()))) - 1.0 if self.snapshot > 1.0 else 0.0

    def snapshot_name(self) -> str:
        """Return the name of the shown snapshot for people; both names if two are blended, "" if it is not a run."""
        if not self.snapshots:
            return ""
        i = self.current_snapshot()
        share = round(100 * (self._place() - i))
        if i + 1 < len(self.snapshots) and share:
            return f"{share}% from {self.snapshots[i].name} to {self.snapshots[i + 1].name}"
        return self.snapshots[i].name

    def sources(self) -> dict[str, str | None]:
        """Return the path of each checkpoint of the strip, by its sha256.

        The path is None for the built-in generator, whose snapshots the server knows by their sha256.
        """
        if not self.generator:
            return dict.fromkeys([snapshot.sha256 for snapshot in self.run()] or [self.sha256])
        place = bpy.path.abspath(self.generator)
        if not self.snapshots:
            return {self.sha256: place}
        return {snapshot.sha256: os.path.join(place, snapshot.path) for snapshot in self.run()}
