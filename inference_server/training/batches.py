"""Batches of a data set's pictures, in an order that the seed decides, read before they are needed."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ..datasets.reading import Dataset

AHEAD = 2
"""Number of batches that are read before they are asked for."""


class Batches:
    """Pictures of a data set, epoch by epoch, each epoch in its own order.

    Args:
        dataset: the pictures.
        batch: pictures that this process takes in a step.
        seed: decides the order.
        rank, ranks: which of how many processes this is; each takes its own pictures.
        memory: bytes of pictures to keep after they were read.
    """

    def __init__(self, dataset: Dataset, batch: int, seed: int, rank: int, ranks: int, memory: int) -> None:
        self._dataset, self._batch, self._seed, self._rank, self._ranks = dataset, batch, seed, rank, ranks
        self._left = memory
        self._kept: dict[int, np.ndarray] = {}
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, int))
        self._pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1), "pictures")
        self._coming: dict[int, list[tuple[int, Future[np.ndarray] | np.ndarray]]] = {}

    def at(self, seen: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the batch of the step that begins when all processes together have seen ``seen`` images.

        Returns:
            Pictures uint8 (batch, height, width, channels), and their indices (batch,) in the data set.

        Raises:
            DatasetError: if a picture cannot be read.
        """
        step = self._batch * self._ranks
        wanted = [seen + step * ahead for ahead in range(AHEAD + 1)]
        self._coming = {start: files for start, files in self._coming.items() if start in wanted}
        for start in wanted:
            if start not in self._coming:
                self._coming[start] = [(index, self._ask(index)) for index in self.indices(start)]
        indices, pictures = [], []
        for index, file in self._coming.pop(seen):
            picture = file.result() if isinstance(file, Future) else file
            if index not in self._kept and self._left >= picture.nbytes:
                self._left -= picture.nbytes
                self._kept[index] = picture
            indices.append(index)
            pictures.append(picture)
        return np.stack(pictures), np.array(indices)

    def indices(self, seen: int) -> list[int]:
        """Return the indices of the pictures that a step takes."""
        first = seen + self._rank * self._batch
        return [self._index(place) for place in range(first, first + self._batch)]

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _index(self, place: int) -> int:
        epoch, offset = divmod(place, len(self._dataset))
        if self._order[0] != epoch:
            self._order = (
                epoch,
                np.random.Generator(np.random.PCG64((self._seed, epoch))).permutation(len(self._dataset)),
            )
        return int(self._order[1][offset])

    def _ask(self, index: int) -> Future[np.ndarray] | np.ndarray:
        return self._kept[index] if index in self._kept else self._pool.submit(self._dataset.picture, index)
