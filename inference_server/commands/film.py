"""The command `film`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..terminal.console import number_list

DESCRIPTION = """Show a training as a film: always the same latents, drawn by one snapshot after the other, with the
weights of neighbouring snapshots blended in between. The same run can be shown again from other latents."""


def add_parser(commands: Any, on_device: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser("film", parents=[on_device], help="show a training as a film", description=DESCRIPTION)
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run's folder, or any folder of snapshots")
    parser.add_argument("--out", type=Path, required=True, help="an .mp4, .mov or .mkv file, or a folder for PNGs")
    latents = parser.add_mutually_exclusive_group()
    latents.add_argument("--seeds", type=number_list, help="for example 1-16; the default is the run's own previews")
    latents.add_argument("--latents", type=Path, help=".npy: float32 (n, z)")
    parser.add_argument("--columns", type=int, help="columns of the grid")
    parser.add_argument("--psi", type=float, default=1.0, help="truncation; 1, the default, is no truncation")
    parser.add_argument("--fps", type=float, default=24.0, help="frames per second (24)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--hold", type=int, default=12, help="frames from one snapshot to the next (12)")
    length.add_argument("--seconds", type=float, help="length of the film, without --linger")
    parser.add_argument("--linger", type=float, default=1.0, help="seconds that the last picture stays (1)")
    parser.add_argument("--cut", action="store_true", help="cut from snapshot to snapshot, without blending")
    parser.add_argument(
        "--by",
        choices=("snapshots", "images"),
        default="snapshots",
        help="each snapshot gets the same time (the default), or time in proportion to its images",
    )
    parser.add_argument("--shadow", action="store_true", help="black and white shadows")
    parser.add_argument("--label", action="store_true", help="write the number of images seen under the picture")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing film")
    parser.set_defaults(run=run, needs={"av": "av"})


def run(options: argparse.Namespace) -> int:
    """Make the film with the parsed options; return the exit status."""
    from ..training.film import film

    return film(options)
