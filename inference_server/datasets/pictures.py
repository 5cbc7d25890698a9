"""Make a picture of a data set from a picture of a source."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageCms, ImageOps, ImageSequence

from .cropping import smart_position, window
from .cut_out import bounds, cut_out
from .depth import Depth, depth_of, is_deep
from .duplicates import cells_of
from .kinds import File
from .settings import Settings

T = TypeVar("T")

MOST_PIXELS = 150_000_000
MOST_ENLARGED = 8
"""A picture that would have to be enlarged more than this many times is skipped."""
ROOM = 3
"""First of all, a picture is reduced to this many times the wanted size, with a fast method."""


class BadPicture(Exception):
    """Raised if a picture cannot be used. Its text is for people; it gives the reason without the file's name."""


@dataclass(frozen=True)
class Prepared:
    """A picture of the data set, ready to be written."""

    png: bytes
    cells: np.ndarray
    """Its cells, for finding near-duplicates; see duplicates.py."""
    enlarged: bool


FORMATS = (
    "PNG", "JPEG", "WEBP", "TIFF", "BMP", "DIB", "GIF", "AVIF", "JPEG2000", "PPM", "PCX", "DDS", "ICO", "CUR",
    "ICNS", "QOI", "SGI", "PSD", "SUN", "TGA",
)  # fmt: skip
"""Pillow's names of the formats that are read. It also knows formats that start other programs."""


def open_picture(
    file: File, draft: tuple[int, int] | None = None, page: int = 0, depth: Depth | None = None
) -> Image.Image:
    """Read a picture: RGB or RGBA, upright, in sRGB.

    Args:
        draft: width and height; a JPEG may be read at a smaller size, but not smaller than this.
        page: of a TIFF with several.
        depth: the rule for grey of more than 8 bits; None: one for this picture alone.

    Raises:
        BadPicture: if it cannot be read, or is too large.
    """

    def read(image: Image.Image) -> Image.Image:
        if draft:
            image.draft(image.mode, draft)
        image.load()
        return plain(ImageOps.exif_transpose(image), depth)

    return _read(file, page, read)


def levels_of(file: File, page: int = 0) -> np.ndarray:
    """Return the numbers of a picture (h, w), in all their depth. Raises BadPicture."""
    return _read(file, page, np.asarray)


def glance(file: File) -> list[bool]:
    """Return for each page of a picture whether it is grey of more than 8 bits; only a TIFF has several pages.

    The pixels are not decoded. What cannot be read has one page, which is not deep.
    """

    def look(image: Image.Image) -> list[bool]:
        if image.format != "TIFF":
            return [is_deep(image.mode)]
        return [is_deep(page.mode) for page in ImageSequence.Iterator(image)]

    try:
        return _read(file, 0, look)
    except BadPicture:
        return [False]


def _read(file: File, page: int, read: Callable[[Image.Image], T]) -> T:
    """Open a picture and do something with it. Raises BadPicture for everything that goes wrong."""
    try:
        if isinstance(file, Path) and file.is_dir():
            raise BadPicture("it is a folder")
        with file.open("rb") as opened, Image.open(opened, formats=FORMATS) as image:
            if page:
                image.seek(page)
            if image.width * image.height > MOST_PIXELS:
                raise BadPicture(_too_large(f"{image.width} x {image.height}"))
            return read(image)
    except BadPicture:
        raise
    except Image.DecompressionBombError:
        raise BadPicture(_too_large("far too large")) from None
    except OSError as error:
        raise BadPicture(f"it cannot be read: {error.strerror or error}") from error
    except MemoryError:
        raise BadPicture("there is not enough memory for it") from None
    except Exception as error:  # Pillow's readers raise nearly anything on broken files
        raise BadPicture(f"it is broken: {error or type(error).__name__}") from error


def _too_large(size: str) -> str:
    return f"it is {size}, and pictures may have {MOST_PIXELS // 1_000_000} million pixels; make it smaller first"


def plain(image: Image.Image, depth: Depth | None = None) -> Image.Image:
    """Convert any kind of picture to 8 bits in sRGB: RGB, or RGBA if there is transparency."""
    if is_deep(image.mode):
        levels = np.asarray(image)
        return Image.fromarray((depth or depth_of([levels])).eight_bits(levels)).convert("RGB")
    transparent = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    alpha = image.convert("RGBA").getchannel("A") if transparent else None
    colours = _in_srgb(image.convert("RGB") if image.mode not in ("RGB", "CMYK", "L", "LAB") else image)
    if alpha is not None and alpha.getextrema() != (255, 255):
        colours.putalpha(alpha)
    return colours


def _in_srgb(image: Image.Image) -> Image.Image:
    """Convert to RGB with the picture's colour profile, or without one if it has none that can be used."""
    profile = image.info.get("icc_profile")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a profile for another kind of picture, or a broken one
    return image.convert("RGB")


def prepare(image: Image.Image, settings: Settings, position: float | None = None) -> Prepared:
    """Cut out, crop and resize a picture, and write it as PNG.

    Args:
        image: RGB or RGBA.
        position: the position of the window, as cropping.window takes it; with None, the settings decide.

    Raises:
        BadPicture: if nothing of the picture is left after the cut-out, or it is too small.
    """
    image = _cut(_reduced(image, settings), settings)
    if settings.trim and image.mode == "RGBA":
        box = bounds(np.asarray(image.getchannel("A")))
        if box is None:
            raise BadPicture("nothing is left of it after the cut-out")
        image = image.crop(box)
        position = None
    if not settings.alpha and image.mode == "RGBA":
        ground = Image.new("RGBA", image.size, (*settings.ground, 255))
        image = Image.alpha_composite(ground, image).convert("RGB")
    scale = _scale(image.size, settings)
    if scale > MOST_ENLARGED:
        raise BadPicture(f"it is too small: {image.width} x {image.height}")
    made = _fitted(image, settings) if settings.crop == "fit" else _cropped(image, settings, position)
    made = made.convert("L" if settings.channels == 1 else "RGBA" if settings.alpha else "RGB")
    file = io.BytesIO()
    made.save(file, format="PNG", compress_level=3)
    return Prepared(file.getvalue(), cells_of(made), scale > 1.0)


def _scale(size: tuple[int, int], settings: Settings) -> float:
    ratios = [wanted / side for wanted, side in zip(settings.size, size, strict=True)]
    return min(ratios) if settings.crop == "fit" else max(ratios)


def _reduced(image: Image.Image, settings: Settings) -> Image.Image:
    factor = 1 if settings.trim else int(1 / (ROOM * _scale(image.size, settings)))
    return image.reduce(factor) if factor > 1 else image


def _cut(image: Image.Image, settings: Settings) -> Image.Image:
    if settings.key is None:
        return image
    cut = cut_out(np.asarray(image.convert("RGB")), settings.key, settings.key_tolerance)
    if image.mode == "RGBA":
        cut[..., 3] = np.minimum(cut[..., 3], np.asarray(image.getchannel("A")))
    if cut[..., 3].max() < 128:
        raise BadPicture("nothing is left of it after the cut-out")
    return Image.fromarray(cut)


def _cropped(image: Image.Image, settings: Settings, position: float | None) -> Image.Image:
    if position is None:
        position = smart_position(image, settings.size) if settings.crop == "smart" else 0.5
    box = window(image.size, settings.size, position)
    return image.resize(settings.size, Image.Resampling.LANCZOS, box=box, reducing_gap=ROOM)


def _fitted(image: Image.Image, settings: Settings) -> Image.Image:
    width, height = settings.size
    scale = _scale(image.size, settings)
    inner = (min(width, max(1, round(image.width * scale))), min(height, max(1, round(image.height * scale))))
    small = image.resize(inner, Image.Resampling.LANCZOS, reducing_gap=ROOM)
    ground = (*settings.ground, 0 if settings.alpha else 255)
    whole = Image.new("RGBA", (width, height), ground)
    whole.paste(small.convert("RGBA"), ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return whole
