"""The command line. Bad input is one line on stderr, never a traceback.

serve, info, convert, generate and render are here; the others are in `COMMANDS`.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

from lantern_protocol.errors import ProtocolError
from lantern_protocol.orders import noise_from_json
from lantern_protocol.versions import SERVER_VERSION

from ..terminal.jobs import JobError
from . import check as self_check
from . import dataset as dataset_command
from . import film as film_command
from . import quality as quality_command
from . import train as train_command

COMMANDS = (self_check, dataset_command, train_command, film_command, quality_command)
"""Modules with `add_parser(commands, on_device)`, whose options hold `run(options) -> exit code`, and may hold `needs`:
packages by the names of their modules; `looks_for_packages` says that the command does so itself. They import what
they need when they run."""

DTYPES = ("float32", "float16", "bfloat16")
OWN = -1
"""Says that a setting is the generator's own."""

FAILED = 1
USAGE = 2
MISSING = 3


class UsageError(Exception):
    """The arguments, or a file they name, do not fit. The text is for a person."""


def main(arguments: list[str]) -> int:
    """Run one command; return the exit code: 0, 1 when it failed, 2 for bad arguments, 3 when a package is missing."""
    options = _parser().parse_args(arguments)
    # Blender and the encoders want the processors too. OpenMP's threads spin while they wait, and on a machine that is
    # busy otherwise that costs most of the speed; it reads this when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Before anything else can print: what goes to fd 1 from here on goes to stderr.
    pipes = _claim_pipes() if options.command == "serve" else None
    needed = self_check.SERVER_PACKAGES | getattr(options, "needs", {})
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
        if pipes is not None:
            return _serve(options, *pipes)
        if hasattr(options, "run"):
            return options.run(options)
        from . import checkpoints as commands

        return getattr(commands, options.command)(options)
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


def _serve(options: argparse.Namespace, messages: BinaryIO, output: BinaryIO) -> int:
    from ..serving.service import Service

    # Ctrl+C in the terminal that Blender was started from is Blender's to handle; the end of stdin ends the server.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = Service(messages, output, options.device, options.idle_seconds, options.compile or None).run()
    sys.stderr.flush()
    # The reader thread sits in a read of stdin that no orderly exit can interrupt.
    os._exit(code)


def _claim_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep stdin and stdout for messages alone; whatever else prints to stdout from now on prints to stderr."""
    messages = os.fdopen(os.dup(0), "rb")
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # the process ends without flushing
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return messages, output


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="inference_server", description="Latent Lantern's inference server.")
    parser.add_argument("--version", action="version", version=SERVER_VERSION)
    commands = parser.add_subparsers(dest="command", required=True)
    on_device = argparse.ArgumentParser(add_help=False)
    on_device.add_argument("--device", help="cuda, cuda:1, mps or cpu; without it the fastest there is")
    on_device.add_argument("--compile", action="store_true", help="use torch.compile, where there is a compiler")

    serve = commands.add_parser("serve", parents=[on_device], help="talk JSON-RPC over stdin and stdout")
    serve.add_argument("--idle-seconds", type=float, default=300.0, help="free the device's memory after this long")

    info = commands.add_parser("info", help="say what a checkpoint holds, or what snapshots a folder holds")
    info.add_argument("file", type=Path, nargs="?", help="without it the built-in generator")
    info.add_argument("--json", action="store_true", help="as JSON")

    convert = commands.add_parser("convert", help="any checkpoint in, Latent Lantern's own format out")
    convert.add_argument("file", type=Path, help="a checkpoint, or a folder of snapshots")
    convert.add_argument("out", type=Path, help=".safetensors; of a folder, a folder; made if it is missing")
    convert.add_argument("--dtype", choices=DTYPES, default="float32", help="half precision takes half the space")
    convert.add_argument("--name", help="the generator's name, without it the file's")
    convert.add_argument("--licence", help="a note on the licence to keep with the weights")
    convert.add_argument("--overwrite", action="store_true", help="replace files that are there")

    _add_generate(commands, on_device)

    render = commands.add_parser("render", parents=[on_device], help="a sequence file in, numbered frames out")
    render.add_argument("sequence", type=Path)
    render.add_argument("--out", type=Path, required=True, help="a folder; made if it is missing")
    render.add_argument("--checkpoint", type=Path, help="where the checkpoint is, if not where the sequence says")
    render.add_argument("--frames", type=number_list, help="only these, for example 10-20")
    render.add_argument("--overwrite", action="store_true", help="replace files that would change")
    look = render.add_mutually_exclusive_group()
    look.add_argument("--colour", action="store_true", help="colour frames, even where the sequence has shadows")
    look.add_argument("--shadow", action="store_true", help="black and white shadows of every frame")

    for module in COMMANDS:
        module.add_parser(commands, on_device)
    return parser


def _add_generate(commands: Any, on_device: argparse.ArgumentParser) -> None:
    generate = commands.add_parser("generate", parents=[on_device], help="latents in, pictures out")
    generate.add_argument("--checkpoint", type=Path, help="without it the built-in generator")
    generate.add_argument("--toward", type=Path, help="a second snapshot of the same training")
    generate.add_argument("--mix", type=float, default=0.0, help="how far the weights lie towards it, 0 to 1")
    source = generate.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--latents", type=Path, help=".npy: (n, z), (n, w), (n, num_ws, w) or (n, z, rows, columns); (z,) is one row"
    )
    source.add_argument("--seeds", type=number_list, help="for example 1,2,5-8")
    generate.add_argument("--space", choices=("z", "w", "w+"), default="z")
    generate.add_argument(
        "--classes", type=Path, help=".npy: weights (n, classes) or (classes,), or whole class numbers"
    )
    generate.add_argument("--psi", type=float, default=1.0, help="truncation; 1 is none")
    generate.add_argument(
        "--cutoff", type=_cutoff, default=OWN, help="rows of W+ that are truncated, or all; without it as the original"
    )
    generate.add_argument("--noise", type=_noise, default="const", help="const, none or a seed")
    generate.add_argument("--transform", type=Path, help=".npy: (3, 3) or (n, 3, 3), StyleGAN3's input transform")
    generate.add_argument("--batch-statistics", action="store_true", help="DCGAN: normalise by the batch's statistics")
    generate.add_argument(
        "--dtype", choices=DTYPES, help="of the upper layers; without it as the generator was trained"
    )
    generate.add_argument("--batch", type=int, help="pictures at once")
    generate.add_argument(
        "--out", type=Path, required=True, help="X.npy: float32 (n, channels, height, width); else a folder for PNGs"
    )


def number_list(text: str) -> list[int]:
    """Return the numbers in text like "1,2,5-8"."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise argparse.ArgumentTypeError(f"'{text}' is not a list of whole numbers like 1,2,5-8")
        low, high = int(first), int(last or first)
        if not low <= high < 1 << 32 or high - low >= 1 << 20:
            raise argparse.ArgumentTypeError(f"'{part}' is not a range of whole numbers")
        numbers.extend(range(low, high + 1))
    return numbers


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


def print_json(value: object) -> None:
    """Print a value as JSON for people and programs."""
    print(json.dumps(value, indent=2, ensure_ascii=False))
