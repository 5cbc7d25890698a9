"""A frame is named by what made it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass, replace

from ...lantern_protocol.answers import GeneratorDescription, SnapshotFile
from ...lantern_protocol.orders import FrameOrder, RenderSettings, ShadowOrder, ShadowSettings
from ...lantern_protocol.versions import PIXEL_REVISION

DIGEST = 20
"""Bytes of SHA-256 in a file name: 160 bits, as Git's names."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One checkpoint of a run.

    path: relative to the run's folder, with slashes, or absolute if it is on a different drive. sha256: of the file.
    """

    name: str
    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class GeneratorFacts:
    """What a plan needs to know of a generator, as the server describes it.

    sha256: of the checkpoint file (of a run, its last one), hexadecimal. z_dim, w_dim: lengths of a latent in either
    space; num_ws: rows of W+. num_classes: 0 if unconditional. has_noise: whether noise changes the picture. has_w:
    whether there is a mapping network. default_cutoff: rows that its authors truncate, None for all. has_transform:
    whether the picture can be moved and turned in its plane. normalises_z: whether only the direction of z counts.
    canvas_step: pixels by which the picture grows with each further column or row of z, 0 where there is only one.
    snapshots: of a run, in the order of training; empty for a single file.
    """

    sha256: str
    name: str
    z_dim: int
    w_dim: int
    width: int
    height: int
    num_classes: int = 0
    has_noise: bool = True
    num_ws: int = 1
    has_w: bool = True
    has_truncation: bool = True
    default_cutoff: int | None = None
    has_transform: bool = False
    normalises_z: bool = True
    canvas_step: int = 0
    snapshots: tuple[Snapshot, ...] = ()

    @classmethod
    def of(cls, about: GeneratorDescription) -> GeneratorFacts:
        """Return the facts that the server's description of a generator has."""
        return cls(
            sha256=about.sha256,
            name=about.name,
            z_dim=about.z_dim,
            w_dim=about.w_dim,
            width=about.width,
            height=about.height,
            num_classes=about.num_classes,
            has_noise=about.has_noise,
            num_ws=about.num_ws,
            has_w="w" in about.spaces,
            has_truncation=about.has_truncation,
            default_cutoff=about.default_cutoff,
            has_transform=about.has_transform,
            normalises_z=about.normalises_z,
            canvas_step=about.canvas_step,
            snapshots=tuple(_snapshot(each, about.path) for each in about.snapshots),
        )

    def latent_shape(self, space: str, rows: int = 1, columns: int = 1) -> tuple[int, ...]:
        """Shape of one latent in space "Z", "W" or "W+"; rows and columns are those of a canvas of several z."""
        if space == "W":
            return (self.w_dim,)
        if space == "W+":
            return (self.num_ws, self.w_dim)
        one = not self.canvas_step or (rows, columns) == (1, 1)
        return (self.z_dim,) if one else (self.z_dim, rows, columns)

    def picture_size(self, rows: int = 1, columns: int = 1) -> tuple[int, int]:
        """Width and height in pixels of a picture from a canvas of rows x columns z."""
        return self.width + self.canvas_step * (columns - 1), self.height + self.canvas_step * (rows - 1)


def _snapshot(file: SnapshotFile, folder: str | None) -> Snapshot:
    path = file.path
    if folder is None:  # built-in: the .blend must not hold the path of the extension
        return Snapshot(file.name, os.path.basename(path), file.sha256)
    with contextlib.suppress(ValueError):  # if it is on a different drive
        path = os.path.relpath(path, folder).replace("\\", "/")
    return Snapshot(file.name, path, file.sha256)


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """Everything that decides one frame's pixels, and nothing else.

    checkpoint: sha256 of the generator's file. space: "z" or "w". latent: float32 little-endian, rounded to the grid.
    settings: how the generator makes the picture; its numbers are rounded to the grid, too. width, height: pixels.
    shape: of the latent, (z_dim,), (w_dim,), (num_ws, w_dim) or (z_dim, rows, columns). toward: sha256 of a second
    snapshot, to which the `mix` of the settings leads; "" where that is 0. shadow: how the colour frame is flattened,
    None to show it as it is.
    """

    checkpoint: str
    space: str
    latent: bytes
    settings: RenderSettings
    width: int
    height: int
    shape: tuple[int, ...]
    toward: str = ""
    shadow: ShadowSettings | None = None

    def normalised(self, generator: GeneratorFacts) -> FrameRequest:
        """Return a request that is equal for all settings that make the same pixels, so that they share a frame."""
        settings = self.settings
        psi = settings.psi if generator.has_truncation else 1.0
        blended = settings.mix != 0.0 and self.toward not in ("", self.checkpoint)
        return replace(
            self,
            settings=replace(
                settings,
                psi=psi,
                cutoff=None if psi == 1.0 else settings.cutoff,
                noise=settings.noise if generator.has_noise else "const",
                mix=settings.mix if blended else 0.0,
                transform=settings.transform if generator.has_transform else (),
            ),
            toward=self.toward if blended else "",
            shadow=None if self.shadow is not None and self.shadow.mix == 0.0 else self.shadow,
        )

    def colour_name(self) -> str:
        """File name of the colour frame. It does not depend on the shadow settings."""
        return file_name(FrameNamer(self).colour(self.latent), shadow=False)

    def name(self) -> str:
        """File name of the frame as it is shown: the colour frame, or the shadow made from it."""
        colour = self.colour_name()
        return colour if self.shadow is None else shadow_name(colour, self.shadow)


class FrameNamer:
    """Names requests that differ in nothing but their latent: what they have in common is hashed once.

    Here a name is the first 20 bytes of a SHA-256; `file_name` turns them into the name of a file.
    """

    def __init__(self, request: FrameRequest):
        how = request.settings
        about = (
            f"{PIXEL_REVISION} {request.checkpoint} {request.space} {float(how.psi)!r} {how.cutoff} "
            f"{how.noise} {[float(weight) for weight in how.classes]!r} {request.width}x{request.height} "
            f"{list(request.shape)!r} {request.toward} {float(how.mix)!r} "
            f"{[float(value) for value in how.transform]!r} "
        )
        self._common = hashlib.sha256(about.encode())
        self._settings = None if request.shadow is None else _settings_text(request.shadow)

    def colour(self, latent: bytes | memoryview) -> bytes:
        """Name of the colour frame of a latent, float32 little-endian."""
        naming = self._common.copy()
        naming.update(latent)
        return naming.digest()[:DIGEST]

    def shown(self, colour: bytes) -> bytes:
        """Name of the frame that is shown: the colour frame's own, or that of the shadow made from it."""
        return colour if self._settings is None else _shadow_digest(file_name(colour, shadow=False), self._settings)


def file_name(digest: bytes, shadow: bool) -> str:
    """Return the name of the file of a frame. digest: from `FrameNamer`. shadow: whether it is a shadow."""
    return f"{'s' if shadow else 'c'}_{digest.hex()}.png"


def shadow_name(colour: str, settings: ShadowSettings) -> str:
    """File name of the shadow that `settings` make from the colour frame of that name."""
    return file_name(_shadow_digest(colour, _settings_text(settings)), shadow=True)


def _settings_text(settings: ShadowSettings) -> str:
    return repr(settings.to_json())


def _shadow_digest(colour: str, settings: str) -> bytes:
    return hashlib.sha256(f"{PIXEL_REVISION} {colour} {settings}".encode()).digest()[:DIGEST]


def frame_order(request: FrameRequest, row: int, colour: str, name: str) -> FrameOrder:
    """The server's order for a request whose latent is row `row` of what is sent along."""
    shadows = () if request.shadow is None else (ShadowOrder(name, colour, request.shadow),)
    return FrameOrder(colour, row, request.settings, shadows)
