"""Limits on the memory and work that a foreign file may cause, and the count of what it has used."""

from __future__ import annotations

from dataclasses import dataclass


class Damaged(ValueError):
    """A file does not follow its format, or exceeds a limit. The message is the middle of a sentence."""


@dataclass(frozen=True)
class Limits:
    """Limits that are far above every real checkpoint, and far below what a machine can handle."""

    file_bytes: int = 8 << 30
    steps: int = 2_000_000
    """Pickle opcodes, Torch7 values and entries of zips, all together."""
    objects: int = 100_000
    """Tensors and arrays, each of which costs memory beyond its numbers."""
    depth: int = 10_000
    """Marks that are open at the same time."""
    text_bytes: int = 256 << 20
    """Bytes of one string; arrays of older files are strings, too."""
    integer_bytes: int = 256
    copied_bytes: int = 64 << 20
    """Bytes that may be copied in addition to four times the file's length.

    Copies are needed because older protocols store numbers as text within bytes.
    """


LIMITS = Limits()


class Budget:
    """What one file may still use; files nested in it share the budget."""

    def __init__(self, limits: Limits, file_bytes: int) -> None:
        self.limits = limits
        self.steps = limits.steps
        self.objects = limits.objects
        self.bytes = limits.copied_bytes + 4 * file_bytes

    def step(self, count: int = 1) -> None:
        """Count work that grows with ``count``. Raises Damaged if it is too much."""
        self.steps -= count
        if self.steps < 0:
            raise Damaged(f"it has more than {self.limits.steps} entries")

    def object(self) -> None:
        """Count one tensor or array. Raises Damaged if there are too many."""
        self.objects -= 1
        if self.objects < 0:
            raise Damaged(f"it has more than {self.limits.objects} tensors")

    def copy(self, count: int) -> None:
        """Count bytes of memory in addition to the file's own. Raises Damaged if there are too many."""
        self.bytes -= count
        if self.bytes < 0:
            raise Damaged("its tensors would take far more memory than the file has bytes")
