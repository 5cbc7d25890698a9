"""Find pictures that are nearly the same, among a hundred thousand.

A picture's cells are its mean colours in 8 x 8 places. Its 112 bits say whether a cell is clearly brighter than the
cell to its left, and whether it is clearly brighter than the cell above. This is the difference hash of image search,
with a dead zone, so that plain backgrounds with noise give no random bits. Two pictures are near-duplicates if few bits
differ and no cell's colour differs much.

The bits are cut into 7 bands of 16. Pictures that differ in 6 bits or fewer have at least one band in common, so only
pictures that share a band are compared.
"""

from __future__ import annotations

from array import array

import numpy as np
from PIL import Image

from .settings import MOST_BITS

SIDE = 8
CELLS = SIDE * SIDE * 3
DEAD_ZONE = 6.0
CELL_STEP = 4
"""How much the colour of a cell may differ, of 255, for each bit that may differ."""
BANDS = MOST_BITS + 1


def cells_of(image: Image.Image) -> np.ndarray:
    """Return the cells of a picture: uint8 (192,). Transparent parts count as black."""
    if image.mode == "RGBA":
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.uint8).reshape(CELLS).copy()


def bits_of(cells: np.ndarray) -> np.ndarray:
    """Return the bits as 7 bands, and an empty band: uint16 (8,)."""
    grey = cells.reshape(SIDE, SIDE, 3).astype(np.float32).mean(axis=-1)
    bits = np.concatenate(
        [(np.diff(grey, axis=1) > DEAD_ZONE).ravel(), (np.diff(grey, axis=0) > DEAD_ZONE).ravel()],
    )
    return np.append(np.packbits(bits).view(np.uint16), np.uint16(0))


class Duplicates:
    """All pictures so far, to find near-duplicates of a new one among them.

    Args:
        most: how many bits may differ, 0 to 6; 0 finds nothing.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._names: list[str] = []
        self._words = array("Q")
        self._cells = bytearray()
        self._buckets: list[dict[int, array[int]]] = [{} for _ in range(BANDS)]

    def find(self, cells: np.ndarray) -> str | None:
        """Return the name of the earliest near-duplicate, or None."""
        if not self._most or not self._names:
            return None
        bits = bits_of(cells)
        lists = [bucket.get(int(band)) for bucket, band in zip(self._buckets, bits[:BANDS], strict=True)]
        sharing = [np.frombuffer(one, np.uint32) for one in lists if one is not None]
        if not sharing:
            return None
        words = np.frombuffer(self._words, np.uint64).reshape(-1, 2)
        if sum(map(len, sharing)) < len(words):
            places = np.concatenate(sharing)
            words = words[places]
        else:  # the pictures are all similar, so it is faster to compare with every picture once
            places = np.arange(len(words))
        apart = np.bitwise_count(words ^ bits.view(np.uint64))
        near = places[apart[:, 0] + apart[:, 1] <= self._most]
        colours = np.frombuffer(self._cells, np.uint8).reshape(-1, CELLS)[near].astype(np.int16)
        same = near[np.abs(colours - cells.astype(np.int16)).max(axis=1, initial=0) <= CELL_STEP * self._most]
        return self._names[int(same.min())] if len(same) else None

    def add(self, name: str, cells: np.ndarray) -> None:
        """Add a picture with its name and its cells."""
        if not self._most:
            return
        number = len(self._names)
        self._names.append(name)
        self._cells += cells.tobytes()
        bits = bits_of(cells)
        self._words.extend(int(word) for word in bits.view(np.uint64))
        for bucket, band in zip(self._buckets, bits[:BANDS], strict=True):
            bucket.setdefault(int(band), array("I")).append(number)
