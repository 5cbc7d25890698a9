"""Read checkpoint files into generators. Nothing in a file is ever run."""

from .errors import CheckpointError
from .native import BUILTIN_RUN, save_generator, sha256_of
from .opening import load_generator

__all__ = ["BUILTIN_RUN", "CheckpointError", "load_generator", "save_generator", "sha256_of"]
