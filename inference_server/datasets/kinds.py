"""What a file is: a picture, a film, or something that cannot be read. Its content decides, not its ending.

This module needs only the standard library.
"""

from __future__ import annotations

import re
import zipfile
from enum import Enum
from pathlib import Path

File = Path | zipfile.Path
"""A file on the disk or in a zip."""


class Kind(Enum):
    """What a file holds."""

    PICTURE = "picture"
    FILM = "film"
    OTHER = "other"


HEAD = 512
PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".tga", ".avif"}
"""Endings by which a broken picture is still known as a picture."""
_SUFFIX = re.compile(r"\.[a-z0-9]+$")
_FILM_SUFFIXES = {".m2v", ".m1v", ".h264", ".264", ".h265", ".265", ".hevc", ".mjpeg", ".mjpg", ".dv", ".vob", ".yuv"}
"""Films whose first bytes do not tell what they are."""
_RAW = {
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef"),
    *(".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
}
_BY_SUFFIX = {
    **dict.fromkeys(_RAW, "a camera's raw file; export it as PNG or JPEG with the camera's program or darktable"),
    ".svg": "a drawing of lines; export it as PNG",
    ".svgz": "a drawing of lines; export it as PNG",
    ".pdf": "a document; export its pages as PNG",
    ".eps": "a document; export it as PNG",
    ".ai": "a document; export it as PNG",
    ".kra": "a Krita file; export it as PNG",
    ".xcf": "a GIMP file; export it as PNG",
    ".blend": "a Blender file; render it",
    ".hdr": "an HDR picture; save it as PNG or TIFF",
    ".exr": "an OpenEXR picture; save it as PNG or TIFF",
    ".jxl": "a JPEG XL picture; export it as PNG or JPEG",
    ".psb": "a large Photoshop file (PSB); save it as PSD or PNG",
    **dict.fromkeys(
        (".heic", ".heif"), "a HEIC picture; export it as PNG or JPEG, or set the phone to Most Compatible"
    ),
}
_HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_SIGNS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\x0a", _BY_SUFFIX[".jxl"]),
    (b"\x00\x00\x00\x0cJXL ", _BY_SUFFIX[".jxl"]),
    (b"FUJIFILMCCD-RAW", _BY_SUFFIX[".raf"]),
    (b"IIRO", _BY_SUFFIX[".orf"]),
    (b"IIRS", _BY_SUFFIX[".orf"]),
    (b"MMOR", _BY_SUFFIX[".orf"]),
    (b"IIU\x00", _BY_SUFFIX[".rw2"]),
    (b"FOVb", _BY_SUFFIX[".x3f"]),
    (b"\x76\x2f\x31\x01", _BY_SUFFIX[".exr"]),
    (b"#?RADIANCE", _BY_SUFFIX[".hdr"]),
    (b"8BPS\x00\x02", _BY_SUFFIX[".psb"]),
    (b"gimp xcf", _BY_SUFFIX[".xcf"]),
    (b"%PDF", _BY_SUFFIX[".pdf"]),
    (b"%!PS", _BY_SUFFIX[".eps"]),
)
_PICTURES = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+",
    b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51", b"DDS ", b"icns", b"qoif", b"\x01\xda", b"8BPS\x00\x01",
    b"\x59\xa6\x6a\x95",
)  # fmt: skip
_FILMS = (
    b"\x1a\x45\xdf\xa3", b"FLV\x01", b"OggS", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"\x00\x00\x01\xba",
    b"\x00\x00\x01\xb3", b"\x06\x0e\x2b\x34", b".RMF", b"YUV4MPEG2", b"DKIF",
)  # fmt: skip
_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}
NEITHER = "neither a picture nor a film that can be read here"


def kind_of(file: File) -> tuple[Kind, str]:
    """Return what a file is, and, if it is neither a picture nor a film, what it is in words ("a ...").

    Raises OSError if it cannot be opened.
    """
    match = _SUFFIX.search(file.name.lower())
    suffix = match[0] if match else ""
    with file.open("rb") as opened:
        head = opened.read(HEAD)
    if head[4:8] == b"ftyp":
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(len(head), _length(head)), 4))}
        if brands & {b"avif", b"avis"}:
            return Kind.PICTURE, ""
        if head[8:12] == b"crx ":
            return Kind.OTHER, _BY_SUFFIX[".cr3"]
        if brands & _HEIF:
            return Kind.OTHER, _BY_SUFFIX[".heic"]
    for sign, words in _SIGNS:
        if head.startswith(sign):
            return Kind.OTHER, words
    if head.startswith((b"II*\x00", b"MM\x00*")) and (suffix in _RAW or head[8:10] == b"CR"):
        return Kind.OTHER, _BY_SUFFIX[".cr2"]
    if head.startswith(b"RIFF"):
        if head[8:12] == b"WEBP":
            return Kind.PICTURE, ""
        return (Kind.FILM, "") if head[8:12] in (b"AVI ", b"AVIX") else (Kind.OTHER, "a sound; it has no pictures")
    if head.startswith(_PICTURES) or _is_simple_picture(head, suffix):
        return Kind.PICTURE, ""
    if head.startswith(_FILMS) or head[4:8] in _BOXES or _is_transport_stream(head) or suffix in _FILM_SUFFIXES:
        return Kind.FILM, ""
    if not head:
        return Kind.OTHER, "empty"
    return Kind.OTHER, _BY_SUFFIX.get(suffix, NEITHER)


def is_animated(file: File) -> bool:
    """Return whether a picture is an animation: a GIF, a WebP, or a PNG with several frames."""
    with file.open("rb") as opened:
        head = opened.read(1 << 16)
    if head.startswith(b"RIFF"):
        return head[12:16] == b"VP8X" and len(head) > 20 and bool(head[20] & 2)
    if head.startswith(b"\x89PNG"):
        _, found, after = head.partition(b"IDAT")[0].partition(b"acTL")
        return bool(found) and int.from_bytes(after[:4], "big") > 1
    return head.startswith(b"GIF8")


def is_film(path: Path) -> bool:
    """Return whether a source is a film. An animated picture counts as one, a GIF always.

    What cannot be opened counts as a film, too: then the message is about the file.
    """
    if path.is_dir() or path.suffix.lower() in (".txt", ".zip"):
        return False
    try:
        kind, _ = kind_of(path)
        return kind is not Kind.PICTURE or is_animated(path)
    except OSError:
        return True


def _length(head: bytes) -> int:
    return int.from_bytes(head[:4], "big")


def _is_simple_picture(head: bytes, suffix: str) -> bool:
    """Return whether these are the first bytes of a kind whose sign is too short to be sure without the ending."""
    if re.match(rb"P[1-6]\s", head) or re.match(rb"P[Ff]\n", head) or (head[:2] == b"BM" and head[6:10] == bytes(4)):
        return True
    signs = {".pcx": b"\x0a", ".ico": b"\x00\x00\x01\x00", ".cur": b"\x00\x00\x02\x00", ".tga": b"", ".bmp": b"BM"}
    return suffix in signs and len(head) > 18 and head.startswith(signs[suffix])


def _is_transport_stream(head: bytes) -> bool:
    # Packets have 188 bytes; on Blu-ray, 4 bytes of time come before each.
    places = ((0, 188, 376), (4, 196, 388))
    return len(head) > 388 and any(all(head[place] == 0x47 for place in row) for row in places)
