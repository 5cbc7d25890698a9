"""What goes wrong with checkpoints."""


class CheckpointError(Exception):
    """A checkpoint cannot be read; the message says in one sentence what is wrong with which file, and what to do."""
