"""The manual fits the code: every label that is drawn is in it, and its links, pictures and commands are valid."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import dev
from inference_server.commands import cli
from latent_addon.environments import builds
from latent_addon.environments.machine import Machine

PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md")
LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(([^)\s]+)\)")
OURS = r"python3? (?:dev\.py|-m inference_server)"
COMMAND = re.compile(rf"`({OURS} [^`]+)`|^ *({OURS} .+)$", re.MULTILINE)
DRAWN_FROM = ("latent_addon/**/*panel*.py", "latent_addon/ui/*.py")
PROPERTIES = ("latent_addon/**/*properties.py", "latent_addon/preferences.py")


def pages(root: Path) -> list[Path]:
    return sorted(path for pattern in PAGES for path in root.glob(pattern))


def trees(root: Path, patterns: tuple[str, ...]) -> list[ast.Module]:
    return [ast.parse(path.read_text("utf-8")) for pattern in patterns for path in sorted(root.glob(pattern))]


def anchors(page: Path) -> set[str]:
    """The names under which a page's headings can be linked to."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_and_picture_is_there(root: Path) -> None:
    broken = []
    for page in pages(root):
        for link in LINK.findall(page.read_text("utf-8")):
            place, _, anchor = link.partition("#")
            target = page if not place else page.parent / place
            if "://" in link:
                continue
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append(f"{page.name}: {link}")
    assert not broken


def test_every_page_and_picture_can_be_reached(root: Path) -> None:
    linked = set()
    for page in pages(root):
        places = (link.partition("#")[0] for link in LINK.findall(page.read_text("utf-8")) if "://" not in link)
        linked |= {(page.parent / place).resolve() for place in places if place}
    there = {path.resolve() for pattern in ("docs/*.md", "docs/images/*") for path in root.glob(pattern)}
    assert there <= linked


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each command that a page shows. An explanation may follow after two spaces; it is left out."""
    for inline, alone in COMMAND.findall(page.read_text("utf-8")):
        yield shlex.split(inline or re.split(r"\s{2,}", alone)[0].rstrip(" \\"))


def parse(words: list[str]) -> None:
    """Raise SystemExit if a command is not valid."""
    if words[1] == "-m":
        _parse_server(words[3:])
        return
    options, rest = dev._parser().parse_known_args(words[2:])
    if options.command == "server":
        _parse_server(words[words.index("server") + 1 :])
    elif options.command not in ("demo", "test"):
        assert not rest, words


def _parse_server(words: list[str]) -> None:
    if words not in ([], ["COMMAND", "--help"]):
        cli._parser().parse_args(words)


def test_every_command_can_be_given_as_it_stands(root: Path) -> None:
    shown = [(page.name, words) for page in pages(root) for words in commands(page) if not {"...", "|"} & set(words)]
    assert len(shown) > 20
    for name, words in shown:
        try:
            parse(words)
        except SystemExit as end:
            assert not end.code, f"{name}: {shlex.join(words)}"


@pytest.mark.parametrize("words", ["tset", "server info --of x", "build --fast"])
def test_a_wrong_command_would_be_found(words: str) -> None:
    with pytest.raises((SystemExit, AssertionError)):
        parse(["python3", "dev.py", *words.split()])


def test_what_a_set_up_takes_is_told_as_the_engine_tells_it(root: Path) -> None:
    page = (root / "docs" / "installing.md").read_text("utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| ")
    ]
    systems = (("Linux", "x86_64"), ("Windows", "x86_64"), ("Darwin", "arm64"))
    told = {build for system, processor in systems for build in builds.available(Machine(system, processor))}
    for build in told:
        maker, _, software = build.name.rpartition(", ")
        row = next(row for row in rows if software.lower() in row[1].lower())
        assert maker in row[0]
        assert [f"about {gigabytes(build.download)}", gigabytes(build.disk)] == row[2:]


def gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB".replace(".0 ", " ")


def texts(node: ast.expr | None) -> set[str]:
    """The texts that an expression can be."""
    if isinstance(node, ast.IfExp):
        return texts(node.body) | texts(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value else set()


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((each.value for each in call.keywords if each.arg == name), None)


def names_of_properties(root: Path) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """The label of each property, and its choices."""
    names: dict[str, set[str]] = {}
    choices: dict[str, set[str]] = {}
    for tree in trees(root, PROPERTIES):
        for node in ast.walk(tree):
            if isinstance(node, ast.AnnAssign) and isinstance(node.annotation, ast.Call):
                items = getattr(keyword(node.annotation, "items"), "elts", ())
                words = [texts(item.elts[1]) for item in items if isinstance(item, ast.Tuple)]
                names.setdefault(node.target.id, set()).update(texts(keyword(node.annotation, "name")))
                choices.setdefault(node.target.id, set()).update(*words)
    return names, choices


def labels_of_operators(root: Path) -> dict[str, set[str]]:
    """The text of each operator's button if no other text is given."""
    found = {}
    for tree in trees(root, ("latent_addon/**/*.py",)):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                values = {each.targets[0].id: each.value for each in node.body if isinstance(each, ast.Assign)}
                for idname in texts(values.get("bl_idname")):
                    found[idname] = texts(values.get("bl_label"))
    return found


def drawn(root: Path) -> set[str]:
    """The label of every panel, field, choice and button that the add-on draws."""
    names, choices = names_of_properties(root)
    operators = labels_of_operators(root)
    found = set()
    for tree in trees(root, DRAWN_FROM):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                for each in node.body:
                    if isinstance(each, ast.Assign) and each.targets[0].id == "bl_label":
                        found |= texts(each.value)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and len(node.args) > 0:
                text = texts(keyword(node, "text"))
                if node.func.attr == "prop":
                    for name in texts(node.args[1]):
                        found |= (text or names[name]) | choices[name]
                elif node.func.attr in ("operator", "operator_menu_enum"):
                    for name in texts(node.args[0]):
                        found |= text or operators.get(name, set())
    return found


def test_every_label_that_is_drawn_is_explained(root: Path) -> None:
    explained = set(re.findall(r"\*\*([^*]+)\*\*", (root / "docs" / "panels.md").read_text("utf-8")))
    assert len(drawn(root)) > 80
    assert drawn(root) <= explained
