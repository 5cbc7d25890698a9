"""The command `quality`."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(commands: Any, on_device: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    commands.add_parser(
        "quality", parents=[on_device], help="say how close generators come to a data set"
    ).set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Not written yet."""
    raise NotImplementedError
