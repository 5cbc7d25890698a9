"""The add-on's own lines in the log that the Server panel shows."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator

import pytest

from latent_lantern.lantern_protocol.errors import MOST_WORDS
from latent_lantern.latent_addon.server.log import PACKAGE, LogHandler

LOGGER = logging.getLogger("latent_lantern.latent_addon.handlers")


@pytest.fixture
def handler() -> Iterator[LogHandler]:
    made = LogHandler(deque(maxlen=500))
    made.attach()
    yield made
    made.detach()


def test_lines_are_under_the_name_of_their_module(handler: LogHandler) -> None:
    handler.lines.append("a line of the server's")
    LOGGER.info("Started process %d.", 7)
    LOGGER.debug("not for a person")
    assert list(handler.lines) == ["a line of the server's", "latent_addon.handlers: Started process 7."]


def test_a_traceback_is_found_line_by_line(handler: LogHandler) -> None:
    try:
        raise ValueError("a mistake\udcff" + "x" * 5000)
    except ValueError:
        LOGGER.exception("the work of a tick failed")
    lines = list(handler.lines)
    assert lines[0] == "latent_addon.handlers: the work of a tick failed"
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1].startswith("ValueError: a mistake?xxx") and len(lines[-1]) == MOST_WORDS


def test_blenders_console_gets_nothing(handler: LogHandler, capfd: pytest.CaptureFixture) -> None:
    seen: list[logging.LogRecord] = []
    other = logging.Handler()
    other.emit = seen.append
    logging.getLogger().addHandler(other)  # of another add-on
    try:
        LOGGER.error("It broke.")
    finally:
        logging.getLogger().removeHandler(other)
    assert seen == [] and capfd.readouterr() == ("", "")
    assert list(handler.lines) == ["latent_addon.handlers: It broke."]


def test_nothing_is_left_when_it_is_detached() -> None:
    logger = logging.getLogger(PACKAGE)
    before = list(logger.handlers), logger.level, logger.propagate
    handler = LogHandler(deque())
    for _ in range(2):
        handler.attach()
        handler.attach()
        LOGGER.info("once")
        handler.detach()
        handler.detach()
    assert (list(logger.handlers), logger.level, logger.propagate) == before
    assert list(handler.lines) == ["latent_addon.handlers: once"] * 2
