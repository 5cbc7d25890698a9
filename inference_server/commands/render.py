"""The command `render`: make the frames of a sequence file. The same file always gives the same bytes."""

from __future__ import annotations

import argparse
import sys
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lantern_protocol.errors import ProtocolError
from lantern_protocol.orders import ShadowSettings
from lantern_protocol.part_files import remove_stale_parts
from lantern_protocol.sequence_file import SequenceFile, SequenceFileError, SequenceFrame

from ..terminal.console import UsageError, number_list, open_renderer, show_progress

if TYPE_CHECKING:
    from ..rendering.batches import Picture
    from ..rendering.journal import Journal


def add_parser(commands: Any, on_device: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser("render", parents=[on_device], help="make the numbered frames of a sequence file")
    parser.add_argument("sequence", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="a folder; made if it is missing")
    parser.add_argument("--checkpoint", type=Path, help="use this checkpoint, if the path in the sequence is wrong")
    parser.add_argument("--frames", type=number_list, help="only these frames, for example 10-20")
    parser.add_argument("--overwrite", action="store_true", help="replace files that would change")
    look = parser.add_mutually_exclusive_group()
    look.add_argument("--colour", action="store_true", help="write colour frames, even where the sequence has shadows")
    look.add_argument("--shadow", action="store_true", help="write a black and white shadow of every frame")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Make the frames of a sequence file; return the exit status. Raises UsageError if the file cannot be used."""
    try:
        return _render(options)
    except SequenceFileError as error:
        raise UsageError(str(error)) from None


def _render(options: argparse.Namespace) -> int:
    import numpy as np

    from ..pixels.encoding import encoder_threads, prepare_folder
    from ..rendering.batches import LARGEST_BATCH
    from ..rendering.journal import Journal, file_name, request_hash
    from ..rendering.sequences import find_checkpoints, pictures_of

    renderer = open_renderer(options.device, options.compile)
    sequence = SequenceFile.read(options.sequence)
    wanted = _choose_frames(sequence, options.frames)
    files = find_checkpoints(sequence, options.sequence.parent, options.checkpoint, renderer)
    latents = np.frombuffer(sequence.latents, dtype=np.float32).reshape(sequence.shape)
    prepare_folder(options.out)
    remove_stale_parts(options.out)
    looks = {frame: look_of(frame, options.colour, options.shadow) for frame in wanted}
    requests = {file_name(frame): request_hash(sequence, latents[frame.row], frame, looks[frame]) for frame in wanted}
    journal = Journal(options.out, requests)
    if journal.others and not options.overwrite:
        more = f" and {len(journal.others) - 1} more" if len(journal.others) > 1 else ""
        print(
            f"{options.out / journal.others[0]}{more} were not made from this request. Choose another folder, or "
            "replace them with --overwrite.",
            file=sys.stderr,
        )
        return 1
    todo = {frame for frame in wanted if file_name(frame) not in journal.done}
    skipped = len(wanted) - len(todo)
    print(f"{len(todo)} frames to make, {skipped} there already.", file=sys.stderr)
    count, made, elsewhere = len(todo), 0, 0
    frames = {file_name(frame): frame for frame in wanted}

    def shared() -> bool:
        """Take out of `todo` what other processes have made meanwhile; return whether there are such processes."""
        nonlocal elsewhere
        there = todo & {frames[name] for name in journal.look()}
        if there:
            todo.difference_update(there)
            elsewhere += len(there)
            show_progress(made + elsewhere, count)
        return journal.shared

    with ThreadPoolExecutor(encoder_threads(), thread_name_prefix="encoder") as encoders:
        waiting: deque[Future[None]] = deque()

        def write_one() -> None:
            nonlocal made
            waiting.popleft().result()
            made += 1
            show_progress(made + elsewhere, count)

        try:
            for frame, picture in pictures_of(sequence, latents, files, renderer, todo, shared):
                todo.discard(frame)
                waiting.append(encoders.submit(_write, journal, file_name(frame), frame, picture, looks[frame]))
                # Two batches: one is made while the other is written.
                while len(waiting) > 2 * LARGEST_BATCH or (waiting and waiting[0].done()):
                    write_one()
            while waiting:
                write_one()
        finally:
            for future in waiting:
                future.cancel()
            if 0 < made + elsewhere < count:
                print(file=sys.stderr)
    if elsewhere:
        print(f"{elsewhere} of these frames were made by another process.", file=sys.stderr)
    return 0


def _write(journal: Journal, name: str, frame: SequenceFrame, picture: Picture, look: ShadowSettings | None) -> None:
    try:
        journal.write(name, picture.pixels(), look)
    except ProtocolError as error:
        raise ProtocolError(error.code, f"Frame {frame.frame}: {error}") from None


def look_of(frame: SequenceFrame, colour: bool, shadow: bool) -> ShadowSettings | None:
    """Return the shadow settings of a frame, None for colour: those in the file, unless the command line overrides."""
    if colour:
        return None
    return ShadowSettings() if shadow else frame.shadow


def _choose_frames(sequence: SequenceFile, numbers: list[int] | None) -> list[SequenceFrame]:
    if numbers is None:
        return list(sequence.frames)
    by_number = {frame.frame: frame for frame in sequence.frames}
    missing = [number for number in numbers if number not in by_number]
    if missing:
        raise SequenceFileError(f"The sequence has no frame {missing[0]}.")
    return [by_number[number] for number in dict.fromkeys(numbers)]
