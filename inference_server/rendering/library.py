"""List the generators in the user's folders, and the snapshots of a training in one folder."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from lantern_protocol.answers import LibraryEntry, LibraryList, SnapshotFile
from lantern_protocol.errors import CHECKPOINT_UNREADABLE, ProtocolError

from ..checkpoints import CheckpointError
from ..checkpoints.cache import ConversionCache
from ..checkpoints.snapshots import Checkpoint, find_snapshots, largest_run, list_checkpoints
from .identities import Identities

logger = logging.getLogger(__name__)

DEPTH = 2
"""How many levels of folders are searched below the folders that the user names."""

MOST_ENTRIES = 2000
MOST_FOLDERS = 5000
REPORT_SECONDS = 2.0


def list_library(folders: list[Path]) -> LibraryList:
    """Look for checkpoints in folders and two levels below. Only the beginning of each file is read.

    A run of snapshots is one entry, its folder. Problems: a sentence for each folder that could not be read, and one if
    there are too many generators.
    """
    entries: list[LibraryEntry] = []
    problems: list[str] = []
    seen: set[str] = set()

    def look(folder: Path, depth: int) -> None:
        real = os.path.realpath(folder)
        if real in seen or len(entries) >= MOST_ENTRIES or len(seen) >= MOST_FOLDERS:
            return
        seen.add(real)
        try:
            checkpoints = list_checkpoints(folder)
            below = sorted(entry.path for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")
        except OSError as error:
            problems.append(f"The folder {folder} cannot be read: {error.strerror or error}.")
            return
        entries.extend(_entries_of(folder, checkpoints))
        for path in below if depth < DEPTH else ():
            look(Path(path), depth + 1)

    for folder in folders:
        look(folder, 0)
    if len(entries) >= MOST_ENTRIES or len(seen) >= MOST_FOLDERS:
        del entries[MOST_ENTRIES:]
        problems.append(f"Only {len(entries)} generators are listed; name smaller folders to see the others.")
    return LibraryList(tuple(entries), tuple(problems))


def _entries_of(folder: Path, checkpoints: list[Checkpoint]) -> list[LibraryEntry]:
    if not checkpoints:
        return []
    run = largest_run(checkpoints)
    entries = []
    if len(run) > 1:
        size = sum(checkpoint.size for checkpoint in run)
        entries.append(LibraryEntry(str(folder), len(run), size))
        checkpoints = [checkpoint for checkpoint in checkpoints if checkpoint not in run]
    return entries + [LibraryEntry(str(checkpoint.path), 0, checkpoint.size) for checkpoint in checkpoints]


def read_run(folder: Path, identities: Identities, cache: ConversionCache) -> list[SnapshotFile]:
    """Return the snapshots in a folder, in the order of training.

    Snapshots whose make differs from the last one's are left out, and the log names them. Nothing is loaded for this:
    a snapshot whose make is unknown stays. Raises ProtocolError CHECKPOINT_UNREADABLE if there are no snapshots.
    """
    try:
        paths = find_snapshots(folder)
    except CheckpointError as error:
        raise ProtocolError(CHECKPOINT_UNREADABLE, str(error), {"path": str(folder)}) from None
    snapshots = []
    reported = time.monotonic()
    for index, path in enumerate(paths):
        if time.monotonic() - reported > REPORT_SECONDS:
            reported = time.monotonic()
            logger.info("Looking at snapshot %d of %d in %s ...", index + 1, len(paths), folder)
        size, sha256 = identities.of(path)
        snapshots.append(SnapshotFile(path.stem, str(path), sha256, size))
    makes = [cache.make(path, snapshot.sha256) for path, snapshot in zip(paths, snapshots, strict=True)]
    wanted = next((make for make in reversed(makes) if make is not None), None)
    kept = [snapshot for snapshot, make in zip(snapshots, makes, strict=True) if make is None or make == wanted]
    if len(kept) < len(snapshots):
        left = [snapshot.name for snapshot in snapshots if snapshot not in kept]
        logger.warning(
            "Left out of the snapshots in %s, because they are of a different make: %s.", folder, ", ".join(left[:8])
        )
    return kept
