"""Child processes end with their parent, ignore the parent's Python settings, and locks keep two set-ups apart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from latent_lantern.latent_addon.environments import children, locks, pythons
from latent_lantern.latent_addon.environments.children import Children, Stopped

PYTHON = Path(sys.executable)


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """A folder for modules that a child runs."""
    folder = tmp_path / "Mödule here"
    folder.mkdir()
    return folder


def _run(children_: Children, modules: Path, code: str, lines: list[str], **how: object) -> int:
    (modules / "acts.py").write_text(code, "utf-8")
    return children_.run(PYTHON, ["acts", "one two"], lines.append, flags=("-s",), PYTHONPATH=str(modules), **how)


def test_a_child_runs_as_a_module_and_its_lines_and_its_end_are_told(modules: Path) -> None:
    lines: list[str] = []
    code = "import sys; print(__name__, sys.argv[1:], 'ü'); print('10%\\r20%\\r30%', file=sys.stderr); sys.exit(7)"
    assert _run(Children(), modules, code, lines) == 7
    assert lines == ["__main__ ['one two'] ü", "30%"]


def test_a_child_that_raises_tells_why(modules: Path) -> None:
    lines: list[str] = []
    assert _run(Children(), modules, "raise OSError(28, 'No space left on device')", lines) == 1
    assert lines[-1] == "OSError: [Errno 28] No space left on device"


@pytest.mark.parametrize(
    ("end", "status"), [("sys.exit()", 0), ("sys.exit('a reason')", 1), ("", 0), ("os._exit(9)", 9)]
)
def test_a_child_ends_as_it_would_alone(modules: Path, end: str, status: int) -> None:
    lines: list[str] = []
    code = f"import atexit, os, sys\natexit.register(print, 'last words')\n{end}"
    assert _run(Children(), modules, code, lines) == status
    assert ("last words" in lines) is (status != 9)
    assert ("a reason" in lines) is (status == 1)


def test_stopping_ends_the_child_and_its_children_and_nothing_is_run_any_more(modules: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(inner.pid, flush=True); time.sleep(600)"
    )
    ours, lines = Children(), []
    ends = []

    def work() -> None:
        with pytest.raises(Stopped):
            _run(ours, modules, code, lines)
        ends.append("stopped")

    thread = threading.Thread(target=work)
    thread.start()
    _until(lambda: lines)
    ours.stop()
    thread.join(30)
    assert ends == ["stopped"]
    _until(lambda: not _lives(int(lines[0])))
    with pytest.raises(Stopped):
        _run(ours, modules, "print('never')", lines)
    assert len(lines) == 1


def test_a_child_ends_when_whoever_started_it_is_killed(modules: Path, root: Path) -> None:
    (modules / "sleeps.py").write_text("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    script = (
        "import sys; from pathlib import Path\n"
        "from latent_addon.environments.children import Children\n"
        "say = lambda line: print(line, flush=True)\n"
        "Children().run(Path(sys.executable), ['sleeps'], say, flags=('-s',), PYTHONPATH=sys.argv[1])"
    )
    command = [sys.executable, "-c", script, modules]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert _lives(pid)
        parent.send_signal(signal.SIGKILL)
    _until(lambda: not _lives(pid))


def test_an_error_while_a_line_is_taken_ends_the_child(modules: Path) -> None:
    pids: list[int] = []

    def refuse(line: str) -> None:
        pids.append(int(line))
        raise RuntimeError("no")

    (modules / "acts.py").write_text("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    with pytest.raises(RuntimeError, match="no"):
        Children().run(PYTHON, ["acts"], refuse, flags=("-s",), PYTHONPATH=str(modules))
    assert not _lives(pids[0])


def test_what_leads_astray_is_left_out_and_where_packages_come_from_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    stray = (
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONINSPECT",
        "VIRTUAL_ENV",
        "PIP_TARGET",
        "PIP_USER",
        "BLENDER_USER_SCRIPTS",
    )
    for name in stray:
        monkeypatch.setenv(name, "astray")
    monkeypatch.setenv("PIP_INDEX_URL", "https://ours.example")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    environment = children.clean_environment(EXTRA="1")
    assert "astray" not in environment.values()
    assert environment["PIP_INDEX_URL"] == "https://ours.example"
    assert environment["HTTPS_PROXY"] == "http://proxy.example"
    assert environment["EXTRA"] == environment["PYTHONNOUSERSITE"] == "1"


def test_a_lock_has_one_holder_who_is_named_and_goes_with_him(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "a.lock"
    assert locks.holder(path) is None
    assert not path.exists(), "looking makes no file"
    script = (
        "import sys, time; from pathlib import Path; from latent_addon.environments import locks\n"
        "with locks.held(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script, path], cwd=root, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == b"held"
        assert locks.holder(path) == other.pid
        with pytest.raises(locks.Busy) as busy, locks.held(path, patience=0.1):
            pass
        assert busy.value.holder == other.pid
        other.kill()
    assert locks.holder(path) is None
    with locks.held(path):
        assert locks.holder(path) == os.getpid()
    with locks.held(path):
        pass


def test_what_a_python_is_comes_from_asking_it(tmp_path: Path) -> None:
    python = pythons.probe(PYTHON)
    assert python is not None
    assert python.release == sys.version.split()[0]
    assert python.executable.samefile(getattr(sys, "_base_executable", sys.executable))
    old = tmp_path / "python2"
    old.write_text('#!/bin/sh\n[ "$1" = -I ] && exit 2\necho \'["/usr/bin/python2", "2.7.18", false, ""]\'\n')
    old.chmod(0o755)
    found = pythons.probe(old)
    assert found is not None
    assert (found.version, found.unfit) == ("2.7", "is not one of 3.11, 3.12, 3.13, 3.14")
    liar = tmp_path / "liar"
    liar.write_text("#!/bin/sh\necho hello\n")
    liar.chmod(0o755)
    assert pythons.probe(liar) is None
    assert pythons.probe(tmp_path / "none") is None


def _until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
