"""The add-on's own log. Each module logs to `logging.getLogger(__name__)`, and need not know this module.

While the add-on is registered, the lines are put among those of the server's stderr, which the Server panel shows.
"""

from __future__ import annotations

import logging
from collections import deque

from ...lantern_protocol.errors import readable

PACKAGE = __name__.rpartition(".latent_addon.")[0]
"""The name of the extension's package, which is also that of the logger above all of its modules' loggers."""


class LogHandler(logging.Handler):
    """Adds what the add-on logs to `lines`, under the name of the module, as in "latent_addon.handlers: ...".

    By that name a reader can tell the add-on's lines from the server's. Each line of a traceback is a line of the
    log. Blender's console gets none of them: an error that occurs at every tick would fill it, and lines such as
    "Started process ..." are for the panel.
    """

    def __init__(self, lines: deque[str]):
        super().__init__(logging.INFO)
        self.lines = lines
        self._before = (logging.NOTSET, True)

    def attach(self) -> None:
        """Let the add-on's loggers log here, and nowhere else. Does nothing if it is attached already."""
        logger = logging.getLogger(PACKAGE)
        if self not in logger.handlers:
            self._before = logger.level, logger.propagate
            logger.addHandler(self)
            logger.setLevel(logging.INFO)
            logger.propagate = False

    def detach(self) -> None:
        """Leave the loggers as they were before `attach`."""
        logger = logging.getLogger(PACKAGE)
        if self in logger.handlers:
            logger.removeHandler(self)
            level, logger.propagate = self._before
            logger.setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            name = record.name.removeprefix(f"{PACKAGE}.")
            self.lines.extend(map(readable, f"{name}: {self.format(record)}".splitlines()))
        except Exception:
            self.handleError(record)
