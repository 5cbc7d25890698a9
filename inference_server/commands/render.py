"""`render`: a sequence file in, numbered frames out. Twice the same file gives the same bytes."""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from lantern_protocol.errors import CHECKPOINT_UNREADABLE, ProtocolError
from lantern_protocol.orders import ShadowSettings
from lantern_protocol.part_files import remove_stale_parts
from lantern_protocol.sequence_file import SequenceFile, SequenceFileError, SequenceFrame
from lantern_protocol.versions import PIXEL_REVISION

from ..checkpoints import BUILTIN_RUN
from ..checkpoints.snapshots import find_snapshots
from ..pixels.encoding import encode_png, prepare_folder, write_atomically, write_failed
from ..pixels.shadow import make_shadow
from ..rendering.batches import LARGEST_BATCH, Frames, Picture, check_classes, check_latents, check_transform
from ..rendering.renderer import Renderer, frames_at_once
from ..serving.pipeline import encoder_threads
from ..terminal.console import show_progress

JOURNAL = ".latent_lantern_render.jsonl"
"""In the folder of frames: what each was made from, so that a render that was stopped goes on where it was."""


def render(options: argparse.Namespace, renderer: Renderer) -> int:
    """Make the frames of a sequence file; return the exit code."""
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
    made = 0
    with ThreadPoolExecutor(encoder_threads(), thread_name_prefix="encoder") as encoders:
        waiting: deque[Future[None]] = deque()

        def write_one() -> None:
            nonlocal made
            waiting.popleft().result()
            made += 1
            show_progress(made, len(todo))

        try:
            for frame, picture in _pictures(sequence, latents, files, renderer, todo):
                waiting.append(encoders.submit(_write, journal, frame, picture, looks[frame]))
                # Two batches: the one that is made, and the one that is written.
                while len(waiting) > 2 * LARGEST_BATCH or (waiting and waiting[0].done()):
                    write_one()
            while waiting:
                write_one()
        finally:
            for future in waiting:
                future.cancel()
            if 0 < made < len(todo):
                print(file=sys.stderr)
    return 0


def _write(journal: Journal, frame: SequenceFrame, picture: Picture, look: ShadowSettings | None) -> None:
    try:
        journal.write(file_name(frame), picture.pixels(), look)
    except ProtocolError as error:
        raise ProtocolError(error.code, f"Frame {frame.frame}: {error}") from None


def file_name(frame: SequenceFrame) -> str:
    """Return the name of a frame's file."""
    return f"frame_{frame.frame:04d}.png"


def look_of(frame: SequenceFrame, colour: bool, shadow: bool) -> ShadowSettings | None:
    """Return the shadow to write, None for colour: as the frame says, or as the command line insists."""
    if colour:
        return None
    return ShadowSettings() if shadow else frame.shadow


def request_hash(sequence: SequenceFile, latent: np.ndarray, frame: SequenceFrame, look: ShadowSettings | None) -> str:
    """Return a hash of everything that decides a frame's pixels, as hexadecimal digits."""
    toward = sequence.generators[frame.toward].sha256 if frame.mix and frame.toward is not None else None
    settings = {
        "pixel_revision": PIXEL_REVISION,
        "generator": sequence.generators[frame.generator].sha256,
        "toward": toward,
        "mix": frame.mix,
        "space": sequence.space,
        "shape": list(latent.shape),
        "psi": frame.psi,
        "cutoff": frame.cutoff,
        "noise": frame.noise,
        "classes": list(frame.classes),
        "transform": list(frame.transform),
        "shadow": None if look is None else look.to_json(),
    }
    text = json.dumps(settings, sort_keys=True).encode()
    return hashlib.sha256(text + latent.astype("<f4").tobytes()).hexdigest()


def find_checkpoints(
    sequence: SequenceFile, folder: Path, elsewhere: Path | None, renderer: Renderer
) -> dict[int, tuple[str, str]]:
    """Return file and sha256 of the generators that the frames use, by their places in the sequence's list.

    Each is looked for in `elsewhere`, which is a file or a folder of snapshots, where the sequence in `folder` says,
    and in the built-in one; only a file with the sequence's sha256 will do. Raises ProtocolError that says what each
    place holds.
    """
    used = {frame.generator for frame in sequence.frames}
    used |= {frame.toward for frame in sequence.frames if frame.mix and frame.toward is not None}
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
            troubles.append(f"{file} is another checkpoint (sha256 {sha256[:12]}...)")
        else:
            raise ProtocolError(
                CHECKPOINT_UNREADABLE,
                f"The sequence needs the checkpoint '{generator.name}' (sha256 {generator.sha256[:12]}...). "
                f"{'; '.join(troubles[:4])}. Say where it is with --checkpoint.",
            )
    return found


def _choose_frames(sequence: SequenceFile, numbers: list[int] | None) -> list[SequenceFrame]:
    if numbers is None:
        return list(sequence.frames)
    by_number = {frame.frame: frame for frame in sequence.frames}
    missing = [number for number in numbers if number not in by_number]
    if missing:
        raise SequenceFileError(f"The sequence has no frame {missing[0]}.")
    return [by_number[number] for number in dict.fromkeys(numbers)]


def _pictures(
    sequence: SequenceFile,
    latents: np.ndarray,
    files: dict[int, tuple[str, str]],
    renderer: Renderer,
    todo: set[SequenceFrame],
) -> Iterator[tuple[SequenceFrame, Picture]]:
    """Yield the colour frames that are to be made.

    Batches are cut from the whole sequence, whatever part of it is made: a batch of another size rounds differently,
    and a frame would depend on which others were there already.
    """
    for key, run in itertools.groupby(sequence.frames, _batch_key):
        frames = list(run)
        if todo.isdisjoint(frames):
            continue
        place, toward, mix, noise, classes, transform = key
        loaded = renderer.open_between(*files[place], None if toward is None else files[toward], mix)
        check_latents(loaded.info, sequence.space, latents)
        at_once = frames_at_once(loaded, latents.shape[1:])
        for start in range(0, len(frames), at_once):
            batch = frames[start : start + at_once]
            if todo.isdisjoint(batch):
                continue
            weights = np.array([frame.classes for frame in batch], dtype=np.float32) if classes else None
            check_classes(loaded.info, sequence.space, weights)
            moves = np.array([frame.transform for frame in batch], dtype=np.float32) if transform else None
            check_transform(loaded.info, moves)
            order = Frames(
                sequence.space,
                latents[[frame.row for frame in batch]],
                np.array([frame.psi for frame in batch], dtype=np.float32),
                [frame.cutoff for frame in batch],
                noise,
                weights,
                None if moves is None else moves.reshape(-1, 3, 3),
            )
            for frame, picture in zip(batch, renderer.render(loaded, order), strict=True):
                if frame in todo:
                    yield frame, picture


def _batch_key(frame: SequenceFrame) -> tuple[int, int | None, float, str | int, int, bool]:
    """Frames of equal keys may share a batch."""
    toward = frame.toward if frame.mix else None
    return frame.generator, toward, frame.mix, frame.noise, len(frame.classes), bool(frame.transform)


class Journal:
    """What the files in a folder were made from: lines of JSON {name, request, sha256}, the later ones winning.

    done: names whose files are there, unharmed, and made from the same request. others: names that are taken by
    anything else.
    """

    def __init__(self, folder: Path, requests: dict[str, str]):
        self._folder = folder
        self._requests = requests
        self.done: set[str] = set()
        self.others: list[str] = []
        entries = self._read()
        for name, request in requests.items():
            try:
                contents = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise write_failed(folder / name, error) from None
            if entries.get(name) == (request, contents):
                self.done.add(name)
            else:
                self.others.append(name)

    def write(self, name: str, picture: np.ndarray, look: ShadowSettings | None) -> None:
        """Write one frame. The line in the journal comes first: without its file it says nothing."""
        data = encode_png(picture if look is None else make_shadow(picture, look))
        line = {"name": name, "request": self._requests[name], "sha256": hashlib.sha256(data).hexdigest()}
        path = self._folder / JOURNAL
        try:
            # One write to a file opened for appending: lines of several threads do not mix. The line's end comes
            # first, so that one cut off by a kill does not spoil the next.
            with open(path, "ab", buffering=0) as file:
                file.write(b"\n" + json.dumps(line).encode())
        except OSError as error:
            raise write_failed(path, error) from None
        write_atomically(self._folder / name, data)

    def _read(self) -> dict[str, tuple[str, str]]:
        entries: dict[str, tuple[str, str]] = {}
        try:
            lines = (self._folder / JOURNAL).read_bytes().splitlines()
        except OSError:
            return entries
        for line in lines:
            try:
                value = json.loads(line)
                entries[value["name"]] = (value["request"], value["sha256"])
            except (ValueError, KeyError, TypeError):
                continue  # cut off when the render was stopped
        return entries
