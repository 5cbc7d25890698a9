"""The sources of data sets: pictures in a folder, a zip, a list, another data set, with the films among them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from ..terminal.jobs import JobError
from .depth import Depth, depth_of
from .kinds import PICTURE_SUFFIXES, File, Kind, is_animated, kind_of
from .lists import listed
from .pictures import BadPicture, glance, levels_of, open_picture
from .reading import FORMAT, read_json
from .settings import Settings

LATENTS = "latents.npy"
LABELS = "dataset.json"
"""Where StyleGAN's data-set tools write the classes: {"labels": [[name, class], ...]}."""
SYSTEM_FILES = {"thumbs.db", "desktop.ini", "__macosx", LATENTS, LABELS}
"""Files that are no part of a folder's contents, in lower case."""
LARGEST_IN_ZIP = 1 << 30
"""Bytes of a file in a zip, unpacked."""


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
    """How many items there are; known after ``look``."""

    def look(self, report: Callable[[int, int], None], stop: Callable[[], bool]) -> bool:
        """Look at what must be known before the first item; return False if it was stopped. Raises JobError.

        Args:
            report: called with how much of it is done, and how much there is.
            stop: returns whether to stop.
        """
        ...

    def items(self, done: Container[str]) -> Iterator[Item]:
        """Yield the items whose key is not in `done`, in an order that never changes."""
        ...

    def about(self) -> dict[str, Any]:
        """Return what is written into dataset.json about it."""
        ...


FilmMaker = Callable[[Path, Path], Source]
"""Returns the source of a film, from its path and the name of the file for its plan. Raises JobError."""


class PictureFiles:
    """Pictures in files, and films among them.

    Args:
        name: for messages.
        files: the files in order; the keys are those of the items.
        settings: how pictures are made.
        latents: a row for each picture, or None.
        labels: the class of a picture by its key, or {}.
        film: makes the source of a film; None: films are skipped.
        depth: the rule for deep pictures, if the data set has one already.
    """

    def __init__(
        self,
        name: str,
        files: dict[str, File],
        settings: Settings,
        latents: np.ndarray | None = None,
        labels: dict[str, Any] | None = None,
        film: FilmMaker | None = None,
        depth: Depth | None = None,
    ) -> None:
        self.name, self.latents, self.labels = name, latents, labels or {}
        self.total = len(files)
        self._files, self._film, self.depth = files, film, depth
        self._films: dict[str, Source] = {}
        self._pages: dict[str, int] = {}
        self._reasons: dict[str, str] = {}
        """Why files cannot be used, as far as that is known before they are read."""
        side = 2 * max(settings.size)
        self._draft = None if settings.trim else (side, side)

    def look(self, report: Callable[[int, int], None], stop: Callable[[], bool]) -> bool:
        """See Source. Films are looked through, pages are counted, and one rule is found for all deep pictures."""
        deep: list[tuple[File, int]] = []
        for number, (key, file) in enumerate(self._files.items()):
            if stop():
                return False
            report(number, len(self._files))
            try:
                kind = _usable_kind(file)
                # A row of the latents belongs to a picture, so that an animation with latents is only its first frame.
                animated = (
                    kind is Kind.PICTURE and self.latents is None and isinstance(file, Path) and is_animated(file)
                )
            except BadPicture as error:
                self._reasons[key] = str(error)
                continue
            if kind is Kind.FILM or (animated and self._film is not None):
                if not self._look_at_film(key, file, stop):
                    return False
            else:
                pages = glance(file) if self.latents is None else glance(file)[:1]
                self._pages[key] = len(pages)
                deep += [(file, page) for page, is_deep in enumerate(pages) if is_deep]
        if self.depth is None:
            depth = depth_of(_levels(deep, stop))
            self.depth = depth if depth != Depth() else None
        more = sum(pages - 1 for pages in self._pages.values()) + sum(film.total - 1 for film in self._films.values())
        self.total = len(self._files) + more
        return not stop()

    def items(self, done: Container[str]) -> Iterator[Item]:
        """See Source."""
        for key, file in self._files.items():
            film = self._films.get(key)
            pages = self._pages.get(key, 1)
            if film is not None:
                prefix = f"{key} "
                inner = _Within(done, prefix)
                for item in film.items(inner):
                    yield Item(prefix + item.key, item.load, item.position, item.scene)
            elif pages > 1:
                for page in range(pages):
                    name = f"{key} page {page + 1}"
                    if name not in done:
                        yield Item(name, lambda file=file, page=page: open_picture(file, self._draft, page, self.depth))
            elif key not in done:
                yield Item(key, lambda key=key, file=file: self._open(key, file))

    def about(self) -> dict[str, Any]:
        """See Source."""
        return {} if self.depth is None else {"depth": self.depth.to_dict()}

    def _look_at_film(self, key: str, file: File, stop: Callable[[], bool]) -> bool:
        if not isinstance(file, Path):
            self._reasons[key] = "films in a zip are not read; unpack it"
        elif self.latents is not None:
            self._reasons[key] = f"it is a film, and {LATENTS} has a row for each picture"
        elif self._film is None:
            self._reasons[key] = "it is a film, and the server's Python has no PyAV to read it"
        else:
            plan = Path(f"film-{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}.json")
            try:
                film = self._film(file, plan)
                if not film.look(lambda *_: None, stop):
                    return False
                self._films[key] = film
            except JobError as error:
                self._reasons[key] = str(error).replace(f"{file} ", "it ", 1).rstrip(".")
        return True

    def _open(self, key: str, file: File) -> Image.Image:
        if key in self._reasons:
            raise BadPicture(self._reasons[key])
        return open_picture(file, self._draft, depth=self.depth)


def _usable_kind(file: File) -> Kind:
    """Return whether a file is a picture or a film. Raises BadPicture if it is neither, or cannot be opened."""
    try:
        if isinstance(file, Path) and file.is_dir():
            raise BadPicture("it is a folder")
        if isinstance(file, zipfile.Path) and file.root.getinfo(file.at).file_size > LARGEST_IN_ZIP:
            raise BadPicture("it is far too large")
        kind, words = kind_of(file)
    except OSError as error:
        raise BadPicture(f"it cannot be read: {error.strerror or error}") from error
    except (RuntimeError, ValueError, KeyError, zipfile.BadZipFile) as error:  # encrypted, or damaged
        raise BadPicture(f"it cannot be unpacked: {error}") from error
    if kind is Kind.OTHER:
        raise BadPicture(f"it is {words}")
    return kind


class _Within:
    """The keys of a film, out of those of the whole source."""

    def __init__(self, done: Container[str], prefix: str) -> None:
        self._done, self._prefix = done, prefix

    def __contains__(self, key: object) -> bool:
        return f"{self._prefix}{key}" in self._done


def _levels(files: list[tuple[File, int]], stop: Callable[[], bool]) -> Iterator[np.ndarray]:
    """Yield the numbers of deep pictures, of those that can be read."""
    for file, page in files:
        if stop():
            return
        try:
            yield levels_of(file, page)
        except BadPicture:
            continue


def is_dataset(path: Path) -> bool:
    """Return whether a source is a data set."""
    return read_json(path / "dataset.json").get("format") == FORMAT


def picture_files(source: Path, out: Path, settings: Settings, film: FilmMaker | None = None) -> PictureFiles:
    """Return the pictures of a folder, a zip, a list or a data set. If `out` is inside the folder, it is left out.

    Raises:
        JobError: if there are no pictures, or their latents do not fit.
    """
    if not source.exists():
        raise JobError(f"There is no {source}.")
    kept = read_json(out / "dataset.json").get("depth")
    depth = Depth(**kept) if isinstance(kept, dict) and set(kept) == set(Depth().to_dict()) else None
    if source.is_file():
        if source.suffix.lower() == ".txt":
            return PictureFiles(source.name, dict(listed(source)), settings, film=film, depth=depth)
        if source.suffix.lower() == ".zip":
            files, labels = _zipped(source)
            return PictureFiles(source.name, files, settings, labels=labels, depth=depth)
        if len(glance(source)) > 1:
            return PictureFiles(source.name, {source.name: source}, settings, depth=depth)
        raise JobError(f"{source} is a single picture. Give the folder that it is in.")
    folder = source / "pictures" if is_dataset(source) else source
    found = _walk(folder, out)
    names = {path.relative_to(folder).as_posix(): path for path in found}
    table = latents_file(source)
    if table is not None:  # a row for each picture: what is no picture has none
        names = {name: path for name, path in names.items() if _is_picture(path)}
    keys = sorted(names, key=natural if table is None else None)
    if not keys:
        raise JobError(f"{source} holds no pictures. Give a folder with pictures, or a film itself.")
    latents = _read_latents(table, len(keys)) if table else None
    labels = {} if folder != source else labels_of(_text(source / LABELS))
    return PictureFiles(source.name, {key: names[key] for key in keys}, settings, latents, labels, film, depth)


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts "frame 2" before "frame 10"."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part] + [(1, 0, name)]


def labels_of(text: str) -> dict[str, Any]:
    """Return the class of each picture by its name, from the text of a dataset.json of StyleGAN's tools; {} if none."""
    try:
        labels = json.loads(text)["labels"]
        return {name: label for name, label in labels if isinstance(name, str)}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}


def _zipped(source: Path) -> tuple[dict[str, File], dict[str, Any]]:
    """Return the files in a zip, and their classes. Nothing is unpacked to the disk."""
    try:
        archive = zipfile.ZipFile(source)
    except (OSError, zipfile.BadZipFile) as error:
        raise JobError(f"{source} cannot be read as a zip: {error}.") from error
    inside = [info.filename for info in archive.infolist() if not info.is_dir()]
    names = [name for name in inside if not _is_hidden(name)]
    if not names:
        raise JobError(f"{source} holds no pictures. Give a folder with pictures, or a film itself.")
    labels = {}
    if LABELS in inside and archive.getinfo(LABELS).file_size < LARGEST_IN_ZIP:
        try:
            labels = labels_of(archive.read(LABELS).decode("utf-8", "replace"))
        except (RuntimeError, OSError, zipfile.BadZipFile, NotImplementedError):
            labels = {}  # encrypted or damaged: the pictures are listed with that reason
    return {name: zipfile.Path(archive, name) for name in sorted(names, key=natural)}, labels


def _is_hidden(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    hidden = (part.startswith(".") and part not in (".", "..") for part in parts)
    return any(hidden) or any(part.lower() in SYSTEM_FILES for part in parts)


def _is_picture(path: Path) -> bool:
    try:
        return path.suffix.lower() in PICTURE_SUFFIXES or kind_of(path)[0] is Kind.PICTURE
    except OSError:
        return True


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    except OSError:
        return ""


def _walk(folder: Path, out: Path) -> list[Path]:
    """Return the files in a folder and its sub-folders.

    Links to folders are followed, but no folder is read twice. Hidden files and folders, and those that the system
    makes, are left out.
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
            if _is_hidden(entry.name):
                continue
            path = place / entry.name
            if path.is_dir():
                waiting.append(path)
            else:
                found.append(path)
    return found


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
