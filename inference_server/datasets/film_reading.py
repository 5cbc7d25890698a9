"""The frames of a film between two times, with the time of each, read with PyAV.

A file is given to FFmpeg as an open file, never as a name, because FFmpeg takes many names for addresses. FFmpeg may
open nothing else: a playlist that names other files or servers is refused.

Times count from the film's first frame. Where a film's times jump back, because takes were joined byte by byte, playing
time goes on. A seek is only trusted in containers that have an index of times (MP4, Matroska); elsewhere packets are
read, but not decoded, until shortly before the start.
"""

from __future__ import annotations

import contextlib
import heapq
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext

from ..terminal.jobs import JobError
from .pictures import MOST_PIXELS

NOTHING_ELSE = {"protocol_whitelist": "none"}
"""FFmpeg's option that lets it open no other file and no address."""
INDEXED = ("mov", "matroska")
"""Containers whose index leads to a key frame before a time."""
UNORDERED = ("avi",)
"""Containers that hold no presentation times. FFmpeg guesses them, not always in order."""
SEEK_BEFORE = 1.0
"""Seconds before the start to which a seek goes."""
JUMP = 0.5
"""Seconds. If times go back by more than this, another take begins."""
REORDERED = 16
"""The most frames by which a codec changes the order."""
TINY = 1e-6
"""Seconds by which computed times may be wrong."""
MOST_HELD = 1 << 28
"""Bytes of packets that are held before the start is reached; then they are decoded."""
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Decoders that decode the alpha of these codecs. FFmpeg's own decoders leave it out."""
STILL = ("mjpeg", "png", "bmp", "gif", "webp")
"""Codecs of pictures: a track of one of them next to another track is a cover that is not marked as one."""
COVERS = Disposition.attached_pic | Disposition.timed_thumbnails


@dataclass(frozen=True)
class Shown:
    """A frame, the time from which it is shown in seconds, and its width and height in square pixels, unturned."""

    time: float
    frame: av.VideoFrame
    shape: tuple[int, int]


class FilmReader(ABC):
    """Reads the frames of a film between two times.

    Args:
        path: the file.
        start, end: seconds; frames with start <= time < end are read, with None all from start.

    Attributes:
        expected: how many frames the whole film has, if its container says that, else 0; known after the first frame.
        track: which of the film's picture tracks is read, "" if there is only one; known after the first frame.
        broken: why packets could not be decoded.
    """

    def __init__(self, path: Path, start: float, end: float | None) -> None:
        self._path, self._start, self._end = path, start, end
        self.expected = 0
        self.track = ""
        self.broken: list[str] = []

    @abstractmethod
    def frames(self) -> Iterator[Shown]:
        """Yield the frames. Raises JobError if the file cannot be read, or is no film."""

    def _between(self, frames: Iterator[Shown]) -> Iterator[Shown]:
        for shown in frames:
            if self._end is not None and shown.time >= self._end - TINY:
                return
            if shown.time >= self._start - TINY:
                yield shown


class Reader(FilmReader):
    """Reads a film with PyAV."""

    def frames(self) -> Iterator[Shown]:
        """See ``FilmReader``."""
        self.broken.clear()
        begin, is_indexed = self._first() if self._start > 0 else (None, False)
        if is_indexed and self._start > SEEK_BEFORE:
            found = self._after_seek(begin or 0.0)
            if found is not None:
                yield from found
                return
        yield from self._between(self._all(begin))

    def _first(self) -> tuple[float | None, bool]:
        """Return the container's time of the first frame, None if it gives none, and whether it has an index."""
        with self._opened() as (container, stream):
            frame = next(_decoded(container.demux(stream), _decoder(stream), []), None)
            return None if frame is None else frame.time, _is_one_of(container, INDEXED)

    def _after_seek(self, begin: float) -> Iterator[Shown] | None:
        """Return the frames after a seek; None if it did not lead to a key frame before the start."""
        with self._opened() as (container, stream):
            try:
                place = begin + self._start - SEEK_BEFORE
                container.seek(int(place / (stream.time_base or 1)), stream=stream, backward=True)
                first = next(_decoded(container.demux(stream), _decoder(stream), []), None)
            except FFmpegError:
                return None
            if first is None or first.time is None or not first.key_frame or first.time - begin > self._start:
                return None
        return self._between(self._sought(begin, place))

    def _sought(self, begin: float, place: float) -> Iterator[Shown]:
        with self._opened() as (container, stream):
            container.seek(int(place / (stream.time_base or 1)), stream=stream, backward=True)
            yield from self._timed(stream, _decoded(container.demux(stream), _decoder(stream), self.broken), begin, 0.0)

    def _all(self, begin: float | None) -> Iterator[Shown]:
        """Yield all frames from the key frame before the last key frame before the start."""
        with self._opened() as (container, stream):
            packets: Iterator[Packet] = container.demux(stream)
            unordered, gone = _is_one_of(container, UNORDERED), 0.0
            if begin is not None and not unordered:
                packets, gone = _near(packets, begin, self._start, _rate(stream))
            frames = _decoded(packets, _decoder(stream), self.broken)
            shown = self._timed(stream, frames, begin, gone)
            yield from _in_order(shown) if unordered else shown

    def _timed(
        self, stream: av.VideoStream, frames: Iterator[av.VideoFrame], begin: float | None, gone: float
    ) -> Iterator[Shown]:
        """Yield frames with their times.

        Args:
            begin: the container's time of the film's first frame; None if the first of ``frames`` is that one.
            gone: seconds to add because times jumped back before.
        """
        step = 1 / _rate(stream)
        last = -step
        for frame in frames:
            time = last + step
            if frame.time is not None:
                begin = frame.time if begin is None else begin
                time = frame.time - begin + gone
                if last - time > JUMP:
                    gone += last + step - time
                    time = last + step
            last = time
            pixel = stream.sample_aspect_ratio or Fraction(1)
            yield Shown(time, frame, (max(1, round(frame.width * float(pixel))), frame.height))

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[InputContainer, av.VideoStream]]:
        try:
            file = self._path.open("rb")
        except OSError as error:
            raise JobError(f"{self._path} cannot be read: {error.strerror or error}.") from error
        with file:
            try:
                container = av.open(file, "r", metadata_errors="replace", options=NOTHING_ELSE)
            except (FFmpegError, OSError, ValueError) as error:
                if _lacks_index(file):
                    raise JobError(
                        f"{self._path} was not finished: the recording was interrupted before its index was written. A "
                        "repair program (untrunc, for example) can make the index again, with the help of a whole film "
                        "from the same camera."
                    ) from error
                raise JobError(f"{self._path} cannot be read as a film: {reason_of(error)}.") from error
            with container:
                yield container, self._stream(container)

    def _stream(self, container: InputContainer) -> av.VideoStream:
        """Return the film's picture track: not a cover, not a still picture; of several, the one that plays first."""
        readable = [one for one in container.streams.video if one.codec_context is not None]
        tracks = [one for one in readable if not one.disposition & COVERS]
        if not tracks and container.streams.video:
            if readable and container.streams.audio:
                raise JobError(f"{self._path} is a song with a cover picture, not a film.")
            raise JobError(f"{self._path} has no picture track that can be read.")
        if not tracks and container.streams.audio:
            raise JobError(f"{self._path} has sound only, no pictures.")
        if not tracks:
            raise JobError(f"{self._path} has no picture track that can be read.")

        def rank(one: av.VideoStream) -> tuple[bool, bool, int, int]:
            size = one.codec_context.width * one.codec_context.height
            still = one.frames == 1 or (one.codec is not None and one.codec.name in STILL)
            return not still, bool(one.disposition & Disposition.default), size, -one.index

        stream = max(tracks, key=rank)
        if len(tracks) > 1:
            wide, high = stream.codec_context.width, stream.codec_context.height
            self.track = f"track {stream.index} of {len(tracks)} with pictures, {wide} x {high}"
        if stream.codec_context.width * stream.codec_context.height > MOST_PIXELS:
            raise JobError(f"The frames of {self._path} are too large to read.")
        stream.thread_type = "AUTO"
        self.expected = stream.frames or (
            round(container.duration / av.time_base * _rate(stream)) if container.duration else 0
        )
        return stream


def _is_one_of(container: InputContainer, formats: tuple[str, ...]) -> bool:
    return not set(formats).isdisjoint(container.format.name.split(","))


def reason_of(error: Exception) -> str:
    """Return FFmpeg's words for an error."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _rate(stream: av.VideoStream) -> float:
    # A stream without times has FFmpeg's default as its average rate; what it guesses comes from the stream itself.
    rates = (stream.average_rate, stream.guessed_rate)
    return float(next(filter(None, rates if stream.start_time is not None else rates[::-1]), 25))


def _decoder(stream: av.VideoStream) -> VideoCodecContext:
    """Return the decoder of a track; one that decodes transparency if the track says that it has some."""
    own = stream.codec_context
    name = ALPHA_DECODERS.get(own.codec.name if own.codec else "")
    if name and stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE")) == "1":
        with contextlib.suppress(FFmpegError, ValueError):
            other = VideoCodecContext.create(name, "r")
            assert isinstance(other, VideoCodecContext)
            other.extradata = own.extradata
            return other
    return own


def _decoded(packets: Iterator[Packet], decoder: VideoCodecContext, broken: list[str]) -> Iterator[av.VideoFrame]:
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            yield from decoder.decode(packet)
        except FFmpegError as error:
            broken.append(reason_of(error))  # if the file ended in the middle of a packet, no packet follows


def _near(packets: Iterator[Packet], begin: float, start: float, rate: float) -> tuple[Iterator[Packet], float]:
    """Read packets up to the start, and drop those that it does not need.

    Returns the packets from the last key frame but one before the start on, or all if there are fewer, and the seconds
    by which times have jumped back before the first of them.
    """
    groups: list[list[Packet]] = [[]]
    gone_before: list[float] = [0.0]
    gone, last, held = 0.0, None, 0

    def rest() -> Iterator[Packet]:
        for group in groups:
            yield from group
        yield from packets

    while True:
        try:
            packet = next(packets, None)
        except FFmpegError:
            break
        if packet is None:
            break
        ticks = packet.dts if packet.dts is not None else packet.pts
        if ticks is None or packet.time_base is None:
            if packet.size == 0:  # the end: it makes the decoder give out its last frames
                groups[-1].append(packet)
                break
            groups[-1].append(packet)
            continue
        time = float(ticks * packet.time_base) - begin + gone
        if last is not None and last - time > JUMP:
            gone += last + 1 / rate - time
            time = last + 1 / rate
        last = time
        if packet.is_keyframe:
            groups.append([])
            gone_before.append(gone)
            # A frame of this group may need the group before it.
            held -= sum(one.size for group in groups[:-3] for one in group)
            del groups[:-3], gone_before[:-3]
        groups[-1].append(packet)
        held += packet.size
        if time >= start or held > MOST_HELD:
            break
    return rest(), gone_before[0]


def _in_order(frames: Iterator[Shown]) -> Iterator[Shown]:
    """Give the frames, which come in the order in which they are shown, their times in order."""
    waiting: list[Shown] = []
    times: list[float] = []
    first = None

    def earliest() -> Shown:
        nonlocal first
        shown, time = waiting.pop(0), heapq.heappop(times)
        first = time if first is None else first
        return Shown(time - first, shown.frame, shown.shape)

    for shown in frames:
        waiting.append(shown)
        heapq.heappush(times, shown.time)
        if len(waiting) > REORDERED:
            yield earliest()
    while waiting:
        yield earliest()


def _lacks_index(file: BinaryIO) -> bool:
    """Return whether a file is an MP4 or QuickTime film without the box that says what its data are."""
    file.seek(0, 2)
    length, place, kinds = file.tell(), 0, set()
    while place + 8 <= length and len(kinds) < 64:
        file.seek(place)
        header = file.read(16)
        size, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        if not (kind.isalnum() or kind.strip(b" ").isalnum()):
            break
        kinds.add(kind)
        if size < 8:  # up to the end of the file
            break
        place += size
    return bool(kinds & {b"ftyp", b"mdat"}) and b"mdat" in kinds and b"moov" not in kinds
