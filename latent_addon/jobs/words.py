"""Write a job's numbers in words for people, because the trainer and the data set maker use short names."""

from __future__ import annotations

from .found import JobState, TrainingJob

PLAN = "plan"
"""The fact that holds a trainer's estimate: parts separated by semicolons."""

FEW, VERY_FEW = 500, 50
"""Numbers of pictures in a data set below which the panel gives a hint."""

_WORDS = {
    "size": "Size",
    "g_loss": "Generator loss",
    "d_loss": "Discriminator loss",
    "distance": "Distance from the data set",
    "variety": "Variety (1 is right)",
    "augment": "Augmentation",
    "skipped": "Skipped files",
    "duplicates": "Near-duplicates left out",
    "enlarged": "Smaller than the size",
}
_FOR_THE_LOG = {"kept", "d_fake", "d_real", "sign", "r1", "r2", "path"}
_LONGEST = 60


def facts_in_words(job: TrainingJob) -> list[str]:
    """Return the lines that the panel shows about a job below its progress, for example "Generator loss: 0.7312"."""
    lines = []
    for name, value in job.status.facts.items():
        if name == PLAN:
            if job.state is JobState.STARTING or (job.active and not job.status.done):
                lines += [part[:1].upper() + part[1:] for part in str(value).split("; ")]
        elif name not in _FOR_THE_LOG and not (job.kind == "dataset" and not value):
            lines.append(f"{_WORDS.get(name, name.replace('_', ' ').capitalize())}: {_written(value)}")
    return lines


def hint_of(pictures: int) -> str:
    """Return what the number of pictures in a data set means for a training, "" if there are enough."""
    if pictures < VERY_FEW:
        return f"Only {pictures} pictures: expect a generator that repeats them."
    return f"{pictures} pictures are few: more of them would help." if pictures < FEW else ""


def _written(value: str | float) -> str:
    if isinstance(value, str):
        return value[:_LONGEST]
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
