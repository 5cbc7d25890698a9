"""The walls between the rooms: every import is compared with the table in docs/architecture.md, both ways."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import imports

STANDARD = frozenset(sys.stdlib_module_names)
ROW = re.compile(r"^\| `([\w/.]+)` \|[^|]+\|([^|]*)\|$", re.MULTILINE)


@dataclass(frozen=True)
class Room:
    """A row of the table: a folder or a file, in which line it stands, and what it may import."""

    path: str
    line: int
    allowed: tuple[str, ...]


def rooms(page: str) -> list[Room]:
    """The rows of the table under "The house", from the ground up."""
    start = page.index("## The house")
    chapter = page[start : page.index("\n## ", start + 1)]
    return [
        Room(row[1], page.count("\n", 0, start + row.start()) + 1, tuple(re.findall(r"`([\w/.]+)`", row[2])))
        for row in ROW.finditer(chapter)
    ]


def room_of(file: str, table: list[Room]) -> str:
    """Return the room that a file is in, the smallest one if there are several; an outside package is its own room."""
    inside = [room.path for room in table if file == room.path or (room.path[-1] == "/" and file.startswith(room.path))]
    return max(inside, key=len, default=file)


def breaches(root: Path, page: str) -> list[str]:
    """Return where code and table differ, one sentence each."""
    table = rooms(page)
    by_path = {room.path: room for room in table}
    found, used = [], set()
    for each in imports.imports(root, STANDARD):
        here, there = room_of(each.file, table), room_of(each.target, table)
        if here not in by_path:
            found.append(f"{each.file} is in no room")
        elif here != there:
            used.add((here, there))
            if there not in by_path[here].allowed:
                row = by_path[here].line
                found.append(f"{each.file}:{each.line} imports {each.target}, which line {row} of the table forbids")
    files = [path.relative_to(root).as_posix() for path in imports.sources(root)]
    homeless = [file for file in files if room_of(file, table) not in by_path]
    found += [f"{file} is in no room" for file in homeless if _has_code(root / file)]
    empty = {room.path for room in table} - {room_of(file, table) for file in files}
    found += [f"line {by_path[path].line} is about {path}, which is not there" for path in empty]
    for height, room in enumerate(table):
        for other in room.allowed:
            if (room.path, other) not in used:
                found.append(f"line {room.line} lets {room.path} import {other}, and nothing in it does")
            if other in by_path and other not in [below.path for below in table[:height]]:
                found.append(f"line {room.line} lets {room.path} import {other}, which is not below it")
    return sorted(set(found))


def _has_code(file: Path) -> bool:
    """Return whether a file holds more than a docstring, as the `__init__.py` of a package of rooms does."""
    tree = ast.parse(file.read_text("utf-8"))
    return len(tree.body) > (ast.get_docstring(tree) is not None)


def test_every_import_is_in_the_table_and_every_row_is_used(root: Path) -> None:
    page = (root / "docs" / "architecture.md").read_text("utf-8")
    assert len(rooms(page)) > 25
    assert breaches(root, page) == []


def test_no_files_import_each_other_in_a_circle(root: Path) -> None:
    """Type-only imports and those inside functions count, too."""
    edges: dict[str, set[str]] = {}
    for each in imports.imports(root, STANDARD):
        edges.setdefault(each.file, set()).add(each.target)
    assert len(edges) > 200
    assert imports.circles(edges) == []


def test_the_command_line_and_the_reader_of_messages_start_without_torch(root: Path) -> None:
    code = (
        "import sys; import inference_server.commands.cli, inference_server.serving.service; "
        "print({'torch', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


PAGE = """# A page

## The house

| room | what it is | may import |
|---|---|---|
| `lantern_protocol/` | the agreement | |
| `latent_addon/core/` | arithmetic | `numpy`, `lantern_protocol/` |
| `latent_addon/shot/` | what an animator does | `bpy`, `latent_addon/core/` |
| `dev.py` | tools | |
| `__init__.py` | the door | |

## Another chapter
"""

SOUND = {
    "__init__.py": "",
    "dev.py": "",
    "lantern_protocol/__init__.py": "",
    "lantern_protocol/errors.py": "import json\n",
    "latent_addon/__init__.py": "",
    "latent_addon/core/__init__.py": "",
    "latent_addon/core/plan.py": "import numpy as np\nfrom ...lantern_protocol.errors import Error\n",
    "latent_addon/shot/__init__.py": "",
    "latent_addon/shot/keys.py": "from bpy_extras import io_utils\nfrom ..core import plan\n",
}


def breaches_of(folder: Path, page: str = PAGE, **changed: str) -> list[str]:
    """The breaches of a small house in which some files hold something else."""
    files = SOUND | {name.replace("__", "/") + ".py": text for name, text in changed.items()}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return breaches(folder, page)


def test_a_sound_house_has_no_breach(tmp_path: Path) -> None:
    assert breaches_of(tmp_path) == []


def test_a_forbidden_import_is_named_with_file_line_and_row(tmp_path: Path) -> None:
    for text in (
        "import numpy\nfrom ...lantern_protocol import errors\nfrom ..shot.keys import key\n",
        "import numpy\nfrom ...lantern_protocol import errors\nfrom ..shot import keys\n",
        "import numpy\nfrom ...lantern_protocol import errors\nif TYPE_CHECKING: from ..shot import keys\n",
        "import numpy\nfrom ...lantern_protocol import errors\ndef late(): from ..shot import keys\n",
        "import numpy\nfrom ...lantern_protocol import errors\nimport latent_addon.shot.keys\n",
        "import numpy\nfrom ...lantern_protocol import errors\nimport latent_addon.shot.keys as k\n",
        "import numpy\nfrom ...lantern_protocol import errors\nimport_module('latent_addon.shot.keys')\n",
        "import numpy\nfrom ...lantern_protocol import errors\nimportlib.import_module('..shot.keys', __package__)\n",
    ):
        (found,) = breaches_of(tmp_path, latent_addon__core__plan=text)
        expected = "latent_addon/core/plan.py:3 imports latent_addon/shot/keys.py, which line 8 of the table forbids"
        assert found == expected


def test_an_outside_package_is_forbidden_unless_its_row_names_it(tmp_path: Path) -> None:
    (found,) = breaches_of(tmp_path, lantern_protocol__errors="import torch.nn\n")
    assert found == "lantern_protocol/errors.py:1 imports torch, which line 7 of the table forbids"
    (found,) = breaches_of(tmp_path, lantern_protocol__errors="import gpu\n")
    assert found == "lantern_protocol/errors.py:1 imports bpy, which line 7 of the table forbids"


def test_what_a_row_allows_and_nothing_uses_is_named(tmp_path: Path) -> None:
    (found,) = breaches_of(tmp_path, latent_addon__core__plan="from ...lantern_protocol import errors\n")
    assert found == "line 8 lets latent_addon/core/ import numpy, and nothing in it does"


def test_a_row_may_allow_only_rooms_below_it(tmp_path: Path) -> None:
    page = PAGE.replace("| the agreement | |", "| the agreement | `latent_addon/core/` |")
    found = breaches_of(tmp_path, page, lantern_protocol__errors="from latent_addon.core import plan\n")
    assert found == ["line 7 lets lantern_protocol/ import latent_addon/core/, which is not below it"]


def test_a_file_in_no_room_is_named(tmp_path: Path) -> None:
    page = PAGE.replace("| `lantern_protocol/` | the agreement | |\n", "").replace(", `lantern_protocol/`", "")
    found = breaches_of(tmp_path, page, lantern_protocol__errors="import numpy\n")
    assert "lantern_protocol/errors.py is in no room" in found
    found = breaches_of(tmp_path / "loose", latent_addon__loose="import json\n")
    assert found == ["latent_addon/loose.py is in no room"]


def test_a_row_without_files_is_named(tmp_path: Path) -> None:
    page = PAGE.replace("| `dev.py` |", "| `latent_addon/canvas/` | pictures side by side | |\n| `dev.py` |")
    assert breaches_of(tmp_path, page) == ["line 10 is about latent_addon/canvas/, which is not there"]


def test_circles_are_found(tmp_path: Path) -> None:
    edges = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a"}}
    assert imports.circles(edges) == [["d", "e"], ["a", "b", "c"]]
