"""Finding the scenes of a film: the cuts, cross-fades and blank frames between them.

A film is looked at through thumbnails of 48 x 27. A cut is a jump that is large, and large against the jumps beside it,
so that fast movement and flashes are none. A cross-fade is a run of frames that lie on the straight line between its
first and its last picture, which movement does not. A fade to black is one too.
"""

from __future__ import annotations

import numpy as np

THUMB_WIDTH, THUMB_HEIGHT = 48, 27
CUT = 0.06
"""Mean change of colour, of 0 to 1, from which a jump may be a cut."""
STANDS_OUT = 3.0
"""How many times larger than the jumps beside it."""
BESIDE = 3
REACH = 3
"""Frames before and after one, between which it is looked for as a blend."""
ALIKE = 0.7
"""Cosine between the change before and the change after, from which the two are the same change."""
FADING = 0.008
"""Mean change in 2 * REACH frames, of 0 to 1, below which nothing fades."""
LONGEST_FADE = 240
OFF_LINE = 0.35
"""How far off the straight line, against the line's length, a frame of a cross-fade may be."""
BLANK_RANGE, BLANK_LEVEL = 24, 20
"""Of 255: a frame is blank if its levels differ less, and are this near black or white."""
BLOCK = 1024


def find_scenes(thumbs: np.ndarray, jumps: np.ndarray) -> list[tuple[int, int]]:
    """The scenes as pairs (first, end), end not included. Frames in none are blank or amid a cross-fade.

    Args:
        thumbs: uint8 (frames, 27, 48), luma.
        jumps: float (frames,), mean change of colour from the frame before, 0 to 1.
    """
    count = len(thumbs)
    flat = thumbs.reshape(count, -1)
    usable = ~blank_frames(flat)
    borders = {0, count, *cuts(jumps)}
    for first, last in fades(flat):
        usable[first + 1 : last] = False
    scenes: list[tuple[int, int]] = []
    inside = False
    for frame in range(count):
        if not usable[frame]:
            inside = False
        elif inside and frame not in borders:
            scenes[-1] = (scenes[-1][0], frame + 1)
        else:
            scenes.append((frame, frame + 1))
            inside = True
    return scenes


def blank_frames(flat: np.ndarray) -> np.ndarray:
    """Which frames are plain black or white: bool (frames,) for uint8 (frames, pixels)."""
    low, high = flat.min(axis=1).astype(int), flat.max(axis=1).astype(int)
    return (high - low < BLANK_RANGE) & ((high < BLANK_LEVEL + BLANK_RANGE) | (low > 255 - BLANK_LEVEL - BLANK_RANGE))


def cuts(jumps: np.ndarray) -> list[int]:
    """The first frames of scenes that begin with a cut."""
    found = []
    for frame in np.flatnonzero(jumps >= CUT):
        beside = [*jumps[max(1, frame - BESIDE) : frame], *jumps[frame + 1 : frame + 1 + BESIDE]]
        if all(jumps[frame] > STANDS_OUT * other for other in beside):
            found.append(int(frame))
    return found


def fades(flat: np.ndarray) -> list[tuple[int, int]]:
    """Cross-fades: pairs of the last frame before and the first frame after. flat: uint8 (frames, pixels)."""
    blending = _blending(flat)
    found: list[tuple[int, int]] = []
    frame, count = 0, len(flat)
    while frame < count:
        if not blending[frame]:
            frame += 1
            continue
        end = frame
        while end < count and blending[end]:
            end += 1
        if end - frame >= REACH and end - frame <= LONGEST_FADE:
            first, last = _widest(flat, frame, end - 1)
            if last > first:
                found.append((first, last))
        frame = end
    return found


def _blending(flat: np.ndarray) -> np.ndarray:
    """Whether each frame goes on with the change that led to it: bool (frames,)."""
    count = len(flat)
    result = np.zeros(count, bool)
    for start in range(REACH, count - REACH, BLOCK):
        end = min(start + BLOCK, count - REACH)
        here = flat[start:end].astype(np.float32) / 255
        before = here - flat[start - REACH : end - REACH].astype(np.float32) / 255
        after = flat[start + REACH : end + REACH].astype(np.float32) / 255 - here
        lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
        alike = (before * after).sum(axis=1) > ALIKE * lengths
        result[start:end] = alike & (np.abs(before + after).mean(axis=1) > FADING)
    return result


def _widest(flat: np.ndarray, first: int, last: int) -> tuple[int, int]:
    """The cross-fade that goes on furthest beyond a run of blends; (0, 0) if the run is none."""
    beyond = sorted(((before, after) for before in range(REACH + 1) for after in range(REACH + 1)), key=sum)
    for before, after in reversed(beyond):
        ends = _ends(flat, max(0, first - before), min(len(flat) - 1, last + after))
        if ends[1] > ends[0]:
            return ends
    return 0, 0


def _ends(flat: np.ndarray, first: int, last: int) -> tuple[int, int]:
    """Narrow a run to the cross-fade in it; (0, 0) if there is none."""
    run = flat[first : last + 1].astype(np.float32) / 255
    line = run[-1] - run[0]
    length = float(line @ line)
    if np.abs(line).mean() < CUT or not length:
        return 0, 0
    along = (run - run[0]) @ line / length
    off = np.linalg.norm(run - run[0] - along[:, None] * line, axis=1) / np.sqrt(length)
    if off.max() > OFF_LINE:
        return 0, 0
    before = int(np.flatnonzero(along < 0.02)[-1])
    after = int(np.flatnonzero(along > 0.98)[0])
    return (first + before, first + after) if after - before > 1 else (0, 0)
