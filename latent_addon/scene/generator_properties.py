"""What a latent strip knows of its generator: the file or run, what the server said of it, and how it is held."""

import math
import os

import bpy
from bpy.props import BoolProperty, CollectionProperty, FloatProperty, IntProperty, StringProperty
from bpy.types import Context, PropertyGroup

from ..core.frame_request import GeneratorFacts, Snapshot
from . import changes

ALL_ROWS = 0
"""Value of `cutoff` that truncates every row."""

LARGEST_CANVAS = 32
"""Columns or rows of z that a strip may have."""

LONGEST_VECTOR = 1 << 16
LONGEST_LATENT = 1 << 20
MOST_CLASSES = 1 << 16
LONGEST_RUN = 4096
"""Numbers of a z or w, of a whole latent, classes, and snapshots: more than any generator has, and little enough to be
held. A file may say anything."""

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
"""What each field of GeneratorFacts is called here."""


def changed(_self: PropertyGroup, _context: Context) -> None:
    """Mark: what every setting that decides pixels does when it is edited."""
    changes.mark()


# Blender reads the annotations themselves: no postponed ones in this file.
class LatentSnapshot(PropertyGroup):
    """A checkpoint of the run that a strip shows; `name` is a PropertyGroup's own."""

    path: StringProperty()
    sha256: StringProperty()

    def value(self) -> Snapshot:
        """The same as a plain value."""
        return Snapshot(self.name, self.path, self.sha256)


class GeneratorProperties:
    """The part of LatentStripSettings that speaks of the generator."""

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
        description="Which snapshot of the run makes the pictures, counted from 1; 2.5 lies halfway between the "
        "second and the third. Key it to let training time pass; beyond the last one it stays the last one",
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
        description="How far the picture is moved to the right, in picture widths. The generator goes on beyond the "
        "edge",
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
        """The generator as it was last described; what is only of use when a strip is added is not kept."""
        flat = {field: getattr(self, own) for field, own in _FLAT_FACTS.items()}
        return GeneratorFacts(**flat, snapshots=tuple(snapshot.value() for snapshot in self.run()))

    def run(self) -> list[LatentSnapshot]:
        """The snapshots, up to as many as are believed."""
        return self.snapshots[:LONGEST_RUN]

    def doubt(self) -> str:
        """Why this describes no generator that there can be, for a person; empty where it may."""
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
        """Take away words in no encoding, which a damaged file may hold: Blender raises whenever one is read."""
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
        """Take over the description of the generator.

        Snapshots that are known keep their numbers, and so keys their meaning: new ones follow them, and those that
        are gone from the folder stay in the list, so that a frame of theirs says which file is missing. Those of the
        built-in generator come with the extension, and are simply replaced. Of what was no run before, the last
        snapshot is shown.
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
        """Let another file or run make the pictures. Of a run its last snapshot is shown, or the one of the same number
        as before where that was not the last one."""
        earlier = self.snapshot if self.snapshot < len(self.snapshots) else None
        if path != self.generator:
            self.snapshots.clear()
            self.generator = path
        self.set_facts(facts)
        if earlier is not None:
            self.snapshot = earlier

    def latent_shape(self, space: str) -> tuple[int, ...]:
        """Shape of the strip's latent in space "Z", "W" or "W+"."""
        return self.facts().latent_shape(space, self.rows, self.columns)

    def picture_size(self) -> tuple[int, int]:
        """Width and height in pixels of the strip's pictures."""
        return self.facts().picture_size(self.rows, self.columns)

    def current_snapshot(self) -> int:
        """Index of the snapshot that is shown now, or of the earlier one of two; 0 for a single file."""
        return max(0, math.floor(self._place()))

    def _place(self) -> float:
        """Where in the list of snapshots the strip is, counted from 0."""
        return min(self.snapshot, float(len(self.run()))) - 1.0 if self.snapshot > 1.0 else 0.0

    def snapshot_name(self) -> str:
        """The shown snapshot's name for people; both names where two are blended."""
        if not self.snapshots:
            return ""
        i = self.current_snapshot()
        share = round(100 * (self._place() - i))
        if i + 1 < len(self.snapshots) and share:
            return f"{share}% from {self.snapshots[i].name} to {self.snapshots[i + 1].name}"
        return self.snapshots[i].name

    def sources(self) -> dict[str, str | None]:
        """Where each checkpoint of the strip lies, by its sha256; None is the built-in one, whose snapshots the server
        knows by their sha256."""
        if not self.generator:
            return dict.fromkeys([snapshot.sha256 for snapshot in self.run()] or [self.sha256])
        place = bpy.path.abspath(self.generator)
        if not self.snapshots:
            return {self.sha256: place}
        return {snapshot.sha256: os.path.join(place, snapshot.path) for snapshot in self.run()}
