"""The command `dataset`."""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..datasets import settings as rules
from ..datasets.kinds import is_film

if TYPE_CHECKING:
    from ..datasets.sources import Source
    from ..terminal.jobs import Job

DESCRIPTION = """Make a data set from a film, from a folder or a zip of pictures and films, from a text file with a
path on each line, or from another data set. If the command was stopped or killed, run it again to continue. No
existing picture is changed."""
FEW, VERY_FEW = 500, 50
DUPLICATES = 3


class _Source(argparse.Action):
    """Stores the source and, if it is a film, that the package PyAV is needed."""

    def __call__(
        self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        namespace.source = values
        namespace.needs = {"av": "av"} if is_film(values) else {}


def add_parser(commands: Any, on_device: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    about = "make a data set from a film or from pictures"
    parser = commands.add_parser("dataset", help=about, description=DESCRIPTION)
    parser.add_argument(
        "source", type=Path, action=_Source, help="a film, a folder, a zip, a .txt of paths, or a data set"
    )
    parser.add_argument("out", type=Path, help="the data set's folder; made if it is missing")
    parser.add_argument("--size", type=_kind(rules.parse_size), default=(256, 256), help="256, or 512x256 (256)")
    parser.add_argument("--crop", choices=rules.CROPS, default="centre", help="which part is used (centre)")
    parser.add_argument("--mirror", action="store_true", help="show each picture mirrored too")
    parser.add_argument("--colour", choices=("rgb", "grey"), default="rgb")
    parser.add_argument("--alpha", action="store_true", help="keep transparency as a fourth channel")
    parser.add_argument(
        "--duplicates",
        type=_number(int, 0, rules.MOST_BITS),
        help=f"how different near-duplicates may be, 0 to {rules.MOST_BITS}; 0 keeps all ({DUPLICATES})",
    )
    parser.add_argument("--nice", action="store_true", help="let other programs go first")

    film = parser.add_argument_group("only for a film")
    which = film.add_mutually_exclusive_group()
    which.add_argument("--every", type=_number(int, 1, 1_000_000), default=1, metavar="N", help="take every N-th frame")
    which.add_argument("--rate", type=_number(float, 1e-4, 1000), metavar="FPS", help="take FPS frames per second")
    film.add_argument("--start", type=_kind(rules.parse_time), default=0.0, help="seconds, or 1:05")
    film.add_argument("--end", type=_kind(rules.parse_time))
    film.add_argument("--scenes", type=_number(int, 0, 1_000_000), default=0, metavar="N", help="at most N per scene")

    cut = parser.add_argument_group("cut out figures")
    cut.add_argument(
        "--ground", type=_kind(rules.parse_colour), default=(0, 0, 0), help="black, white or #rrggbb (black)"
    )
    cut.add_argument("--key", type=_kind(rules.parse_colour), help="colour of the screen to remove, such as #00ff00")
    cut.add_argument("--key-tolerance", type=_number(float, 0, 0.9), default=0.25, help="0 to 0.9 (0.25)")
    cut.add_argument("--trim", action="store_true", help="cut each picture to the figure")
    parser.set_defaults(run=run)


def _kind(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def checked(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


def _number(kind: Callable[[str], float], low: float, high: float) -> Callable[[str], Any]:
    def checked(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"'{text}' is not a number from {low:g} to {high:g}")
        return value

    return checked


def run(options: argparse.Namespace) -> int:
    """Make the data set with the parsed options; return the exit status."""
    from PIL import Image

    from ..datasets.making import SKIPPED, Making, check_folder
    from ..datasets.sheet import FILE
    from ..terminal.jobs import Job, JobError

    if options.nice and hasattr(os, "nice"):
        os.nice(10)
    # pictures.py checks the size before it decodes anything, and reports it in a sentence of its own.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    if not options.source.exists():
        raise JobError(f"There is no {options.source}.")
    settings = _settings(options)
    out: Path = options.out
    check_folder(out, options.source, settings)
    with Job(out, "dataset", "pictures") as job:
        source = _source(options, settings, job)
        if source is None:
            return 0  # stopped
        counts = Making(job, options.source, source, settings).run()
    print(_hint(counts))
    if counts["kept"]:
        print(f"Look at {out / FILE} before you train.")
    listed = f" (the reasons are in {out / SKIPPED})" if counts["skipped"] else ""
    print(
        f"{counts['kept']} pictures kept, {counts['skipped']} skipped{listed}, "
        f"{counts['duplicates']} near-duplicates left out."
    )
    return 0


def _settings(options: argparse.Namespace) -> rules.Settings:
    """Return the settings from the options and the source. Raises JobError if they do not fit together."""
    from dataclasses import fields, replace

    from lantern_protocol.job_folder import read_json

    from ..datasets.sources import is_dataset, latents_file
    from ..terminal.jobs import JobError

    values = {field.name: getattr(options, field.name) for field in fields(rules.Settings)}
    dataset = is_dataset(options.source)
    if options.duplicates is None:
        values["duplicates"] = 0 if dataset else DUPLICATES
    settings = rules.Settings(**values)
    if dataset and read_json(options.source / "dataset.json").get("mirror") is True:
        settings = replace(settings, mirror=True)
    latents = latents_file(options.source)
    problem = settings.problem()
    if latents is not None:
        refused = [name for name, on in (("--mirror", settings.mirror), ("--trim", settings.trim)) if on]
        refused += ["--crop smart"] if settings.crop == "smart" else []
        if refused:
            problem = (
                f"{latents} says which latent each picture was drawn from, and {' and '.join(refused)} would change "
                f"the pictures. Leave it out, or rename {latents.name} to continue without latents."
            )
        settings = replace(settings, duplicates=0)
    if problem:
        raise JobError(problem)
    return settings


def _source(options: argparse.Namespace, settings: rules.Settings, job: Job) -> Source | None:
    """Return the source, ready to be read; None if the command was stopped before. Raises JobError."""
    from ..datasets.sources import picture_files

    try:
        from ..datasets.films import PLAN_FILE, Film
    except ImportError:  # without PyAV, the films in a folder are skipped
        source: Source = picture_files(options.source, options.out, settings)
        doing = f"Looking through {source.name}"
    else:

        def film(path: Path, plan: Path) -> Film:
            return Film(path, options.out / plan, settings)

        if is_film(options.source):
            source = film(options.source, Path(PLAN_FILE))
            doing = f"Looking for cuts in {source.name}"
        else:
            source = picture_files(options.source, options.out, settings, film)
            doing = f"Looking through {source.name}"

    def report(done: int, total: int) -> None:
        job.tell(state="working", message=doing, done=done, total=total)

    return source if source.look(report, job.stop_asked) else None


def _hint(counts: dict[str, int]) -> str:
    """Return a sentence about what the number of pictures means for training."""
    kept = counts["kept"]
    if kept < VERY_FEW:
        hint = f"Only {kept} pictures: expect a generator that repeats them. Some hundred are better."
    elif kept < FEW:
        hint = f"{kept} pictures are few: training will need its augmentation, and more of them would help."
    else:
        hint = f"{kept} pictures are enough to begin with; thousands are better."
    if counts["enlarged"]:
        hint += f" {counts['enlarged']} of them were smaller than the size, and were enlarged."
    return hint
