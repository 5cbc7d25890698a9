"""Replaces `python -m inference_server dataset` and `train` in tests: it writes the same files, but learns nothing.

Run it as ``fake_trainer.py [options] -- ARGUMENTS``, with the arguments of the real command. It holds the lock,
replaces the status, obeys ``stop``, and writes snapshots and pictures. Standard library only.

Options: ``--journal FILE`` adds each command line as JSON. ``--steps N`` is the number of steps, ``--seconds S`` the
time of each step. ``--until FILE`` continues the last step until the file exists. ``--refuse TEXT`` ends at once with
exit code 3 and the text on stderr; ``--break TEXT`` fails as a job, half-way. ``--die N`` ends in step N without any
report. ``--silent-until FILE`` waits before it takes the lock, like a process that loads PyTorch.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from lantern_protocol.job_folder import STOP_FILE, FolderLock, Status, read_json, write_json, write_status

IMAGES = 1000
"""Of each step."""


def main() -> int:
    """Play one job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--until", type=Path)
    parser.add_argument("--silent-until", type=Path)
    parser.add_argument("--refuse")
    parser.add_argument("--break", dest="broken")
    parser.add_argument("--die", type=int, default=-1)
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    words = options.arguments[options.arguments.index("inference_server") + 1 :]
    if options.journal:
        with options.journal.open("a") as journal:
            journal.write(json.dumps(words) + "\n")
    wait_for(options.silent_until)
    if options.refuse:
        print("loading ...\n" + options.refuse, file=sys.stderr)
        return 3
    if words[0] == "dataset":
        return work(options, Path(words[2]), Status("dataset", "starting", unit="pictures"))
    resumed = "--resume" in words
    folder = Path(words[words.index("--resume" if resumed else "--out") + 1])
    status = Status("training", "starting", message="Trying a few steps, for an estimate", facts={"plan": "one; two"})
    if "--images" in words:
        options.steps = int(words[words.index("--images") + 1]) // IMAGES
    return work(options, folder, status)


def work(options: argparse.Namespace, folder: Path, status: Status) -> int:
    """Work through the remaining steps."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(folder)
    (folder / STOP_FILE).unlink(missing_ok=True)
    training = status.job == "training"
    about = folder / ("run.json" if training else "dataset.json")
    status = replace(status, pid=os.getpid(), total=options.steps * IMAGES)
    write_status(folder, replace(status, updated=time.time()))
    for step in range(int(read_json(about).get("step", 0)), options.steps):
        time.sleep(options.seconds)
        status = replace(status, state="working", message="", done=step * IMAGES, rate=61.25, seconds=step * 60.0)
        status = replace(status, seconds_left=7500.0, facts={"g_loss": 0.731234, "size": "64 x 64"})
        status = replace(status, picture=draw(folder, training, step))
        write_json(about, {"step": step})
        if training:
            (folder / f"snapshot-{step * IMAGES:09d}.safetensors").write_bytes(b"weights" + bytes([step]))
        write_status(folder, replace(status, updated=time.time()))
        if step == options.die:
            os._exit(9)
        if options.broken and step >= options.steps // 2:
            write_status(folder, replace(status, state="failed", message=options.broken, updated=time.time()))
            return 1
        while (step == options.steps - 1 and not there(options.until)) or (folder / STOP_FILE).exists():
            if (folder / STOP_FILE).exists():
                write_status(folder, replace(status, state="stopped", seconds_left=0.0, updated=time.time()))
                return 0
            time.sleep(0.01)
    write_json(about, {"step": options.steps})
    message = "" if training else "4,000 pictures kept, 12 skipped."
    status = replace(status, state="finished", message=message, done=options.steps * IMAGES, seconds_left=0.0)
    write_status(folder, replace(status, updated=time.time()))
    lock.release()
    return 0


def draw(folder: Path, training: bool, step: int) -> str:
    """Write a picture that belongs to this step only; return its path within the folder."""
    path = folder / (f"previews/preview-{step * IMAGES:09d}.png" if training else "contact_sheet.png")
    path.parent.mkdir(exist_ok=True)
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    pixels = zlib.compress((b"\0" + bytes([40 * step % 256]) * 8) * 8)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
        )
    )
    return path.relative_to(folder).as_posix()


def there(file: Path | None) -> bool:
    """Return whether the file that an option names exists; True if the option names none."""
    return file is None or file.exists()


def wait_for(file: Path | None) -> None:
    """Wait until the file exists."""
    while not there(file):
        time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(main())
