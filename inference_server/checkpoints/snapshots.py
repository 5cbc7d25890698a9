"""Find the snapshots of one training in a folder, and their order, from names, sizes and first bytes."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from .errors import CheckpointError
from .file_kinds import tensorflow_kind
from .natural import natural
from .torch7 import looks_like_torch7

SUFFIXES = (".pkl", ".pt", ".pth", ".t7", ".safetensors", ".ckpt", ".bin", ".tar", ".pickle", ".model", "")
"""Suffixes of files that may be checkpoints, in lower case."""

MOST_SNAPSHOTS = 2000
SIZES_AGREE = 0.1
"""Sizes of snapshots of one training differ by at most this fraction of the larger one."""

_NOT_GENERATORS = {"d", "disc", "discriminator", "optim", "optimizer", "optimiser", "opt", "aug", "augment"}
_LAST_NAMES = ("best", "last", "latest", "current", "final", "ema")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_NUMBER = re.compile(r"(?<![\dx])\d+(?!\d|x\d)")
"""A number that may be a point in training; not the sides of 512x512."""


@dataclass(frozen=True)
class Checkpoint:
    """A file that may be a checkpoint. size: in bytes. changed: in seconds since 1970."""

    path: Path
    size: int
    changed: float


def list_checkpoints(folder: Path) -> list[Checkpoint]:
    """Return the files of a folder that look like checkpoints, sorted by name. Raises OSError if it cannot be read."""
    found = []
    for entry in os.scandir(folder):
        path = Path(entry.path)
        if path.suffix.lower() in SUFFIXES and not entry.name.startswith(".") and _is_generator_name(path.stem):
            try:
                if entry.is_file() and _looks_like_checkpoint(path):
                    status = entry.stat()
                    found.append(Checkpoint(path, status.st_size, status.st_mtime))
            except OSError:
                continue
    return sorted(found, key=lambda checkpoint: natural(checkpoint.path.name))


def group_runs(checkpoints: list[Checkpoint]) -> list[list[Checkpoint]]:
    """Return the checkpoints of one folder as runs, each in the order of training; a run may be one file.

    Files belong together if their names differ only in a number and their sizes agree. A file whose name contains
    "final" or a similar word belongs to the folder's run, if the folder has only one run of several files.
    """
    groups: dict[tuple[str, str], list[Checkpoint]] = defaultdict(list)
    for checkpoint in checkpoints:
        stem = checkpoint.path.stem
        groups[(_NUMBER.sub("#", stem) if _NUMBER.search(stem) else stem, checkpoint.path.suffix.lower())].append(
            checkpoint
        )
    runs = [part for group in groups.values() for part in _of_equal_size(group)]
    series = [run for run in runs if len(run) > 1]
    if len(series) == 1:
        for run in [run for run in runs if len(run) == 1 and _is_last_name(run[0].path.stem)]:
            if run[0].path.suffix == series[0][0].path.suffix and _sizes_agree(run[0], series[0][0]):
                series[0] += run
                runs.remove(run)
    return [in_order(run) for run in runs]


def find_snapshots(folder: Path) -> list[Path]:
    """Return the snapshots of the training in a folder, in the order of training.

    These are the files of the largest run. If no run has more than one file, they are all checkpoints of one format
    and similar size.

    Raises:
        CheckpointError: there are none, there are more than MOST_SNAPSHOTS, or the folder cannot be read.
    """
    try:
        checkpoints = list_checkpoints(folder)
    except OSError as error:
        raise CheckpointError(f"The folder {folder} cannot be read: {error.strerror or error}.") from error
    if not checkpoints and (kind := tensorflow_kind(folder)):
        raise CheckpointError(f"{folder} is {kind}, which is not read; choose the pickle (.pkl) that it was made from.")
    if not checkpoints:
        raise CheckpointError(
            f"There is no checkpoint in the folder {folder} ({', '.join(filter(None, SUFFIXES))}). "
            "Choose the folder that holds the checkpoints."
        )
    run = largest_run(checkpoints)
    if len(run) == 1:
        by_suffix: dict[str, list[Checkpoint]] = defaultdict(list)
        for checkpoint in checkpoints:
            by_suffix[checkpoint.path.suffix.lower()].append(checkpoint)
        run = in_order(_largest([part for group in by_suffix.values() for part in _of_equal_size(group)]))
    if len(run) > MOST_SNAPSHOTS:
        raise CheckpointError(f"The folder {folder} holds {len(run)} snapshots; {MOST_SNAPSHOTS} are the limit.")
    return [checkpoint.path for checkpoint in run]


def largest_run(checkpoints: list[Checkpoint]) -> list[Checkpoint]:
    """Return the run with the most files among the checkpoints of one folder; of equal runs, the newest.

    There must be at least one checkpoint.
    """
    return _largest(group_runs(checkpoints))


def _largest(runs: list[list[Checkpoint]]) -> list[Checkpoint]:
    return max(runs, key=lambda run: (len(run), max(checkpoint.changed for checkpoint in run)))


def in_order(run: list[Checkpoint]) -> list[Checkpoint]:
    """Return the run sorted by the numbers in the names; a name without its own number, such as "final", comes last."""
    common = _common_start([checkpoint.path.stem for checkpoint in run])

    def key(checkpoint: Checkpoint) -> tuple[bool, int, list[tuple[bool, int, str]]]:
        stem = checkpoint.path.stem
        rest = stem[len(common) :]
        unnumbered = not _NUMBER.search(rest)
        words = _words(rest)
        rank = max((_LAST_NAMES.index(word) + 1 for word in words if word in _LAST_NAMES), default=0)
        return unnumbered, rank if unnumbered else 0, natural(stem)

    return sorted(run, key=key)


def _common_start(stems: list[str]) -> str:
    """Return what all names begin with, up to the number in which they differ."""
    first, last = min(stems), max(stems)
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), 0)
    return first[:length].rstrip("0123456789")


def _of_equal_size(group: list[Checkpoint]) -> list[list[Checkpoint]]:
    """Return the files grouped by size: the sizes in a group agree with that of its largest file."""
    left, parts = sorted(group, key=lambda checkpoint: checkpoint.size, reverse=True), []
    while left:
        part = [checkpoint for checkpoint in left if _sizes_agree(checkpoint, left[0])]
        left = [checkpoint for checkpoint in left if not _sizes_agree(checkpoint, left[0])] if part else []
        parts.append(part)
    return parts


def _sizes_agree(one: Checkpoint, other: Checkpoint) -> bool:
    return abs(one.size - other.size) <= SIZES_AGREE * max(one.size, other.size)


def _is_generator_name(stem: str) -> bool:
    return not _NOT_GENERATORS & set(_words(stem))


def _is_last_name(stem: str) -> bool:
    return bool(set(_LAST_NAMES) & set(_words(stem)))


def _words(stem: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(stem)]


def _looks_like_checkpoint(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(64)
    if start[8:9] == b"{":
        return path.suffix.lower() == ".safetensors"
    return start.startswith((b"PK\x03\x04", b"\x80")) or looks_like_torch7(start)
