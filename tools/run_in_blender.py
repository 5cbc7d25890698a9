"""Run a script inside Blender with the extension enabled: SCRIPT [ARGUMENT ...]. Started by dev.py."""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from pathlib import Path

# This script is run by its path, so `tools` is found only if the folder above is on the path.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools import blender_session  # noqa: E402


def main(script: str) -> int:
    """Run the script as `__main__` and return its exit status."""
    try:
        blender_session.install_extension(Path(os.environ["LANTERN_ZIP"]), os.environ["LANTERN_SERVER_PYTHON"])
        blender_session.start_clean()
        sys.argv = sys.argv[1:]
        sys.path[0] = str(Path(script).resolve().parent)
        runpy.run_path(script, run_name="__main__")
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            return stop.code or 0
        print(stop.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    blender_session.leave(main(sys.argv[1]))
