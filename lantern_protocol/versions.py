"""The versions of the agreement between the add-on and the server."""

from __future__ import annotations

PROTOCOL_VERSION = 4
"""Raised whenever a message changes (`methods.py`)."""

SERVER_VERSION = "0.1.0"
PIXEL_REVISION = 2
"""Raised whenever the same request would give other pixels. Part of every frame's name."""
