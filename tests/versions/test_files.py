"""A file saved in one supported Blender is the same shot in every other one, and nothing is made again."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tools.console import clean_environment

BLENDERS: dict[str, str] = json.loads(os.environ["LANTERN_BLENDERS"])
"""The Python of each Blender by its version, oldest first."""


def run_shot(version: str, root: Path, *arguments: str | Path) -> None:
    """Run shot.py in this Blender, which starts without a user's settings."""
    script = [BLENDERS[version], root / "tools" / "run_in_blender.py", root / "tests" / "versions" / "shot.py"]
    with tempfile.TemporaryDirectory(prefix="lantern-blender-", ignore_cleanup_errors=True) as resources:
        done = subprocess.run(
            list(map(str, [*script, *arguments])),
            env=clean_environment(BLENDER_USER_RESOURCES=resources),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert done.returncode == 0, f"Blender {version}: {arguments}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="session")
def made(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder with a shot of each Blender."""
    folder = tmp_path_factory.mktemp("shots")
    for version in BLENDERS:
        (folder / version).mkdir()
        run_shot(version, root, "make", folder / version)
    return {version: folder / version for version in BLENDERS}


@pytest.fixture(scope="session")
def opened(made: dict[str, Path], root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    """The description of each shot by each Blender, by (saved in, opened in)."""
    found = {}
    for version in BLENDERS:
        report = tmp_path_factory.mktemp("opened") / "report.json"
        run_shot(version, root, "open", report, *(place / "shot.blend" for place in made.values()))
        found |= {(saved, version): entry for saved, entry in zip(made, json.loads(report.read_text()), strict=True)}
    return found


@pytest.mark.parametrize(("saved_in", "opened_in"), [*itertools.product(BLENDERS, repeat=2)])
def test_a_shot_is_the_same_in_every_blender(
    made: dict[str, Path], opened: dict[tuple[str, str], Any], saved_in: str, opened_in: str
) -> None:
    before = json.loads((made[saved_in] / "made.json").read_text())
    entry = opened[saved_in, opened_in]
    assert entry["found"] == before
    assert before["shown"] == before["planned"] and len(set(before["planned"])) > 10
    assert entry["ordered"] == []
    # The composite has 64 pixels, the picture 16. The drawn box, from 3, 5 to 11, 9, must be at the right place.
    assert entry["size"] == [64, 64, 4]
    assert entry["drawn"] == pytest.approx([12, 20, 44, 36], abs=1)


def test_every_blender_makes_the_same_shot(made: dict[str, Path]) -> None:
    plans = {version: json.loads((place / "made.json").read_text())["planned"] for version, place in made.items()}
    assert len(plans) == len(BLENDERS)
    assert all(plan == next(iter(plans.values())) for plan in plans.values())
