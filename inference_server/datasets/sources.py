"""The sources of data sets: pictures in a folder, pictures in a list, another data set. Films are in films.py."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from ..terminal.jobs import JobError
from .kinds import NOT_READ, PICTURES
from .pictures import BadPicture, open_picture
from .reading import FORMAT, read_json
from .settings import Settings

LATENTS = "latents.npy"


@dataclass(frozen=True)
class Item:
    """A picture of a source."""

    key: str
    """Its name, unique within the source."""
    load: Callable[[], Image.Image]
    """Reads the picture, RGB or RGBA; raises BadPicture. It is called in another thread."""
    position: float | None = None
    """The position of the window that is cut from it, as cropping.window takes it; None to choose it for each picture
    on its own."""
    scene: int = -1


class Source(Protocol):
    """A source of pictures."""

    name: str
    """Its name in messages."""
    latents: np.ndarray | None
    """float32 (items, z_dim), a row for each item, or None."""
    total: int
    """How many items there are."""

    def items(self, done: Container[str]) -> Iterator[Item]:
        """Yield the items whose key is not in `done`, in an order that never changes."""
        ...


class PictureFiles:
    """Pictures in files.

    Args:
        paths: the files in order; the keys are those of the items.
        latents: a row for each picture, or None.
    """

    def __init__(self, name: str, paths: dict[str, Path], settings: Settings, latents: np.ndarray | None) -> None:
        self.name, self.latents, self.total = name, latents, len(paths)
        self.paths = paths
        side = 2 * max(settings.size)
        self._draft = None if settings.trim else (side, side)

    def items(self, done: Container[str]) -> Iterator[Item]:
        """See Source."""
        for key, path in self.paths.items():
            if key not in done:
                yield Item(key, lambda path=path: self._open(path))

    def _open(self, path: Path) -> Image.Image:
        if path.suffix.lower() in NOT_READ:
            raise BadPicture(f"{path.suffix} files cannot be read here; save it as PNG or JPEG")
        return open_picture(path, self._draft)


def is_dataset(path: Path) -> bool:
    """Return whether a source is a data set."""
    return read_json(path / "dataset.json").get("format") == FORMAT


def picture_files(source: Path, out: Path, settings: Settings) -> PictureFiles:
    """Return the pictures of a folder, a list or a data set. If `out` is inside the folder, it is left out.

    Raises:
        JobError: if there are no pictures, or their latents do not fit.
    """
    if not source.exists():
        raise JobError(f"There is no {source}.")
    if source.is_file():
        if source.suffix.lower() != ".txt":
            raise JobError(f"{source} is a single picture. Give the folder that it is in.")
        return PictureFiles(source.name, _listed(source), settings, None)
    dataset = is_dataset(source)
    folder = source / "pictures" if dataset else source
    found = _walk(folder, out)
    names = {path.relative_to(folder).as_posix(): path for path in found}
    table = latents_file(source)
    keys = sorted(names, key=natural if table is None else None)
    if not keys:
        raise JobError(f"{source} holds no pictures. Give a folder with pictures, or a film itself.")
    latents = _read_latents(table, len(keys)) if table else None
    return PictureFiles(source.name, {key: names[key] for key in keys}, settings, latents)


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts "frame 2" before "frame 10"."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part] + [(1, 0, name)]


def _walk(folder: Path, out: Path) -> list[Path]:
    """Return the pictures in a folder and its sub-folders.

    Links to folders are followed, but no folder is read twice. Hidden files and folders are left out.
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            about = place.stat()
            inner = list(os.scandir(place))
        except OSError as error:
            if place == folder:
                raise JobError(f"{folder} cannot be read: {error.strerror or error}.") from error
            found.append(place)  # so that it is listed among the skipped files
            continue
        known = (about.st_dev, about.st_ino)
        if known in seen or (out.exists() and place.samefile(out)):
            continue
        seen.add(known)
        for entry in inner:
            if entry.name.startswith("."):
                continue
            path = place / entry.name
            if path.is_dir():
                waiting.append(path)
            elif path.suffix.lower() in PICTURES | NOT_READ:
                found.append(path)
    return found


def _listed(file: Path) -> dict[str, Path]:
    try:
        text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise JobError(f"{file} cannot be read: {error.strerror or error}.") from error
    if "\0" in text:
        raise JobError(f"{file} is not a text file with a path on each line.")
    lines = dict.fromkeys(line.strip() for line in text.splitlines() if line.strip())
    if not lines:
        raise JobError(f"{file} lists no pictures. It should have a path on each line.")
    return {line: file.parent / line for line in lines}


def latents_file(source: Path) -> Path | None:
    """Return the file of the latents that a folder's pictures were drawn from, or None.

    It is in the same folder as the pictures, or next to their folder `pictures`.
    """
    places = [source / LATENTS, source.absolute().parent / LATENTS if source.name == "pictures" else source / LATENTS]
    return next((path for path in places if path.is_file()), None) if source.is_dir() else None


def _read_latents(path: Path, count: int) -> np.ndarray:
    try:
        latents = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise JobError(f"{path} cannot be read as .npy: {error}.") from error
    if not isinstance(latents, np.ndarray) or latents.dtype != np.float32 or latents.ndim != 2 or len(latents) != count:
        about = f"{latents.dtype} of shape {latents.shape}" if isinstance(latents, np.ndarray) else "an archive"
        raise JobError(
            f"{path} is {about}, and there are {count} pictures: it must be float32 with a row for each. Rename it to "
            f"continue without latents."
        )
    return latents
