"""The commands `info` and `convert`: print what a checkpoint holds; write any checkpoint in Latent Lantern's format."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from lantern_protocol.errors import CHECKPOINT_UNREADABLE, ProtocolError

from ..terminal.console import DTYPES, UsageError, open_renderer, print_json


def add_parser(commands: Any, on_device: argparse.ArgumentParser) -> None:
    """Add the arguments of both commands."""
    parser = commands.add_parser("info", help="print what a checkpoint holds, or what snapshots a folder holds")
    parser.add_argument("file", type=Path, nargs="?", help="the default is the built-in generator")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_settings(parser)
    parser.set_defaults(run=info)

    parser = commands.add_parser("convert", help="write any checkpoint in Latent Lantern's own format")
    parser.add_argument("file", type=Path, help="a checkpoint, or a folder of snapshots")
    parser.add_argument("out", type=Path, help="a .safetensors file; for a folder, a folder, made if it is missing")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="half precision takes half the space")
    parser.add_argument("--name", help="the generator's name; the default is the name in the file")
    parser.add_argument("--licence", help="a note on the licence to keep with the weights")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    add_settings(parser)
    parser.set_defaults(run=convert)


@contextlib.contextmanager
def unreadable_is_an_answer() -> Iterator[None]:
    """Turn the error of a checkpoint into the one that commands print."""
    from ..checkpoints import CheckpointError

    try:
        yield
    except CheckpointError as error:
        raise ProtocolError(CHECKPOINT_UNREADABLE, str(error)) from None


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the option that says what a file does not say."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what the file does not say, for example activation=leaky_relu:0.2 or output=sigmoid; may be repeated",
    )


def settings_of(options: argparse.Namespace) -> dict[str, str]:
    """Return the settings of the option. Raises UsageError."""
    from ..checkpoints.unsaid import read_settings

    try:
        return read_settings(options.set)
    except ValueError as error:
        raise UsageError(str(error)) from None


def info(options: argparse.Namespace) -> int:
    """Print what a checkpoint holds; for a folder, what its last snapshot holds. Return 0."""
    from ..rendering.library import read_run

    if options.set:
        return _info_with(options)
    renderer = open_renderer("cpu")
    run = []
    if options.file is not None and options.file.is_dir():
        run = read_run(options.file, renderer.identities, renderer.cache)
    file = run[-1].path if run else options.file
    loaded = renderer.open(None if file is None else str(file), None)
    about = loaded.info.to_dict() | {"sha256": loaded.sha256, "bytes": loaded.file_bytes, "path": str(loaded.path)}
    if options.json:
        print_json(about | {"snapshots": [snapshot.to_json() for snapshot in run]})
        return 0
    about["size"] = f"{about.pop('width')} x {about.pop('height')}, {about.pop('channels')} channels"
    for key, value in about.items():
        if isinstance(value, bool):
            value = "yes" if value else "no"
        if value is None:
            value = "all"
        print(f"{key.replace('_', ' '):14} {', '.join(value) if isinstance(value, list) else value}")
    for index, snapshot in enumerate(run, 1):
        print(f"snapshot {index:<5} {snapshot.name}, {snapshot.bytes / 1e6:.1f} MB, {snapshot.sha256}")
    return 0


def _info_with(options: argparse.Namespace) -> int:
    """Print what a file holds if the given settings are true of it. Return 0. Raises UsageError."""
    from ..checkpoints import load_generator

    if options.file is None or options.file.is_dir():
        raise UsageError("--set needs one checkpoint file.")
    with unreadable_is_an_answer():
        info = load_generator(options.file, settings_of(options)).info
    if options.json:
        print_json(info.to_dict())
    else:
        print(f"{options.file.name}: {info.origin}, {info.width} x {info.height}, assumed: {info.assumed or 'nothing'}")
    return 0


def convert(options: argparse.Namespace) -> int:
    """Write checkpoints of any kind in Latent Lantern's format; for a folder, write each snapshot to a folder."""
    from ..checkpoints.snapshots import find_snapshots
    from ..pixels.encoding import prepare_folder

    if not options.file.is_dir():
        _convert_one(options.file, options.out, options)
        return 0
    with unreadable_is_an_answer():
        paths = find_snapshots(options.file)
    outs = [options.out / f"{path.stem}.safetensors" for path in paths]
    for path, out in zip(paths, outs, strict=True):
        _check_free(path, out, options.overwrite)
    prepare_folder(options.out)
    for path, out in zip(paths, outs, strict=True):
        _convert_one(path, out, options)
    return 0


def _convert_one(file: Path, out: Path, options: argparse.Namespace) -> None:
    import torch

    from ..checkpoints import load_generator, save_generator

    if out.suffix != ".safetensors":
        raise UsageError(f"{out} must end in .safetensors.")
    _check_free(file, out, options.overwrite)
    words = {"name": options.name, "licence": options.licence}
    words = {key: text for key, text in words.items() if text is not None}
    with unreadable_is_an_answer():
        generator = load_generator(file, settings_of(options))
        save_generator(generator, out, words, getattr(torch, options.dtype))
    info = replace(generator.info, **words)
    print(f"{file.name}: {info.origin or info.kind}, {info.width} x {info.height}, z {info.z_dim}, w {info.w_dim}")
    print(f"{out}: {info.name}, {options.dtype}, {out.stat().st_size / 1e6:.1f} MB")


def _check_free(file: Path, out: Path, overwrite: bool) -> None:
    if out.exists() and (not overwrite or (file.exists() and out.samefile(file))):
        raise UsageError(f"{out} is there already. Choose another name, or replace it with --overwrite.")
