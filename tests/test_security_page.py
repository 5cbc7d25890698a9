"""The page on security names only tests that exist."""

from __future__ import annotations

import re
from pathlib import Path


def test_what_is_named_is_there(root: Path) -> None:
    page = (root / "docs" / "security.md").read_text("utf-8")
    files = set(re.findall(r"`((?:tests|inference_server|lantern_protocol)/[\w/]+(?:\.py|/))`", page))
    assert len(files) > 10
    assert [name for name in sorted(files) if not (root / name).exists()] == []
    for test, file in re.findall(r"`(test_\w+)` in `(tests/[\w/]+\.py)`", page):
        assert f"def {test}(" in (root / file).read_text("utf-8")


def test_every_promise_has_its_tests(root: Path) -> None:
    page = (root / "docs" / "security.md").read_text("utf-8")
    promises = {int(number) for number in re.findall(r"^(\d)\. \*\*", page, re.MULTILINE)}
    tested = {int(number) for row in re.findall(r"^\| ([\d, ]+) \|", page, re.MULTILINE) for number in row.split(",")}
    assert promises == set(range(1, len(promises) + 1))
    assert promises - tested == {7}  # nothing is sent: this follows from 6 and from the audit of 1
