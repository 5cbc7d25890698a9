"""Which files are pictures and which are films. This module needs only the standard library."""

from __future__ import annotations

from pathlib import Path

PICTURES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".tga", ".avif", ".jp2"}
NOT_READ = {".heic", ".heif", ".psd", ".exr", ".hdr", ".svg", ".pdf", ".kra", ".xcf", ".cr2", ".nef", ".arw", ".dng"}
"""Pictures that Pillow cannot read. They are listed among the skipped files, so that people see why they are missing.
"""


def is_film(path: Path) -> bool:
    """Return whether a source is a film: any file that is not a list and not a picture. A GIF counts as a film."""
    return not path.is_dir() and path.suffix.lower() not in {".txt", *(PICTURES - {".gif"}), *NOT_READ}
