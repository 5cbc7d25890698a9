"""Differences between Blenders: deprecated names are errors here, and `versions` uses none."""

from __future__ import annotations

import re
from pathlib import Path

import bpy
import pytest

from installed import DEPRECATED
from latent_lantern.latent_addon.scene import versions

RENAMED = bpy.app.version >= (5, 1, 0)
"""Since 5.1 a strip's frames have new names."""


def test_this_blender_is_of_a_tested_version():
    pins = Path(__file__).resolve().parents[2] / "requirements" / "blender-{}.{}.txt".format(*bpy.app.version)
    assert re.search(rf"(?m)^bpy=={re.escape(bpy.app.version_string.split()[0])}$", pins.read_text("utf-8"))


def test_a_deprecated_name_is_an_error_where_blender_has_a_new_one(stage):
    strip = stage.add_strip(6, start=3)
    if RENAMED:
        # Blender does not check whether its warning was raised: the next function of Python finds the error.
        with pytest.raises((DeprecationWarning, SystemError)):
            len([strip.frame_final_start])
    else:
        assert strip.frame_final_start == 3


def test_what_is_only_printed_is_seen(capfd):
    """Blender does not raise a callback's error. Output that is read here is not in the report, so the test passes."""

    def handler(*_arguments):
        raise DeprecationWarning("a name of yesterday")

    bpy.app.handlers.frame_change_pre.append(handler)
    try:
        bpy.context.scene.frame_set(7)
    finally:
        bpy.app.handlers.frame_change_pre.remove(handler)
    assert "DeprecationWarning: a name of yesterday" in DEPRECATED.findall("".join(capfd.readouterr()))


def test_a_strip_s_frames_are_set_and_read_by_the_names_of_this_blender(stage):
    strip = stage.add_strip(12, start=5)
    assert (versions.strip_start(strip), versions.strip_end(strip), versions.content_start(strip)) == (5, 17, 5)
    versions.set_content_start(strip, 40)
    versions.set_handles(strip, 42, 50)
    assert (versions.strip_start(strip), versions.strip_end(strip), versions.content_start(strip)) == (42, 50, 40)


def test_inks_and_fills_use_no_deprecated_name():
    material = bpy.data.materials.new("Ink")
    bpy.data.materials.create_gpencil_data(material)
    versions.set_ink(material, True)
    data = versions.grease_pencils().new("Drawing")
    drawing = data.layers.new("Layer").frames.new(1).drawing
    drawing.add_strokes([3])
    versions.set_fill(drawing.strokes[0], 1)
    assert getattr(drawing.strokes[0], "fill_id", 1) == 1


@pytest.mark.parametrize("file_format", ["PNG", "FFMPEG"])
def test_every_blender_takes_both_file_formats(file_format):
    settings = bpy.context.scene.render.image_settings
    saved = {name: getattr(settings, name) for name in versions.file_format_fields(settings)}
    versions.set_file_format(settings, file_format)
    assert settings.file_format == file_format
    for name, value in saved.items():
        setattr(settings, name, value)
    assert {name: getattr(settings, name) for name in saved} == saved
