"""Checkpoints: files in, generators out, and nothing in a file is ever run."""

from inference_server.checkpoints.native import (
    BUILTIN_WEIGHTS,
    CheckpointError,
    load_generator,
    save_generator,
    sha256_of,
)

__all__ = ["BUILTIN_WEIGHTS", "CheckpointError", "load_generator", "save_generator", "sha256_of"]
