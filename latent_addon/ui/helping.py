"""The buttons that help with a problem: those that its message names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from bpy.types import UILayout

from ..preferences import ROOT_PACKAGE

if TYPE_CHECKING:
    from bpy.stub_internal.rna_enums import IconItems

_MOST = 2
"""Buttons beside a message."""


class Help(NamedTuple):
    """A button. named: a regular expression for how messages name it."""

    operator: str
    label: str
    icon: IconItems
    named: str


PREFERENCES = Help("preferences.addon_show", "Preferences", "PREFERENCES", "preferences")
TRY_AGAIN = Help("lantern.make_frames", "Try Again", "FILE_REFRESH", "")
HELPS = (
    PREFERENCES,
    Help("lantern.reload_generator", "Reload Generator", "FILE_REFRESH", "Reload Generator"),
    Help(
        "lantern.choose_generator",
        "Choose Generator",
        "FILEBROWSER",
        "[Cc]hoose (the generator|it again|one in the Lantern tab|another one|two snapshots|the checkpoint)"
        "|Choose the file that a training",
    ),
    Help("lantern.fit_latent", "Fit Latent", "SHADERFX", "Fit Latent"),
    Help("lantern.set_canvas", "Canvas", "MESH_GRID", "at Canvas"),
    Help("lantern.make_local", "Make Local", "UNLINKED", "Make Local"),
    Help("lantern.make_frames", "Make Frames", "PLAY", "Make Frames"),
    Help("lantern.render_composite", "Render Composite", "RENDER_ANIMATION", "Render Composite"),
    Help("lantern.use_standard_view", "Use Standard", "COLOR", "Use Standard"),
    Help("lantern.release_device", "Release GPU", "MEMORY", "Release GPU"),
)


def helps_in(text: str, halted: bool) -> list[Help]:
    """Return the buttons that a message names, in its order, at most two.

    halted: whether work has stopped for this reason, so that *Try Again* is offered too, unless a button that is named
    continues the work by itself.
    """
    places = [(found.start(), each) for each in HELPS if (found := re.search(each.named, text))]
    named = [each for _place, each in sorted(places)]
    if halted and all(each is PREFERENCES for each in named):
        named.append(TRY_AGAIN)
    return named[:_MOST]


def draw_helps(layout: UILayout, helps: list[Help]) -> None:
    """Show buttons side by side. Of two, the second one has only its icon."""
    for i, each in enumerate(helps):
        draw_help(layout, each, short=i > 0)


def draw_help(layout: UILayout, shown: Help, short: bool = False) -> None:
    """Show a button. short: its icon only."""
    button = layout.operator(shown.operator, text="" if short else shown.label, icon=shown.icon)
    if shown is PREFERENCES:
        button.module = ROOT_PACKAGE
