"""What `info`, `generate` and `render` do."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from .cli import UsageError, print_json
from .render import render as render_sequence
from .renderer import DeviceError, Frames, Renderer, check_classes, check_latents, not_finite
from .sequence_file import SequenceFileError
from .worker import sample_seeds


def info(options: argparse.Namespace) -> int:
    """Print what a checkpoint holds."""
    loaded = _renderer("cpu").open(None if options.file is None else str(options.file), None)
    about = loaded.info.to_dict() | {"sha256": loaded.sha256, "bytes": loaded.file_bytes, "path": str(loaded.path)}
    if options.json:
        print_json(about)
        return 0
    about["size"] = f"{about.pop('width')} x {about.pop('height')}, {about.pop('channels')} channels"
    for key, value in about.items():
        if isinstance(value, bool):
            value = "yes" if value else "no"
        print(f"{key.replace('_', ' '):12} {', '.join(value) if isinstance(value, list) else value}")
    return 0


def generate(options: argparse.Namespace) -> int:
    """Write float32 pictures (n, channels, height, width), before the step to 8 bits."""
    renderer = _renderer(options.device)
    loaded = renderer.open(None if options.checkpoint is None else str(options.checkpoint), None)
    if options.batch is not None:
        if options.batch < 1:
            raise UsageError("--batch must be 1 or more.")
        loaded.batch = options.batch
    if options.seeds is not None:
        space, latents = "z", sample_seeds(options.seeds, loaded.info.z_dim)
    else:
        space, latents = options.space, _load_array(options.latents)
    check_latents(loaded.info, space, latents)
    classes = None
    if options.classes is not None:
        classes = _load_array(options.classes)
        classes = np.ascontiguousarray(np.broadcast_to(classes, (len(latents), classes.shape[-1])))
    if space == "z":
        check_classes(loaded.info, classes)
    count = len(latents)
    psi = np.full(count, options.psi, dtype=np.float32)
    frames = Frames(space, latents, psi, [options.cutoff] * count, options.noise, classes)
    pictures = renderer.batched(loaded, frames, lambda part: list(renderer.images(loaded, part).float().cpu().numpy()))
    shape = (0, loaded.info.channels, loaded.info.height, loaded.info.width)
    result = np.stack(pictures) if pictures else np.zeros(shape, dtype=np.float32)
    if not np.isfinite(result).all():
        raise not_finite(loaded.info)
    with open(options.out, "wb") as file:
        np.save(file, result)
    return 0


def render(options: argparse.Namespace) -> int:
    """Make the frames of a sequence file."""
    try:
        return render_sequence(options, _renderer(options.device))
    except SequenceFileError as error:
        raise UsageError(str(error)) from None


def _renderer(device: str | None) -> Renderer:
    try:
        return Renderer(device, lambda level, text: print(f"{level}: {text}", file=sys.stderr))
    except DeviceError as error:
        raise UsageError(str(error)) from None


def _load_array(path: Path) -> np.ndarray:
    try:
        with open(path, "rb") as file:
            values = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"{path} cannot be read as .npy: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(values, np.ndarray) or values.ndim == 0 or values.dtype.kind not in "fiu":
        raise UsageError(f"{path} does not hold an array of numbers.")
    return np.ascontiguousarray(values, dtype=np.float32)
