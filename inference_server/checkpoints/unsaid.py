"""What a file does not say about its network: asked for, or assumed as in the published code, and never in silence.

A state dict holds tensors. It does not hold activations, clamps, scales and the like. A reader asks an ``Unsaid`` for
each of them. It answers with what the person has given, or else with the usual value, which it notes as assumed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")

SETTINGS = {
    "activation": "relu, or leaky_relu:0.2 with its slope: between the layers of a DCGAN",
    "output": "tanh, sigmoid or none: at the end of a DCGAN",
    "mapping_lr": "a number: learning-rate multiplier of a StyleGAN's mapping network",
    "conv_clamp": "a number, or none: the limit of a StyleGAN's features",
    "output_scale": "a number: what StyleGAN3 multiplies its picture by",
    "first_cutoff": "a number: the bandwidth of StyleGAN3's input",
}
"""The settings and their values, for people."""


class Unsaid:
    """Answers for one file.

    Args:
        given: what the person has given, by the names of SETTINGS.

    Attributes:
        assumed: what was assumed, in the order in which it was asked for; text as it can be given.
    """

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        self._given = dict(given or {})
        self._asked: set[str] = set()
        self.assumed: dict[str, str] = {}

    def text(self, name: str, usual: str, pattern: str) -> str:
        """Return a word. Raises ValueError if the given one does not fit the pattern."""
        return self._answer(name, usual, lambda text: _matching(name, text, pattern))

    def number(self, name: str, usual: float, least: float, most: float) -> float:
        """Return a number. Raises ValueError if the given one is not between the two."""
        return self._answer(name, usual, lambda text: _number(name, text, least, most))

    def number_or_none(self, name: str, usual: float | None, least: float, most: float) -> float | None:
        """Return a number, or None for the word "none". Raises ValueError if it is neither."""
        return self._answer(name, usual, lambda text: None if text == "none" else _number(name, text, least, most))

    def unused(self) -> str | None:
        """Return a name that was given and that no reader has asked for."""
        return next((name for name in self._given if name not in self._asked), None)

    def _answer(self, name: str, usual: T, read: Callable[[str], T]) -> T:
        self._asked.add(name)
        if name in self._given:
            return read(self._given[name])
        self.assumed[name] = "none" if usual is None else f"{usual:g}" if isinstance(usual, float) else str(usual)
        return usual


def read_settings(words: list[str]) -> dict[str, str]:
    """Return settings from ``["activation=leaky_relu:0.2", ...]``. Raises ValueError with a sentence for people."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in SETTINGS or not value:
            raise ValueError(f"'{word}' is not a setting. There are {', '.join(SETTINGS)}: write name=value.")
        found[name] = value
    return found


def _matching(name: str, text: str, pattern: str) -> str:
    if not re.fullmatch(pattern, text):
        raise ValueError(f"{name} cannot be {text!r}: {SETTINGS[name]}")
    return text


def _number(name: str, text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = most + 1
    if not least <= value <= most:
        raise ValueError(f"{name} cannot be {text!r}: a number from {least:g} to {most:g}")
    return value
