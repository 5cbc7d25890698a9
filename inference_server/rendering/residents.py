"""The generators that stay loaded, up to a limit of memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import torch

from ..generators.base import Generator, GeneratorInfo
from .acceleration import Synthesizer

MEMORY_BUDGET_BYTES = 2 << 30
"""The most bytes of weights that stay loaded. The least recently used generator is unloaded first."""


@dataclass
class Loaded:
    """A generator on the device.

    synthesizer: makes its pictures. batch: how many frames it makes at once; it is lowered if there is too little
    memory. mixed: for a blend, the sha256 of both sources and the share of the second one.
    """

    generator: Generator
    synthesizer: Synthesizer
    sha256: str
    path: Path
    file_bytes: int
    weight_bytes: int
    batch: int
    mixed: tuple[str, str, float] | None = None

    @property
    def info(self) -> GeneratorInfo:
        """Return the generator's description."""
        return self.generator.info


class Residents:
    """Loaded generators by key, in the order of their last use: the most recently used one is the last."""

    def __init__(self) -> None:
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()

    def __len__(self) -> int:
        return len(self._loaded)

    def get(self, key: str) -> Loaded | None:
        """Return the generator with this key, or None. It becomes the most recently used one."""
        if key in self._loaded:
            self._loaded.move_to_end(key)
        return self._loaded.get(key)

    def add(self, key: str, loaded: Loaded) -> None:
        """Keep a generator loaded under a key."""
        self._loaded[key] = loaded

    def make_space(self, weight_bytes: int, needed: Collection[str] = ()) -> None:
        """Unload generators, except those with the keys `needed`, until this many more bytes are within the limit."""
        for key in list(self._loaded):
            if self.weight_bytes + weight_bytes <= MEMORY_BUDGET_BYTES:
                return
            if key not in needed:
                del self._loaded[key]

    def keep_only(self, loaded: Loaded) -> bool:
        """Unload all other generators; return whether there were any."""
        others = [key for key, other in self._loaded.items() if other is not loaded]
        for key in others:
            del self._loaded[key]
        return bool(others)

    def clear(self) -> None:
        """Unload all generators."""
        self._loaded.clear()

    @property
    def weight_bytes(self) -> int:
        """Return the bytes of the weights of all loaded generators."""
        return sum(loaded.weight_bytes for loaded in self._loaded.values())


def bytes_of(module: torch.nn.Module) -> int:
    """Return the bytes of a network's parameters and buffers."""
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
