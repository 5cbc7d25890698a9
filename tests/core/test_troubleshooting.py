"""docs/troubleshooting*.md explain every message that a person can see, and no message that no longer exists."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tools import messages


@pytest.fixture(scope="module")
def found(root: Path) -> list[messages.Message]:
    return messages.collect(root)


def entries(root: Path) -> list[str]:
    return [text for page in messages.PAGES for text in messages.explained((root / page).read_text("utf-8"))]


def test_every_message_has_an_entry(root: Path, found: list[messages.Message]) -> None:
    known = set(entries(root))
    lacking = {f"{each.file}: {each.text}" for each in found if each.text not in known}
    assert not lacking, "python3 -m tools.messages --missing prints them as the page wants them"


def test_no_entry_is_of_a_message_that_is_gone(root: Path, found: list[messages.Message]) -> None:
    assert set(entries(root)) <= {each.text for each in found}


def test_every_message_has_one_entry(root: Path) -> None:
    assert [text for text, count in Counter(entries(root)).items() if count > 1] == []


def test_every_list_of_messages_is_followed_by_what_to_do(root: Path) -> None:
    for page in messages.PAGES:
        topics = re.split(r"^## ", (root / page).read_text("utf-8"), flags=re.MULTILINE)
        for topic in topics:
            blocks = re.split(r"\n\n+", topic.strip())
            for block, after in zip(blocks, [*blocks[1:], "- "], strict=True):
                if block.startswith("- ") and not topic.startswith("Not a problem"):
                    assert not after.startswith(("- ", "#")), f"{page}: nothing is said of {block.splitlines()[0]}"


def written(folder: Path, source: str) -> list[str]:
    """The messages of an add-on that has only this file."""
    (folder / "inference_server").mkdir()
    package = folder / "latent_addon"
    package.mkdir()
    (package / "texts.py").write_text('ADVICE = "Choose another one."\n')
    (package / "module.py").write_text(source)
    return [each.text for each in messages.collect(folder)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('raise StoreError(f"{folder} is full.")', ["… is full."]),
        ('raise ProtocolError(CODE, "The disk is " f"full at {place:.1f} GB.")', ["The disk is full at … GB."]),
        ('self.report({"ERROR"}, "No strip " + "is there")', ["No strip is there"]),
        ('cls.poll_message_set("One thing" if a else "Another thing")', ["One thing", "Another thing"]),
        ('from .texts import ADVICE\nsession.halt(f"It broke. {ADVICE}")', ["It broke. Choose another one."]),
        ('WHY = "Nothing is there"\ncls.poll_message_set(WHY)', ["Nothing is there"]),
        ('self.problem = f"There is no {kind or 0}."', ["There is no …."]),
        (
            'def f():\n    text = "Late it came on"\n    text += f" and went"\n    self.report(L, text)',
            ["Late it came on", "and went"],
        ),
        ('tell("info", f"Looking at {i + 1} of {n} pictures.")', ["Looking at … of … pictures."]),
        ('logger.info("Looking at %d of %s: %.1f %% done", i, n, x)', ["Looking at … of …: … % done"]),
        ('other.info("It is %s long", 1)', []),
        ('def f():\n    return f"is a {kind} of archive"', ["is a … of archive"]),
        ('def f():\n    words = f"Something {kind} went wrong."', ["Something … went wrong."]),
        ('class A:\n    """A sentence that explains a class."""', []),
        ('x: Property = BoolProperty(description="A sentence that explains it.")', []),
        ('raise NotImplementedError("Not for a person.")', []),
        ('print(f"{i} of {n} made", file=sys.stderr)', []),
    ],
)
def test_messages_are_found_by_how_they_are_used(tmp_path: Path, source: str, expected: list[str]) -> None:
    assert set(written(tmp_path, source)) - {"Choose another one."} == set(expected)


def test_a_message_survives_the_pages_markup() -> None:
    text = "'--seeds' takes [1, 2] <n>, a_b * c \\ d | e."
    assert messages.plain(messages.marked(text)) == text
    assert messages.explained(f"Words.\n\n- **{messages.marked(text)}**\n") == [text]
