"""How pip is called: where it gets packages, where it keeps them, and what it may not do."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from latent_lantern.latent_addon.environments import making
from latent_lantern.latent_addon.environments.children import Children
from latent_lantern.latent_addon.environments.failures import Failed
from latent_lantern.latent_addon.environments.progress import PipProgress, Progress, Step
from latent_lantern.latent_addon.environments.pythons import Python

PYTHON = Python(Path("/usr/bin/python3.12"), "3.12", True, "3.12.4")


class Recording(Children):
    """Runs nothing; keeps the commands."""

    def __init__(self, status: int = 0):
        super().__init__()
        self.status = status
        self.commands: list[list[str]] = []
        self.settings: list[dict[str, str]] = []

    def run(
        self, python: Path, module: Sequence[str | Path], on_line: Callable[[str], None], **settings: object
    ) -> int:
        self.commands.append([str(python), *map(str, module)])
        self.settings.append({name: str(value) for name, value in settings.items()})
        assert Path(self.settings[-1]["TMPDIR"]).is_dir()
        return self.status


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment with a pip of 24.2."""
    folder = tmp_path / "environment"
    (making.site_packages(folder, "3.12") / "pip-24.2.dist-info").mkdir(parents=True)
    return folder


def _install(environment: Path, **how: object) -> tuple[list[str], dict[str, str]]:
    children = Recording()
    making.install(children, PYTHON, environment, Path("torch.txt"), print, **how)
    assert not (environment / "tmp").exists()
    (command,), (settings,) = children.commands, children.settings
    assert command[:3] == [str(making.interpreter(environment)), "pip", "install"]
    assert command[-2:] == ["-r", "torch.txt"]
    assert command[command.index("--only-binary") + 1] == ":all:", "nothing is compiled, no code of a package is run"
    return command, settings


def test_a_build_comes_from_its_own_index_alone(environment: Path) -> None:
    command, settings = _install(environment, index="https://download.pytorch.org/whl/cu130")
    assert command[command.index("--index-url") + 1] == "https://download.pytorch.org/whl/cu130"
    assert "--extra-index-url" not in command
    assert not any(name.startswith("PIP_") for name in settings)


def test_without_an_index_pips_own_settings_hold(environment: Path) -> None:
    command, settings = _install(environment)
    assert not {"--index-url", "--no-index", "--find-links", "--cache-dir"} & set(command)
    assert set(settings) == {"TMPDIR", "TEMP", "TMP", "on_idle"}


def test_from_a_folder_of_wheels_nothing_else_is_asked(environment: Path, tmp_path: Path) -> None:
    command, settings = _install(environment, wheels=tmp_path, index="https://no.example", cache=tmp_path / "cache")
    assert {"--no-index", "--no-cache-dir"} <= set(command)
    assert command[command.index("--find-links") + 1] == str(tmp_path)
    assert "--index-url" not in command
    assert settings["PIP_CONFIG_FILE"] == os.devnull
    assert settings["PIP_FIND_LINKS"] == settings["PIP_EXTRA_INDEX_URL"] == ""


def test_what_is_downloaded_is_kept_where_pip_can_do_so_without_holding_it_in_memory(
    environment: Path, tmp_path: Path
) -> None:
    command, _ = _install(environment, cache=tmp_path / "cache")
    assert command[command.index("--cache-dir") + 1] == str(tmp_path / "cache")
    _have_pip(environment, "23.0.1")
    command, _ = _install(environment, cache=tmp_path / "cache")
    assert "--cache-dir" not in command
    assert "--no-cache-dir" in command


@pytest.mark.parametrize(("version", "bar"), [("24.2", "raw"), ("25.1.1", "raw"), ("24.0", "off"), ("23.0.1", "off")])
def test_progress_is_asked_for_in_numbers_where_pip_can_count(environment: Path, version: str, bar: str) -> None:
    _have_pip(environment, version)
    progress = Progress([Step("Installing", 1.0)])
    progress.begin()
    following = PipProgress(progress, environment, 1, 1)
    command, _ = _install(environment, progress=following)
    assert command[command.index("--progress-bar") + 1] == bar
    assert following.tells_numbers is (bar == "raw")


def test_a_python_without_ensurepip_is_not_tried(tmp_path: Path) -> None:
    children = Recording()
    with pytest.raises(Failed, match=r"python3\.12-venv"):
        making.make(children, Python(PYTHON.executable, "3.12", False), tmp_path / "environment", print)
    assert not children.commands
    assert not (tmp_path / "environment").exists()


def test_a_python_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    gone = Python(tmp_path / "gone", "3.12", True)
    with pytest.raises(Failed, match=r"gone cannot be started: No such file"):
        making.make(Children(), gone, tmp_path / "environment", print)


def _have_pip(environment: Path, version: str) -> None:
    packages = making.site_packages(environment, "3.12")
    next(packages.glob("pip-*")).rename(packages / f"pip-{version}.dist-info")
