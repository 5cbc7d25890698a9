"""dev.py's parts: environments survive interruption, the same pins share one, and a lock keeps two runs apart."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import dev
from latent_addon.environments import children, making, pythons
from tools import console, environments, system_libraries

BLENDERS = [f"blender {version}" for version in environments.TESTED_BLENDERS]
CURRENT = "{}.{}".format(*sys.version_info[:2])


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> environments.Environment:
    """An environment with only pip, in its own cache folder."""
    monkeypatch.setattr(environments, "cache_folder", lambda: tmp_path / "cache")
    pins = tmp_path / "scratch.txt"
    pins.write_text("# nothing\n")
    return environments.Environment("scratch", CURRENT, (pins,))


def test_an_unfinished_environment_is_made_again_and_a_finished_one_reused(
    scratch: environments.Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    rubbish = scratch.folder / "half a download"
    rubbish.mkdir(parents=True)
    environments.ensure(scratch, ())
    assert scratch.ready
    assert not rubbish.exists()
    assert "left unfinished" in capfd.readouterr().err
    made = scratch.finished_mark.stat().st_mtime_ns
    environments.ensure(scratch, ())
    assert scratch.finished_mark.stat().st_mtime_ns == made
    assert "reusing" in capfd.readouterr().err


def test_a_failed_set_up_is_not_finished(scratch: environments.Environment) -> None:
    scratch.pins[0].write_text("./there-is-no-such-package\n")
    with pytest.raises(console.Problem, match="Installing"):
        environments.ensure(scratch, ())
    assert not scratch.ready


def test_changed_pins_name_another_environment_and_comments_do_not(scratch: environments.Environment) -> None:
    before = scratch.folder
    scratch.pins[0].write_text("# other words\n\n")
    assert scratch.folder == before
    scratch.pins[0].write_text("numpy==1.0\n")
    assert scratch.folder != before


def test_the_server_s_build_of_torch_is_the_machine_s_unless_pip_is_told_where_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(environments.pip_settings, "read", lambda: {"index-url": "https://ours.example"})
    own = environments.server(())
    assert own.build is None
    card = environments.machine.Nvidia("580.65", "a card", (8, 9))
    linux = environments.machine.Machine("Linux", "x86_64", card)
    monkeypatch.setattr(environments.pip_settings, "read", dict)
    monkeypatch.setattr(environments.machine, "look", lambda: linux)
    chosen = environments.server(())
    assert chosen.build.key == "cu130"
    assert chosen.pins[0].name == "torch-cu130.txt"
    assert chosen.folder != own.folder
    # An environment that is ready is used, even if the machine has changed.
    (plain,) = environments._servers([chosen.version], environments.builds.CPU_LINUX)
    plain.python.parent.mkdir(parents=True)
    plain.python.touch()
    plain.finished_mark.touch()
    monkeypatch.setattr(environments.machine, "kind", lambda: linux)
    assert environments.server(()) == plain
    monkeypatch.setattr(environments.machine, "kind", lambda: environments.machine.Machine("Darwin", "x86_64"))
    monkeypatch.setattr(environments.machine, "look", environments.machine.kind)
    with pytest.raises(environments.Missing, match="Intel"):
        environments.server(())


def test_every_blender_has_pins_and_the_tested_ones_are_known(root: Path) -> None:
    pinned = {path.stem.removeprefix("blender-") for path in (root / "requirements").glob("blender-*.txt")}
    assert pinned == set(environments.BLENDER_PYTHONS)
    assert set(environments.TESTED_BLENDERS) <= pinned
    # A local version or a range here would make pip fetch gigabytes for a GPU that is not there.
    for pins in (root / "inference_server" / "requirements").glob("torch-*.txt"):
        assert making.pinned(pins) == ["torch==2.13.0"]


def test_a_lock_waits_for_the_other_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "held.lock"
    holder = (
        "import sys, time; from pathlib import Path; from tools.console import lock\n"
        "with lock(Path(sys.argv[1]), ''): print('held', flush=True); time.sleep(1)"
    )
    with subprocess.Popen([sys.executable, "-c", holder, path], cwd=dev.ROOT, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline().strip() == b"held"
        with console.lock(path, "a test"):
            assert other.wait(10) == 0
    assert "busy with a test" in capsys.readouterr().err


def test_a_python_named_by_option_comes_first_and_a_broken_one_is_passed_over(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("not a program")
    found = pythons.search((str(broken), sys.executable))
    assert found[0].version == CURRENT
    assert all(python.version in pythons.KNOWN for python in found)


def test_without_rights_the_line_to_copy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_libraries.shutil, "which", lambda name: None)
    with pytest.raises(console.Problem, match=r"sudo apt-get .* install .* libegl1 libx11-6"):
        system_libraries.install(["libegl1", "libx11-6"])


def test_stray_settings_do_not_reach_the_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("BLENDER_USER_SCRIPTS", "/elsewhere")
    assert "/elsewhere" not in children.clean_environment(EXTRA="1").values()


@pytest.mark.parametrize(
    ("arguments", "layers"),
    [
        ([], ["lint", "core", "server", *BLENDERS, "versions", "window"]),
        (["server", "core"], ["server", "core"]),
        (["tests/test_dev.py"], ["core"]),
        (["-k", "docs"], ["core", "server", *BLENDERS, "versions", "window"]),
        (["--blender", "5.2", "blender", "-k", "strip"], ["blender 5.2"]),
        (["--fast"], ["lint", "core", "blender 5.2"]),
        (["--fast", "--blender", "4.5", "blender"], ["blender 4.5"]),
        (["--fast", "tests/test_dev.py"], ["core"]),
    ],
)
def test_layers_are_chosen_by_name_or_by_path(
    arguments: list[str], layers: list[str], monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    ran = []
    monkeypatch.chdir(root)
    monkeypatch.setattr(dev, "lint", lambda args: ran.append("lint") or 0)
    monkeypatch.setattr(dev, "plain_tests", lambda args, layer, rest: ran.append(layer) or 0)
    monkeypatch.setattr(dev, "blender_tests", lambda args, version, rest: ran.append(f"blender {version}") or 0)
    monkeypatch.setattr(dev, "version_tests", lambda args, rest: ran.append("versions") or 0)
    monkeypatch.setattr(dev, "window_tests", lambda args, rest: ran.append("window") or 0)
    monkeypatch.setattr(environments, "newest_blender_version", lambda named: "5.2")
    assert dev.main(["test", "--jobs", "1", *arguments]) == 0
    assert ran == layers


def test_what_fast_leaves_out_exists_and_the_rest_of_the_blender_layer_runs(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {path.stem for path in (root / "tests" / "blender").rglob("test_*.py")}
    assert set(dev.SLOW_IN_BLENDER) < files
    started = []
    monkeypatch.setattr(dev, "set_up", lambda named, version: (None, None))
    monkeypatch.setattr(dev, "run_in_blender", lambda blender, server, command: started.append(command) or 0)
    for options in ([], ["--fast"]):
        assert dev.main(["test", *options, "--blender", "5.2", "blender", "-x"]) == 0
    whole, quick = started
    assert [word for word in quick if word not in whole] == [
        f"--ignore-glob=*/{name}.py" for name in dev.SLOW_IN_BLENDER
    ]
    assert "-x" in whole and "-x" in quick and root / "tests" / "blender" in quick


def test_fast_refuses_a_layer_that_it_does_not_run(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dev.main(["test", "--fast", "server"]) == 1
    assert dev.main(["test", "--fast", str(root / "tests" / "server" / "test_render.py")]) == 1
    assert capsys.readouterr().err.count("--fast runs lint, core, blender") == 2


def test_a_layer_without_tests_fails_unless_a_choice_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "lint", lambda args: 0)
    monkeypatch.setattr(dev, "plain_tests", lambda args, layer, rest: dev.NOTHING_SELECTED)
    assert dev.main(["test", "--jobs", "1", "lint", "core"]) == 1
    assert dev.main(["test", "--jobs", "1", "lint", "core", "-k", "strip"]) == 0
    assert dev.main(["test", "core", "-k", "strip"]) == 1


def test_a_missing_python_fails_in_ci_whatever_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(args: object, version: str, rest: object) -> int:
        raise environments.Missing("no Python 3.13")

    monkeypatch.setattr(dev, "lint", lambda args: 0)
    monkeypatch.setattr(dev, "blender_tests", missing)
    monkeypatch.delenv("CI", raising=False)
    assert dev.main(["test", "--jobs", "1", "lint", "blender"]) == 1
    assert dev.main(["test", "--jobs", "1", "--allow-missing", "lint", "blender"]) == 0
    assert dev.main(["test", "--jobs", "1", "--allow-missing", "blender"]) == 1
    monkeypatch.setenv("CI", "true")
    assert dev.main(["test", "--jobs", "1", "--allow-missing", "lint", "blender"]) == 1
