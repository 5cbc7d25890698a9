"""The zip that people install: what is in it, its manifest, and what it may import."""

from __future__ import annotations

import ast
import os
import random
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import package
from tools.console import Problem

# The tags for add-ons that extensions.blender.org accepts; Blender's own `validate` does not check them.
KNOWN_TAGS = {
    *("3D View", "Add Curve", "Add Mesh", "Animation", "Bake", "Camera", "Compositing", "Development", "Game Engine"),
    *("Geometry Nodes", "Grease Pencil", "Import-Export", "Lighting", "Material", "Modeling", "Mesh", "Node", "Object"),
    *("Paint", "Pipeline", "Physics", "Render", "Rigging", "Scene", "Sculpt", "Sequencer", "System", "Text Editor"),
    *("Tracking", "User Interface", "UV"),
}
IN_BLENDER = {"addon_utils", "bpy", "bpy_extras", "bl_ui", "blf", "gpu", "gpu_extras", "idprop", "mathutils", "numpy"}
NETWORK = {"asyncio", "ftplib", "http", "requests", "smtplib", "socket", "socketserver", "ssl", "urllib", "xmlrpc"}


@pytest.fixture(scope="module")
def archive() -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(os.environ["LANTERN_ZIP"]) as file:
        yield file


@pytest.fixture(scope="module")
def manifest(archive: zipfile.ZipFile) -> dict:
    return tomllib.loads(archive.read("blender_manifest.toml").decode())


def imports(archive: zipfile.ZipFile, folder: str) -> Iterator[tuple[str, str]]:
    """Yield (file, top-level module) for every absolute import in the folder's Python files."""
    for name in archive.namelist():
        if name.startswith(folder) and name.endswith(".py"):
            for node in ast.walk(ast.parse(archive.read(name), name, feature_version=(3, 11))):
                if isinstance(node, ast.Import):
                    yield from ((name, alias.name.partition(".")[0]) for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    yield name, str(node.module).partition(".")[0]


def test_the_zip_holds_the_extension_and_nothing_else(archive: zipfile.ZipFile) -> None:
    names = archive.namelist()
    assert {name.partition("/")[0] for name in names} == set(package.CONTENTS)
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".zip", ".blend1"))]
    assert not [name for name in names if any(part.startswith(".") for part in name.split("/"))]


def test_every_source_file_is_in_the_zip(archive: zipfile.ZipFile, root: Path) -> None:
    for folder in ("lantern_protocol", "latent_addon", "inference_server"):
        expected = {
            path.relative_to(root).as_posix()
            for path in (root / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
        }
        assert expected == {name for name in archive.namelist() if name.startswith(folder + "/")}


def test_the_manifest_follows_the_rules_of_extensions_blender_org(manifest: dict) -> None:
    """`validate` does not check most of them, so a mistake would be found only after the upload."""
    assert manifest["id"] == "latent_lantern"
    assert manifest["license"] == ["SPDX:GPL-3.0-or-later"]
    assert set(manifest["tags"]) <= KNOWN_TAGS
    assert "blender" not in (manifest["name"] + manifest["id"]).lower()
    assert all(re.fullmatch(r"\d{4}(-\d{4})? \S.*", holder) for holder in manifest["copyright"])
    assert set(manifest["permissions"]) <= {"network", "files", "clipboard", "camera", "microphone"}
    for text in (manifest["tagline"], *manifest["permissions"].values()):
        assert 0 < len(text) <= 64
        assert text[-1].isalnum()
        assert text[0].isupper() and text == text.strip()


def test_the_licence_is_the_text_of_the_gpl(archive: zipfile.ZipFile) -> None:
    text = archive.read("LICENSE").decode()
    assert "GNU GENERAL PUBLIC LICENSE" in text
    assert "Version 3, 29 June 2007" in text


def test_what_runs_in_blender_imports_only_what_blender_has(archive: zipfile.ZipFile) -> None:
    allowed = IN_BLENDER | sys.stdlib_module_names
    assert [found for found in imports(archive, "latent_addon/") if found[1] not in allowed] == []


def test_the_core_knows_no_blender(archive: zipfile.ZipFile) -> None:
    allowed = {"numpy"} | sys.stdlib_module_names
    assert [found for found in imports(archive, "latent_addon/core/") if found[1] not in allowed] == []


def test_the_server_knows_neither_blender_nor_the_add_on(archive: zipfile.ZipFile) -> None:
    foreign = IN_BLENDER - {"numpy"} | {"latent_addon", "latent_lantern"}
    assert [found for found in imports(archive, "inference_server/") if found[1] in foreign] == []
    agreement = imports(archive, "lantern_protocol/")
    assert [found for found in agreement if found[1] not in sys.stdlib_module_names] == []


def test_what_is_downloaded_is_asked_for_and_only_pip_downloads(archive: zipfile.ZipFile, manifest: dict) -> None:
    assert "PyTorch" in manifest["permissions"]["network"]
    assert [found for found in imports(archive, "") if found[1] in NETWORK] == []


def test_the_clipboard_is_asked_for_because_it_is_written(archive: zipfile.ZipFile, manifest: dict) -> None:
    sources = {name: archive.read(name) for name in archive.namelist() if name.endswith(".py")}
    uses = {name for name, source in sources.items() if b".clipboard" in source}
    assert bool(uses) == ("clipboard" in manifest["permissions"])


def test_what_does_not_belong_in_the_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as raw:
        raw.writestr("__init__.py", "")
        raw.writestr("runs/network.pkl", "")
    with pytest.raises(Problem, match=r"^runs would be"):
        package.repack(tmp_path / "raw.zip", tmp_path / "final.zip", b"")


def test_the_same_files_give_the_same_bytes(archive: zipfile.ZipFile, tmp_path: Path) -> None:
    names = archive.namelist()
    random.Random(1).shuffle(names)
    with zipfile.ZipFile(tmp_path / "shuffled.zip", "w", zipfile.ZIP_STORED) as shuffled:
        for name in names:
            shuffled.writestr(zipfile.ZipInfo(name, (2020, 2, 2, 2, 2, 2)), archive.read(name))
    package.repack(tmp_path / "shuffled.zip", tmp_path / "again.zip", archive.comment)
    assert (tmp_path / "again.zip").read_bytes() == Path(os.environ["LANTERN_ZIP"]).read_bytes()
