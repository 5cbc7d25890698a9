"""Everything that decides a strip's pictures, as it was at one moment. Any frame's request can be made from it later.

A recipe holds keys, not frames. So its size depends on the strip's data in the file, not on the length of the strip,
and it can tell which frames an edit may have changed. A recipe never changes: an edit makes a new one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ...lantern_protocol.orders import RenderSettings, ShadowSettings
from . import interpolation
from .animatable import CLASSES, LATENT, Part, arguments
from .fcurves import CurveGroup
from .frame_request import DIGEST, FrameNamer, FrameRequest, GeneratorFacts
from .spans import EVERYTHING, Span, between_curves, between_keys, joined
from .transform import inverse_transform
from .whole_keys import WholeKeys

Floats = NDArray[np.float64]
Digests = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Track:
    """One property over time.

    base (D,): its value where nothing animates it. groups: F-curves, by component. sampled (S,): components that only
    Blender can evaluate. samples (F, S): their values at each shown frame.
    """

    base: Floats
    groups: tuple[CurveGroup, ...] = ()
    sampled: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))
    samples: Floats = field(default_factory=lambda: np.empty((0, 0)))

    def evaluate(self, first: int, at: Floats) -> Floats:
        """Return values (F, D) for shown frames from number `first` on, at times `at` (F,), counted from the origin."""
        if len(self.groups) == 1 and np.array_equal(self.groups[0].members, np.arange(len(self.base))):
            return self.groups[0].evaluate(at)  # e.g. a latent that is keyed as a whole: nothing to combine
        values = np.tile(self.base, (len(at), 1))
        for group in self.groups:
            values[:, group.members] = group.evaluate(at)
        if len(self.sampled):
            values[:, self.sampled] = self.samples[first : first + len(at)]
        return values

    def changed(self, old: Track, first: float) -> Span:
        """Return where the property may differ from `old`. first: time of the first sample, the same for both."""
        if not (np.array_equal(self.base, old.base) and np.array_equal(self.sampled, old.sampled)):
            return EVERYTHING
        span = between_curves(self.groups, old.groups)
        if self.samples.shape != old.samples.shape:
            return EVERYTHING
        rows = np.flatnonzero((self.samples != old.samples).any(axis=1))
        return joined(span, (first + float(rows[0]), first + float(rows[-1])) if len(rows) else None)


@dataclass(frozen=True, slots=True)
class Look:
    """What is the same for a whole strip.

    facts: its generator. space: "Z", "W" or "W+". rows, columns: of its canvas. motion: "FCURVE", "SPHERICAL" or
    "GREAT_CIRCLE". noise: "CONST", "NONE" or "SEED". shadow: whether shadows are shown. limits: the lowest and highest
    value of each setting that has them.
    """

    facts: GeneratorFacts
    space: str
    rows: int
    columns: int
    motion: str
    noise: str
    shadow: bool
    limits: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """A strip's inputs. It shows the timeline frames start .. end - 1; its keys move along with frame `origin`.

    tracks: latent, classes and settings, by name. whole: the whole-vector keys, at timeline frames, if the motion uses
    them.
    """

    start: int
    end: int
    origin: int
    look: Look
    tracks: Mapping[str, Track]
    whole: WholeKeys | None = None

    def changed_since(self, old: Recipe) -> Span:
        """Return where frames may ask for other pictures than in `old`, in frames from the origin; None for nowhere."""
        if self.look != old.look or (self.whole is None) != (old.whole is None):
            return EVERYTHING
        first = self.start - self.origin
        if self._is_sampled() and (first, self.end - self.origin) != (old.start - old.origin, old.end - old.origin):
            return EVERYTHING
        span: Span = None
        for name, track in self.tracks.items():
            span = joined(span, track.changed(old.tracks[name], first))
        if self.whole is not None and old.whole is not None:
            span = joined(span, self._whole_changed(self.whole, old.whole, old.origin))
        return span

    def _is_sampled(self) -> bool:
        return any(len(track.sampled) for track in self.tracks.values())

    def _whole_changed(self, whole: WholeKeys, old: WholeKeys, old_origin: int) -> Span:
        times, old_times = whole.frames - self.origin, old.frames - old_origin
        if whole.values.shape[1] != old.values.shape[1] or not (len(times) and len(old_times)):
            return EVERYTHING if len(times) or len(old_times) else None
        return between_keys(times, np.column_stack([times, whole.rows()]), np.column_stack([old_times, old.rows()]))

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def width(self) -> int:
        """Components of the latent."""
        return len(self.tracks[LATENT].base)

    def requests(self, first: int, end: int) -> list[FrameRequest]:
        """Return the requests for shown frames first .. end - 1, from 0. Raises ValueError for a value out of range."""
        found = []
        for common, latents in self._runs(first, end):
            found += [replace(common, latent=row.tobytes()) for row in latents]
        return found

    def names(self, first: int, end: int) -> tuple[Digests, Digests]:
        """Return names (F, 20) of the colour frames and of the frames shown, for `requests`; the same errors."""
        colours, shown = [], []
        for common, latents in self._runs(first, end):
            namer = FrameNamer(common)
            data, size = latents.data.cast("B"), latents.shape[1] * latents.itemsize
            fresh = [namer.colour(data[i : i + size]) for i in range(0, len(data), size)]
            colours += fresh
            shown += fresh if common.shadow is None else [namer.shown(colour) for colour in fresh]
        return _digests(colours), _digests(shown)

    def _runs(self, first: int, end: int) -> Iterator[tuple[FrameRequest, NDArray[np.float32]]]:
        """Yield runs of neighbours that differ only in the latent: a request without latent, and latents (F, D)."""
        frames = np.arange(self.start + first, self.start + end, dtype=np.float64)
        at = frames - self.origin
        latents = np.ascontiguousarray(interpolation.round_to_grid(self._latents(first, frames, at)), "<f4")
        classes = interpolation.round_to_grid(self.tracks[CLASSES].evaluate(first, at))
        settings = self._settings(first, at)
        columns = np.column_stack([classes, *settings.values()])
        edges = (np.flatnonzero((columns[1:] != columns[:-1]).any(axis=1)) + 1).tolist()
        for i, stop in zip([0, *edges], [*edges, len(frames)], strict=True):
            now = {name: column[i].tolist() for name, column in settings.items()}
            yield self._common(now, tuple(classes[i].tolist())), latents[i:stop]

    def _latents(self, first: int, frames: Floats, at: Floats) -> Floats:
        whole = self.whole
        if whole is not None and len(whole.frames) and self.look.motion == "GREAT_CIRCLE":
            return interpolation.great_circle(frames, whole.frames, whole.values, whole.holds)
        values = self.tracks[LATENT].evaluate(first, at)
        if whole is not None and len(whole.frames) and self.look.motion == "SPHERICAL":
            return interpolation.spherical(values, frames, whole.frames, whole.values, whole.holds)
        return values

    def _settings(self, first: int, at: Floats) -> dict[str, Floats]:
        """Return the settings' values, clamped as Blender clamps the values of curves, and rounded to the grid."""
        limits = {name: (low, high) for name, low, high in self.look.limits}
        settings = {}
        for name, track in self.tracks.items():
            if name in (LATENT, CLASSES):
                continue
            column = np.nan_to_num(track.evaluate(first, at))
            if name in limits:
                column = np.clip(column, *limits[name])
            settings[name] = np.rint(column * interpolation.GRID) / interpolation.GRID
        return settings

    def _common(self, now: dict[str, list[float]], classes: tuple[float, ...]) -> FrameRequest:
        look, facts = self.look, self.look.facts
        checkpoint, toward, mix = _weights(facts, **arguments(Part.WEIGHTS, now))
        width, height = facts.picture_size(look.rows, look.columns)
        render = arguments(Part.RENDER, now)
        if look.noise != "SEED":
            render["noise"] = look.noise.lower()
        settings = RenderSettings(
            **render,
            classes=classes if facts.num_classes else (),
            mix=mix,
            transform=inverse_transform(**arguments(Part.TRANSFORM, now)),
        )
        return FrameRequest(
            checkpoint=checkpoint,
            space="z" if look.space == "Z" else "w",
            latent=b"",
            settings=settings,
            width=width,
            height=height,
            shape=facts.latent_shape(look.space, look.rows, look.columns),
            toward=toward,
            shadow=ShadowSettings(**arguments(Part.SHADOW, now)) if look.shadow else None,
        ).normalised(facts)


def _digests(names: list[bytes]) -> Digests:
    return np.frombuffer(b"".join(names), np.uint8).reshape(len(names), DIGEST)


def _weights(facts: GeneratorFacts, snapshot: float) -> tuple[str, str, float]:
    """Return the weights at the place `snapshot` in a run: sha256, sha256 of the snapshot blended in, and its share."""
    if not facts.snapshots:
        return facts.sha256, "", 0.0
    place = min(snapshot, float(len(facts.snapshots))) - 1.0
    before = math.floor(place)
    mix = place - before
    toward = facts.snapshots[before + 1].sha256 if mix else ""
    return facts.snapshots[before].sha256, toward, mix
