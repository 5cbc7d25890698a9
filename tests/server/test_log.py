"""Where the server's log goes: to the add-on and stderr while it serves, to stderr from a command."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from driving import Server
from inference_server.commands import cli
from inference_server.terminal.console import tell
from inference_server.terminal.log import log_goes_to

LOGGER = logging.getLogger("inference_server.rendering.renderer")


def test_levels_and_texts_are_those_of_the_loggers() -> None:
    said: list[tuple[str, str]] = []
    with log_goes_to(lambda level, text: said.append((level, text))):
        LOGGER.info("Looking at %d of %d.", 1, 2)
        LOGGER.warning("Memory is short.")
        LOGGER.error("It broke.")
        LOGGER.debug("not for a person")
    assert said == [("info", "Looking at 1 of 2."), ("warning", "Memory is short."), ("error", "It broke.")]


def test_the_inner_one_of_two_has_the_log_and_nothing_is_left_behind() -> None:
    root = logging.getLogger("inference_server")
    before = list(root.handlers), root.level, root.propagate
    outer: list[str] = []
    inner: list[str] = []
    with log_goes_to(lambda _level, text: outer.append(text)):
        with log_goes_to(lambda _level, text: inner.append(text)):
            LOGGER.info("one")
        LOGGER.info("two")
    assert (outer, inner) == (["two"], ["one"])
    assert (list(root.handlers), root.level, root.propagate) == before


def test_one_who_cannot_be_told_stops_nobody(capsys: pytest.CaptureFixture) -> None:
    def broken(_level: str, _text: str) -> None:
        raise OSError("the pipe is gone")

    with log_goes_to(broken):
        LOGGER.info("one")
    assert "the pipe is gone" in capsys.readouterr().err


def test_a_command_prints_level_and_text_on_stderr(
    capsys: pytest.CaptureFixture, tmp_path: Path, tiny: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(*arguments: object, **options: object) -> int:
        LOGGER.warning("Memory is short on %s.", "cpu")
        return 0

    monkeypatch.setattr("inference_server.commands.checkpoints.info", said)
    for _ in range(2):  # a second run has no second handler
        assert cli.main(["info", tiny["path"]]) == 0
        assert capsys.readouterr().err == "warning: Memory is short on cpu.\n"
    tell("info", "as the console says it")
    assert capsys.readouterr().err == "info: as the console says it\n"


def test_the_server_notifies_the_add_on_and_keeps_the_line_on_stderr(server: Server) -> None:
    server.ask("device/release")
    (note,) = [note for note in server.noted("log") if "Freed" in note["text"]]
    assert note["level"] == "info"
    server.until(lambda: f"info: {note['text']}".encode() in server.stderr.replace(b"\r", b""))
