"""What goes wrong with checkpoints."""

from __future__ import annotations


class CheckpointError(Exception):
    """A checkpoint cannot be read; the message says in one sentence what is wrong with which file, and what to do."""


def unexpected(file_name: str, error: Exception) -> CheckpointError:
    """The sentence for an error that nobody foresaw: files of any content are read."""
    if isinstance(error, CheckpointError):
        return error
    if isinstance(error, MemoryError):
        return CheckpointError(f"{file_name} needs more memory than there is. Close other programs, then try again.")
    words = " ".join(str(error).split())[:200]
    return CheckpointError(f"{file_name} is damaged, or of a make that is not known ({type(error).__name__}: {words}).")
