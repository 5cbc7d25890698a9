"""Make the checkout importable as the package `latent_lantern`, as Blender would import the installed extension.

In Blender, tests/blender/conftest.py gives that name to the installed extension instead.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

if importlib.util.find_spec("bpy") is None:
    spec = importlib.util.spec_from_file_location(
        "latent_lantern", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules["latent_lantern"] = package
    spec.loader.exec_module(package)


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return ROOT
