"""The command `quality`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

DESCRIPTION = """Measure how close a generator's pictures are to those of a data set: sliced Wasserstein distance (0 is
best), precision, recall and variety (1 is best). If you give the folder of a run, every snapshot in it is measured,
and RUN/quality.json is written. docs/quality.md explains the numbers."""


def add_parser(commands: Any, on_device: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser(
        "quality", parents=[on_device], help="measure how close generators come to a data set", description=DESCRIPTION
    )
    parser.add_argument("dataset", type=Path, help="a data set, made with the command dataset")
    parser.add_argument("generator", type=Path, help="a checkpoint, or a run's folder")
    parser.add_argument("--count", type=int, default=2000, help="the most pictures of each to compare (2000)")
    parser.add_argument("--psi", type=float, default=1.0, help="truncation; 1, the default, is no truncation")
    parser.add_argument("--json", action="store_true", help="print JSON, not a table")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command with the parsed options; return its exit status."""
    from ..quality.report import report

    return report(options)
