"""Files dropped onto the editors: which handler takes them, and what its operator does."""

import json

import bpy
import pytest

from latent_lantern.latent_addon.scene import versions
from latent_lantern.latent_addon.scene.properties import settings_of
from latent_lantern.latent_addon.scene.strip import latent_strips
from latent_lantern.latent_addon.shot import dropping
from latent_lantern.latent_addon.shot.generators import SUFFIXES


def drop(path, editor):
    """Drop a file onto an editor; return what the operator that takes it returns; CANCELLED if none takes it.

    Blender's own operator for drops needs a window: called in the bpy module, it may crash Blender 5.0.
    """
    area = bpy.context.window.screen.areas[0]
    area.type = editor
    versions.show_in_sequencer(bpy.context, bpy.context.scene)
    with bpy.context.temp_override(area=area):
        taking = [
            handler
            for handler in (dropping.LANTERN_FH_generator, dropping.LANTERN_FH_latents)
            if path.suffix in handler.bl_file_extensions.split(";") and handler.poll_drop(bpy.context)
        ]
        if not taking:
            return {"CANCELLED"}
        (handler,) = taking
        assert handler.is_registered
        group, name = handler.bl_import_operator.split(".")
        return getattr(getattr(bpy.ops, group), name)("EXEC_DEFAULT", filepath=str(path))


@pytest.mark.parametrize("editor", ["SEQUENCE_EDITOR", "VIEW_3D"])
def test_a_generator_makes_a_strip_or_is_given_to_the_current_one(stage, tmp_path, editor):
    for i, suffix in enumerate(SUFFIXES):
        path = tmp_path / f"net{i}{suffix}"
        path.write_bytes(b"weights %d" % i)
        assert drop(path, editor) == {"FINISHED"}
        (strip,) = latent_strips(stage.scene)
        assert settings_of(strip).generator == str(path)
    stage.fill()


def test_latents_are_given_to_the_current_strip(stage, tmp_path):
    path = tmp_path / "walk.npy"
    path.write_text(json.dumps({"space": "w", "latents": [[1.0] * 8]}))
    assert drop(path, "SEQUENCE_EDITOR") == {"CANCELLED"}  # there is none
    strip = stage.add_strip(3)
    assert drop(path, "SEQUENCE_EDITOR") == {"FINISHED"}
    assert settings_of(strip).space == "W" and list(strip["latent"]) == [1.0] * 8


def test_other_files_and_other_editors_are_left_alone(stage, tmp_path):
    path = tmp_path / "net.pkl"
    path.write_bytes(b"weights")
    assert drop(path, "TEXT_EDITOR") == {"CANCELLED"}
    other = tmp_path / "net.txt"
    other.write_bytes(b"weights")
    assert drop(other, "SEQUENCE_EDITOR") == {"CANCELLED"}
    assert not latent_strips(stage.scene)


def test_a_file_that_is_no_generator_is_named(stage, tmp_path):
    path = tmp_path / "torn.pkl"
    path.write_bytes(b"broken")
    with pytest.raises(RuntimeError, match=r"torn\.pkl"):
        bpy.ops.lantern.drop_generator(filepath=str(path))
    assert not latent_strips(stage.scene)
