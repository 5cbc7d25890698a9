#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 Latent Lantern contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Latent Lantern from a fresh machine: see it (`demo`), test it (`test`), work on it (the rest).

    python3 dev.py demo [...]               make the film in demo/ with the built extension in a clean Blender
    python3 dev.py test [LAYER ...] [...]   run everything that tests this project, or some layers:
                                            lint, core, server, blender, versions, window; the rest goes to pytest
    python3 dev.py test --fast [...]        lint, core and the quick tests of the newest Blender, in minutes
    python3 dev.py server ...               python -m inference_server ..., in its environment
    python3 dev.py blender FILE.py ...      run a script in Blender with the extension enabled
    python3 dev.py build | setup | lint     the extension's zip and notes into dist/; the environments; ruff and types
    python3 dev.py pictures                 make the pictures of Blender's window in docs/images again

Needs Python 3.11 or later and nothing else. What it downloads is kept in your cache folder and used again.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - said in words, before the imports below fail
    sys.exit("dev.py: this is Python {}.{}; run dev.py with Python 3.11 or later.".format(*sys.version_info[:2]))

import argparse
import contextlib
import json
import os
import tempfile
import time
from pathlib import Path

from tools import environments, package, side_by_side, window_root
from tools.console import Problem, run, say
from tools.environments import ROOT, Environment

LAYERS = ("lint", "core", "server", "blender", "versions", "window")
PROGRAM = (sys.executable, Path(__file__).resolve())
SECONDS = {"window": 300, "blender": 180, "server": 180, "core": 75, "versions": 25, "lint": 15}
"""About how long a job of each layer takes. The longest starts first, so that jobs side by side end together."""

FAST_LAYERS = ("lint", "core", "blender")
SLOW_IN_BLENDER = (
    "test_endings",
    "test_faults",
    "test_hostile_files",
    "test_inference_environment",
    "test_real_generators",
    "test_slices",
    "test_storm",
)
"""Files that `--fast` leaves out. They take three quarters of the time; the others touch every part of the add-on."""

NOTHING_SELECTED = 5  # pytest's exit status when no test was collected
MISSING = 6  # exit status of dev.py itself, if this machine lacks something
OUTCOMES = {0: "passed", NOTHING_SELECTED: "nothing selected", MISSING: "missing"}


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
    left_out = [f"--ignore-glob=*/{name}.py" for name in SLOW_IN_BLENDER] if args.fast else []
    pytest = ["-m", "pytest", f"--rootdir={ROOT}", *left_out, *_with_paths("blender", pytest_arguments)]
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
    patience = ["-o", "faulthandler_timeout=1200"]  # a story takes long if there is no GPU to draw
    return run(
        [checks.python, "-m", "pytest", f"--rootdir={ROOT}", *patience, *_with_paths("window", pytest_arguments)],
        LANTERN_BLENDER=str(blender),
        LANTERN_ZIP=str(archive),
        LANTERN_SERVER_PYTHON=str(environments.server(args.python).python),
        LANTERN_ARTIFACTS=artifacts or os.environ.get("LANTERN_ARTIFACTS", ""),
    )


def pictures(args: argparse.Namespace) -> int:
    """Make the pictures of Blender's window in docs/images again, from the stories in tests/window."""
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
    """Run the chosen layers, two jobs at once, and print a summary. A failure stops no other job."""
    start = time.monotonic()
    names, rest = _chosen_jobs(args)
    at_once = min(args.jobs or min(2, os.cpu_count() or 1), len(names))
    done = _side_by_side(args, names, rest, at_once) if at_once > 1 else _one_by_one(args, names, rest)
    parts = [f"{name} {outcome} ({seconds:.0f} s)" for name, (outcome, seconds) in done.items()]
    say(f"summary after {time.monotonic() - start:.0f} s: {'; '.join(parts)}")
    good = {"passed"}
    if rest:
        good.add("nothing selected")
    if args.allow_missing and not os.environ.get("CI"):
        good.add("missing")
    outcomes = {outcome for outcome, _ in done.values()}
    return 0 if "passed" in outcomes and outcomes <= good else 1


def _chosen_jobs(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Return the names of the jobs to run, in the order of the layers, and the arguments for pytest."""
    rest = list(args.rest)
    named = []
    while rest and rest[0] in LAYERS:
        named.append(rest.pop(0))
    possible = FAST_LAYERS if args.fast else LAYERS
    layers = list(dict.fromkeys(named)) or [layer for layer in possible if _belongs(layer, rest)]
    if not set(layers) <= set(possible) or not layers:
        raise Problem(f"--fast runs {', '.join(FAST_LAYERS)}, and no other layer. Leave it out to run what you named.")
    names = []
    for layer in layers:
        names += [f"blender {version}" for version in _blenders(args)] if layer == "blender" else [layer]
    return names, rest


def _blenders(args: argparse.Namespace) -> tuple[str, ...]:
    if args.blender:
        return tuple(args.blender)
    return (environments.newest_blender_version(args.python),) if args.fast else environments.TESTED_BLENDERS


def job(args: argparse.Namespace) -> int:
    """Run one job of `test` by its name, and tell its outcome by the exit status: one of `OUTCOMES`, or else failed."""
    layer, _, version = args.name.partition(" ")
    try:
        if layer == "lint":
            return lint(args)
        elif layer == "blender":
            return blender_tests(args, version, args.rest)
        elif layer == "versions":
            return version_tests(args, args.rest)
        elif layer == "window":
            return window_tests(args, args.rest)
        return plain_tests(args, layer, args.rest)
    except environments.Missing as problem:
        say(str(problem))
        return MISSING
    except Problem as problem:
        say(str(problem))
        return 1


def _one_by_one(args: argparse.Namespace, names: list[str], rest: list[str]) -> dict[str, tuple[str, float]]:
    """Run the jobs in this process, their output as it comes; return the outcome and the seconds of each."""
    done = {}
    for name in names:
        say(f"== {name}")
        start = time.monotonic()
        status = job(argparse.Namespace(**vars(args) | {"name": name, "rest": rest}))
        done[name] = OUTCOMES.get(status, "FAILED"), time.monotonic() - start
        say(f"== {name}: {done[name][0]} after {done[name][1]:.0f} s")
    return done


def _side_by_side(
    args: argparse.Namespace, names: list[str], rest: list[str], at_once: int
) -> dict[str, tuple[str, float]]:
    """Run the jobs in processes of their own, and print the output of each when it ends; return as `_one_by_one`."""
    options = [word for python in args.python for word in ("--python", python)]
    options += [word for version in args.blender or () for word in ("--blender", version)]
    options += ["--fast"] if args.fast else []
    commands = {
        name: [*PROGRAM, "job", *options, name, *rest] for name in sorted(names, key=_expected_seconds, reverse=True)
    }
    done = {}
    with contextlib.closing(side_by_side.run_all(commands, at_once)) as events:
        for event in events:
            running = f"running: {', '.join(event.running) or 'nothing'}"
            if isinstance(event, side_by_side.Started):
                say(f"-- {event.name} begins; {running}")
                continue
            done[event.name] = OUTCOMES.get(event.status, "FAILED"), event.seconds
            say(f"== {event.name}")
            sys.stdout.flush()
            sys.stdout.buffer.write(event.output)
            sys.stdout.flush()
            say(f"== {event.name}: {done[event.name][0]} after {event.seconds:.0f} s; {running}")
    return {name: done[name] for name in names}


def _expected_seconds(name: str) -> tuple[int, str]:
    """Return what jobs are sorted by; a newer Blender has more tests than an older one."""
    return SECONDS[name.partition(" ")[0]], name


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


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


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
    command.add_argument("--allow-missing", action="store_true", help="do not fail if a Python is missing (not in CI)")
    command.add_argument("--fast", action="store_true", help="lint, core and quick tests of the newest Blender only")
    command.add_argument("--jobs", type=_count, metavar="N", help="jobs at once (default: 2; on one processor 1)")
    command.set_defaults(function=test)
    command = commands.add_parser("job", parents=[common], allow_abbrev=False)  # no help: `test` alone starts it
    command.add_argument("--blender", action="append", choices=versions)
    command.add_argument("--fast", action="store_true")
    command.add_argument("name", choices=[*SECONDS, *(f"blender {version}" for version in versions)])
    command.set_defaults(function=job)
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
    elif args.rest and args.command not in ("demo", "test", "job"):
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
