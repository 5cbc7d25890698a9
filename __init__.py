# SPDX-FileCopyrightText: 2026 Latent Lantern contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's front door to Latent Lantern. Importing it needs no Blender; registering does."""


def register() -> None:
    """Called by Blender when the extension is enabled."""
    from .latent_addon import registration

    registration.register()


def unregister() -> None:
    """Called by Blender when the extension is disabled."""
    from .latent_addon import registration

    registration.unregister()
