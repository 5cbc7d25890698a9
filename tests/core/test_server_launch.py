"""How the server is called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from latent_lantern.latent_addon.server.launch import check_python, python_of_folder, server_command


def test_a_python_that_can_be_started_passes() -> None:
    assert check_python(sys.executable) == ""


def test_what_is_no_python_is_named(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a program")
    text.chmod(0o644)
    assert "is a folder" in check_python(str(tmp_path))
    assert f"no Python at '{tmp_path / 'gone'}'" in check_python(str(tmp_path / "gone"))
    # root may execute any file with an x bit, and no file without one
    assert "not a program" in check_python(str(text))


@pytest.mark.parametrize("name", ["bin/python3", "bin/python", "Scripts/python.exe"])
def test_the_python_of_an_environment_is_found(tmp_path: Path, name: str) -> None:
    assert python_of_folder(str(tmp_path)) == ""
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).touch()
    assert Path(python_of_folder(str(tmp_path))) == tmp_path / name
    assert python_of_folder(str(tmp_path / name)) == ""


def test_the_server_sees_only_the_extension(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONHOME", str(tmp_path / "blender"))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "startup.py"))
    monkeypatch.setenv("__PYVENV_LAUNCHER__", str(tmp_path / "launcher"))
    monkeypatch.setenv("PATH_OF_SOMETHING_ELSE", "kept")
    (tmp_path / "inference_server").mkdir()
    (tmp_path / "inference_server" / "__main__.py").write_text(
        "import os, sys\nprint(sys.path[0], sys.argv[1:], sys.flags.utf8_mode, os.environ['PATH_OF_SOMETHING_ELSE'])\n"
        "print(sorted(name for name in os.environ if name.startswith(('PYTHON', '__PY'))), sys.flags.no_user_site)\n"
    )
    command, environment = server_command(sys.executable, tmp_path)
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd="/").stdout
    first, second = shown.splitlines()
    assert first == f"{tmp_path} ['serve'] 1 kept"
    assert second == "['PYTHONPATH', 'PYTHONUNBUFFERED', 'PYTHONUTF8'] 1"
    assert not list(tmp_path.rglob("*.pyc"))
