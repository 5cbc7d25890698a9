"""The command line accepts everything that it accepted before: people's scripts continue to work."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from inference_server.commands import cli

KEPT = Path(__file__).resolve().parent.parent / "fixtures" / "kept"
COMMANDS: dict[str, dict[str, Any]] = json.loads((KEPT / "interface.json").read_text(encoding="utf-8"))["commands"]
OWN = "python -m inference_server"
"""The parser above the commands."""


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command, by its name. Only this function knows where the parsers are made."""
    parser = cli._parser()
    commands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return {OWN: parser, **commands.choices}


def described(parser: argparse.ArgumentParser) -> dict[str, Any]:
    """Every argument by the attribute that holds its value, and the groups of which only one may be given."""
    arguments = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    either = [[action.dest for action in group._group_actions] for group in parser._mutually_exclusive_groups]
    return {"arguments": {argument.dest: described_argument(argument) for argument in arguments}, "either": either}


def described_argument(argument: argparse.Action) -> dict[str, Any]:
    choices = None if argument.choices is None else list(argument.choices)
    kind = type(argument)
    return {
        "options": list(argument.option_strings),
        "action": kind.__name__.strip("_") if kind.__module__ == "argparse" else "our own",
        "default": argument.default if argument.default is None else repr(argument.default),
        "required": argument.required,
        "takes": argument.nargs,
        "choices": choices,
    }


def test_every_command_is_there() -> None:
    assert set(COMMANDS) <= set(parsers()) and len(COMMANDS) > 9


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_takes_what_it_took(name: str) -> None:
    found, kept = described(parsers()[name]), COMMANDS[name]
    assert set(kept["arguments"]) <= set(found["arguments"])
    for argument, about in kept["arguments"].items():
        now = found["arguments"][argument]
        assert set(about["options"]) <= set(now["options"]), argument
        assert set(about["choices"] or ()) <= set(now["choices"] or ()), argument
        for part in ("action", "default", "required", "takes"):
            assert now[part] == about[part], (argument, part)
    added = [argument for argument in found["arguments"] if argument not in kept["arguments"]]
    assert not any(found["arguments"][argument]["required"] for argument in added)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_stands_without_an_option_stands_in_the_same_order(name: str) -> None:
    def places(about: dict[str, Any]) -> list[str]:
        return [argument for argument, each in about["arguments"].items() if not each["options"]]

    kept = places(COMMANDS[name])
    assert places(described(parsers()[name]))[: len(kept)] == kept


@pytest.mark.parametrize("name", COMMANDS)
def test_what_could_be_given_together_still_can(name: str) -> None:
    kept = COMMANDS[name]
    pairs = {frozenset((a, b)) for group in kept["either"] for a in group for b in group if a != b}
    for group in described(parsers()[name])["either"]:
        known = [argument for argument in group if argument in kept["arguments"]]
        assert all(frozenset((a, b)) in pairs for a in known for b in known if a != b), group
