"""The command `quality`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

DESCRIPTION = """Say how close a generator's pictures come to a data set's: sliced Wasserstein distance (0 is best),
precision and recall (1 is best). Of a run's folder every snapshot is measured, and RUN/quality.json written. What the
numbers mean: docs/quality.md."""


def add_parser(commands: Any, on_device: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser(
        "quality", parents=[on_device], help="say how close generators come to a data set", description=DESCRIPTION
    )
    parser.add_argument("dataset", type=Path, help="a data set, made with the command dataset")
    parser.add_argument("generator", type=Path, help="a checkpoint, or a run's folder")
    parser.add_argument("--count", type=int, default=2000, help="pictures of each to compare, at most (2000)")
    parser.add_argument("--psi", type=float, default=1.0, help="truncation; 1, the default, is none")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure."""
    from ..quality.report import report

    return report(options)
