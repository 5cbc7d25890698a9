"""Text files with a path on each line, as people and programs write them."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from ..terminal.jobs import JobError

_FFMPEG = re.compile(r"file\s+(.+)")
_NO_PATHS = re.compile(r"ffconcat version [\d.]+|(duration|inpoint|outpoint)\s+[\d.:]+", re.IGNORECASE)


def listed(file: Path) -> dict[str, Path]:
    """Return the paths in a list, in order, each once, by what the list calls them.

    UTF-8, UTF-16 with its mark, quotes, Windows' separators and FFmpeg's lists are understood. Paths are relative to
    the list. Raises JobError if it cannot be read, or lists nothing.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise JobError(f"{file} cannot be read: {error.strerror or error}.") from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = data.decode("utf-16", errors="replace")
    else:
        text = data.decode("utf-8-sig", errors="surrogateescape")
    if "\0" in text:
        raise JobError(f"{file} is not a text file with a path on each line.")
    found = dict.fromkeys(filter(None, map(_named, text.splitlines())))
    if not found:
        raise JobError(f"{file} lists no pictures. It should have a path on each line.")
    return {name: _path(file.parent, name) for name in found}


def _named(line: str) -> str:
    """Return the path that a line names, "" if it names none."""
    line = line.strip()
    if _NO_PATHS.fullmatch(line):
        return ""
    match = _FFMPEG.fullmatch(line)
    quoted = match[1].strip() if match and match[1].strip()[:1] in "'\"" else line
    if len(quoted) > 1 and quoted[0] == quoted[-1] and quoted[0] in "'\"":
        return quoted[1:-1]
    return quoted


def _path(folder: Path, name: str) -> Path:
    """Return the file that a name in a list means: as it stands, or with Windows' separators or encoding."""
    ways = [name]
    if "\\" in name:
        ways.append(name.replace("\\", "/"))
    raw = name.encode("utf-8", "surrogateescape")
    ways += [raw.decode("cp1252", "replace")] if any("\udc80" <= letter <= "\udcff" for letter in name) else []
    return next((folder / way for way in ways if (folder / way).exists()), folder / name)
