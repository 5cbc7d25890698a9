"""Where the server's log goes. Each module logs to `logging.getLogger(__name__)`, and knows no more of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Tell = Callable[[str, str], None]
"""Takes a level ("info", "warning" or "error") and a sentence for a person."""

_ROOT = __name__.partition(".")[0]


@contextmanager
def log_goes_to(tell: Tell) -> Iterator[None]:
    """Give every line of the server's log to `tell`, and to nothing else, until the block ends.

    Of two such blocks, the inner one gets the lines.
    """
    logger = logging.getLogger(_ROOT)
    before = logger.handlers, logger.level, logger.propagate
    logger.handlers, logger.propagate = [_Handler(tell)], False
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.handlers, level, logger.propagate = before
        logger.setLevel(level)


class _Handler(logging.Handler):
    def __init__(self, tell: Tell):
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._tell(record.levelname.lower(), self.format(record))
        except Exception:
            self.handleError(record)
