"""The colour frames of a sequence file, made in batches."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path

import numpy as np

from lantern_protocol.errors import CHECKPOINT_UNREADABLE, ProtocolError
from lantern_protocol.sequence_file import SequenceFile, SequenceFrame

from ..checkpoints import BUILTIN_RUN
from ..checkpoints.snapshots import find_snapshots
from .batches import Frames, Picture, check_frames, check_latents
from .renderer import Renderer, frames_at_once


def find_checkpoints(
    sequence: SequenceFile, folder: Path, elsewhere: Path | None, renderer: Renderer
) -> dict[int, tuple[str, str]]:
    """Return file and sha256 of the generators that the frames use, by their places in the sequence's list.

    Each is looked for in `elsewhere` (a file or a folder of snapshots), at the path in the sequence, which may be
    relative to `folder`, and in the built-in run. Only a file with the sha256 in the sequence is accepted. Raises
    ProtocolError that says what each place holds.
    """
    used = {frame.generator for frame in sequence.frames}
    used |= {frame.toward for frame in sequence.frames if frame.settings.mix and frame.toward is not None}
    others = [elsewhere] if elsewhere is not None else []
    if elsewhere is not None and elsewhere.is_dir():
        others = find_snapshots(elsewhere)
    found: dict[int, tuple[str, str]] = {}
    for place in sorted(used):
        generator = sequence.generators[place]
        own = [] if generator.path is None else [folder / generator.path]
        builtin = find_snapshots(BUILTIN_RUN) if BUILTIN_RUN.is_dir() else []
        troubles = []
        for file in (*others, *own, *builtin):
            try:
                sha256 = renderer.identities.of(file)[1]
            except ProtocolError as error:
                troubles.append(str(error))
                continue
            if sha256 == generator.sha256:
                found[place] = (str(file), sha256)
                break
            troubles.append(f"{file} is a different checkpoint (sha256 {sha256[:12]}...)")
        else:
            raise ProtocolError(
                CHECKPOINT_UNREADABLE,
                f"The sequence needs the checkpoint '{generator.name}' (sha256 {generator.sha256[:12]}...). "
                f"{'; '.join(troubles[:4])}. Say where it is with --checkpoint.",
            )
    return found


def pictures_of(
    sequence: SequenceFile,
    latents: np.ndarray,
    files: dict[int, tuple[str, str]],
    renderer: Renderer,
    todo: set[SequenceFrame],
    shared: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[SequenceFrame, Picture]]:
    """Yield the colour frames that are to be made.

    Batches are cut from the whole sequence, even if only a part of it is made. A batch of a different size rounds
    differently, so otherwise a frame would depend on which others were there already.

    todo: the caller may take frames out of it at any time. shared: called before each batch. It may take out of `todo`
    what other processes have made, and returns whether other processes are at work.
    """
    runs = [list(run) for _, run in itertools.groupby(sequence.frames, _batch_key)]
    for frames in _in_turn(runs, todo, shared):
        place, toward, mix, _ = _batch_key(frames[0])
        loaded = renderer.open_between(*files[place], None if toward is None else files[toward], mix)
        check_latents(loaded.info, sequence.space, latents)
        at_once = frames_at_once(loaded, latents.shape[1:])
        batches = [frames[start : start + at_once] for start in range(0, len(frames), at_once)]
        for batch in _in_turn(batches, todo, shared):
            rows = latents[[frame.row for frame in batch]]
            order = Frames.of(sequence.space, rows, [frame.settings for frame in batch])
            check_frames(loaded.info, order)
            for frame, picture in zip(batch, renderer.render(loaded, order), strict=True):
                if frame in todo:
                    yield frame, picture


def _in_turn(
    parts: list[list[SequenceFrame]], todo: set[SequenceFrame], shared: Callable[[], bool]
) -> Iterator[list[SequenceFrame]]:
    """Yield the parts that hold frames to be made: in order, or at random while other processes make frames too.

    Two processes that go through the same parts in the same order would make each part at the same time.
    """
    left = deque(parts)
    while left:
        mixed = shared()
        while left:
            if mixed:
                left.rotate(random.randrange(len(left)))
            part = left.popleft()
            if not todo.isdisjoint(part):
                yield part
                break


def _batch_key(frame: SequenceFrame) -> tuple[int, int | None, float, Hashable]:
    """Frames of equal keys may share a batch."""
    mix = frame.settings.mix
    return frame.generator, frame.toward if mix else None, mix, frame.settings.batch_key
