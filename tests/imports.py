"""Which module of the project imports which: every import, also those under TYPE_CHECKING and inside functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("lantern_protocol", "latent_addon", "inference_server", "tools")
FILES = ("__init__.py", "dev.py")
BLENDERS = {"addon_utils", "bl_ui", "blf", "bpy", "bpy_extras", "gpu", "gpu_extras", "idprop", "mathutils"}
"""Modules that come with Blender; the table calls them all `bpy`."""


@dataclass(frozen=True, slots=True, order=True)
class Import:
    """One name that a file imports.

    file, line: where the import stands. target: the file of the project that it leads to, or the name of an outside
    package, "bpy" for Blender's modules. Standard library modules are left out.
    """

    file: str
    line: int
    target: str


def sources(root: Path) -> list[Path]:
    """Return the project's Python files, without tests, demo and benchmarks."""
    inside = (path for package in PACKAGES for path in sorted((root / package).rglob("*.py")))
    return [*(root / name for name in FILES), *inside]


def imports(root: Path, standard: frozenset[str]) -> Iterator[Import]:
    """Yield every import of the project's files. standard: names of the standard library's modules."""
    files = {path.relative_to(root).as_posix() for path in sources(root)}
    for file in sorted(files):
        tree = ast.parse((root / file).read_text("utf-8"), file)
        for node in ast.walk(tree):
            for parts in _targets(file, node):
                target = _file_of(parts, files) or _package(parts[0], standard)
                if target and target != file:
                    yield Import(file, node.lineno, target)


def _targets(file: str, node: ast.AST) -> Iterator[tuple[str, ...]]:
    """Yield the dotted names, from the root of the project, that an import statement leads to.

    A call of `import_module` or `__import__` with a name written out counts, too. Names that are computed do not.
    """
    if isinstance(node, ast.Import):
        yield from (tuple(alias.name.split(".")) for alias in node.names)
    elif isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        first = node.args[0] if node.args else None
        if called in ("import_module", "__import__") and isinstance(first, ast.Constant):
            yield _absolute(file, str(first.value))
    elif isinstance(node, ast.ImportFrom):
        base = _absolute(file, "." * node.level + (node.module or ""))
        yield from ((*base, alias.name) for alias in node.names)


def _absolute(file: str, name: str) -> tuple[str, ...]:
    """Return a module's name from the root of the project. name: with a dot for each level, if it is relative."""
    module = name.lstrip(".")
    level = len(name) - len(module)
    folder = Path(file).parent.parts
    base = folder[: len(folder) - level + 1] if level else ()
    return (*base, *module.split(".")) if module else base


def _file_of(parts: tuple[str, ...], files: set[str]) -> str:
    """Return the file that a dotted name leads to: the module itself, or the module that holds the name."""
    for length in (len(parts), len(parts) - 1):
        path = "/".join(parts[:length])
        found = next((each for each in (f"{path}.py", f"{path}/__init__.py") if path and each in files), "")
        if found:
            return found
    return ""


def _package(name: str, standard: frozenset[str]) -> str:
    if name in BLENDERS:
        return "bpy"
    return "" if name in standard or name == "__future__" else name


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of files that import each other in a circle (strongly connected components, Tarjan 1972)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        number[node] = low[node] = len(number)
        stack.append(node)
        for other in edges.get(node, ()):
            if other not in number:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], number[other])
        if low[node] == number[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(edges):
        if node not in number:
            visit(node)
    return found
