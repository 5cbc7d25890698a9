"""What the server is ordered to make: colour frames and shadows, with everything that decides their pixels."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import asdict, dataclass
from typing import Any

from .errors import INVALID_PARAMS, ProtocolError, is_int, quoted
from .fields import (
    read_colour,
    read_file_name,
    read_flag,
    read_integer,
    read_list,
    read_number,
    read_numbers,
    read_object,
)


@dataclass(frozen=True, slots=True)
class ShadowSettings:
    """How a colour frame is flattened to a shadow. The defaults are Marrow's rule.

    threshold: 0..255; a pixel whose luma (0.299 R + 0.587 G + 0.114 B, rounded to 8 bits as OpenCV does) is greater
        is figure. softness: width of the edge's ramp in pixels, 0 for a hard edge. fill_holes: enclosed ground of at
        most this many pixels becomes figure, 0 for none. min_area: specks of figure of at most this many pixels become
        ground, 0 for none. invert: dark pixels are the figure.
    figure, ground: RGBA, 0..255. mix: 0 shows the colour frame, 1 the shadow, between them a blend of 8-bit values.
    """

    threshold: float = 50.0
    softness: float = 0.0
    fill_holes: int = 0
    min_area: int = 0
    invert: bool = False
    figure: tuple[int, int, int, int] = (0, 0, 0, 255)
    ground: tuple[int, int, int, int] = (255, 255, 255, 255)
    mix: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return asdict(self) | {"figure": list(self.figure), "ground": list(self.ground)}

    @classmethod
    def from_json(cls, value: Any) -> ShadowSettings:
        """Read the settings; raises ProtocolError naming the field that is wrong."""
        fields = read_object(value, "shadow settings", set(cls.__slots__))
        defaults = cls()
        return cls(
            threshold=read_number(fields, "threshold", defaults.threshold, 0, 255),
            softness=read_number(fields, "softness", defaults.softness, 0, 64),
            fill_holes=read_integer(fields, "fill_holes", defaults.fill_holes, 0, 1 << 31),
            min_area=read_integer(fields, "min_area", defaults.min_area, 0, 1 << 31),
            invert=read_flag(fields, "invert", defaults.invert),
            figure=read_colour(fields, "figure", defaults.figure),
            ground=read_colour(fields, "ground", defaults.ground),
            mix=read_number(fields, "mix", defaults.mix, 0, 1),
        )


@dataclass(frozen=True, slots=True)
class ShadowOrder:
    """One shadow frame: file `name` from the colour file `source`, both in the job's folder."""

    name: str
    source: str
    settings: ShadowSettings

    def to_json(self) -> dict[str, Any]:
        """Return the order as JSON values."""
        return {"name": self.name, "source": self.source, "settings": self.settings.to_json()}

    @classmethod
    def from_json(cls, value: Any) -> ShadowOrder:
        """Read the order; raises ProtocolError naming the field that is wrong."""
        fields = read_object(value, "shadow", {"name", "source", "settings"})
        name, source = read_file_name(fields, "name"), read_file_name(fields, "source")
        if name.lower() == source.lower():  # on some disks upper and lower case are the same name
            raise ProtocolError(INVALID_PARAMS, f"The shadow '{name}' would be written over its own source.")
        return cls(name, source, ShadowSettings.from_json(fields.get("settings")))


@dataclass(frozen=True, slots=True)
class RenderSettings:
    """How a generator makes a picture from a latent.

    psi: truncation, a finite number; 1 is none. cutoff: how many rows of W+ are truncated, None for all. noise:
    "const", "none" or a seed of 0..2**32-1. classes: weights of the class vector, empty for unconditional generators.
    mix: 0..1, how far the weights lie from one snapshot to a second one of the same run. transform: nine numbers, row
    by row, that replace the stored transform of the input grid (StyleGAN3), or none.
    """

    psi: float = 1.0
    cutoff: int | None = None
    noise: str | int = "const"
    classes: tuple[float, ...] = ()
    mix: float = 0.0
    transform: tuple[float, ...] = ()

    @property
    def batch_key(self) -> Hashable:
        """Frames with equal keys may be made in one batch."""
        return self.noise, self.mix, len(self.classes), bool(self.transform)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return asdict(self) | {"classes": list(self.classes), "transform": list(self.transform)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> RenderSettings:
        """Read the settings from an object that may hold other fields, too.

        Raises ProtocolError naming the field that is wrong.
        """
        cutoff = fields.get("cutoff")
        transform = read_numbers(fields, "transform")
        if len(transform) not in (0, 9):
            raise ProtocolError(INVALID_PARAMS, f"'transform' must be nine numbers or none, not {len(transform)}.")
        return cls(
            psi=read_number(fields, "psi", 1.0, -1e6, 1e6),
            cutoff=None if cutoff is None else read_integer(fields, "cutoff", None, 0, 1 << 16),
            noise=noise_from_json(fields.get("noise", "const")),
            classes=read_numbers(fields, "classes"),
            mix=read_number(fields, "mix", 0.0, 0, 1),
            transform=transform,
        )


AS_IS = RenderSettings()
"""No truncation, the stored noise, one snapshot."""

RENDER_FIELDS = frozenset(RenderSettings.__slots__)
"""The names under which an object holds render settings."""


def read_row(fields: dict[str, Any]) -> int:
    """Return which row of the latents a frame is made from, counted from 0. Raises ProtocolError."""
    return read_integer(fields, "row", None, 0, 1 << 31)


@dataclass(frozen=True, slots=True)
class FrameOrder:
    """One colour frame to be generated, and the shadows to be made from it in the same pass.

    name: the file's name in the job's folder. row: the row of the request's latents. settings: their `mix` leads from
    the request's generator to its `toward`. shadows: their `source` must be `name`.
    """

    name: str
    row: int
    settings: RenderSettings = AS_IS
    shadows: tuple[ShadowOrder, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the order as JSON values; the settings are fields of the order itself."""
        shadows = [shadow.to_json() for shadow in self.shadows]
        return {"name": self.name, "row": self.row, **self.settings.to_json(), "shadows": shadows}

    @classmethod
    def from_json(cls, value: Any) -> FrameOrder:
        """Read the order; raises ProtocolError naming the field that is wrong."""
        fields = read_object(value, "frame", {"name", "row", "shadows", *RENDER_FIELDS})
        name = read_file_name(fields, "name")
        shadows = tuple(ShadowOrder.from_json(item) for item in read_list(fields, "shadows"))
        if any(shadow.source != name for shadow in shadows):
            raise ProtocolError(INVALID_PARAMS, f"A shadow of '{name}' names another source.")
        return cls(name, read_row(fields), RenderSettings.from_json(fields), shadows)


def noise_from_json(value: Any) -> str | int:
    """Return "const", "none" or a seed of 0..2**32-1 (the range of numpy's RandomState)."""
    if value in ("const", "none") and isinstance(value, str):
        return value
    if is_int(value) and 0 <= value < 1 << 32:
        return value
    raise ProtocolError(INVALID_PARAMS, f'\'noise\' must be "const", "none" or a seed, not {quoted(value)}.')
