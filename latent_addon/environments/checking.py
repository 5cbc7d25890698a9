"""Try a Python: whether the inference server runs on it, and on what device."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .children import Children
from .pythons import KNOWN, probe
from .states import Checked

_LINES_KEPT = 50


def run_check(children: Children, python: Path, server_root: Path, say: Callable[[str], None]) -> Checked:
    """Run ``python -m inference_server check --json`` and return its result; `server_root` holds `inference_server`.

    Takes as long as importing torch: up to half a minute the first time. Raises Stopped.
    """
    children.check()
    found = probe(python)
    if found is None:
        return Checked(python, f"{python} is no Python that can be run.")
    if found.unfit:
        return Checked(
            python, f"{python} is Python {found.release}, which {found.unfit}. Choose one of {', '.join(KNOWN)}."
        )
    lines: deque[str] = deque(maxlen=_LINES_KEPT)

    def line(text: str) -> None:
        lines.append(text)
        say(text)

    try:
        # As the server is started, in latent_addon/server/launch.py: with nothing on its path but the server.
        status = children.run(
            python,
            ["inference_server", "check", "--json"],
            line,
            flags=("-P", "-s", "-B"),
            PYTHONPATH=str(server_root),
        )
    except OSError as error:
        return Checked(python, f"{python} cannot be started: {error.strerror or error}.")
    answer = next((answer for answer in map(_answer, reversed(lines)) if answer), None)
    if answer is None:
        last = lines[-1] if lines else "it said nothing"
        return Checked(python, f"The inference server could not be tried: {last}", version=found.release)
    return Checked(
        python,
        problem=" ".join(map(str, answer.get("problems", []))) or ("" if status == 0 else "The check failed."),
        remarks=tuple(map(str, answer.get("remarks", []))),
        version=found.release,
        torch=str(answer.get("torch", "")),
        device=str(answer.get("device", "")),
        device_name=str(answer.get("device_name", "")),
        forward_ms=float(answer.get("forward_ms", 0.0)),
    )


def _answer(line: str) -> dict[str, Any] | None:
    """Return the JSON object in a line if it is the answer of `check --json`, which is one line; else None."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and value.get("what") == "inference_server check" else None
