"""Other programs, started so that they cannot be led astray, and cannot outlive who started them."""

from __future__ import annotations

import os

STRAY_VARIABLES = ("VIRTUAL_ENV", "CONDA_PREFIX", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON")
"""What would put packages elsewhere. PYTHON* and BLENDER_* are left out, too; pip's indexes and proxies are kept."""


def clean_environment(**extra: str) -> dict[str, str]:
    """Return this process's environment without what would lead another Python or Blender astray, and with `extra`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.upper() not in STRAY_VARIABLES
        and not name.upper().startswith(("PYTHON", "BLENDER_"))
        and name != "__PYVENV_LAUNCHER__"
    }
    return kept | {"PYTHONNOUSERSITE": "1"} | extra
