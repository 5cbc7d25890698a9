"""Write frames to a film or to numbered PNGs; neither is ever left incomplete."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace

from lantern_protocol.part_files import remove_stale_parts

from ..pixels.encoding import encode_png, prepare_folder, write_failed
from ..terminal.console import UsageError

FILMS = (".mp4", ".mov", ".mkv")
QUALITY = "16"
"""The crf of libx264: 0 loses nothing and 23 is usual. Thin lines on black show every loss, so it is low here."""
BT709 = 1
"""BT.709 for primaries and transfer, as numbered in ITU-T H.273."""
FRAME = re.compile(r"frame_\d{4,}\.png")


class Sink(Protocol):
    """Takes the frames of a film, one after the other."""

    def write(self, frame: np.ndarray) -> None:
        """Add a frame, uint8 (height, width, 3); all frames have the same size."""


def check_free(out: Path, overwrite: bool) -> None:
    """Raise UsageError if no film may be written to ``out``."""
    if out.suffix and out.suffix.lower() not in FILMS and not out.is_dir():
        raise UsageError(f"{out} is no film: end it in {', '.join(FILMS)}, or name a folder for PNGs.")
    if out.suffix.lower() in FILMS and out.is_dir():
        raise UsageError(f"{out} is a folder. Choose another name.")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"The folder {out.absolute().parent} is not there. Make it, or choose another.")
    if out.is_dir():
        there = next((name for name in sorted(os.listdir(out)) if FRAME.fullmatch(name)), None)
    else:
        there = "" if out.exists() else None
    if there is not None and not overwrite:
        raise UsageError(f"{out / there} is there already. Choose another name, or replace it with --overwrite.")


@contextlib.contextmanager
def open_sink(out: Path, fps: Fraction) -> Iterator[Sink]:
    """Open a film or a folder. It gets its frames when the context ends without an error, and nothing otherwise.

    Raises:
        ProtocolError: if it cannot be written.
    """
    make = _film if out.suffix.lower() in FILMS else _folder
    try:
        with make(out, fps) as sink:
            yield sink
    except (OSError, FFmpegError) as error:
        raise write_failed(out, OSError(error.errno, error.strerror)) from None


class _Film:
    def __init__(self, container: OutputContainer, fps: Fraction) -> None:
        self._container, self._fps = container, fps
        self._stream: av.VideoStream | None = None

    def write(self, frame: np.ndarray) -> None:
        height, width = (side + side % 2 for side in frame.shape[:2])  # yuv420p halves the colours: sides must be even
        padding = [(0, height - frame.shape[0]), (0, width - frame.shape[1]), (0, 0)]
        picture = av.VideoFrame.from_ndarray(np.pad(frame, padding, mode="edge"), format="rgb24")
        if self._stream is None:
            stream = self._stream = self._container.add_stream("libx264", self._fps, options={"crf": QUALITY})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            # The file must name its colour space: otherwise players guess it from the picture's size.
            context = stream.codec_context
            context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
            context.color_primaries = context.color_trc = BT709
        self._encode(
            picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
        )

    def finish(self) -> None:
        self._encode(None)

    def _encode(self, picture: av.VideoFrame | None) -> None:
        if self._stream is not None:
            self._container.mux(self._stream.encode(picture))


@contextlib.contextmanager
def _film(out: Path, fps: Fraction) -> Iterator[Sink]:
    part = out.with_name(f".part-{os.getpid()}-0{out.suffix.lower()}")
    try:
        options = {} if part.suffix == ".mkv" else {"movflags": "faststart"}
        with av.open(str(part), "w", container_options=options) as container:
            sink = _Film(container, fps)
            yield sink
            sink.finish()
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.parts: list[Path] = []

    def write(self, frame: np.ndarray) -> None:
        part = self._folder / f".part-{os.getpid()}-{len(self.parts)}"
        self.parts.append(part)
        part.write_bytes(encode_png(frame))


@contextlib.contextmanager
def _folder(out: Path, fps: Fraction) -> Iterator[Sink]:
    made = not out.exists()
    prepare_folder(out)
    remove_stale_parts(out)
    sink = _Folder(out)
    try:
        yield sink
        older = {name for name in os.listdir(out) if FRAME.fullmatch(name)}
        for number, part in enumerate(sink.parts):
            name = f"frame_{number:04d}.png"
            os.replace(part, out / name)
            older.discard(name)
        for name in older:  # of a longer film that this one replaces
            (out / name).unlink()
    finally:
        for part in sink.parts:
            part.unlink(missing_ok=True)
        if made:
            with contextlib.suppress(OSError):
                out.rmdir()  # only succeeds if it is empty
