#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 Latent Lantern contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Latent Lantern from a fresh machine: see it (`demo`), test it (`test`), work on it (the rest).

    python3 dev.py demo [...]               make the film in demo/ with the built extension in a clean Blender
    python3 dev.py test [LAYER ...] [...]   run everything that tests this project, or some layers:
                                            lint, core, server, blender, versions, window; the rest goes to pytest
    python3 dev.py server ...               python -m inference_server ..., in its environment
    python3 dev.py blender FILE.py ...      run a script in Blender with the extension enabled
    python3 dev.py build | setup | lint     the extension's zip and notes into dist/; the environments; ruff and types
    python3 dev.py pictures                 the pictures of Blender's window in docs/images, made anew

Needs Python 3.11 or later and nothing else. What it downloads lies in your cache folder and is used again.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - said in words, before the imports below fail
    sys.exit("dev.py: this is Python {}.{}; run dev.py with Python 3.11 or later.".format(*sys.version_info[:2]))

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tools import environments, package, window_root
from tools.console import Problem, run, say
from tools.environments import ROOT, Environment

LAYERS = ("lint", "core", "server", "blender", "versions", "window")
NOTHING_SELECTED = 5  # pytest's exit status when no test was collected


def set_up(named: tuple[str, ...], version: str | None = None) -> tuple[Environment, Environment]:
    """Make what runs a script in Blender: the given Blender, or else the newest that fits here, and the server."""
    blender = environments.blender(version) if version else environments.newest_blender(named)
    return environments.ensure(blender, named), environments.ensure(environments.server(named), named)


def run_in_blender(blender: Environment, server: Environment, command: list[str | Path]) -> int:
    """Run a Python command in Blender, which starts clean every time and can never touch the user's own Blender."""
    archive = package.build(blender)
    with tempfile.TemporaryDirectory(prefix="lantern-blender-", ignore_cleanup_errors=True) as resources:
        return run(
            [blender.python, *command],
            BLENDER_USER_RESOURCES=resources,
            LANTERN_ZIP=str(archive),
            LANTERN_SERVER_PYTHON=str(server.python),
        )


def demo(args: argparse.Namespace) -> int:
    """Make the demo film."""
    blender, server = set_up(args.python)
    say(f"making the demo in {blender.label}; the pictures go to demo/")
    script = [ROOT / "tools" / "run_in_blender.py", ROOT / "demo" / "make_demo.py"]
    options = ["--server-python", server.python, "--output", ROOT / "demo", *args.rest]
    return run_in_blender(blender, server, [*script, *options])


def blender_script(args: argparse.Namespace) -> int:
    """Run the user's script in Blender."""
    if not Path(args.file).is_file():
        raise Problem(f"there is no script {args.file}")
    blender, server = set_up(args.python, args.blender)
    return run_in_blender(blender, server, [ROOT / "tools" / "run_in_blender.py", args.file, *args.arguments])


def inference_server(args: argparse.Namespace) -> int:
    """Hand everything to the server; stdout and stdin are its own."""
    server = environments.ensure(environments.server(args.python), args.python)
    return run([server.python, "-m", "inference_server", *args.rest], PYTHONPATH=str(ROOT))


def setup(args: argparse.Namespace) -> int:
    """Make every environment of this project, and nothing else."""
    for version in environments.TESTED_BLENDERS:
        environments.ensure(environments.blender(version), args.python)
    environments.ensure(environments.checks(args.python), args.python)
    print("Python of the Server, for the add-on's preferences:", environments.server(args.python).python)
    return 0


def build(args: argparse.Namespace) -> int:
    """Build the zip, write its notes, and print where the zip is."""
    archive, notes = package.release(environments.ensure(environments.newest_blender(args.python), args.python))
    say(f"{archive.stat().st_size:,} bytes; its notes are in dist/{notes.name}")
    print(archive)
    return 0


def lint(args: argparse.Namespace) -> int:
    """Check the whole tree's style and layout with ruff, and its types with basedpyright."""
    python = environments.ensure(environments.checks(args.python), args.python).python
    ruff = [python, "-m", "ruff"]
    types = [python, "-m", "basedpyright", "--project", ROOT, "--pythonpath", python, "--warnings"]
    return run([*ruff, "check", ROOT]) or run([*ruff, "format", "--check", ROOT]) or run(types)


def plain_tests(args: argparse.Namespace, layer: str, pytest_arguments: list[str], blenders: str = "{}") -> int:
    """Run tests in plain Python: they need no Blender, or start those that `blenders` names, as JSON, themselves."""
    checks = environments.ensure(environments.checks(args.python), args.python)
    archive = package.build(environments.ensure(environments.newest_blender(args.python), args.python))
    server = environments.server(args.python)
    return run(
        [checks.python, "-m", "pytest", f"--rootdir={ROOT}", *_with_paths(layer, pytest_arguments)],
        LANTERN_ZIP=str(archive),
        LANTERN_SERVER_PYTHON=str(server.python),
        LANTERN_BLENDERS=blenders,
    )


def blender_tests(args: argparse.Namespace, version: str, pytest_arguments: list[str]) -> int:
    """Run tests/blender in one Blender, with the built zip installed in it."""
    blender, server = set_up(args.python, version)
    pytest = ["-m", "pytest", f"--rootdir={ROOT}", *_with_paths("blender", pytest_arguments)]
    return run_in_blender(blender, server, pytest)


def version_tests(args: argparse.Namespace, pytest_arguments: list[str]) -> int:
    """Run tests/versions, which goes from one Blender to another."""
    tested = args.blender or environments.TESTED_BLENDERS
    blenders = {version: environments.ensure(environments.blender(version), args.python) for version in tested}
    pythons = {version: str(blender.python) for version, blender in blenders.items()}
    return plain_tests(args, "versions", pytest_arguments, json.dumps(pythons))


def window_tests(args: argparse.Namespace, pytest_arguments: list[str], artifacts: str | None = None) -> int:
    """Run tests/window: a Blender with a window, its pointer and its keys."""
    blender = window_root.blender()
    checks = environments.ensure(environments.checks(args.python), args.python)
    archive = package.build(environments.ensure(environments.newest_blender(args.python), args.python))
    patience = ["-o", "faulthandler_timeout=1200"]  # a story is long where a processor draws
    return run(
        [checks.python, "-m", "pytest", f"--rootdir={ROOT}", *patience, *_with_paths("window", pytest_arguments)],
        LANTERN_BLENDER=str(blender),
        LANTERN_ZIP=str(archive),
        LANTERN_SERVER_PYTHON=str(environments.server(args.python).python),
        LANTERN_ARTIFACTS=artifacts or os.environ.get("LANTERN_ARTIFACTS", ""),
    )


def pictures(args: argparse.Namespace) -> int:
    """Make the pictures in docs/images that show Blender's window anew, from the stories in tests/window."""
    with tempfile.TemporaryDirectory(prefix="lantern-pictures-") as folder:
        stories = ROOT / "tests" / "window"
        places = sorted([*stories.glob("test_*.py"), *stories.glob("manual_*.py")])
        status = window_tests(args, ["-m", "pictures", *map(str, places)], folder)
        made = sorted(Path(folder).glob("*/documents/*.png"))
        for picture in made if status == 0 else []:
            (ROOT / "docs" / "images" / picture.name).write_bytes(picture.read_bytes())
            say(f"docs/images/{picture.name}, {picture.stat().st_size // 1000} kB")
    return status


def test(args: argparse.Namespace) -> int:
    """Run the chosen layers one after the other, whatever becomes of each, and sum up."""
    rest = list(args.rest)
    layers = []
    while rest and rest[0] in LAYERS:
        layers.append(rest.pop(0))
    layers = layers or [layer for layer in LAYERS if _belongs(layer, rest)]
    jobs: dict[str, Callable[[], int]] = {}
    for layer in layers:
        if layer == "lint":
            jobs["lint"] = lambda: lint(args)
        elif layer == "blender":
            for version in args.blender or environments.TESTED_BLENDERS:
                jobs[f"blender {version}"] = lambda version=version: blender_tests(args, version, rest)
        elif layer == "versions":
            jobs["versions"] = lambda: version_tests(args, rest)
        elif layer == "window":
            jobs["window"] = lambda: window_tests(args, rest)
        else:
            jobs[layer] = lambda layer=layer: plain_tests(args, layer, rest)
    outcomes = {name: _timed(name, job) for name, job in jobs.items()}
    say("summary: " + "; ".join(f"{name} {outcome}" for name, outcome in outcomes.items()))
    good = {"passed"}
    if rest:
        good.add("nothing selected")
    if args.allow_missing and not os.environ.get("CI"):
        good.add("missing")
    return 0 if "passed" in outcomes.values() and set(outcomes.values()) <= good else 1


def _timed(name: str, job: Callable[[], int]) -> str:
    say(f"== {name}")
    start = time.monotonic()
    try:
        status = job()
        outcome = {0: "passed", NOTHING_SELECTED: "nothing selected"}.get(status, "FAILED")
    except environments.Missing as problem:
        say(str(problem))
        outcome = "missing"
    except Problem as problem:
        say(str(problem))
        outcome = "FAILED"
    say(f"== {name}: {outcome} after {time.monotonic() - start:.0f} s")
    return outcome


def _belongs(layer: str, pytest_arguments: list[str]) -> bool:
    """Whether a layer runs when none is named: all do, unless paths or other choices are given that it cannot use."""
    if layer == "lint":
        return not pytest_arguments
    asked = {_layer_of(argument) for argument in pytest_arguments} - {None}
    return not asked or layer in asked


def _layer_of(argument: str) -> str | None:
    """Return the layer that an argument for pytest is a path into, or None when it is no path under tests/."""
    path = Path(argument.partition("::")[0]).resolve()
    if not path.exists() or (ROOT / "tests") not in path.parents:
        return None
    folder = path.relative_to(ROOT / "tests").parts[0]
    return folder if folder in LAYERS else "core"


def _with_paths(layer: str, pytest_arguments: list[str]) -> list[str | Path]:
    """Return pytest's arguments with this layer's own paths: those that were asked for, or else all of them."""
    options = [argument for argument in pytest_arguments if _layer_of(argument) is None]
    own = [argument for argument in pytest_arguments if _layer_of(argument) == layer]
    top = sorted((ROOT / "tests").glob("test_*.py")) if layer == "core" else []
    return [*options, *(own or [ROOT / "tests" / layer, *top])]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dev.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    found = "a Python to use besides those found on this machine (may be repeated)"
    parser.add_argument("--python", action="append", default=[], metavar="PATH", help=found)
    common = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    common.add_argument("--python", action="append", default=argparse.SUPPRESS, metavar="PATH", help=found)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, function in {"demo": demo, "setup": setup, "build": build, "lint": lint, "pictures": pictures}.items():
        commands.add_parser(name, parents=[common], help=function.__doc__).set_defaults(function=function)
    versions = tuple(environments.BLENDER_PYTHONS)
    command = commands.add_parser("test", parents=[common], help=test.__doc__, allow_abbrev=False)
    command.add_argument("--blender", action="append", choices=versions, help="test in this Blender only (repeatable)")
    command.add_argument("--allow-missing", action="store_true", help="do not fail for want of a Python (never in CI)")
    command.set_defaults(function=test)
    command = commands.add_parser("server", add_help=False, help=inference_server.__doc__)
    command.set_defaults(function=inference_server)
    command = commands.add_parser("blender", parents=[common], help=blender_script.__doc__, allow_abbrev=False)
    command.add_argument("--blender", choices=versions, help="the Blender to use (default: the newest that fits)")
    command.add_argument("file", metavar="FILE.py")
    command.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...")
    command.set_defaults(function=blender_script)
    return parser


def main(argv: list[str]) -> int:
    """Run one command and return its exit status."""
    parser = _parser()
    args, args.rest = parser.parse_known_args(argv)
    args.python = tuple(args.python)
    if args.command == "server":
        args.rest = argv[argv.index("server") + 1 :]
    elif args.rest and args.command not in ("demo", "test"):
        parser.error(f"{args.command} does not know {' '.join(args.rest)}")
    try:
        return args.function(args)
    except Problem as problem:
        say(str(problem))
        return 1
    except KeyboardInterrupt:
        say("stopped; what was half made will be made again")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
