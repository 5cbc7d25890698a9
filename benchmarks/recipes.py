"""Compare recipes of training: the same data, the same seconds, side by side; quality over seconds as a table.

    python benchmarks/recipe_sets.py SETS
    python benchmarks/recipes.py SETS/figures --out RESULTS --hours 0.5 [--seeds 3] [--together 2] [--threads 1]
                                 [--count 500] RECIPE [RECIPE ...]

A RECIPE is NAME=OPTIONS with options of the command train: "glu=--kind glu", "logistic=--kind glu --loss logistic".
Each recipe is a real run of the command train for these hours, with each seed. ``--together`` runs go at the same time,
with ``--threads`` each, so compare only runs of one call. A run that is there already is continued, or only measured.

Every snapshot is measured against the pictures of SET-held if there is such a set (pictures that no training saw), else
against the training's own. RESULTS/table.md has a row for each snapshot: seconds by the clock, seconds of processor
time, images, swd, precision, recall and variety. RESULTS/NAME-SEED/previews has the pictures: look at them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADING = ("recipe", "seed", "images", "seconds", "images a second", "swd", "precision", "recall", "variety")


def server(*arguments: object, threads: int) -> str:
    """Run a command of the server; return what it printed. Raises CalledProcessError if it fails."""
    command = [sys.executable, "-m", "inference_server", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout


def train(options: argparse.Namespace, name: str, more: str, seed: int) -> Path:
    """Train one recipe with one seed; return the run's folder."""
    run = (options.out / f"{name}-{seed}").resolve()
    goal = ("--hours", options.hours) if options.hours else ("--images", options.images)
    own = ("--device", "cpu", "--threads", options.threads) if options.threads else ()
    start = ("--resume", run) if (run / "run.json").exists() else (options.set.resolve(), "--out", run, *goal)
    rest = () if start[0] == "--resume" else ("--seed", seed, *shlex.split(more))
    said = server("train", *start, *own, *rest, threads=options.threads or os.cpu_count() or 1)
    (run / "said.txt").write_text(said)
    return run


def rows(run: Path, measured: dict) -> list[tuple[object, ...]]:
    """Return the table's rows of a run."""
    name, _, seed = run.name.rpartition("-")
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    found = []
    for entry in measured["generators"]:
        line = max(
            (line for line in log if line["images"] <= entry["images"]), key=lambda line: line["images"], default=None
        )
        if line is not None:
            numbers = [f"{entry[key]:.3f}" for key in ("precision", "recall", "variety")]
            rate = line["images"] / line["seconds"] if line["seconds"] else 0
            found.append(
                (name, seed, entry["images"], round(line["seconds"]), f"{rate:.0f}", f"{entry['swd']:.1f}", *numbers)
            )
    return found


def main() -> None:
    """Train, measure, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("set", type=Path)
    parser.add_argument("recipes", nargs="+", metavar="RECIPE")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hours", type=float)
    parser.add_argument("--images", type=int)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--together", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="of each run; 0: all")
    parser.add_argument("--count", type=int, default=500)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    recipes = dict(recipe.partition("=")[::2] for recipe in options.recipes)
    jobs = [(name, more, seed) for seed in range(options.seeds) for name, more in recipes.items()]
    held = options.set.with_name(options.set.name + "-held")
    table: list[tuple[object, ...]] = []
    with ThreadPoolExecutor(options.together) as pool:
        for run in pool.map(lambda job: train(options, *job), jobs):
            against = held if held.exists() else options.set
            measured = json.loads(server("quality", against, run, "--count", options.count, "--json", threads=1))
            table += rows(run, measured)
            lines = ["| " + " | ".join(map(str, row)) + " |" for row in (HEADING, ["---"] * len(HEADING), *table)]
            machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
            about = f"{options.set.name}, {date.today()}, {machine}, {options.together} runs together with "
            about += f"{options.threads or 'all'} threads each\n\n"
            (options.out / "table.md").write_text(about + "\n".join(lines) + "\n")
    print((options.out / "table.md").read_text())


if __name__ == "__main__":
    main()
