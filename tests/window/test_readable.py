"""The panels can be read: at the sidebar's default width, at 1.5 times the size, in dark and light themes."""

from __future__ import annotations

import pytest
from story import Story

LONG = (
    "The inference server says that it made c_06b80477a7608b3396fda631c3a3e58cbd645811.png, but it is not there. "
    "Look whether something deletes files in the folder that the preferences name, then try again."
)


def set_look(story: Story, scale: float, theme: str) -> None:
    """Interface scale, and one of Blender's own themes."""
    story.blender.run(
        "import glob\n"
        "found = [each for folder in bpy.utils.preset_paths('interface_theme') "
        f"for each in glob.glob(folder + '/Blender_{theme}.xml')]\n"
        "bpy.ops.script.execute_preset(filepath=found[0], menu_idname='USERPREF_MT_interface_theme_presets')\n"
        f"bpy.context.preferences.view.ui_scale = {scale}"
    )
    story.person.over("SEQUENCE_EDITOR", "UI")
    story.person.see()


def show_each_panel(story: Story, name: str) -> None:
    """Keep a picture of each panel, open alone: pressing its name with Ctrl closes the others."""
    for label in story.blender.look("panel_labels('SEQUENCE_EDITOR')"):
        if label != "Latent Strip":
            story.person.click_with("ctrl", story.person.header(label))
        shown = story.picture(f"{name}_{label.lower().replace(' ', '_')}", "SEQUENCE_EDITOR", "UI")
        assert len(shown.getcolors(1 << 24) or ()) > 50
        if label != "Latent Strip":  # closed again, because otherwise the panels below may be out of sight
            story.person.click(story.person.header(label))
    story.person.click_with("ctrl", story.person.header("Latent Strip"))


@pytest.mark.parametrize(("scale", "theme"), [(1.0, "Dark"), (1.5, "Light")])
def test_no_text_is_cut(story: Story, scale: float, theme: str) -> None:
    story.use_fake_server("--facts", '{"has_transform": true, "num_classes": 3}')
    set_look(story, scale, theme)
    try:
        empty = story.blender.look("cut_in_panels('SEQUENCE_EDITOR')")
        assert empty["cut"] == [] and empty["drawn"] > 30
        story.keyed_strip({1: 1, 12: 2})
        full = story.blender.look("cut_in_panels('SEQUENCE_EDITOR')")
        assert full["cut"] == [] and full["drawn"] > empty["drawn"]
        show_each_panel(story, f"panels_{scale}_{theme}".lower())
        story.person.see()
        places = story.person.panels()
        story.blender.run(f"addon('session.session').session.halt({LONG!r})")
        halted = story.blender.look("cut_in_panels('SEQUENCE_EDITOR')")
        assert halted["cut"] == [] and halted["drawn"] > full["drawn"]
        story.person.see()
        assert story.person.panels() == places  # no message moves anything under the pointer
        story.picture(f"halted_{scale}_{theme}".lower())
    finally:
        set_look(story, 1.0, "Dark")


def test_a_text_that_is_too_long_would_be_found(story: Story) -> None:
    story.blender.run(
        "content = addon('panels').CONTENTS[0]\n"
        "drawing = content.draw\n"
        "content.draw = lambda self, context: self.layout.label(text='a word and ' * 12)"
    )
    try:
        cut = story.blender.look("cut_in_panels('SEQUENCE_EDITOR')")["cut"]
        assert [(panel, text) for panel, text, _ in cut] == [("Latent Strip", "a word and " * 12)]
    finally:
        story.blender.run("content.draw = drawing")
