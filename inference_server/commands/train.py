"""The command `train`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

DESCRIPTION = """Train a generator on a data set. Give --hours or --images; all else has a default for the machine.
The same command continues a run that was stopped or killed, and so does `train --resume RUN`. Ctrl+C saves first."""


def add_parser(commands: Any, on_device: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser("train", help="train a generator on a data set", description=DESCRIPTION)
    parser.add_argument("dataset", type=Path, nargs="?", help="a data set, made with the command dataset")
    parser.add_argument("--out", type=Path, help="the run's folder; made if it is missing")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="continue this run; needs nothing else")
    parser.add_argument("--hours", type=float, help="train for about this many hours")
    parser.add_argument("--images", type=int, help="train until this many images were seen")
    parser.add_argument("--kind", choices=("glu", "stylegan2", "dcgan"), help="the network (glu on a CPU)")
    parser.add_argument("--from", type=Path, dest="start", metavar="CHECKPOINT", help="begin with these weights")
    parser.add_argument("--name", help="the generator's name, for people")
    parser.add_argument("--licence", help="the licence of the weights")
    parser.add_argument("--device", help="cuda, cuda:1, mps or cpu; the default is the fastest one")
    parser.add_argument("--processes", type=int, help="how many train together; the default is one for each GPU")
    parser.add_argument("--nice", action="store_true", help="let other programs go first")
    parser.add_argument("--threads", type=int, help="how many threads of the processor to use")
    parser.add_argument("--memory", type=float, default=2.0, help="GiB of pictures to keep in memory (2)")
    parser.add_argument("--changed-data", action="store_true", help="continue although the data set has changed")

    network = parser.add_argument_group("the network")
    network.add_argument("--capacity", choices=("small", "medium", "large"), help="small on a CPU, medium on a GPU")
    network.add_argument("--channels", type=numbers, help="for each block instead, coarsest first: 128,96,64,32,16")
    network.add_argument("--d-channels", type=numbers, help="the discriminator's, if they are different")
    network.add_argument("--z-dim", type=int)
    network.add_argument("--w-dim", type=int)
    network.add_argument("--mapping-layers", type=int)
    network.add_argument("--mapping-lr", type=float, help="learning-rate multiplier of the mapping network")

    learning = parser.add_argument_group("how it learns")
    for name, kind, text in (
        ("batch", int, "pictures in a step"),
        ("micro_batch", int, "how many of them at once, if there is little memory"),
        ("lr", float, "learning rate"),
        ("decay_from", float, "share of the images after which the learning rate falls"),
        ("loss", str, "relativistic or logistic"),
        ("gamma", float, "weight of R1 and R2; more for few pictures or large ones"),
        ("path_weight", float, "weight of path length regularisation"),
        ("style_mixing", float, "probability that a picture is made from two latents"),
        ("fade", int, "images over which new detail fades in after the pictures have grown"),
        ("ema", float, "half-life of the generator's average, in images"),
        ("augment", str, "adaptive, off, or a probability"),
        ("precision", str, "float32 or bfloat16; the default is the faster one"),
        ("match", float, "if the latents of the pictures are known: weight of the difference"),
        ("warm_up", int, "images trained with that difference alone"),
        ("warm_up_lr", float, "learning rate for these images"),
        ("d_first", int, "images shown to the discriminator alone at first"),
        ("snapshot_every", int, "images between snapshots, at first"),
        ("tick", int, "images between lines of the log"),
        ("previews", int, "pictures in a preview"),
        ("seed", int, "decides all random numbers"),
    ):
        learning.add_argument(f"--{name.replace('_', '-')}", type=kind, help=text)
    learning.add_argument(
        "--grow",
        type=growth,
        metavar="SIDE:IMAGES",
        help="64:30000,128:60000: pictures of 64 until 30,000 images were seen, then of 128; or off",
    )
    parser.set_defaults(run=run, needs={"tensorboardX": "tensorboardX"})


def numbers(text: str) -> tuple[int, ...]:
    """Return ``"128,64,32"`` as (128, 64, 32)."""
    return tuple(int(part) for part in text.split(","))


def growth(text: str) -> tuple[tuple[int, int], ...]:
    """Return ``"64:30000,128:60000"`` as ((64, 30000), (128, 60000)), and ``"off"`` as ()."""
    pairs = [part.split(":") for part in text.split(",")] if text != "off" else []
    return tuple((int(side), int(images)) for side, images in pairs)


def run(options: argparse.Namespace) -> int:
    """Train with the parsed options; return the exit status."""
    from ..training.main import train

    return train(options)
