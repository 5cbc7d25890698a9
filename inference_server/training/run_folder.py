"""The folder of a training run.

::

    run.json                        settings, data set, and where it started from
    snapshot-000012345.safetensors  the averaged generator after this many images, in half precision
    previews/preview-000012345.png  pictures of always the same latents
    preview_latents.npy             those latents: float32 (n, z_dim)
    log.jsonl                       a JSON object for each tick: images, seconds, losses
    tensorboard/                    the same for TensorBoard
    resume.state                    everything needed to continue (safetensors)
    good.state                      the last state before which the pictures did not get worse
    left-1/                         what the run left behind when it went back to that state
    status.json, lock, stop         see ``lantern_protocol.job_folder``

Snapshots and previews are never overwritten. A run deletes none of its files except older states.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from lantern_protocol.job_folder import read_json, write_json

from ..checkpoints import CheckpointError, save_generator
from ..terminal.jobs import JobError, duration
from .course import Course
from .networks import finish
from .settings import Settings
from .sheet import sheet_of
from .trainer import Trainer

FORMAT = "latent-lantern-run"
VERSION = 1
STATE_FILE = "resume.state"
GOOD_FILE = "good.state"


def read_run(folder: Path) -> dict[str, Any]:
    """Read run.json; {} if there is no run yet. Raises JobError if it was written by another version."""
    about = read_json(folder / "run.json")
    if not about:
        return {}
    if about.get("format") != FORMAT or about.get("version") != VERSION:
        raise JobError(
            f"{folder / 'run.json'} is of another version of Latent Lantern; update, or choose another folder."
        )
    return about


def write_run(folder: Path, about: dict[str, Any]) -> None:
    """Write run.json."""
    write_json(folder / "run.json", {"format": FORMAT, "version": VERSION, **about})


def snapshot_path(folder: Path, seen: int) -> Path:
    """Return the path of the snapshot after ``seen`` images."""
    return folder / f"snapshot-{seen:09d}.safetensors"


def preview_path(folder: Path, seen: int) -> Path:
    """Return the path of the preview of that snapshot."""
    return folder / "previews" / f"preview-{seen:09d}.png"


def save_state(trainer: Trainer, folder: Path, seconds: float) -> None:
    """Write everything needed to continue; the file is never incomplete. Raises JobError if it cannot be written."""
    tensors = {
        f"{part}/{key}": value.detach().cpu().contiguous()
        for part, network in _networks(trainer).items()
        for key, value in network.state_dict().items()
    }
    for part, adam in (("g_adam", trainer.g_adam), ("d_adam", trainer.d_adam)):
        for index, values in adam.state_dict()["state"].items():
            for key, value in values.items():
                tensors[f"{part}/{index}/{key}"] = value.detach().cpu().contiguous()
    tensors["path_mean"] = trainer.path_mean.cpu()
    about = {
        "seen": str(trainer.seen),
        "seconds": repr(seconds),
        "probability": repr(trainer.probability),
        "channels": json.dumps(trainer.settings.channels),
        "course": json.dumps(trainer.course.to_dict()),
        "config": json.dumps({"kind": trainer.settings.kind, **trainer.config.to_dict()}),
    }
    path = folder / STATE_FILE
    part = path.with_name(path.name + ".part")
    try:
        save_file(tensors, part, about)
        os.replace(part, path)
        if trainer.course.good:
            try:
                os.link(path, part)
            except OSError:  # the drive's format has no links
                shutil.copyfile(path, part)
            os.replace(part, folder / GOOD_FILE)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise JobError(
            f"{path} cannot be written ({getattr(error, 'strerror', None) or error}). The last state and all snapshots "
            "are kept; make room, then resume."
        ) from error


def read_state(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read the tensors and metadata of a state. Raises JobError if the file cannot be read."""
    try:
        with safe_open(path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise JobError(f"{path} cannot be read ({error}). Start from a snapshot instead, with --from.") from error


def load_state(trainer: Trainer, path: Path) -> float:
    """Put a saved state of the run into the trainer; return the seconds spent until then.

    Raises JobError if the state cannot be read, or belongs to other settings.
    """
    tensors, about = read_state(path)
    try:
        for part, network in _networks(trainer).items():
            own = {key.partition("/")[2]: value for key, value in tensors.items() if key.startswith(f"{part}/")}
            network.load_state_dict(own)
        for part, adam in (("g_adam", trainer.g_adam), ("d_adam", trainer.d_adam)):
            state = adam.state_dict()
            state["state"] = {}
            for name, value in tensors.items():
                if name.startswith(f"{part}/"):
                    _, index, key = name.split("/")
                    state["state"].setdefault(int(index), {})[key] = value
            adam.load_state_dict(state)
        trainer.path_mean.copy_(tensors["path_mean"])
        trainer.seen, trainer.probability = int(about["seen"]), float(about["probability"])
        trainer.course = Course(**json.loads(about.get("course", "{}")))  # earlier versions had none
        return float(about["seconds"])
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise JobError(f"{path} does not belong to this run's settings; start from a snapshot, with --from.") from error


def preview_latents(folder: Path, settings: Settings) -> torch.Tensor:
    """Return the latents of the previews, float32 (n, z_dim): those in the folder, or new ones, written to the folder.

    Raises JobError if those in the folder cannot be read, or do not fit the settings.
    """
    path = folder / "preview_latents.npy"
    if path.exists():
        try:
            latents = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise JobError(f"{path} cannot be read ({error}). Delete it to have new ones drawn.") from error
        if latents.dtype != np.float32 or latents.ndim != 2 or latents.shape[1] != settings.z_dim or not len(latents):
            raise JobError(f"{path} must be float32 (n, {settings.z_dim}). Delete it to have new ones drawn.")
        return torch.from_numpy(latents)
    latents = np.random.RandomState(settings.seed).randn(settings.previews, settings.z_dim).astype(np.float32)
    part = path.with_name("preview_latents.part.npy")
    np.save(part, latents)
    os.replace(part, path)
    return torch.from_numpy(latents)


def save_snapshot(trainer: Trainer, folder: Path, previews: torch.Tensor, seconds: float) -> Path:
    """Write the averaged generator and its preview grid; return the preview's path.

    Raises JobError if they cannot be written.
    """
    finish(trainer.average, trainer.settings.seed)
    path, picture = snapshot_path(folder, trainer.seen), preview_path(folder, trainer.seen)
    try:
        if not path.exists():
            words = f"{trainer.seen:,} images in {duration(seconds)}"
            save_generator(trainer.average, path, {"training": words}, torch.float16)
        if not picture.exists():
            picture.parent.mkdir(exist_ok=True)
            part = picture.with_name(picture.name + ".part")
            Image.fromarray(sheet_of(trainer.average, previews)).save(part, format="png")
            os.replace(part, picture)
    except (OSError, CheckpointError) as error:
        text = str(error) if isinstance(error, CheckpointError) else f"{picture} cannot be written ({error})."
        raise JobError(f"{text} Earlier snapshots are kept; make room, then resume.") from error
    return picture


def leave_behind(folder: Path, seen: int, returns: int) -> None:
    """Move everything about more than ``seen`` images to left-N, so that nothing is lost or overwritten.

    That is snapshots, previews, and lines of the log. Raises JobError if they cannot be moved.
    """
    aside = folder / f"left-{returns}"
    try:
        aside.mkdir(exist_ok=True)
        for path in [*folder.glob("snapshot-*.safetensors"), *folder.glob("previews/preview-*.png")]:
            if int(path.stem.rpartition("-")[2]) > seen:
                os.replace(path, aside / path.name)
        dropped = shorten_log(folder, seen)
        (aside / "log.jsonl").write_text("".join(dropped), encoding="utf-8")
    except OSError as error:
        raise JobError(f"{error.filename} cannot be moved to {aside} ({error.strerror}).") from error


def shorten_log(folder: Path, seen: int) -> list[str]:
    """Drop the lines of the log that were written after the state from which the run continues; return them."""
    path = folder / "log.jsonl"
    kept: list[str] = []
    dropped: list[str] = []
    if not path.exists():
        return dropped
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            (kept if json.loads(line)["images"] <= seen else dropped).append(line + "\n")
        except (ValueError, KeyError, TypeError):
            continue  # half a line, written when the disk was full
    part = path.with_name(path.name + ".part")
    part.write_text("".join(kept), encoding="utf-8")
    os.replace(part, path)
    return dropped


def _networks(trainer: Trainer) -> dict[str, torch.nn.Module]:
    return {"generator": trainer.generator, "discriminator": trainer.discriminator, "average": trainer.average}
