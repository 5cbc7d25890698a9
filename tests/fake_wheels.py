"""Tiny wheels, and a tiny inference server that runs on them: a whole set-up in seconds, without a network."""

from __future__ import annotations

import hashlib
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path

PINS = ("torch==2.13.0", "numpy==2.4.6")
"""The tiny server's requirements: the first are in its torch-*.txt files, the second in common.txt."""

BUILD_KEYS = ("cpu", "cu126", "cu130", "mps", "rocm")

CHECK = """
import importlib, json, os, pathlib, sys, time
here = pathlib.Path(__file__).parent
if sys.argv[1:] != ["check", "--json"]:
    sys.exit("this server can only check")
print("some noise of a package", flush=True)
if (here / "wait").exists():
    (here / "waiting").write_text(str(os.getpid()))
    print("waiting", flush=True)
    time.sleep(600)
problems = [(here / "fail").read_text()] if (here / "fail").exists() else []
versions = {name: importlib.import_module(name).__version__ for name in ("torch", "numpy")}
print(json.dumps({"what": "inference_server check", "torch": versions["torch"], "device": "cpu",
                  "device_name": "a pocket calculator", "forward_ms": 1.5, "problems": problems, "remarks": []}))
sys.exit(1 if problems else 0)
"""
"""Answers like the server's own command `check`. If there is a file `wait` next to it, it writes its process id to
`waiting` and waits for ever; if there is a file `fail`, it fails with the text in that file."""


def write_wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    tag: str = "py3-none-any",
    requires: Iterable[str] = (),
    files: Mapping[str, str] | None = None,
) -> Path:
    """Write a wheel with one module that holds its version, and with more `files` {path: text}; return its path."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {need}\n" for need in requires)
    contents = {
        f"{module}/__init__.py": f"__version__ = {version!r}\n",
        **(files or {}),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = [f"{path},{_digest(text.encode())},{len(text.encode())}" for path, text in contents.items()]
    contents[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{module}-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in contents.items():
            archive.writestr(path, text)
    return wheel


def write_wheels(folder: Path, pins: Iterable[str] = PINS) -> Path:
    """Write a wheel for each pin ("numpy==2.4.6") into a folder; return the folder."""
    for pin in pins:
        name, _, version = pin.partition("==")
        write_wheel(folder, name, version)
    return folder


def write_index(folder: Path, wheels: Path) -> str:
    """Write a package index for the wheels in a folder; return its URL. https://peps.python.org/pep-0503/."""
    for wheel in wheels.glob("*.whl"):
        page = folder / wheel.name.partition("-")[0].lower().replace("_", "-") / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        with page.open("a", encoding="utf-8") as file:
            file.write(f'<a href="{wheel.as_uri()}">{wheel.name}</a><br>\n')
    return folder.as_uri()


def write_server(root: Path, pins: tuple[str, str] = PINS) -> Path:
    """Write a package `inference_server` with pins and a `check`, see `CHECK`, into a folder; return the folder."""
    server = root / "inference_server"
    (server / "requirements").mkdir(parents=True, exist_ok=True)
    (server / "__init__.py").write_text("", "utf-8")
    (server / "__main__.py").write_text(CHECK, "utf-8")
    for key in BUILD_KEYS:
        (server / "requirements" / f"torch-{key}.txt").write_text(f"# torch\n{pins[0]}\n", "utf-8")
    (server / "requirements" / "common.txt").write_text(f"# the rest\n{pins[1]}\n", "utf-8")
    return root


def _digest(data: bytes) -> str:
    return "sha256=" + urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
