"""Find the messages that people can see in the sources, and those that the troubleshooting pages do not explain.

    python3 -m tools.messages            every message, by file
    python3 -m tools.messages --missing  messages that the pages lack, and entries whose message is not in the code

A message is a text that is raised, reported, drawn as a problem, or kept to be drawn. Any other text in the sources
that reads as a sentence is a message too, unless it is a docstring, a tooltip or a help text. An ellipsis stands for
what is put into the message when it is shown. Standard library only; nothing is imported or run.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("latent_addon", "inference_server", "lantern_protocol")
PAGES = ("docs/troubleshooting.md", "docs/troubleshooting-files.md", "docs/troubleshooting-commands.md")
GAP = "…"
"""Stands for what is put into a message when it is shown."""

_PLACE = {
    "report": 1,
    "poll_message_set": 0,
    "halt": 0,
    "failed": 0,
    "_fail": 0,
    "_refused": 1,
    "draw_message": 2,
    "draw_problem": 2,
    "tell": 1,
}
"""The index of the text among the arguments of a function that shows one."""

_LEVELS = {"info", "warning", "error"}
"""Methods of a logger whose lines people see. Their texts have %-signs for what is put in: "Freed %.0f MB."."""

_FORMAT = re.compile(r"%(?:%|[-+#0]*\d*(?:\.\d+)?[a-zA-Z])")

_KEPT_IN = {"problem", "unreadable", "halted", "message", "error"}
"""Attributes that a panel draws."""

_CHANGES = re.compile("VERSION|REVISION")
"""Constants that change from release to release. The pages do not contain their values, so need no change then."""

_EXPLAINING = {"description", "bl_description", "help", "items"}
"""Keywords, names and functions whose texts are tooltips and help."""

_SILENT = {"NotImplementedError", "StopIteration", "KeyboardInterrupt", "SystemExit", "AssertionError"}

_SENTENCE = re.compile(r"^([A-Z…'-].* .* .*[.!?]|[A-Z…'-].* .*\. …)$")
_OPEN_END = re.compile(r"^[A-Z][a-z]+ .*\. …$")
_GIVEN_BACK = re.compile(r"^((is|holds|has|it|its|there) .* .*|[A-Z…'].* [a-z]+ [a-z]+ .*)")
"""A text that a function returns to be shown, or to be put after a file's name."""

_WORD = re.compile(r"[A-Za-z]{2,}")
_TEXTS = (ast.Constant, ast.JoinedStr, ast.BinOp)


@dataclass(frozen=True, slots=True, order=True)
class Message:
    """One message: where it is, and its text, with an ellipsis for each gap."""

    file: str
    line: int
    text: str


def collect(root: Path = ROOT) -> list[Message]:
    """Return every message of the add-on and the server, in the order of files and lines."""
    trees = {
        path: ast.parse(path.read_text("utf-8")) for name in PACKAGES for path in sorted((root / name).rglob("*.py"))
    }
    constants = _Constants(trees)
    found = []
    for path, tree in trees.items():
        file = path.relative_to(root).as_posix()
        found += [Message(file, line, text) for line, text in _Reader(tree, constants.of(path)).messages()]
    return sorted(set(found))


def explained(page: str) -> list[str]:
    """Return the messages that a page has an entry for: the items of its lists with hyphens, bold or not."""
    return [plain(item) for item in re.findall(r"^- (?:\*\*)?(.+?)(?:\*\*)?$", page, re.MULTILINE)]


def plain(text: str) -> str:
    """Return a text of the page without what Markdown needs: no backslashes, and white space as one space."""
    return " ".join(re.sub(r"\\([\\`*_{}\[\]<>()#+.!|~-])", r"\1", text).split())


def marked(text: str) -> str:
    """Return a message as the page writes it: the reverse of `plain`."""
    return re.sub(r"([\\`*_<>\[\]|])", r"\\\1", text)


class _Constants:
    """Texts and numbers that have a name in capitals in a module, so that messages can show their values."""

    def __init__(self, trees: dict[Path, ast.Module]) -> None:
        self._trees = trees
        self._own = {path: dict(_assigned(tree)) for path, tree in trees.items()}

    def of(self, path: Path) -> dict[str, str]:
        """Return the constants that a module has or imports, as texts."""
        known = {}
        for node in self._trees[path].body:
            if isinstance(node, ast.ImportFrom):
                stem = (node.module or "").rpartition(".")[2]
                for other, constants in self._own.items():
                    if other.stem == stem:
                        known |= {alias.asname or alias.name: constants.get(alias.name, GAP) for alias in node.names}
        return known | self._own[path]


def _assigned(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                if not isinstance(target, ast.Name) or not target.id.isupper() or _CHANGES.search(target.id):
                    continue
                if isinstance(node.value.value, (str, int)):
                    yield target.id, str(node.value.value)


class _Reader:
    """Reads the messages of one module."""

    def __init__(self, tree: ast.Module, constants: dict[str, str]) -> None:
        self._tree = tree
        self._constants = constants
        self._silent: set[ast.AST] = set()
        self._taken: set[ast.AST] = set()

    def messages(self) -> Iterator[tuple[int, str]]:
        """Yield line and text of each message."""
        self._mark_explanations()
        for node in ast.walk(self._tree):
            for shown in self._shown_by(node):
                yield from self._texts(shown)
            if isinstance(node, ast.FunctionDef):
                for shown in _shown_later(node, self._shown_by):
                    yield from self._texts(shown)
        for node in ast.walk(self._tree):
            given_back = isinstance(node, ast.Return)
            text_node = node.value if isinstance(node, ast.Return) else node
            if (
                not isinstance(text_node, ast.expr)
                or text_node in self._silent
                or text_node in self._taken
                or not (given_back or isinstance(node, _TEXTS))
            ):
                continue
            for line, text in list(self._texts(text_node)):
                if _SENTENCE.match(text) or (given_back and _GIVEN_BACK.match(text)):
                    yield line, text

    def _mark_explanations(self) -> None:
        explaining = set(_EXPLAINING)
        for node in ast.walk(self._tree):
            if isinstance(node, ast.keyword) and node.arg in _EXPLAINING:
                explaining.add(_name(node.value))
                self._silent.update(ast.walk(node.value))
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                self._silent.add(node.value)  # docstrings, also those of constants
            elif (isinstance(node, ast.FunctionDef) and node.name in _EXPLAINING) or (
                isinstance(node, ast.Call) and _name(node.func) in _SILENT
            ):
                self._silent.update(ast.walk(node))
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Assign) and any(_name(target) in explaining for target in node.targets):
                self._silent.update(ast.walk(node.value))

    def _shown_by(self, node: ast.AST) -> Iterator[ast.expr]:
        """Yield the texts that a statement or call shows, or passes on to be shown."""
        if isinstance(node, ast.Call):
            name = _name(node.func)
            if name in _LEVELS and isinstance(node.func, ast.Attribute) and _name(node.func.value) == "logger":
                yield self._with_gaps(node.args[0])
            elif name in _PLACE and len(node.args) > _PLACE[name]:
                yield node.args[_PLACE[name]]
            elif name == "print" and any(_name(keyword.value) == "stderr" for keyword in node.keywords):
                yield from (text for text in node.args if not _counts(text))
            elif _is_error(name) and node not in self._silent:
                yield from node.args[:2]
        elif isinstance(node, ast.Assign) and any(_name(target) in _KEPT_IN for target in node.targets):
            yield from node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]

    def _with_gaps(self, text: ast.expr) -> ast.expr:
        """Return the text of a line for the log, with a gap for each %-sign."""
        if not isinstance(text, ast.Constant):
            return text
        self._silent.add(text)
        words = _FORMAT.sub(lambda found: "%" if found[0] == "%%" else GAP, str(text.value))
        return ast.copy_location(ast.Constant(words), text)

    def _texts(self, node: ast.expr) -> Iterator[tuple[int, str]]:
        """Yield line and text of everything that an expression can be, if it contains words and not only gaps."""
        if isinstance(node, ast.IfExp):
            yield from self._texts(node.body)
            yield from self._texts(node.orelse)
            return
        if isinstance(node, ast.BoolOp):
            for value in node.values:
                yield from self._texts(value)
            return
        if not isinstance(node, _TEXTS) and _name(node) not in self._constants:
            return
        forms = self._forms(node)
        self._taken.update(ast.walk(node))
        for form in forms:
            text = re.sub(rf"{GAP}(\s*{GAP})+", GAP, " ".join(form.split()))
            if len(_WORD.findall(text)) > 1 or _OPEN_END.match(text):
                yield node.lineno, text

    def _forms(self, node: ast.expr) -> list[str]:
        """Return the text of an expression, with gaps; several texts if the expression chooses between them."""
        if isinstance(node, ast.Constant):
            return [node.value] if isinstance(node.value, str) else [] if node.value is None else [str(node.value)]
        if isinstance(node, ast.Name):
            return [self._constants.get(node.id, GAP)]
        if isinstance(node, ast.FormattedValue):
            return self._forms(node.value) if node.format_spec is None else [GAP]
        if isinstance(node, ast.IfExp):
            both = self._forms(node.body) + self._forms(node.orelse)
            return list(dict.fromkeys(both)) if all(GAP not in form for form in both) else [GAP]
        if isinstance(node, ast.BoolOp):
            long = [form for value in node.values for form in self._forms(value) if len(_WORD.findall(form)) > 2]
            return [GAP, *long]
        parts = node.values if isinstance(node, ast.JoinedStr) else _sum(node)
        if not parts:
            return [GAP]
        forms = [""]
        for part in parts:
            forms = [form + more for form in forms for more in self._forms(part)]
        return forms


def _shown_later(function: ast.FunctionDef, shown_by: Callable[[ast.AST], Iterator[ast.expr]]) -> Iterator[ast.expr]:
    """Yield the texts that a function gives a name before it shows them, and the reasons that a `poll` keeps in a
    dictionary."""
    names = {_name(shown) for node in ast.walk(function) for shown in shown_by(node)} - {""}
    says_why = function.name == "poll"
    for node in ast.walk(function):
        if isinstance(node, ast.Dict) and says_why:
            yield from node.values
        elif isinstance(node, (ast.Assign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(_name(target) in names or (says_why and isinstance(target, ast.Subscript)) for target in targets):
                yield node.value


def _sum(node: ast.expr) -> list[ast.expr]:
    """Return the parts of a sum of texts; none if it is a sum of numbers."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Add):
        return []
    parts = [node.left, node.right]
    return [] if any(isinstance(part, ast.Constant) and not isinstance(part.value, str) for part in parts) else parts


def _name(node: ast.AST) -> str:
    return getattr(node, "attr", "") or getattr(node, "id", "")


def _counts(text: ast.expr) -> bool:
    """Return whether a printed line only shows progress: it begins with a number."""
    first = text.values[0] if isinstance(text, ast.JoinedStr) else text
    return isinstance(first, ast.FormattedValue) or str(getattr(first, "value", "")).isspace()


def _is_error(name: str) -> bool:
    return name in {"Damaged", "BadPicture", "Failed", "JobBusy", "_Problem"} or name.endswith(("Error", "Problem"))


def main() -> int:
    """Print what is asked for; return 1 if the pages and the code differ."""
    messages = collect()
    if "--missing" not in sys.argv:
        for message in messages:
            print(f"{message.file}:{message.line}: {message.text}")
        return 0
    entries = {text for page in PAGES for text in explained((ROOT / page).read_text("utf-8"))}
    lacking = [message for message in messages if message.text not in entries]
    for message in lacking:
        print(f"{message.file}:{message.line}\n- **{marked(message.text)}**")
    gone = sorted(entries - {message.text for message in messages})
    for text in gone:
        print(f"gone: {text}")
    return 1 if lacking or gone else 0


if __name__ == "__main__":
    sys.exit(main())
