"""Read checkpoint files into generators. Nothing in a file is ever run."""

from inference_server.checkpoints.errors import CheckpointError
from inference_server.checkpoints.native import BUILTIN_RUN, save_generator, sha256_of
from inference_server.checkpoints.opening import load_generator

__all__ = ["BUILTIN_RUN", "CheckpointError", "load_generator", "save_generator", "sha256_of"]
