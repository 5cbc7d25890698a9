"""Training with several processes: one for each GPU."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, spawn

from lantern_protocol.job_folder import ask_to_stop, read_status

from ..datasets.reading import Dataset, DatasetError
from ..rendering.heap import keep_freed_memory
from ..terminal.jobs import Job, JobError
from .distributed import Group
from .estimate import Estimate
from .running import Run
from .settings import Settings
from .starting import Start
from .trainer import Trainer


@dataclass(frozen=True)
class Plan:
    """What each process gets. ``device`` is "cuda" or "cpu"; ``memory`` is in bytes, for all processes together."""

    settings: Settings
    dataset: Path
    folder: Path
    start: Path | None
    found: Estimate
    device: str
    memory: int


def train_together(plan: Plan, count: int, job: Job) -> None:
    """Train with ``count`` processes, and wait for them. Raises JobError if one of them fails."""
    with tempfile.TemporaryDirectory() as folder:
        processes = spawn(_work, (count, Path(folder) / "meeting", plan), nprocs=count, join=False)
        assert processes is not None
        asked, ended, trouble = False, False, ""
        while not ended:
            try:
                ended = processes.join(timeout=0.5)
            except (ProcessRaisedException, ProcessExitedException) as error:
                ended, trouble = True, str(error).strip().splitlines()[-1]
            if not asked and not ended and job.stop_asked():
                asked = True
                with contextlib.suppress(OSError):
                    ask_to_stop(plan.folder)
    last = read_status(plan.folder)
    if last is not None:
        job.status = last
    if trouble:
        raise JobError(job.status.message if job.status.state == "failed" else f"A process failed: {trouble}")


def _work(rank: int, count: int, meeting: Path, plan: Plan) -> None:
    """Train in one of the processes."""
    device = torch.device(f"cuda:{rank}" if plan.device == "cuda" else "cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(max(1, torch.get_num_threads() // count))
        keep_freed_memory()
    job = Job(plan.folder, "training", "images", quiet=rank > 0)  # not entered: the main process holds the folder
    group = Group(rank, count, meeting, device.type)
    try:
        start = Start(plan.start) if plan.start else None
        trainer = Trainer(plan.settings, Dataset(plan.dataset), device, group, plan.memory)
        Run(trainer, plan.folder, job, plan.found, start).train()
    except (JobError, DatasetError) as error:
        job.tell(state="failed", message=str(error))
        raise
    finally:
        group.close()
