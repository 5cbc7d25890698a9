"""Every test in this folder runs in Blender with factory settings and the built zip installed and enabled."""

from __future__ import annotations

import os
import traceback
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import bpy
import pytest

from installed import DEPRECATED, add_alias
from tools import blender_session

if TYPE_CHECKING:
    from stage import Stage  # imports from the extension, which is installed only when tests are collected


def pytest_configure(config: pytest.Config) -> None:
    """Install before collection, because test modules import from the extension at their top."""
    try:
        blender_session.install_extension(Path(os.environ["LANTERN_ZIP"]), os.environ["LANTERN_SERVER_PYTHON"])
    except RuntimeError:
        traceback.print_exc()
        blender_session.leave(pytest.ExitCode.INTERNAL_ERROR)
    add_alias(blender_session.EXTENSION)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport]:
    """Fail a test that used something deprecated where no Python error can be raised: in a callback, or in C."""
    report = yield
    said = DEPRECATED.search(report.capstdout + report.capstderr)
    if report.passed and said:
        report.outcome = "failed"
        report.longrepr = f"Something deprecated was used; this was printed: {said.group().strip()}"
    return report


@pytest.fixture(autouse=True)
def clean_start() -> Iterator[None]:
    """An unsaved factory file and the extension's default preferences, independent of the tests before."""
    blender_session.start_clean()
    blender_session.set_preferences(os.environ["LANTERN_SERVER_PYTHON"])
    yield


@pytest.fixture
def preferences() -> bpy.types.AddonPreferences:
    """The extension's preferences."""
    return bpy.context.preferences.addons[blender_session.EXTENSION].preferences


@pytest.fixture
def stage(tmp_path: Path, preferences: bpy.types.AddonPreferences) -> Iterator[Stage]:
    """The open file, with a fake server that ends with the test."""
    from stage import Stage, session

    yield Stage(tmp_path, preferences)
    session.client.stop()


@pytest.fixture(scope="session")
def server_python() -> str:
    """The Python that has torch, for tests that start the real inference server."""
    return os.environ["LANTERN_SERVER_PYTHON"]


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Exit only now, after pytest has printed its summary."""
    blender_session.leave(int(config.stash.get(EXIT_STATUS, pytest.ExitCode.INTERNAL_ERROR)))


EXIT_STATUS = pytest.StashKey[int]()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep the exit status for the end."""
    session.config.stash[EXIT_STATUS] = exitstatus
