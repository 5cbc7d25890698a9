"""The state of an environment on the disk: whole, outdated, broken, interrupted; and where it may be."""

from __future__ import annotations

import ast
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import fake_wheels
from latent_lantern.latent_addon.environments import installation, making, planning, record, standing
from latent_lantern.latent_addon.environments.builds import CPU, by_key
from latent_lantern.latent_addon.environments.installation import Setup, SetupState
from latent_lantern.latent_addon.environments.record import Record


class Place:
    """A folder in which an environment seems to be whole."""

    def __init__(self, folder: Path):
        self.server = fake_wheels.write_server(folder / "server")
        self.folder = folder / "inference"
        self.base = folder / "base" / "python3.12"
        self.base.parent.mkdir()
        self.base.touch()
        self.environment = self.folder / "0123abcd"
        interpreter = making.interpreter(self.environment)
        interpreter.parent.mkdir(parents=True)
        interpreter.symlink_to(self.base)
        pins = record.pins_of(self.server, CPU, "3.12")
        self.record = Record(
            "0123abcd", pins, "cpu", "Processors", "3.12", "3.12.4", str(self.base), "2.13.0+cpu", "a card", 12345
        )
        record.write_record(self.folder, self.record)
        self.setup = Setup(self.folder, self.server)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_whole_environment_is_ready_and_its_record_says_what_it_is(place: Place) -> None:
    status = place.setup.look()
    assert (status.state, status.message) == (SetupState.READY, "")
    assert status.python == making.interpreter(place.environment)
    assert (status.base, status.build) == (f"Python 3.12.4, {place.base}", "Processors")
    assert (status.torch, status.device, status.size) == ("2.13.0+cpu", "a card", 12345)
    assert status.free > 0


def test_an_environment_of_other_pins_is_outdated_and_one_of_other_comments_is_not(place: Place) -> None:
    pins = place.server / "inference_server" / "requirements" / "common.txt"
    pins.write_text("# other words\n\n" + pins.read_text())
    assert place.setup.look().state is SetupState.READY
    pins.write_text(pins.read_text() + "more==1.0\n")
    status = place.setup.look()
    assert status.state is SetupState.OUTDATED
    assert status.python is not None
    # The pins of another build do not matter to this one.
    pins.write_text("numpy==2.4.6\n")
    (pins.parent / "torch-cu126.txt").write_text("torch==2.14.0\n")
    assert place.setup.look().state is SetupState.READY


def test_an_environment_whose_python_is_gone_is_broken(place: Place) -> None:
    place.base.unlink()
    status = place.setup.look()
    assert (status.state, status.python) == (SetupState.BROKEN, None)
    assert status.message == f"Python 3.12.4 at {place.base} is gone."
    place.base.touch()
    making.interpreter(place.environment).unlink()
    status = place.setup.look()
    assert status.state is SetupState.BROKEN
    assert str(making.interpreter(place.environment)) in status.message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        "{}",
        '{"environment": "0123abcd"}',
        "[" * 100_000,
    ],
)
def test_a_damaged_record_is_broken_and_names_the_file(place: Place, text: str) -> None:
    (place.folder / "ready.json").write_text(text)
    status = place.setup.look()
    assert (status.state, status.leftovers) == (SetupState.BROKEN, True)
    assert str(place.folder / "ready.json") in status.message


@pytest.mark.parametrize("change", [{"environment": "../../usr"}, {"environment": "/usr"}, {"size": "1"}, {"base": 1}])
def test_a_record_that_was_tampered_with_leads_nowhere(place: Place, change: dict[str, object]) -> None:
    values = json.loads((place.folder / "ready.json").read_text())
    (place.folder / "ready.json").write_text(json.dumps(values | change))
    status = place.setup.look()
    assert (status.state, status.python) == (SetupState.BROKEN, None)


def test_what_was_interrupted_is_said_and_what_is_ready_stays_ready(place: Place) -> None:
    (place.folder / "0123abcd-2").mkdir()
    status = place.setup.look()
    assert (status.state, status.message, status.leftovers) == (SetupState.READY, standing.INTERRUPTED, True)
    (place.folder / "0123abcd-2").rmdir()
    (place.folder / "downloads").mkdir()
    (place.folder / "films").mkdir()
    status = place.setup.look()
    assert (status.state, status.message, status.leftovers) == (SetupState.READY, "", True)
    assert record.leftovers(place.folder, place.record) == [place.folder / "downloads"]


def test_looking_writes_nothing(place: Place, tmp_path: Path) -> None:
    before = sorted(place.folder.rglob("*"))
    place.setup.look()
    assert sorted(place.folder.rglob("*")) == before
    nowhere = Setup(tmp_path / "nowhere" / "at all", place.server)
    assert nowhere.look().state is SetupState.NOT_SET_UP
    assert nowhere.status.free > 0
    assert not (tmp_path / "nowhere").exists()


def test_a_record_is_written_whole_or_not_at_all(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (place.folder / "ready.json").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(record.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        record.write_record(place.folder, replace(place.record, size=1))
    assert (place.folder / "ready.json").read_bytes() == before
    assert [path.name for path in place.folder.iterdir() if path.name != "0123abcd"] == ["ready.json"]


def test_the_pins_of_an_environment_depend_on_build_python_and_versions(place: Place) -> None:
    other = by_key("cu130")
    hashes = {
        record.pins_of(place.server, CPU, "3.12"),
        record.pins_of(place.server, CPU, "3.13"),
        record.pins_of(place.server, other, "3.12"),
    }
    assert len(hashes) == 3


def test_where_windows_counts_letters_the_environment_lies_nearer(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = Path(
        "C:/Users/marrow/AppData/Roaming/Blender Foundation/Blender/5.2/extensions/.user/default/latent/inference"
    )
    near = Path("C:/Users/marrow/AppData/Local")
    assert standing.short_enough(deep) == deep
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(near))
    monkeypatch.setattr(standing, "_long_paths_allowed", lambda: False)
    assert standing.short_enough(deep) == near / "LatentLantern"
    assert standing.short_enough(near / "x") == near / "x"
    monkeypatch.setattr(standing, "_long_paths_allowed", lambda: True)
    assert standing.short_enough(deep) == deep


def test_a_path_that_is_too_long_everywhere_hinders_a_plan(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "is_too_long", lambda folder: True)
    good = replace(_plan(place), problem="")
    monkeypatch.setattr(planning, "make_plan", lambda *_: good)
    assert "too long for Windows" in place.setup.plan().problem


def test_a_plan_with_a_problem_is_not_begun(place: Place) -> None:
    with pytest.raises(ValueError, match="no card"):
        place.setup.start(replace(_plan(place), problem="There is no card."))
    assert not place.setup.busy


def test_the_newest_planning_wins(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = _plan(place)

    def make(folder: Path, root: Path, own: Path | None, build: str, *_: object) -> planning.SetupPlan:
        return replace(plan, why=build)

    monkeypatch.setattr(planning, "make_plan", make)
    for build in ("cpu", "cu126", "cu130"):
        place.setup.begin_planning(build)
    assert place.setup.wait(60)
    assert not place.setup.planning
    assert place.setup.planned.why == "cu130"


def _plan(place: Place) -> planning.SetupPlan:
    python = planning.Python(place.base, "3.12", True, "3.12.4")
    return planning.SetupPlan(CPU, "", python, (), "", 0, 1, 10**9, False)


def test_the_engine_uses_the_standard_library_alone_and_nothing_from_outside_its_folder(root: Path) -> None:
    used = set()
    for path in (root / "latent_addon" / "environments").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                used |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level < 2, path
                used |= {node.module.partition(".")[0]} if node.level == 0 else set()
    assert used
    assert used <= sys.stdlib_module_names


def test_a_failure_is_said_until_there_is_another_environment(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation.Attempt, "run", _fails)
    place.setup.start(_plan(place))
    assert place.setup.wait(60)
    assert (place.setup.status.state, place.setup.status.message) == (SetupState.READY, "The card has melted.")
    assert place.setup.look().message == "The card has melted."
    record.write_record(place.folder, replace(place.record, device="another card"))  # by another Blender
    assert (place.setup.look().message, place.setup.status.device) == ("", "another card")
    place.setup.start(_plan(place))
    assert place.setup.wait(60)
    assert place.setup.look().message == "The card has melted."
    monkeypatch.setattr(installation.Attempt, "run", lambda attempt: place.record)
    place.setup.start(_plan(place))
    assert place.setup.wait(60)
    assert place.setup.look().message == ""


def test_the_log_of_a_set_up_before_is_found_again(place: Place) -> None:
    (place.folder / "setup.log").write_text("Collecting torch\nCancelled.\n")
    place.setup.look()
    assert list(place.setup.log) == ["Collecting torch", "Cancelled."]
    place.setup.look()
    assert list(place.setup.log) == ["Collecting torch", "Cancelled."]


def _fails(_: installation.Attempt) -> Record:
    raise installation.Failed("The card has melted.")
