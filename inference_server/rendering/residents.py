"""Generators that stay loaded, within a budget of memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import torch

from ..generators.base import Generator, GeneratorInfo
from .acceleration import Synthesizer

MEMORY_BUDGET_BYTES = 2 << 30
"""Weights kept loaded, in bytes; the generator used longest ago goes first."""


@dataclass
class Loaded:
    """A generator on the device. `batch` is how many frames it is given at once; lack of memory lowers it.

    synthesizer: makes its pictures. mixed: of a blend, sha256 of both sources and how far it lies between them.
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
        """What the generator says of itself."""
        return self.generator.info


class Residents:
    """Loaded generators by key, the one used last at the end."""

    def __init__(self) -> None:
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()

    def __len__(self) -> int:
        return len(self._loaded)

    def get(self, key: str) -> Loaded | None:
        """Return a generator, which thereby was used last, or None."""
        if key in self._loaded:
            self._loaded.move_to_end(key)
        return self._loaded.get(key)

    def add(self, key: str, loaded: Loaded) -> None:
        """Keep a generator."""
        self._loaded[key] = loaded

    def make_space(self, weight_bytes: int, needed: Collection[str] = ()) -> None:
        """Let generators go, but for those of the keys `needed`, until so many bytes more are within the budget."""
        for key in list(self._loaded):
            if self.weight_bytes + weight_bytes <= MEMORY_BUDGET_BYTES:
                return
            if key not in needed:
                del self._loaded[key]

    def keep_only(self, loaded: Loaded) -> bool:
        """Let all others go; return whether there were any."""
        others = [key for key, other in self._loaded.items() if other is not loaded]
        for key in others:
            del self._loaded[key]
        return bool(others)

    def clear(self) -> None:
        """Let all go."""
        self._loaded.clear()

    @property
    def weight_bytes(self) -> int:
        """Bytes of all that is kept."""
        return sum(loaded.weight_bytes for loaded in self._loaded.values())


def bytes_of(module: torch.nn.Module) -> int:
    """Bytes of a network's parameters and buffers."""
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
