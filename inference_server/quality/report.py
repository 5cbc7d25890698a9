"""The work of the command `quality`: compare the pictures of generators with a data set's, and print a report."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lantern_protocol.job_folder import read_json, write_json
from lantern_protocol.orders import RenderSettings

from ..checkpoints import CheckpointError
from ..checkpoints.snapshots import find_snapshots
from ..datasets.reading import Dataset, DatasetError
from ..rendering.batches import Frames
from ..rendering.renderer import Renderer
from ..rendering.residents import Loaded
from ..terminal.console import UsageError, open_renderer, print_json
from .measure import BATCH, FEWEST, Quality, Reference, check_kind, describe, measure

FORMAT = "latent-lantern-quality"
VERSION = 2
REPORT = "quality.json"
SEED = 0
IMAGES_SEEN = re.compile(r"snapshot-(\d+)")


def report(options: argparse.Namespace) -> int:
    """Measure a generator, or each snapshot of a run; print a table or JSON; return the exit status."""
    if options.count < FEWEST:
        raise UsageError(f"--count must be {FEWEST} or more. Numbers of fewer than some hundred pictures mean little.")
    if not np.isfinite(options.psi):
        raise UsageError("--psi must be a finite number.")
    try:
        dataset = Dataset(options.dataset)
        paths = find_snapshots(options.generator) if options.generator.is_dir() else [options.generator]
        if len(dataset) < 2 * FEWEST:
            raise UsageError(f"The data set {options.dataset} has {len(dataset)} pictures, too few to compare with.")
        renderer = open_renderer(options.device, options.compile)
        info = renderer.open(str(paths[0]), None).info
        check_kind(dataset.size, dataset.channels, (info.height, info.width), info.channels)
        return _report(options, dataset, paths, renderer)
    except (DatasetError, CheckpointError) as error:
        raise UsageError(str(error)) from None


def _report(options: argparse.Namespace, dataset: Dataset, paths: list[Path], renderer: Renderer) -> int:
    count = min(options.count, len(dataset))
    terms = {
        "format": FORMAT,
        "version": VERSION,
        "dataset": str(options.dataset.resolve()),
        "fingerprint": dataset.fingerprint,
        "pictures": count,
        "psi": options.psi,
        "seed": SEED,
    }
    file = options.generator / REPORT if options.generator.is_dir() else None
    known = {} if file is None else read_json(file)
    if any(known.get(key) != value for key, value in terms.items()):
        known = {}
    before = {(entry.get("file"), entry.get("sha256")): entry for entry in known.get("generators", [])}
    chosen = np.arange(count) * len(dataset) // count
    reference = Reference(describe(_pictures(dataset, chosen), count))
    halves = known.get("halves") or _halves(dataset, chosen).to_dict()
    entries: list[dict[str, Any]] = []
    if not options.json:
        print(f"{count} pictures of {options.dataset}, and as many of each generator at psi {options.psi:g}")
        print(_heading(halves))
        print(_row("the data set's halves", halves), flush=True)
    for path in paths:
        sha256 = renderer.identities.of(path)[1]
        entry = before.get((path.name, sha256))
        if entry is None:
            loaded = renderer.open(str(path), sha256, keep=False)
            quality = measure(reference, describe(generated(renderer, loaded, count, options.psi), count))
            entry = {"file": path.name, "sha256": sha256, "images": images_seen(path), **quality.to_dict()}
        entries.append(entry)
        if file is not None:
            write_json(file, terms | {"halves": halves, "generators": entries})
        if not options.json:
            name = f"{entry['images']:,} images" if entry["images"] is not None else path.name
            print(_row(name, entry), flush=True)
    if options.json:
        print_json(terms | {"halves": halves, "generators": entries})
    return 0


def images_seen(path: Path) -> int | None:
    """Return the number of images that a snapshot was trained on, from its file name; None for other files."""
    match = IMAGES_SEEN.fullmatch(path.stem)
    return int(match[1]) if match else None


def generated(renderer: Renderer, loaded: Loaded, count: int, psi: float) -> Iterator[np.ndarray]:
    """Yield pictures uint8 (n, h, w, c), ``count`` in all, from latents that are always the same.

    Each picture has its own noise, and with a conditional generator its own random class.
    """
    info, random = loaded.info, np.random.RandomState(SEED)
    latents = random.standard_normal((count, info.z_dim)).astype(np.float32)
    classes: list[tuple[float, ...]] = [()] * count
    if info.num_classes:
        chosen = np.eye(info.num_classes)[random.randint(info.num_classes, size=count)]
        classes = [tuple(weights) for weights in chosen.tolist()]
    at_once = 1 if info.has_noise else BATCH
    for start in range(0, count, at_once):
        rows = slice(start, min(start + at_once, count))
        noise = start if info.has_noise else "none"
        settings = [RenderSettings(psi, info.default_cutoff, noise, weights) for weights in classes[rows]]
        frames = Frames.of("z", latents[rows], settings)
        yield np.stack([picture.pixels() for picture in renderer.render(loaded, frames)])
        if sys.stderr.isatty() and rows.stop % 50 < at_once:
            print(f"\r{rows.stop} of {count} pictures\r", end="", file=sys.stderr, flush=True)


def _pictures(dataset: Dataset, indices: np.ndarray) -> Iterator[np.ndarray]:
    """Yield pictures (n, h, w, c) of a data set; if they are also shown mirrored, every second one is mirrored."""
    for start in range(0, len(indices), BATCH):
        pictures = np.stack([dataset.picture(int(index)) for index in indices[start : start + BATCH]])
        if dataset.mirror:
            pictures[1::2] = pictures[1::2, :, ::-1].copy()
        yield pictures


def _halves(dataset: Dataset, indices: np.ndarray) -> Quality:
    """Measure how close every second picture is to the rest: the best possible generator would reach these numbers."""
    first, second = (indices[at::2][: len(indices) // 2] for at in (0, 1))
    return measure(
        Reference(describe(_pictures(dataset, first), len(first))),
        describe(_pictures(dataset, second), len(second)),
    )


def _heading(quality: dict[str, Any]) -> str:
    sides = "".join(f"{side:>8}" for side in quality["swd_levels"])
    return f"{'':28}{'swd':>8}    {sides}{'precision':>12}{'recall':>9}{'variety':>10}"


def _row(name: str, quality: dict[str, Any]) -> str:
    levels = "".join(f"{value:8.1f}" for value in quality["swd_levels"].values())
    shares = f"{quality['precision']:12.3f}{quality['recall']:9.3f}{quality['variety']:10.3f}"
    return f"{name:28}{quality['swd']:8.1f}    {levels}{shares}"
