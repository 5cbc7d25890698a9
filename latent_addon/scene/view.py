"""The view transform, which changes the colours of generated pictures on their way to the screen and into a render."""

from __future__ import annotations

from bpy.types import Scene


def is_standard(scene: Scene) -> bool:
    """Return whether the scene shows generated pictures as they are."""
    view = scene.view_settings
    return (view.view_transform, view.look, view.exposure, view.gamma) == ("Standard", "None", 0.0, 1.0)


def use_standard(scene: Scene) -> None:
    """Show generated pictures as they are."""
    view = scene.view_settings
    view.view_transform = "Standard"  # pyright: ignore[reportAttributeAccessIssue]
    view.look = "None"  # pyright: ignore[reportAttributeAccessIssue]
    view.exposure, view.gamma = 0.0, 1.0
