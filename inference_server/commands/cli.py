"""The command line: choose the command and run it. Bad input gives one line on stderr, never a traceback."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys

from lantern_protocol.errors import ProtocolError
from lantern_protocol.versions import SERVER_VERSION

from ..terminal.console import UsageError, tell
from ..terminal.jobs import JobError
from ..terminal.log import log_goes_to
from . import check, checkpoints, dataset, film, generate, quality, render, serve, train

COMMANDS = (serve, checkpoints, generate, render, check, dataset, train, film, quality)
"""Modules with `add_parser(commands, on_device)`. Each parser's options hold `run(options) -> exit code`. They may also
hold `needs` (packages by the names of their modules) and `looks_for_packages` (the command looks for all packages
itself). The modules import what they need when they run, so the command line answers at once, even without torch."""

FAILED = 1
USAGE = 2
MISSING = 3


def main(arguments: list[str]) -> int:
    """Run one command; return the exit code: 0, 1 if it failed, 2 for bad arguments, 3 if a package is missing."""
    options = _parser().parse_args(arguments)
    # Blender and the encoders need the processors too. By default, OpenMP's threads keep a processor busy while they
    # wait; on a machine with other work, this costs most of the speed. OpenMP reads this when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    needed = check.SERVER_PACKAGES | getattr(options, "needs", {})
    if getattr(options, "looks_for_packages", False):
        needed = {}
    missing = [name for module, name in needed.items() if importlib.util.find_spec(module) is None]
    if missing:
        print(
            f"The Python at {sys.executable} has no {', '.join(missing)}. Choose one that has, or install them: "
            f'"{sys.executable}" -m pip install {" ".join(missing)}',
            file=sys.stderr,
        )
        return MISSING
    try:
        with log_goes_to(tell):
            return options.run(options)
    except UsageError as error:
        print(f"{error}", file=sys.stderr)
        return USAGE
    except (ProtocolError, JobError, OSError) as error:
        print(f"{error}", file=sys.stderr)
        return FAILED
    except ImportError as error:
        print(f"The Python at {sys.executable} cannot load a package it has: {error}", file=sys.stderr)
        return MISSING
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="inference_server", description="Latent Lantern's inference server.")
    parser.add_argument("--version", action="version", version=SERVER_VERSION)
    commands = parser.add_subparsers(dest="command", required=True)
    on_device = argparse.ArgumentParser(add_help=False)
    on_device.add_argument("--device", help="cuda, cuda:1, mps or cpu; the default is the fastest one")
    on_device.add_argument("--compile", action="store_true", help="use torch.compile, if there is a compiler")
    for module in COMMANDS:
        module.add_parser(commands, on_device)
    return parser
