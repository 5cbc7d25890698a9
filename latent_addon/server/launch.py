"""How the inference server is started: its Python, its command line, its environment."""

from __future__ import annotations

import os
from pathlib import Path


def check_python(python: str) -> str:
    """Return "" if `python` is the path of a file that can be executed, else a sentence that says what is wrong."""
    path = Path(python)
    if path.is_dir():
        return f"'{python}' is a folder. Choose the Python inside it, in the preferences."
    if not path.exists():
        return f"There is no Python at '{python}'. Choose another in the preferences."
    if not path.is_file() or not os.access(path, os.X_OK):
        return f"'{python}' is not a program that can be started. Choose another Python in the preferences."
    return ""


def python_of_folder(folder: str) -> str:
    """Return the Python of the environment in a folder, "" if there is none in it."""
    for name in ("bin/python3", "bin/python", "Scripts/python.exe", "python.exe"):
        path = Path(folder, name)
        if path.is_file():
            return str(path)
    return ""


def module_command(python: str, root: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Return the command line and the whole environment of `python -m inference_server` on this machine.

    `root` is the folder that holds `inference_server`. Only it is put on the server's path: neither the working folder,
    nor the user's site-packages, nor what Blender or a launcher has set for a different Python.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith("PYTHON") and name != "__PYVENV_LAUNCHER__"
    }
    environment["PYTHONPATH"] = str(root)
    environment["PYTHONUTF8"] = "1"
    environment["PYTHONUNBUFFERED"] = "1"
    return [python, "-P", "-s", "-B", "-m", "inference_server", *arguments], environment


def server_command(python: str, root: Path) -> tuple[list[str], dict[str, str]]:
    """Return the same for the server that communicates over its pipes."""
    return module_command(python, root, "serve")
