"""The error for checkpoints that cannot be read."""

from __future__ import annotations


class CheckpointError(Exception):
    """A checkpoint cannot be read. The message tells the user which file, what is wrong, and what to do."""


def unexpected(file_name: str, error: Exception) -> CheckpointError:
    """Return the error to show for an exception that was not foreseen, because a file may hold anything."""
    if isinstance(error, CheckpointError):
        return error
    if isinstance(error, MemoryError):
        return CheckpointError(f"{file_name} needs more memory than there is. Close other programs, then try again.")
    words = " ".join(str(error).split())[:200]
    return CheckpointError(f"{file_name} is damaged, or of a kind that is not known ({type(error).__name__}: {words}).")


def not_safetensors(name: str, error: Exception) -> CheckpointError:
    """Return the error for a safetensors file that cannot be read."""
    return CheckpointError(f"{name} is cut short or is not a safetensors file; download or copy it again ({error}).")
