"""Make a data set: from a source to the folder that reading.py describes."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from lantern_protocol.job_folder import read_json, write_json

from ..terminal.jobs import Job, JobError
from .duplicates import Duplicates
from .journal import Entry, Journal
from .pictures import BadPicture, Prepared, prepare
from .reading import FORMAT, VERSION
from .settings import Settings, differing
from .sheet import FILE as SHEET
from .sheet import MOST, write_contact_sheet
from .sources import LATENTS, Item, Source

ABOUT = "dataset.json"
SKIPPED = "skipped.txt"
LABELS = "labels.json"
PICTURES = "pictures"
AHEAD = 3
"""How many pictures are in work or waiting at once, for each thread."""
RATE_SECONDS = 10.0


def check_folder(out: Path, source: Path, settings: Settings) -> None:
    """Raise JobError if the data set cannot be made or continued in this folder."""
    about = read_json(out / ABOUT)
    pictures = any((out / PICTURES).glob("*")) if (out / PICTURES).is_dir() else (out / PICTURES).exists()
    if about.get("format") != FORMAT:
        if pictures or any((out / name).exists() for name in (ABOUT, LATENTS, SHEET)):
            raise JobError(f"{out} holds other pictures or files. Choose another folder for the data set.")
        return
    if not pictures:
        return
    others = differing(about.get("settings") or {}, settings.as_json())
    if about.get("source") != printable(source.absolute()):
        others.insert(0, f"from {about.get('source')}")
    if others:
        raise JobError(
            f"{out} holds a data set that was made {', '.join(others)}. Give the same to continue it, or choose "
            f"another folder."
        )


def printable(text: object) -> str:
    """Return text that can be written as UTF-8, even if a file's name cannot."""
    return str(text).encode("utf-8", "replace").decode()


class Making:
    """The work of making one data set.

    Args:
        job: the job; its folder is the data set's.
        path: the path of the source, as it was given.
        source: the source.
        settings: which pictures are made, and how.
        workers: threads that decode and resize; Pillow and PyAV release Python's interpreter lock while they do. None
            is one for each processor core.
    """

    def __init__(self, job: Job, path: Path, source: Source, settings: Settings, workers: int | None = None) -> None:
        self._job, self._path, self._source, self._settings = job, path, source, settings
        self._workers = workers or os.cpu_count() or 1
        self._out = job.folder
        self._next = 0
        self._sheet = False

    def run(self) -> dict[str, int]:
        """Make the pictures that are missing, until the job is asked to stop; return the journal's counts.

        Raises:
            JobError: if something cannot be written, or no picture could be used.
        """
        try:
            return self._run()
        except OSError as error:
            raise JobError(
                f"The data set {self._out} cannot be written: {error.strerror or error}. Solve this problem and give "
                f"the same command again; it continues where it stopped."
            ) from error

    def _run(self) -> dict[str, int]:
        started = not any((self._out / PICTURES).glob("*.png"))
        (self._out / PICTURES).mkdir(exist_ok=True)
        if started:  # files of a data set that never got a picture
            for name in ("sources.jsonl", LATENTS):
                (self._out / name).unlink(missing_ok=True)
        if self._source.latents is not None:  # a row for each picture: written when all are made
            (self._out / LATENTS).unlink(missing_ok=True)
        with closing(Journal(self._out)) as journal:
            self._write_about(complete=False)
            known = Duplicates(self._settings.duplicates)
            for entry in journal.entries.values():
                cells = entry.unpack() if entry.picture else None
                if cells is not None:
                    known.add(entry.picture, cells)
                self._next = max(self._next, int(Path(entry.picture).stem) + 1 if entry.picture else 0)
            self._make(journal, known)
            return self._finish(journal)

    def _make(self, journal: Journal, known: Duplicates) -> None:
        began = time.monotonic()
        before = len(journal.entries)
        lately: deque[tuple[float, int]] = deque([(began, before)])
        self._tell(journal, f"Reading {printable(self._source.name)}", 0.0, 0.0)
        for item, result in self._prepared(journal):
            self._add(journal, known, item, result)
            now, done = time.monotonic(), len(journal.entries)
            while len(lately) > 1 and now - lately[0][0] > RATE_SECONDS:
                lately.popleft()
            rate = (done - lately[0][1]) / max(now - lately[0][0], 1e-3)
            lately.append((now, done))
            left = (self._source.total - done) / rate if rate else 0.0
            if not self._sheet and self._next >= MOST:
                self._write_sheet(journal)
            self._tell(journal, f"Reading {printable(self._source.name)}", rate, max(0.0, left))
            if self._job.stop_asked():
                return

    def _prepared(self, journal: Journal) -> Iterator[tuple[Item, Prepared | BadPicture]]:
        """Yield items in order, each with its picture or the reason why there is none.

        Only ``AHEAD`` pictures for each thread are in memory at once.
        """
        waiting: deque[tuple[Item, Future[Prepared]]] = deque()
        pool = ThreadPoolExecutor(self._workers)
        try:
            for item in self._source.items(journal.entries):
                waiting.append((item, pool.submit(self._prepare, item)))
                if len(waiting) >= AHEAD * self._workers:
                    yield _result(*waiting.popleft())
            while waiting:
                yield _result(*waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)

    def _prepare(self, item: Item) -> Prepared:
        return prepare(item.load(), self._settings, item.position)

    def _add(self, journal: Journal, known: Duplicates, item: Item, result: Prepared | BadPicture) -> None:
        if isinstance(result, BadPicture):
            journal.add(Entry(item.key, skipped=str(result), scene=item.scene))
            return
        like = known.find(result.cells)
        if like is not None:
            journal.add(Entry(item.key, like=like, scene=item.scene))
            return
        name = f"{self._next:06d}.png"
        path = self._out / PICTURES / name
        part = path.with_suffix(".part")
        part.write_bytes(result.png)
        os.replace(part, path)
        known.add(name, result.cells)
        cells = Entry.pack(result.cells) if self._settings.duplicates else ""
        journal.add(Entry(item.key, picture=name, scene=item.scene, enlarged=result.enlarged, cells=cells))
        self._next += 1

    def _finish(self, journal: Journal) -> dict[str, int]:
        counts = journal.counts
        skipped = [entry for entry in journal.entries.values() if entry.skipped]
        text = "".join(f"{entry.source}: {entry.skipped}\n" for entry in skipped)
        path = self._out / SKIPPED
        if text:
            part = path.with_suffix(".part")
            part.write_bytes(text.encode("utf-8", "surrogateescape"))
            os.replace(part, path)
        self._write_latents(journal)
        self._write_labels(journal)
        self._write_sheet(journal)
        self._write_about(complete=len(journal.entries) >= self._source.total)
        for part in (self._out / PICTURES).glob("*.part"):  # left when the work was killed
            part.unlink()
        self._tell(journal, f"{counts['kept']} pictures", 0.0, 0.0)
        if not counts["kept"] and not self._job.stop_asked():
            some = "; ".join(printable(f"{entry.source}: {entry.skipped}") for entry in skipped[:3])
            raise JobError(f"None of the pictures in {printable(self._path)} could be used. {some}.")
        return counts

    def _write_about(self, complete: bool) -> None:
        width, height = self._settings.size
        about: dict[str, Any] = {"format": FORMAT, "version": VERSION, "width": width, "height": height}
        about |= {"channels": self._settings.channels, "mirror": self._settings.mirror, "complete": complete}
        about |= {"source": printable(self._path.absolute()), "settings": self._settings.as_json()}
        write_json(self._out / ABOUT, about | self._source.about())

    def _write_latents(self, journal: Journal) -> None:
        """Write the latents of the pictures that are there, in the order of the pictures' names."""
        if self._source.latents is None:
            return
        rows = {item.key: row for row, item in enumerate(self._source.items(()))}
        there = {path.name for path in (self._out / PICTURES).glob("*.png")}
        kept = sorted((one.picture, rows[one.source]) for one in journal.entries.values() if one.picture in there)
        part = self._out / f"{LATENTS}.part"
        with part.open("wb") as file:
            np.save(file, self._source.latents[[row for _, row in kept]])
        os.replace(part, self._out / LATENTS)

    def _write_labels(self, journal: Journal) -> None:
        """Write the classes of the pictures as StyleGAN's data-set tools do, if the source has any."""
        labels = getattr(self._source, "labels", {})
        pairs = [[one.picture, labels[one.source]] for one in journal.entries.values() if one.source in labels]
        if pairs:
            write_json(self._out / LABELS, {"labels": sorted(pair for pair in pairs if pair[0])})

    def _write_sheet(self, journal: Journal) -> None:
        names = [entry.picture for entry in journal.entries.values() if entry.picture]
        self._sheet = bool(names) and write_contact_sheet(self._out, names)

    def _tell(self, journal: Journal, message: str, rate: float, left: float) -> None:
        done = len(journal.entries)
        picture = SHEET if self._sheet else ""
        self._job.tell(
            state="working",
            message=message,
            done=done,
            total=self._source.total,
            rate=rate,
            seconds_left=left,
            picture=picture,
            facts=dict(journal.counts),
        )


def _result(item: Item, future: Future[Prepared]) -> tuple[Item, Prepared | BadPicture]:
    try:
        return item, future.result()
    except BadPicture as error:
        return item, error
