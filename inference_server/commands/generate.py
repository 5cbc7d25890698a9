"""The command `generate`: make pictures from latents."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lantern_protocol.errors import ProtocolError
from lantern_protocol.orders import noise_from_json

from ..terminal.console import DTYPES, OWN, number_list
from .checkpoints import add_settings


def add_parser(commands: Any, on_device: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    generate = commands.add_parser("generate", parents=[on_device], help="make pictures from latents")
    generate.add_argument("--checkpoint", type=Path, help="the default is the built-in generator")
    add_settings(generate)
    generate.add_argument("--toward", type=Path, help="a second snapshot of the same training, to blend with")
    generate.add_argument("--mix", type=float, default=0.0, help="share of the second snapshot's weights, 0 to 1")
    source = generate.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--latents",
        type=Path,
        help=".npy: (n, z), (n, w), (n, num_ws, w) or (n, z, rows, columns); (z,) is one row. Or what projectors and "
        "encoders write: .pt, .npz, .csv, an .npy with names",
    )
    source.add_argument("--seeds", type=number_list, help="for example 1,2,5-8")
    generate.add_argument("--space", choices=("z", "w", "w+"), default="z")
    generate.add_argument(
        "--classes", type=Path, help=".npy: weights (n, classes) or (classes,), or class numbers (integers)"
    )
    generate.add_argument("--psi", type=float, default=1.0, help="truncation; 1, the default, is no truncation")
    generate.add_argument(
        "--cutoff", type=_cutoff, default=OWN, help="rows of W+ to truncate, or all; default: the generator's own"
    )
    generate.add_argument("--noise", type=_noise, default="const", help="const, none or a seed")
    generate.add_argument("--transform", type=Path, help=".npy: (3, 3) or (n, 3, 3), StyleGAN3's input transform")
    generate.add_argument("--batch-statistics", action="store_true", help="DCGAN: normalise by the batch's statistics")
    generate.add_argument(
        "--dtype", choices=DTYPES, help="precision of the upper layers; the default is as in the training"
    )
    generate.add_argument("--batch", type=int, help="how many pictures are made at once")
    generate.add_argument(
        "--out", type=Path, required=True, help="X.npy: float32 (n, channels, height, width); or a folder for PNGs"
    )
    generate.set_defaults(run=run)


def _cutoff(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is neither a whole number nor all")
    return int(text)


def _noise(text: str) -> str | int:
    try:
        return noise_from_json(int(text) if text.isdecimal() else text)
    except ProtocolError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(options: argparse.Namespace) -> int:
    """Write the pictures; return the exit status."""
    from .generating import generate

    return generate(options)
