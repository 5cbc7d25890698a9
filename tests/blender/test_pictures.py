"""The icons of pictures on disk: loaded again when they change, and dropped when nobody shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from latent_lantern.latent_addon.ui import pictures as icons
from latent_lantern.latent_addon.ui.pictures import Pictures
from pictures import noise_picture, write_picture


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(icons, "time", made)
    return made


class Icons(dict):
    """A collection of previews with numbers: in the background Blender gives none."""

    def load(self, key: str, path: str, *_: object) -> None:
        assert key not in self and Path(path).is_file()
        self[key] = type("Icon", (), {"icon_id": len(self) + 1})


@pytest.fixture
def collection() -> Pictures:
    made = Pictures()
    made._icons = Icons()
    return made


@pytest.fixture
def picture(tmp_path: Path) -> str:
    write_picture(tmp_path / "picture.png", noise_picture(1, 8, 8))
    return str(tmp_path / "picture.png")


def test_a_picture_is_loaded_again_when_its_stamp_changes_and_was_shown_for_long_enough(collection, clock, picture):
    assert collection.load("library", "key", picture, 1) and collection.icon("library", "key")
    clock.now += 60.0
    assert not collection.load("library", "key", picture, 1)
    assert collection.load("library", "key", picture, 2)
    clock.now += icons.SHOWN - 0.1
    assert not collection.load("library", "key", picture, 3)
    clock.now += 0.2
    assert collection.load("library", "key", picture, 3)


def test_pictures_that_nobody_shows_are_dropped_and_those_of_other_rooms_stay(collection, picture):
    for room, key in (("library", "a"), ("library", "b"), ("training", "a")):
        collection.load(room, key, picture, 1)
    collection.keep("library", {"b"})
    assert not collection.icon("library", "a")
    assert collection.icon("library", "b") and collection.icon("training", "a")
    assert collection.load("library", "a", picture, 1) and collection.icon("library", "a")


def test_nothing_is_loaded_while_there_is_no_collection(picture):
    closed = Pictures()
    assert not closed.load("library", "key", picture, 1) and not closed.icon("library", "key")
    closed.keep("library", ())
    closed.close()


def test_blenders_own_collection_is_made_and_removed(picture):
    made = Pictures()
    for _ in range(2):
        made.open()
        assert made.load("library", "key", picture, 1)
        made.keep("library", ())
        assert made.load("library", "key", picture, 1)
        made.close()
        assert not made.icon("library", "key")
