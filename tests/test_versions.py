"""Only `latent_addon/scene/versions.py` handles different Blenders: no other code asks for a version or probes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

THE_ONE_PLACE = "latent_addon/scene/versions.py"
VERSION_NAMES = {"version", "version_string", "version_file", "version_cycle", "build_hash", "version_info"}
ONLY_IN_SOME = {"sequencer_scene", "left_handle", "content_start", "frame_final_start", "media_type", "fill_id"}
ABSENCE = {"AttributeError", "ImportError", "ModuleNotFoundError"}


def questions(source: str) -> list[str]:
    """Return the expressions in Blender code that ask which Blender this is, as they are written."""
    tree = ast.parse(source)
    if not any(_imports_bpy(node) for node in ast.walk(tree)):
        return []
    return [ast.unparse(node).splitlines()[0] for node in ast.walk(tree) if _asks(node)]


def _imports_bpy(node: ast.AST) -> bool:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
    return any(name.partition(".")[0] == "bpy" for name in names)


def _asks(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        by_number = node.attr in VERSION_NAMES and _last_name(node.value) in ("app", "bpy", "sys", "data")
        return by_number or (node.attr in ONLY_IN_SOME and _last_name(node.value) != "versions")
    if isinstance(node, ast.Compare):
        described = ast.unparse(node.comparators[-1])
        known = "bl_rna" in described or described.startswith(("dir(", "vars(bpy"))
        return known and isinstance(node.ops[0], (ast.In, ast.NotIn))
    if isinstance(node, ast.Call):
        return _probes(node)
    if isinstance(node, ast.ExceptHandler):
        return node.type is not None and bool(ABSENCE & {_last_name(part) for part in ast.walk(node.type)})
    return False


def _probes(call: ast.Call) -> bool:
    name, arguments = _last_name(call.func), call.args
    if name in ("hasattr", "getattr") and len(arguments) == (2 if name == "hasattr" else 3):
        asked = arguments[1]  # a name with double underscores asks what a Python value can do, not what Blender has
        return not (isinstance(asked, ast.Constant) and str(asked.value).startswith("__"))
    return name in ("get", "find") and "bl_rna" in ast.unparse(call.func)


def _last_name(node: ast.AST) -> str:
    return getattr(node, "attr", "") or getattr(node, "id", "")


def test_nothing_but_versions_asks_which_blender_this_is(root: Path) -> None:
    files = (root / "latent_addon").rglob("*.py")
    found = {path.relative_to(root).as_posix(): questions(path.read_text("utf-8")) for path in files}
    assert found.pop(THE_ONE_PLACE)
    assert {name: asked for name, asked in found.items() if asked} == {}


@pytest.mark.parametrize(
    "question",
    [
        "bpy.app.version >= (5, 0, 0)",
        "bpy.app.version_string",
        "bpy.data.version",
        "sys.version_info",
        "hasattr(bpy.data, 'grease_pencils_v3')",
        "hasattr(strip, 'left_handle')",
        "getattr(context, 'sequencer_scene', None)",
        "'media_type' in settings.bl_rna.properties",
        "'left_handle' not in dir(strip)",
        "bpy.types.ImageStrip.bl_rna.properties.get('left_handle')",
        "strip.left_handle",
    ],
)
def test_a_question_is_recognised(question: str) -> None:
    assert questions(f"import bpy, sys\n{question}")
    assert questions(f"import sys\n{question}") == []


def test_trying_and_seeing_is_a_question_too() -> None:
    assert questions("import bpy\ntry:\n    a.b\nexcept (TypeError, AttributeError):\n    pass")


@pytest.mark.parametrize(
    "harmless",
    [
        "hasattr(value, '__len__')",
        "getattr(group, name)",
        "group.bl_rna.properties[name]",
        "'z' in strip",
        "a.version",
        "versions.content_start(strip)",
    ],
)
def test_what_asks_for_something_else_is_left_alone(harmless: str) -> None:
    assert questions(f"import bpy\n{harmless}") == []
