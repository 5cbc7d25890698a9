"""The work of `generate`: make pictures from latents, batch by batch, so that not all must fit into memory."""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from lantern_protocol.orders import RenderSettings
from lantern_protocol.part_files import remove_stale_parts

from ..checkpoints import CheckpointError, load_generator, save_generator
from ..checkpoints.latents import is_of_objects, read_latents
from ..generators.base import GeneratorInfo
from ..pixels.encoding import encode_png, encoder_threads, prepare_folder, write_atomically, write_failed
from ..rendering.batches import Frames, Pictures, check_classes, check_latents, check_transform, not_finite
from ..rendering.renderer import Renderer
from ..rendering.residents import Loaded
from ..rendering.seeds import sample_seeds
from ..terminal.console import OWN, UsageError, load_array, open_renderer, show_progress
from .checkpoints import settings_of, unreadable_is_an_answer

LARGEST_STATISTICS = 256
"""The most pictures whose batch statistics are taken together, even if --batch asks for more."""


def generate(options: argparse.Namespace) -> int:
    """Write pictures; return 0. An .npy file gets float32 (n, channels, height, width), not rounded to 8 bits; a folder
    gets numbered PNGs. Raises UsageError if the options do not fit together or do not fit the generator."""
    if options.batch is not None and options.batch < 1:
        raise UsageError("--batch must be 1 or more.")
    if not 0 <= options.mix <= 1:
        raise UsageError("--mix must lie between 0 and 1.")
    if options.mix and options.toward is None:
        raise UsageError("--mix needs --toward, the second snapshot.")
    renderer = open_renderer(options.device, options.compile)
    toward = None if options.toward is None else (str(options.toward), None)
    with _told(options) as path:
        loaded = renderer.open_between(path, None, toward, options.mix)
    frames = _read_frames(options, loaded.info)
    if options.dtype is not None:
        loaded.generator.set_precision(getattr(torch, options.dtype))
    if options.batch is not None:
        loaded.batch = options.batch
    if options.batch_statistics:
        _use_batch_statistics(loaded, options.batch or len(frames.latents))
    if options.out.suffix == ".npy":
        _write_array(options.out, renderer, loaded, frames)
    else:
        _write_pngs(options.out, renderer, loaded, frames)
    return 0


@contextlib.contextmanager
def _told(options: argparse.Namespace) -> Iterator[str | None]:
    """Yield the checkpoint's path; with --set, that of a conversion which says what the file does not say."""
    given = settings_of(options)
    if not given:
        yield None if options.checkpoint is None else str(options.checkpoint)
        return
    if options.checkpoint is None or options.toward is not None:
        raise UsageError("--set needs --checkpoint, and cannot be used with --toward.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{options.checkpoint.stem}.safetensors"
        with unreadable_is_an_answer():
            save_generator(load_generator(options.checkpoint, given), path, {}, torch.float32)
        yield str(path)


def _read_frames(options: argparse.Namespace, info: GeneratorInfo) -> Frames:
    """Return the frames that the options and their files ask for, checked against the generator. Raises UsageError."""
    space = options.space[0]
    if options.seeds is not None:
        if space != "z":
            raise UsageError("--seeds are drawn in z; leave --space out.")
        latents = sample_seeds(options.seeds, info.z_dim)
    else:
        latents, space = _read_latents(options, info, space)
        one = latents.ndim == 1 or (latents.ndim == 3 and space == "z") or (latents.ndim == 2 and options.space == "w+")
        latents = latents[None] if one else latents
    check_latents(info, space, latents)
    count = len(latents)
    classes = None if options.classes is None else _read_classes(options.classes, info.num_classes, count)
    check_classes(info, space, classes)
    transform = None
    if options.transform is not None:
        transform = np.asarray(load_array(options.transform), dtype=np.float32)
        if transform.shape not in ((3, 3), (count, 3, 3)):
            given = " x ".join(map(str, transform.shape))
            raise UsageError(f"{options.transform} holds {given} numbers; a transform is 3 x 3, or {count} x 3 x 3.")
        transform = np.ascontiguousarray(np.broadcast_to(transform, (count, 3, 3)))
        check_transform(info, transform)
    if not np.isfinite(options.psi):
        raise UsageError("--psi must be a finite number.")
    cutoff = info.default_cutoff if options.cutoff == OWN else options.cutoff
    if classes is None and transform is None:
        return Frames.of(space, latents, RenderSettings(options.psi, cutoff, options.noise))
    weights = [()] * count if classes is None else map(tuple, classes.tolist())
    moves = [()] * count if transform is None else map(tuple, transform.reshape(count, 9).tolist())
    settings = [
        RenderSettings(options.psi, cutoff, options.noise, each, transform=move)
        for each, move in zip(weights, moves, strict=True)
    ]
    return Frames.of(space, latents, settings)


def _read_latents(options: argparse.Namespace, info: GeneratorInfo, space: str) -> tuple[np.ndarray, str]:
    """Return the latents of a file and their space, "z" or "w". Raises UsageError.

    In a plain .npy, --space says what the numbers are. Other files say it themselves, by names and sizes.
    """
    path: Path = options.latents
    if path.suffix == ".npy" and not is_of_objects(path):
        return np.ascontiguousarray(load_array(path), dtype=np.float32), space
    try:
        latents, found = read_latents(path, info.z_dim, info.w_dim, info.num_ws)
    except CheckpointError as error:
        raise UsageError(str(error)) from None
    return latents, found[0]


def _read_classes(path: Path, num_classes: int, count: int) -> np.ndarray:
    """Return class weights, float32 (count, num_classes), of a file of weights or class numbers. Raises UsageError."""
    values = load_array(path)
    if values.dtype.kind in "iu" and values.shape in ((), (1,), (count,)):
        if values.min() < 0 or values.max() >= max(num_classes, 1):
            raise UsageError(f"{path} holds class numbers outside 0 to {num_classes - 1}.")
        values = np.eye(max(num_classes, 1), dtype=np.float32)[values]
    if values.ndim not in (1, 2) or values.shape[:-1] not in ((), (1,), (count,)) or not np.isfinite(values).all():
        shape = " x ".join(map(str, values.shape)) or "one"
        raise UsageError(f"{path} holds {shape} numbers; classes are {num_classes} weights, once or {count} times.")
    values = values.astype(np.float32)
    return np.ascontiguousarray(np.broadcast_to(values, (count, values.shape[-1])))


def _use_batch_statistics(loaded: Loaded, batch: int) -> None:
    use = getattr(loaded.generator, "use_batch_statistics", None)
    if use is None:
        raise UsageError(
            f"--batch-statistics is for DCGANs; '{loaded.info.name}' ({loaded.info.kind}) normalises no batches."
        )
    use(True)
    loaded.batch = max(1, min(batch, LARGEST_STATISTICS))


def _write_array(out: Path, renderer: Renderer, loaded: Loaded, frames: Frames) -> None:
    """Write one .npy file, or nothing if there is an error."""
    count = len(frames.latents)
    with _whole(out) as file:
        made = 0
        for batch in renderer.batched(loaded, frames, lambda part: renderer.images(loaded, part).float().cpu().numpy()):
            if not np.isfinite(batch).all():
                raise not_finite(loaded.info)
            if not made:
                _write_header(file, (count, *batch.shape[1:]))
            file.write(np.ascontiguousarray(batch, dtype="<f4").data)
            made += len(batch)
            show_progress(made, count)
        if not made:
            _write_header(file, (0, loaded.info.channels, loaded.info.height, loaded.info.width))


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file under a temporary name; it gets the name `path` if there was no error."""
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        with open(part, "wb") as file:
            yield file
        os.replace(part, path)
    except OSError as error:
        raise write_failed(path, error) from None
    finally:
        part.unlink(missing_ok=True)


def _write_pngs(folder: Path, renderer: Renderer, loaded: Loaded, frames: Frames) -> None:
    """Write frame_0000.png and so on; the number is the row of the latents."""
    prepare_folder(folder)
    remove_stale_parts(folder)
    count = len(frames.latents)

    def write(row: int, batch: Pictures, index: int) -> None:
        write_atomically(folder / f"frame_{row:04d}.png", encode_png(batch.frame(index)))

    def make(part: Frames) -> Pictures:
        return Pictures(renderer.images(loaded, part), loaded.info)

    with ThreadPoolExecutor(encoder_threads(), thread_name_prefix="encoder") as encoders:
        waiting: list[Future[None]] = []
        made = 0
        try:
            for batch in renderer.batched(loaded, frames, make):
                # The previous batch was written while this one was made.
                for future in waiting:
                    future.result()
                made += len(waiting)
                waiting = [encoders.submit(write, made + index, batch, index) for index in range(len(batch))]
                show_progress(made, count)
            for future in waiting:
                future.result()
            show_progress(count, count)
        finally:
            for future in waiting:
                future.cancel()
