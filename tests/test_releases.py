"""A release: the same sources give the same zip, wherever and whenever they are built; and its notes describe it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tools import package
from tools.console import Problem

NEEDED = (*package.CONTENTS, "CHANGELOG.md", "dev.py", "requirements", "tools")
LONG_AGO = 981173106  # 3 February 2001: not the day on which anything here was written


@pytest.fixture
def elsewhere(root: Path, tmp_path: Path) -> Path:
    """Copy what a build needs to another folder, with another date, readable only by its owner."""
    copy = tmp_path / "another place"
    copy.mkdir()
    for name in NEEDED:
        if (root / name).is_dir():
            shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(root / name, copy / name)
    for path in copy.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.utime(path, (LONG_AGO, LONG_AGO))
    return copy


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "dev.py"), "build"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_another_checkout_on_another_day_gives_the_same_bytes_and_notes_that_name_them(elsewhere: Path) -> None:
    done = build(elsewhere)
    assert done.returncode == 0, done.stderr
    archive = Path(done.stdout.strip())
    assert archive.parent == elsewhere / "dist"
    content = archive.read_bytes()
    assert content == Path(os.environ["LANTERN_ZIP"]).read_bytes()
    assert f"{len(content):,} bytes" in done.stderr
    notes = archive.with_suffix(".md").read_text("utf-8")
    assert f"`{archive.name}`, {len(content):,} bytes" in notes
    assert hashlib.sha256(content).hexdigest() in notes


def test_no_day_and_no_owner_is_in_the_zip() -> None:
    with zipfile.ZipFile(os.environ["LANTERN_ZIP"]) as file:
        kept = {(entry.date_time, entry.external_attr, entry.extra) for entry in file.infolist()}
    assert kept == {(package.EARLIEST_DATE, 0o100644 << 16, b"")}


def test_what_blender_s_packager_refuses_is_not_built(elsewhere: Path) -> None:
    manifest = elsewhere / "blender_manifest.toml"
    manifest.write_text(re.sub(r'(?m)^tagline = ".*"$', 'tagline = "It ends with a full stop."', manifest.read_text()))
    done = build(elsewhere)
    assert done.returncode == 1
    assert "tagline" in done.stderr
    assert list((elsewhere / "dist").glob("*.zip")) == []


def test_the_changelog_s_newest_version_is_the_manifest_s(root: Path) -> None:
    version = tomllib.loads((root / "blender_manifest.toml").read_text("utf-8"))["version"]
    assert re.findall(r"(?m)^## (.+)$", (root / "CHANGELOG.md").read_text("utf-8"))[0] == version


def test_notes_tell_of_one_version_alone(tmp_path: Path) -> None:
    archive = tmp_path / "latent_lantern-2.0.0.zip"
    archive.write_bytes(b"zip")
    changelog = "# Changes\n\n## 2.0.1\n\n- newer\n\n## 2.0.0\n\n### A\n\n- this one\n\n## 1.0.0\n\n- older\n"
    notes = package.release_notes(changelog, "2.0.0", archive)
    assert "# Latent Lantern 2.0.0\n\n### A\n\n- this one\n\n" in notes
    assert "newer" not in notes and "older" not in notes
    with pytest.raises(Problem, match=r"says nothing about version 2\.0"):
        package.release_notes(changelog, "2.0", archive)
