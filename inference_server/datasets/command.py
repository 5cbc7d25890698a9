"""The command `dataset`."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(commands: Any, on_device: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    commands.add_parser("dataset", parents=[on_device], help="make a data set of a film or of pictures").set_defaults(
        run=run
    )


def run(options: argparse.Namespace) -> int:
    """Not written yet."""
    raise NotImplementedError
