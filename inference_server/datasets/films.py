"""Films as sources, read with PyAV."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from PIL import Image

from lantern_protocol.job_folder import read_json, write_json

from ..terminal.jobs import JobError
from .cropping import best_position, detail
from .pictures import MOST_PIXELS, BadPicture
from .scenes import THUMB_HEIGHT, THUMB_WIDTH, find_scenes
from .settings import Settings
from .sources import Item

PLAN_FILE = "film.json"
LOOKED_AT = 32
"""In how many frames of a scene the detail is measured."""
TIME_SLACK = 0.05
"""Tolerance as a share of a step of --rate, because times in films are rounded, often to milliseconds."""


@dataclass(frozen=True)
class Scene:
    """A scene without the cross-fades and blank frames at its ends."""

    first: int
    end: int
    """`first` and `end` are frame numbers, counted from --start; `end` is not included."""
    start_seconds: float
    end_seconds: float
    position: float
    """The position of the window that is cut from its frames, 0 to 1, as cropping.window takes it."""


@dataclass(frozen=True)
class Plan:
    """Which frames of a film are used: `picks` are pairs of a frame and its scene."""

    scenes: list[Scene]
    picks: list[tuple[int, int]]
    broken: int
    """How many packets could not be decoded."""


class Film:
    """A film as a source.

    Args:
        path: the file.
        out: the data set's folder; the plan is kept there for the next time.
    """

    latents: np.ndarray | None = None

    def __init__(self, path: Path, out: Path, settings: Settings) -> None:
        self.name, self.path, self._settings = path.name, path, settings
        self._file = out / PLAN_FILE
        self._stop: Callable[[], bool] = bool
        self.total = 0
        self.plan: Plan | None = None

    def look(self, report: Callable[[int, int], None], stop: Callable[[], bool]) -> bool:
        """Find the scenes and choose the frames; return False if it was stopped.

        Args:
            report: called with the number of frames read so far, and the expected number of all (at least the first).
            stop: returns whether to stop.

        Raises:
            JobError: if the film cannot be read.
        """
        try:
            about = {"bytes": self.path.stat().st_size}
        except OSError as error:
            raise JobError(f"{self.path} cannot be read: {error.strerror or error}.") from error
        self._stop = stop
        plan = self._kept(about)
        if plan is None:
            plan = self._looked(report)
            if plan is None:
                return False
            scenes = [[one.first, one.end, one.start_seconds, one.end_seconds, one.position] for one in plan.scenes]
            write_json(self._file, {**about, "scenes": scenes, "picks": plan.picks, "broken": plan.broken})
        self.plan, self.total = plan, len(plan.picks)
        return True

    def items(self, done: Container[str]) -> Iterator[Item]:
        """See Source."""
        assert self.plan is not None
        scenes = dict(self.plan.picks)
        last = max((frame for frame in scenes if key_of(frame) not in done), default=-1)
        for number, (_, frame, shape) in enumerate(self._frames()):
            if number > last or self._stop():
                return
            if number in scenes and key_of(number) not in done:
                scene = scenes[number]
                position = self.plan.scenes[scene].position if self._settings.crop == "smart" else None
                yield Item(key_of(number), lambda frame=frame, shape=shape: _image(frame, shape), position, scene)

    def _kept(self, about: dict[str, int]) -> Plan | None:
        kept = read_json(self._file)
        if not kept:
            return None
        if kept.get("bytes") != about["bytes"]:
            raise JobError(f"{self.path} has changed since this data set was begun. Choose another folder for it.")
        scenes = [Scene(*values) for values in kept["scenes"]]
        return Plan(scenes, [(frame, scene) for frame, scene in kept["picks"]], kept["broken"])

    def _looked(self, report: Callable[[int, int], None]) -> Plan | None:
        thumbs, jumps, times = bytearray(), [], []
        before: np.ndarray | None = None
        frame, shape = None, (0, 0)
        broken: list[str] = []
        for time, frame, shape in self._frames(broken):  # noqa: B007
            if self._stop():
                return None
            small = frame.reformat(THUMB_WIDTH, THUMB_HEIGHT, "rgb24", interpolation="AREA").to_ndarray()
            small = small.astype(np.float32)
            jumps.append(0.0 if before is None else float(np.abs(small - before).mean()) / 255)
            thumbs += np.rint(small.mean(axis=-1)).astype(np.uint8).tobytes()
            before = small
            times.append(time)
            report(len(times), max(len(times), self._expected))
        if frame is None:
            raise JobError(
                f"{self.path} has no frames that can be read{' from --start to --end' if self._is_part else ''}."
                + (f" {broken[0]}." if broken else "")
            )
        levels = np.frombuffer(thumbs, np.uint8).reshape(-1, THUMB_HEIGHT, THUMB_WIDTH)
        turned = _turns(frame) % 2 == 1
        scenes = []
        for first, end in find_scenes(levels, np.array(jumps)):
            some = levels[np.unique(np.linspace(first, end - 1, LOOKED_AT).astype(int))]
            energy = np.rot90(detail(some), _turns(frame))
            position = best_position(
                energy, (shape[1], shape[0]) if turned else (shape[0], shape[1]), self._settings.size
            )
            scenes.append(Scene(first, end, round(times[first], 3), round(times[end - 1], 3), round(position, 4)))
        if not scenes:
            raise JobError(f"{self.path} has only blank frames{' from --start to --end' if self._is_part else ''}.")
        return Plan(scenes, choose(scenes, times, self._settings), len(broken))

    @property
    def _is_part(self) -> bool:
        return self._settings.start > 0 or self._settings.end is not None

    def _frames(self, broken: list[str] | None = None) -> Iterator[tuple[float, av.VideoFrame, tuple[int, int]]]:
        """Yield seconds, the frame, and its width and height in square pixels before it is turned.

        Broken packets are left out; the reasons are added to ``broken``.
        """
        start, end = self._settings.start, self._settings.end
        self._expected = 0
        try:
            container = av.open(str(self.path), metadata_errors="replace")
        except (FFmpegError, OSError, ValueError) as error:
            raise JobError(f"{self.path} cannot be read as a film: {_reason(error)}.") from error
        with container:
            stream = next((one for one in container.streams.video if one.codec_context is not None), None)
            if stream is None:
                raise JobError(f"{self.path} has no picture track that can be read.")
            if stream.codec_context.width * stream.codec_context.height > MOST_PIXELS:
                raise JobError(f"The frames of {self.path} are too large to read.")
            stream.thread_type = "AUTO"
            rate = float(stream.average_rate or 25)
            begin = float((stream.start_time or 0) * (stream.time_base or 0))
            if not self._is_part:
                self._expected = stream.frames or (
                    round(container.duration / av.time_base * rate) if container.duration else 0
                )
            if start > 1 and stream.time_base:
                with contextlib.suppress(FFmpegError):  # if seeking fails, the film is read from the beginning
                    container.seek(int((begin + start) / stream.time_base), stream=stream)
            last = -1 / rate
            for frame in _decoded(container, stream, [] if broken is None else broken):
                time = last + 1 / rate if frame.time is None else frame.time - begin
                last = time
                if time < start - 1e-6:
                    continue
                if end is not None and time >= end:
                    return
                pixel = stream.sample_aspect_ratio or Fraction(1)
                yield time, frame, (max(1, round(frame.width * float(pixel))), frame.height)


def _decoded(container: InputContainer, stream: av.VideoStream, broken: list[str]) -> Iterator[av.VideoFrame]:
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            yield from packet.decode()
        except FFmpegError as error:
            broken.append(_reason(error))  # if the file ended in the middle of a packet, no packet follows


def choose(scenes: list[Scene], times: list[float], settings: Settings) -> list[tuple[int, int]]:
    """Return the frames to use, each with the number of its scene, in order.

    Args:
        times: the time of every frame, in seconds.
    """
    due = list(range(0, len(times), settings.every))
    if settings.rate:
        steps = np.floor((np.array(times) - times[0]) * settings.rate + TIME_SLACK)
        due = [frame for frame in range(len(times)) if frame == 0 or steps[frame] > steps[frame - 1]]
    picks: list[tuple[int, int]] = []
    place = 0
    for number, scene in enumerate(scenes):
        while place < len(due) and due[place] < scene.first:
            place += 1
        inside = []
        while place < len(due) and due[place] < scene.end:
            inside.append(due[place])
            place += 1
        if settings.scenes and not inside:
            inside = [(scene.first + scene.end) // 2]
        if settings.scenes and len(inside) > settings.scenes:
            parts = len(inside) / settings.scenes
            inside = [inside[int((part + 0.5) * parts)] for part in range(settings.scenes)]
        picks += [(frame, number) for frame in inside]
    return picks


def key_of(frame: int) -> str:
    """Return the name of a frame in the journal."""
    return f"frame {frame}"


def _turns(frame: av.VideoFrame) -> int:
    """Return how many quarter turns, anticlockwise, set the frame upright."""
    return round((frame.rotation or 0) / 90) % 4


def _image(frame: av.VideoFrame, shape: tuple[int, int]) -> Image.Image:
    transparent = any(component.is_alpha for component in frame.format.components)
    try:
        image = Image.fromarray(frame.to_ndarray(format="rgba" if transparent else "rgb24"))
    except (FFmpegError, ValueError, MemoryError) as error:
        raise BadPicture(f"it cannot be read: {_reason(error)}") from error
    if image.size != shape:
        image = image.resize(shape, Image.Resampling.LANCZOS)
    return image.rotate(90 * _turns(frame), expand=True)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
