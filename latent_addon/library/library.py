"""The user's generators: those in the folders that the preferences name. The server describes them one by one.

Nothing is looked for until the user asks, whatever a .blend holds, and nothing here waits.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ...lantern_protocol import methods
from ...lantern_protocol.answers import GeneratorDescription, LibraryCard, LibraryList
from ...lantern_protocol.errors import readable
from ...lantern_protocol.methods import A, Method, P
from ...lantern_protocol.params import CardParams, ListParams
from ..session.session import session
from ..ui.pictures import pictures
from .properties import library_rows

_ROOM = "library"
"""The room of its pictures in `pictures`."""


@dataclass(slots=True)
class Card:
    """What is known of one generator.

    path: of the file, or of a folder of snapshots; empty for the built-in one. snapshots: how many, 0 for a file.
    bytes: of all its files. about: the server's description, None until it came. error: why there is none. thumbnail:
    the path of its picture, "" without one.
    """

    path: str
    snapshots: int = 0
    bytes: int = 0
    about: GeneratorDescription | None = None
    error: str = ""
    thumbnail: str = ""

    @property
    def sha256(self) -> str:
        """The identity of the generator, "" until its description is there."""
        return "" if self.about is None else self.about.sha256

    @property
    def icon(self) -> int:
        """The icon of its picture, 0 if there is none."""
        return pictures.icon(_ROOM, self.sha256)

    @property
    def name(self) -> str:
        """The name for people: of a run, its folder's; else the description's; before that has come, the file's."""
        file = readable(os.path.basename(self.path))  # a file's name may hold bytes that are no text
        if self.snapshots:
            return f"{file} ({self.snapshots} snapshots)"
        if self.about is not None:
            return self.about.name
        return file or "Built-in"


@dataclass(slots=True)
class Library:
    """The cards, the built-in generator's first.

    problems: folders that could not be read. looking: whether cards are still being asked for. asked: whether the user
    has ever asked for them.
    """

    cards: list[Card] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    looking: bool = False
    asked: bool = False
    _round: int = 0
    """The number of the current search. Answers to earlier ones are dropped."""

    def refresh(self, folders: list[str]) -> None:
        """Look through the folders (absolute paths) again. Cards fill up as the session ticks."""
        self._round += 1
        self.asked = self.looking = True
        self.cards, self.problems = [Card("")], []
        self.show()
        self._ask(methods.LIST, ListParams(tuple(folders)), self._listed, self._not_listed)

    def forget(self) -> None:
        """Drop every card, and answers that are still to come."""
        self._round += 1
        self.cards, self.problems = [], []
        self.looking = self.asked = False
        pictures.keep(_ROOM, ())

    def card(self, place: int) -> Card | None:
        """Return the card at a place in the list, None if there is none."""
        return self.cards[place] if 0 <= place < len(self.cards) else None

    def show(self) -> None:
        """Bring Blender's list up to date. It has changed when a file was opened."""
        rows = library_rows().rows
        if len(rows) > 2 * len(self.cards):
            rows.clear()  # a file may hold thousands; removing one of many takes long
        while len(rows) > len(self.cards):
            rows.remove(len(rows) - 1)
        for i, card in enumerate(self.cards):
            row = rows[i] if i < len(rows) else rows.add()
            if row.name != card.name:
                row.name = card.name
        session.redraw()

    def _listed(self, answer: LibraryList) -> None:
        self.problems = list(answer.problems)
        self.cards += [Card(entry.path, entry.snapshots, entry.bytes) for entry in answer.entries]
        self.show()
        self._ask_for_next()

    def _not_listed(self, message: str) -> None:
        self.problems = [message]
        self.looking = False
        self.show()

    def _ask_for_next(self) -> None:
        card = next((card for card in self.cards if card.about is None and not card.error), None)
        if card is None:
            self.looking = False
            pictures.keep(_ROOM, {card.sha256 for card in self.cards})
            self.show()
            return

        def described(answer: LibraryCard) -> None:
            card.about = answer.description
            card.bytes = card.bytes or card.about.bytes
            card.thumbnail = answer.thumbnail
            _load_picture(card.sha256, card.thumbnail)
            self.show()
            self._ask_for_next()

        def failed(message: str) -> None:
            card.error = message
            if session.halted:  # the server is not available: every other card would show the same error
                self._not_listed(message)
            else:
                self.show()
                self._ask_for_next()

        self._ask(methods.CARD, CardParams(card.path or None, thumbnail=True), described, failed)

    def _ask(
        self,
        method: Method[P, A],
        params: P,
        then: Callable[[A], None],
        failed: Callable[[str], None],
    ) -> None:
        asked_in = self._round

        def heed(callback: Callable[[Any], None]) -> Callable[[Any], None]:
            return lambda answer: callback(answer) if asked_in == self._round else None

        session.ask(method, params, heed(then), heed(failed))


def _load_picture(sha256: str, thumbnail: str) -> None:
    """Load a card's picture, if there is such a file."""
    with contextlib.suppress(OSError, ValueError):  # a path with a zero byte is a ValueError
        pictures.load(_ROOM, sha256, thumbnail, os.stat(thumbnail).st_mtime_ns)


library = Library()
"""The library of this Blender's user."""
