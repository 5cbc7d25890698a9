"""Which files are pictures and which are films. Needs the standard library alone."""

from __future__ import annotations

from pathlib import Path

PICTURES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".tga", ".avif", ".jp2"}
NOT_READ = {".heic", ".heif", ".psd", ".exr", ".hdr", ".svg", ".pdf", ".kra", ".xcf", ".cr2", ".nef", ".arw", ".dng"}
"""Pictures that Pillow does not read; they are listed, so that nobody misses them without knowing why."""


def is_film(path: Path) -> bool:
    """Whether a source is a film: any file that is neither a list nor a picture."""
    return not path.is_dir() and path.suffix.lower() not in {".txt", *(PICTURES - {".gif"}), *NOT_READ}
