"""From options to a run: whether it is new or continued, on which devices, with which settings."""

from __future__ import annotations

import argparse
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from ..datasets.reading import Dataset, DatasetError
from ..generators.base import best_device
from ..rendering.heap import keep_freed_memory
from ..terminal.console import UsageError
from ..terminal.jobs import Job, JobError, duration
from .distributed import Group
from .estimate import Estimate, Trials
from .networks import make_discriminator, make_generator
from .run_folder import read_run, write_run
from .running import Run
from .settings import Settings, check_growth, growth_sides, network_channels, network_config, stages
from .starting import Start
from .trainer import Trainer

FADE = 4000
"""Images over which the detail of a new size fades in."""
FEW = 500
VERY_FEW = 50


def train(options: argparse.Namespace) -> int:
    """Run the command and return its exit code. Raises UsageError and JobError."""
    folder = options.resume or options.out
    if folder is None or (options.resume and options.out):
        raise UsageError("Give a data set and --out RUN, or --resume RUN.")
    if options.nice and hasattr(os, "nice"):
        os.nice(10)
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    device = _device(options.device)
    if device.type == "cpu":
        keep_freed_memory()
    if options.resume and not folder.is_dir():
        raise UsageError(f"There is no run in {folder}.")
    with Job(folder, "training", "images") as job:
        try:
            return _train(options, folder, device, job)
        except DatasetError as error:
            raise JobError(str(error)) from None


def _train(options: argparse.Namespace, folder: Path, device: torch.device, job: Job) -> int:
    known = read_run(folder)
    if options.resume and not known:
        raise JobError(f"There is no run in {folder}.")
    if not options.resume and options.dataset is None:
        raise UsageError("Give a data set, made with the command dataset.")
    dataset = Dataset(Path(known["dataset"]) if known and options.dataset is None else options.dataset)
    start = None
    trials = Trials(dataset, device, job)
    if known:
        settings = trials.fit_memory(_known_settings(options, known, dataset))
    else:
        if any(folder.glob("*.safetensors")):
            raise JobError(f"{folder} holds snapshots and no run.json; choose another folder.")
        start = Start(options.start) if options.start else None
        settings = _new_settings(options, dataset, device, start, trials)
    if len(dataset) < FEW:
        few = "Expect the generator to repeat them" if len(dataset) < VERY_FEW else "Augmentation will matter"
        print(f"\nOnly {len(dataset)} pictures. {few}; more pictures are the best help.")
    found = trials.estimate(settings)
    if known:
        write_run(folder, known | {"settings": settings.to_dict()})
    else:
        about = {
            "settings": settings.to_dict(),
            "dataset": str(dataset.folder.resolve()),
            "fingerprint": dataset.fingerprint,
            "pictures": len(dataset),
            "size": dataset.size,
            "channels": dataset.channels,
            "from": str(options.start.resolve()) if options.start else None,
        }
        write_run(folder, about)
    _tell_plan(settings, dataset, device, found, job)
    count = _processes(options, device, settings)
    memory = int(options.memory * 2**30)
    if count > 1:
        from .together import Plan, train_together

        origin = options.start if start else None
        train_together(Plan(settings, dataset.folder, folder, origin, found, device.type, memory), count, job)
    else:
        Run(Trainer(settings, dataset, device, Group(), memory), folder, job, found, start).train()
    print(f"\n{job.status.done:,} images in {duration(job.status.seconds)}; snapshots and previews in {folder}")
    return 0


def _known_settings(options: argparse.Namespace, known: dict[str, Any], dataset: Dataset) -> Settings:
    settings = Settings.from_dict(known.get("settings", {}))
    given = _given(options)
    # Only the end of a run may change, and how much memory it takes. Any other change would make it a different run.
    changed = [
        name for name in given if name not in ("images", "micro_batch") and given[name] != getattr(settings, name)
    ]
    if changed or (options.start and str(options.start.resolve()) != known.get("from")):
        name = changed[0] if changed else "from"
        raise JobError(
            f"This run was begun with a different --{name.replace('_', '-')}. Continue it with --resume "
            "alone, or give another --out."
        )
    if dataset.fingerprint != known.get("fingerprint") and not options.changed_data:
        raise JobError(
            f"The data set {dataset.folder} has changed since the run began: it had {known.get('pictures')} pictures "
            f"and has {len(dataset)}. Go on with --changed-data, or begin a new run from this one with --from."
        )
    if (list(dataset.size), dataset.channels) != (known.get("size"), known.get("channels")):
        raise JobError("The data set's pictures have another size now; begin a new run from this one with --from.")
    allowed = {name: given[name] for name in ("images", "micro_batch") if name in given}
    return replace(settings, **allowed)


def _new_settings(
    options: argparse.Namespace, dataset: Dataset, device: torch.device, start: Start | None, trials: Trials
) -> Settings:
    given = _given(options)
    if not options.hours and not options.images:
        raise JobError("Say how long to train: --hours, or --images.")
    on_gpu = device.type == "cuda"
    defaults: dict[str, Any] = {"capacity": "medium" if on_gpu else "small", "batch": 32 if on_gpu else 16}
    if dataset.latents is not None:
        defaults |= {"z_dim": dataset.latents.shape[1], "style_mixing": 0.0, "augment": "off"}
    light = dataset.latents is None and not on_gpu
    kind = start.generator.info.kind if start else given.get("kind", "glu" if light else "stylegan2")
    defaults["kind"] = kind
    if kind == "glu":
        defaults |= {"loss": "relativistic", "style_mixing": 0.5}
    if on_gpu and kind == "stylegan2" and not start:
        defaults |= {"z_dim": 512, "w_dim": 512, "mapping_layers": 8, "mapping_lr": 0.01, "path_weight": 2.0}
        defaults |= {} if dataset.latents is None else {"z_dim": dataset.latents.shape[1]}
        # R1's weight grows with the number of pixels (2006.06676, appendix C).
        defaults["gamma"] = round(max(0.2, 0.0002 * dataset.size[0] * dataset.size[1] / 32), 3)
    defaults["name"] = options.name or dataset.folder.name
    defaults["tick"] = 4000 if on_gpu else 1000
    defaults["fade"] = FADE
    settings = Settings(**{**defaults, **given})
    if dataset.latents is not None and settings.z_dim != dataset.latents.shape[1]:
        raise JobError(f"The data set's latents have {dataset.latents.shape[1]} components, not {settings.z_dim}.")
    if settings.warm_up and dataset.latents is None:
        raise JobError("A warm-up needs a data set with latents.")
    if start:
        settings = start.settle(settings, dataset)
    else:
        network_config(settings, dataset.size, dataset.channels)
        if settings.kind != "dcgan":
            settings = replace(settings, channels=network_channels(settings, dataset.size))
    check_growth(settings, dataset.size)
    if "precision" not in given:
        settings = trials.choose_precision(settings)
    settings = trials.fit_memory(settings)
    if options.hours:
        grows = "grow" not in given and not on_gpu and not start
        spent = trials.spend(settings, options.hours, grows and len(growth_sides(settings.kind, dataset.size)) > 1)
        settings = replace(spent, images=min(spent.images, options.images or spent.images))
    return settings


def _given(options: argparse.Namespace) -> dict[str, Any]:
    values = {field.name: getattr(options, field.name, None) for field in fields(Settings)}
    return {name: value for name, value in values.items() if value is not None}


def _device(name: str | None) -> torch.device:
    try:
        device = torch.device(name) if name else best_device()
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"The device {name} cannot be used: {str(error).splitlines()[0]}") from None
    return device


def _processes(options: argparse.Namespace, device: torch.device, settings: Settings) -> int:
    """Return how many processes train: as many as asked for, or as many GPUs as the batch can be divided among.

    Raises UsageError if the batch cannot be divided by the number that was asked for.
    """
    if options.processes:
        if settings.batch % options.processes or (settings.micro_batch or settings.batch) % options.processes:
            raise UsageError(f"A batch of {settings.batch} cannot be divided among {options.processes} processes.")
        return options.processes
    if device.type != "cuda" or options.device:
        return 1
    together = settings.micro_batch or settings.batch
    return max(count for count in range(1, torch.cuda.device_count() + 1) if together % count == 0)


def _tell_plan(settings: Settings, dataset: Dataset, device: torch.device, found: Estimate, job: Job) -> None:
    g = sum(v.numel() for v in make_generator(network_config(settings, dataset.size, dataset.channels)).parameters())
    d = sum(v.numel() for v in make_discriminator(settings, dataset.size, dataset.channels).parameters())
    words = [f"{len(dataset):,} pictures of {dataset.size[1]} x {dataset.size[0]} on {device}, {settings.precision}"]
    words.append(f"generator {g / 1e6:.1f} million weights, discriminator {d / 1e6:.1f} million")
    for side, begin, end in stages(settings, dataset.size):
        words.append(f"images {begin:,} to {end:,} with pictures of side {side}, {found.rates[side]:.1f} a second")
    words.append(f"about {duration(found.seconds)} in all")
    words.append(f"snapshots of {g * 2 / 1e6:.1f} MB, and {(g * 4 + d * 3) * 4 / 1e6:.0f} MB to resume from")
    if found.memory:
        whose = "the GPU's memory" if device.type == "cuda" else "memory, and the pictures that are kept there"
        words.append(f"{found.memory / 2**30:.1f} GiB of {whose}")
    print("\n" + "\n".join(words))
    job.tell(seconds_left=found.seconds, facts={"plan": "; ".join(words)})
