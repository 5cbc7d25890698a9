"""Tests in a Blender with a window. dev.py chooses the Blender, the zip and the server; see CONTRIBUTING."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import BlenderWindow, window
from story import Story

NEEDED = ("LANTERN_BLENDER", "LANTERN_ZIP", "LANTERN_SERVER_PYTHON")
ARTIFACTS = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Choose the folder for pictures and for what Blender prints."""
    config.addinivalue_line("markers", "pictures: makes pictures for the documents")
    lacking = [name for name in NEEDED if not os.environ.get(name)]
    if lacking:
        raise pytest.UsageError(f"{', '.join(lacking)} not set: run these tests with python3 dev.py test window")
    named = os.environ.get("LANTERN_ARTIFACTS", "")
    folder = Path(named) if named else Path(tempfile.mkdtemp(prefix="lantern-window-"))
    folder.mkdir(parents=True, exist_ok=True)
    config.stash[ARTIFACTS] = folder.resolve()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print where the pictures are."""
    terminalreporter.write_line(f"pictures and what Blender printed: {config.stash[ARTIFACTS]}")


@pytest.fixture(scope="session")
def artifacts(pytestconfig: pytest.Config) -> Path:
    """The folder for everything that is kept."""
    return pytestconfig.stash[ARTIFACTS]


@pytest.fixture(scope="module")
def folder(artifacts: Path, request: pytest.FixtureRequest) -> Path:
    """The folder for the stories (tests) of one file."""
    made = artifacts / request.module.__name__.removeprefix("test_")
    made.mkdir(exist_ok=True)
    return made


@pytest.fixture(scope="module")
def blender(folder: Path) -> Iterator[BlenderWindow]:
    """A Blender with factory settings, on its own screen."""
    with window(folder, "--factory-startup") as blender:
        yield blender


@pytest.fixture(scope="module")
def arranged(blender: BlenderWindow, folder: Path) -> Story:
    """The extension installed, the editors arranged."""
    story = Story(blender, folder)
    story.install()
    story.arrange()
    story.keep_arrangement()
    return story


@pytest.fixture
def story(arranged: Story, request: pytest.FixtureRequest) -> Story:
    """A new file, with frames kept next to it, and a fake server."""
    arranged.use_fake_server()
    arranged.begin(request.node.name.removeprefix("test_"))
    return arranged


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport:
    """If a story fails, keep a picture of the screen, and report what Blender printed last."""
    report = yield
    blender = item.funcargs.get("blender") or getattr(item.funcargs.get("story"), "blender", None)
    if report.failed and blender is not None:
        path = blender.folder / f"FAILED_{item.name}.png"
        blender.screen.picture().save(path)
        path.with_suffix(".txt").write_text(f"{report.longreprtext}\n\n{blender.said()}", "utf-8")
        report.sections.append(("Blender", f"{path}\n{blender.said()[-4000:]}"))
    return report
