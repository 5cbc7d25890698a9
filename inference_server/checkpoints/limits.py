"""How much a foreign file may ask for, and the count of what it has asked for."""

from __future__ import annotations

from dataclasses import dataclass


class Damaged(ValueError):
    """A file is not what its format says, or asks for too much. The message is the middle of a sentence."""


@dataclass(frozen=True)
class Limits:
    """Bounds far beyond every real checkpoint, and well within what a machine can give."""

    file_bytes: int = 8 << 30
    steps: int = 2_000_000
    """Pickle opcodes, Torch7 values and entries of zips, all together."""
    objects: int = 100_000
    """Tensors and arrays, each of which costs memory beyond its numbers."""
    depth: int = 10_000
    """Marks that are open at once."""
    text_bytes: int = 256 << 20
    """One string; arrays of older files are strings, too."""
    integer_bytes: int = 256
    copied_bytes: int = 64 << 20
    """What may be copied, beyond four times the file's length: older protocols wrap numbers in texts in bytes."""


LIMITS = Limits()


class Budget:
    """What one file has asked for so far; blobs nested in it share the budget."""

    def __init__(self, limits: Limits, file_bytes: int) -> None:
        self.limits = limits
        self.steps = limits.steps
        self.objects = limits.objects
        self.bytes = limits.copied_bytes + 4 * file_bytes

    def step(self, count: int = 1) -> None:
        """Work that grows with a count. Raises Damaged when it is too much."""
        self.steps -= count
        if self.steps < 0:
            raise Damaged(f"it has more than {self.limits.steps} entries")

    def object(self) -> None:
        """A tensor or array. Raises Damaged when there are too many."""
        self.objects -= 1
        if self.objects < 0:
            raise Damaged(f"it has more than {self.limits.objects} tensors")

    def copy(self, count: int) -> None:
        """Bytes of memory beyond the file's own. Raises Damaged when they are too many."""
        self.bytes -= count
        if self.bytes < 0:
            raise Damaged("its tensors would take far more memory than the file has bytes")
