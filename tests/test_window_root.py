"""Where the Blender with a window comes from, and the message if there cannot be one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import console, environments, window_root


def test_a_given_blender_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = tmp_path / "blender"
    given.write_text("#!/bin/sh\n", "utf-8")
    given.chmod(0o755)
    monkeypatch.setattr(window_root.sys, "platform", "linux")
    monkeypatch.setattr(window_root.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setenv(window_root.BLENDER_VARIABLE, str(given))
    assert window_root.blender() == given
    monkeypatch.setenv(window_root.BLENDER_VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(console.Problem, match=r"LANTERN_BLENDER names .*nothing"):
        window_root.blender()


def test_other_systems_lack_the_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_root.sys, "platform", "darwin")
    with pytest.raises(environments.Missing, match="X server"):
        window_root.blender()


def test_without_rights_the_tools_are_missing_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_root.sys, "platform", "linux")
    monkeypatch.delenv(window_root.BLENDER_VARIABLE, raising=False)
    monkeypatch.setattr(window_root.shutil, "which", lambda name: None)
    with pytest.raises(environments.Missing, match=r"need xvfb, xdotool(.|\n)*sudo apt-get"):
        window_root.blender()


def test_the_mirror_is_that_of_this_machines_apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("# deb http://no.example/debian x\ndeb http://a.example/ubuntu noble main\n")
    (tmp_path / "sources.list.d" / "debian.sources").write_text(
        "Types: deb\nURIs: http://b.example/debian-security\nSuites: x\n\nURIs: http://c.example/debian/\n"
    )
    (tmp_path / "sources.list.d" / "readme.txt").write_text("deb http://d.example/debian sid main\n")
    monkeypatch.setattr(window_root, "APT_FOLDER", tmp_path)
    monkeypatch.delenv(window_root.MIRROR_VARIABLE, raising=False)
    assert window_root._mirror() == "http://c.example/debian/"
    monkeypatch.setenv(window_root.MIRROR_VARIABLE, "http://mine.example/debian")
    assert window_root._mirror() == "http://mine.example/debian"
    monkeypatch.delenv(window_root.MIRROR_VARIABLE)
    (tmp_path / "sources.list.d" / "debian.sources").unlink()
    with pytest.raises(environments.Missing, match="LANTERN_DEBIAN_MIRROR"):
        window_root._mirror()
