"""The manifest, the pins, the documents and the code say the same about versions."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import dev
from latent_addon.environments import pythons
from latent_lantern.lantern_protocol import versions
from tools import environments

NEWEST_FIRST = list(environments.BLENDER_PYTHONS)
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md")


@pytest.fixture(scope="module")
def manifest(root: Path) -> dict:
    return tomllib.loads((root / "blender_manifest.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def documents(root: Path) -> dict[str, str]:
    """Every document by its path, each paragraph on one line."""
    paths = sorted(path for pattern in DOCUMENTS for path in root.glob(pattern))
    return {
        path.relative_to(root).as_posix(): re.sub(r"(?<!\n)\n(?!\n)", " ", path.read_text("utf-8")) for path in paths
    }


def listed(items: list[str] | tuple[str, ...]) -> str:
    """Return "a, b and c"."""
    return f"{', '.join(items[:-1])} and {items[-1]}"


def server_pins(root: Path) -> dict[str, set[str]]:
    """Return the versions to which the server's requirement files pin each package."""
    pins: dict[str, set[str]] = {}
    for path in sorted((root / "inference_server" / "requirements").glob("*.txt")):
        for name, version in re.findall(r"(?m)^([\w-]+)==([\d.]+)", path.read_text("utf-8")):
            pins.setdefault(name, set()).add(version)
    return pins


def test_the_oldest_tested_blender_is_the_oldest_that_the_manifest_takes(manifest: dict) -> None:
    assert list(environments.TESTED_BLENDERS) == NEWEST_FIRST[::-1]
    assert manifest["blender_version_min"] == f"{environments.TESTED_BLENDERS[0]}.0"


@pytest.mark.parametrize("version", NEWEST_FIRST)
def test_a_blender_s_pins_are_of_that_blender(root: Path, version: str) -> None:
    text = (root / "requirements" / f"blender-{version}.txt").read_text("utf-8")
    assert text.startswith(f"# Blender {version} as a Python module")
    assert re.findall(r"(?m)^bpy==(\d+\.\d+)\.\d+$", text) == [version]


def test_the_documents_name_the_tested_blenders(documents: dict[str, str]) -> None:
    oldest, newest = environments.TESTED_BLENDERS[0], environments.TESTED_BLENDERS[-1]
    assert f"Blender {listed(environments.TESTED_BLENDERS)}" in documents["README.md"]
    assert f"Blender {listed(environments.TESTED_BLENDERS)}" in documents["CONTRIBUTING.md"]
    assert f"Blender {oldest} LTS or later" in documents["README.md"]
    assert f"Blender {oldest} LTS to {newest} LTS" in documents["CHANGELOG.md"]


def test_no_document_names_a_blender_that_is_not_tested(documents: dict[str, str]) -> None:
    named = {(name, version) for name, text in documents.items() for version in re.findall(r"Blender (\d\.\d+)", text)}
    assert len(named) > 4
    assert {(name, version) for name, version in named if version not in environments.TESTED_BLENDERS} == set()


def test_the_documents_name_the_pythons(documents: dict[str, str], root: Path) -> None:
    by_python: dict[str, list[str]] = {}
    for blender in environments.TESTED_BLENDERS:
        by_python.setdefault(environments.BLENDER_PYTHONS[blender], []).append(blender)
    (first, older), (second, newer) = by_python.items()
    need = f"Blender {listed(older)} need a Python {first} on the machine, {listed(newer)} a Python {second}"
    assert need in documents["CONTRIBUTING.md"]
    assert f"a Python {first} and {second} for the Blenders" in documents["README.md"]
    oldest = pythons.KNOWN[0]
    for name in ("README.md", "CONTRIBUTING.md"):
        assert f"Python {oldest} or later" in documents[name]
    assert f"Python {oldest} or later" in str(dev.__doc__)
    ruff = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]
    assert ruff["target-version"] == "py" + oldest.replace(".", "")


def test_no_document_offers_the_server_a_python_that_it_does_not_run_on(documents: dict[str, str]) -> None:
    ranges = {found for text in documents.values() for found in re.findall(r"Python (\d\.\d+) to (\d\.\d+)", text)}
    assert ranges == {(pythons.KNOWN[0], pythons.KNOWN[-1])}


def test_the_server_s_pins_agree_with_each_other_and_with_the_documents(documents: dict[str, str], root: Path) -> None:
    pins = server_pins(root)
    assert {name: sorted(versions) for name, versions in pins.items() if len(versions) > 1} == {}
    assert {"torch", "numpy", "pillow", "safetensors", "scipy"} <= set(pins)
    (torch,) = pins["torch"]
    stated = {
        found for text in documents.values() for found in re.findall(r"(?i)(?:py)?torch (\d+\.\d+(?:\.\d+)?)", text)
    }
    assert stated and all(torch == version or torch.startswith(f"{version}.") for version in stated)


def test_extension_and_server_have_one_version(manifest: dict, documents: dict[str, str]) -> None:
    version = manifest["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert version == versions.SERVER_VERSION
    zips = {found for text in documents.values() for found in re.findall(r"latent_lantern-(\d[\d.]*\d)\.zip", text)}
    assert zips == {version}
