"""Find the scenes of a film: the cuts, cross-fades and blank frames between them.

The film is seen as thumbnails of 48 x 27 pixels. A cut is a jump that is large, and also much larger than the jumps
next to it, so that fast movement and flashes are not taken for cuts. A cross-fade is a run of frames that are on the
straight line between its first and its last picture; frames of a movement are not. A fade to black is a cross-fade too.
"""

from __future__ import annotations

import numpy as np

THUMB_WIDTH, THUMB_HEIGHT = 48, 27
CUT = 0.06
"""A jump may be a cut if the mean change of colour is this large or larger, on a scale of 0 to 1."""
STANDS_OUT = 3.0
"""How many times larger a cut is than the jumps next to it."""
BESIDE = 3
REACH = 3
"""A frame is tested as a blend of the frame this many frames before it and the frame this many frames after it."""
ALIKE = 0.7
"""If the cosine between the change before and the change after is larger than this, the two are the same change."""
FADING = 0.008
"""If the mean change in 2 * REACH frames is smaller than this, on a scale of 0 to 1, there is no fade."""
LONGEST_FADE = 240
OFF_LINE = 0.35
"""How far a frame of a cross-fade may be from the straight line, as a share of the line's length."""
BLANK_RANGE, BLANK_LEVEL = 24, 20
"""A frame is blank if its levels, 0 to 255, differ by less than BLANK_RANGE, and each of them differs from black, or
each of them from white, by less than BLANK_RANGE + BLANK_LEVEL."""
BLOCK = 1024


def find_scenes(thumbs: np.ndarray, jumps: np.ndarray) -> list[tuple[int, int]]:
    """Return the scenes as pairs (first, end), end not included.

    Frames that are in no scene are blank, or in the middle of a cross-fade.

    Args:
        thumbs: uint8 (frames, 27, 48), luma.
        jumps: float (frames,), the mean change of colour from the frame before, 0 to 1.
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
    """Return which frames are plain black or white: bool (frames,) for uint8 (frames, pixels)."""
    low, high = flat.min(axis=1).astype(int), flat.max(axis=1).astype(int)
    return (high - low < BLANK_RANGE) & ((high < BLANK_LEVEL + BLANK_RANGE) | (low > 255 - BLANK_LEVEL - BLANK_RANGE))


def cuts(jumps: np.ndarray) -> list[int]:
    """Return the first frames of the scenes that begin with a cut."""
    found = []
    for frame in np.flatnonzero(jumps >= CUT):
        beside = [*jumps[max(1, frame - BESIDE) : frame], *jumps[frame + 1 : frame + 1 + BESIDE]]
        if all(jumps[frame] > STANDS_OUT * other for other in beside):
            found.append(int(frame))
    return found


def fades(flat: np.ndarray) -> list[tuple[int, int]]:
    """Return the cross-fades of frames uint8 (frames, pixels): pairs of the last frame before and the first after."""
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
    """Return for each frame whether the change before it continues after it: bool (frames,)."""
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
    """Return the longest cross-fade around a run of blends; (0, 0) if the run is not a cross-fade."""
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
