"""Films as sources: their scenes, and which frames are used."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lantern_protocol.job_folder import read_json, write_json

from ..terminal.jobs import JobError
from .animations import Animation
from .cropping import best_position, detail
from .film_frames import orientation, picture_of, upright
from .film_reading import FilmReader, Reader
from .kinds import Kind, kind_of
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
    track: str = ""
    """Which of the film's picture tracks is used, if it has several."""


class Film:
    """A film as a source.

    Args:
        path: the file.
        plan_file: where the plan is kept for the next time.
    """

    latents: np.ndarray | None = None

    def __init__(self, path: Path, plan_file: Path, settings: Settings) -> None:
        self.name, self.path, self._settings = path.name, path, settings
        self._file = plan_file
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
            kept = {"scenes": scenes, "picks": plan.picks, "broken": plan.broken, "track": plan.track}
            write_json(self._file, {**about, **kept})
        self.plan, self.total = plan, len(plan.picks)
        return True

    def items(self, done: Container[str]) -> Iterator[Item]:
        """See Source."""
        assert self.plan is not None
        scenes = dict(self.plan.picks)
        last = max((frame for frame in scenes if key_of(frame) not in done), default=-1)
        for number, shown in enumerate(self._reader().frames()):
            if number > last or self._stop():
                return
            if number in scenes and key_of(number) not in done:
                scene = scenes[number]
                position = self.plan.scenes[scene].position if self._settings.crop == "smart" else None
                yield Item(key_of(number), lambda shown=shown: picture_of(shown), position, scene)

    def about(self) -> dict[str, Any]:
        """See Source."""
        assert self.plan is not None
        return {
            "scenes": [
                {"start": one.start_seconds, "end": one.end_seconds, "frames": [one.first, one.end]}
                for one in self.plan.scenes
            ]
        }

    def _reader(self) -> FilmReader:
        kind: type[FilmReader] = Reader
        with contextlib.suppress(OSError):  # the reader says why
            kind = Animation if kind_of(self.path)[0] is Kind.PICTURE else Reader
        return kind(self.path, self._settings.start, self._settings.end)

    def _kept(self, about: dict[str, int]) -> Plan | None:
        kept = read_json(self._file)
        if not kept:
            return None
        if kept.get("bytes") != about["bytes"]:
            raise JobError(f"{self.path} has changed since this data set was begun. Choose another folder for it.")
        scenes = [Scene(*values) for values in kept["scenes"]]
        picks = [(frame, scene) for frame, scene in kept["picks"]]
        return Plan(scenes, picks, kept["broken"], kept.get("track", ""))

    def _looked(self, report: Callable[[int, int], None]) -> Plan | None:
        thumbs, jumps, times = bytearray(), [], []
        before: np.ndarray | None = None
        shown = None
        reader = self._reader()
        for shown in reader.frames():
            if self._stop():
                return None
            small = shown.frame.reformat(THUMB_WIDTH, THUMB_HEIGHT, "rgb24", interpolation="AREA").to_ndarray()
            small = small.astype(np.float32)
            jumps.append(0.0 if before is None else float(np.abs(small - before).mean()) / 255)
            thumbs += np.rint(small.mean(axis=-1)).astype(np.uint8).tobytes()
            before = small
            times.append(shown.time)
            report(len(times), max(len(times), 0 if self._is_part else reader.expected))
        if shown is None:
            raise JobError(
                f"{self.path} has no frames that can be read{' from --start to --end' if self._is_part else ''}."
                + (f" {reader.broken[0]}." if reader.broken else "")
            )
        levels = np.frombuffer(thumbs, np.uint8).reshape(-1, THUMB_HEIGHT, THUMB_WIDTH)
        way, (width, height) = orientation(shown.frame), shown.shape
        scenes = []
        for first, end in find_scenes(levels, np.array(jumps)):
            some = levels[np.unique(np.linspace(first, end - 1, LOOKED_AT).astype(int))]
            shape = (height, width) if way[0] else (width, height)
            position = best_position(upright(detail(some), way), shape, self._settings.size)
            scenes.append(Scene(first, end, round(times[first], 3), round(times[end - 1], 3), round(position, 4)))
        if not scenes:
            raise JobError(f"{self.path} has only blank frames{' from --start to --end' if self._is_part else ''}.")
        return Plan(scenes, choose(scenes, times, self._settings), len(reader.broken), reader.track)

    @property
    def _is_part(self) -> bool:
        return self._settings.start > 0 or self._settings.end is not None


def choose(scenes: list[Scene], times: list[float], settings: Settings) -> list[tuple[int, int]]:
    """Return the frames to use, each with the number of its scene, in order.

    Args:
        times: the time of every frame, in seconds.
    """
    due = list(range(0, len(times), settings.every))
    if settings.rate:
        # What is on the screen at each moment k / rate. A frame is shown until the next begins, the last one as long as
        # the one before it. A frame that is shown at several moments is taken once.
        begins = np.maximum.accumulate(np.array(times)) - times[0]
        ends = np.append(begins[1:], 2 * begins[-1] - begins[-2] if len(begins) > 1 else 1.0)
        first, after = (np.ceil(each * settings.rate - TIME_SLACK) for each in (begins, ends))
        due = np.flatnonzero(after > first).tolist()
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
