"""Pictures of another size take the place of the old ones in the frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bpy
import pytest
from bpy.types import ImageStrip

from latent_lantern.latent_addon.scene.properties import settings_of
from stage import Stage


def by_choosing(path: Path) -> None:
    bpy.ops.lantern.choose_generator(filepath=str(path))


def by_reloading(_path: Path) -> None:
    bpy.ops.lantern.reload_generator()


def strip_of_16(stage: Stage, drawing: bool) -> ImageStrip:
    stage.scene.render.resolution_x, stage.scene.render.resolution_y = 1920, 1080
    stage.use_fake_server("--size", "16x16")
    strip = stage.keyed_strip({1: 1, 4: 2}, 4)
    if drawing:
        bpy.ops.lantern.set_up_drawing()
    return strip


@pytest.mark.parametrize("drawing", [False, True])
@pytest.mark.parametrize("change", [by_choosing, by_reloading], ids=lambda change: change.__name__)
@pytest.mark.parametrize("size", [(64, 64), (8, 8), (64, 32)])
def test_a_strip_that_fills_the_frame_still_fills_it(
    stage: Stage, tmp_path: Path, drawing: bool, change: Callable[[Path], None], size: tuple[int, int]
) -> None:
    strip = strip_of_16(stage, drawing)
    render = stage.scene.render
    frame = (render.resolution_x, render.resolution_y)
    (tmp_path / "net.pkl").write_bytes(b"other")
    stage.use_fake_server("--size", f"{size[0]}x{size[1]}")
    change(tmp_path / "net.pkl")
    assert settings_of(strip).picture_size() == size
    assert (render.resolution_x, render.resolution_y) == frame
    scale = min(frame[0] / size[0], frame[1] / size[1])
    assert (strip.transform.scale_x, strip.transform.scale_y) == pytest.approx((scale, scale))
    assert strip.transform.filter == ("CUBIC_BSPLINE" if drawing else "AUTO")


def test_a_strip_that_a_person_scaled_keeps_its_size_on_the_screen(stage: Stage, tmp_path: Path) -> None:
    strip = strip_of_16(stage, drawing=False)
    strip.transform.scale_x, strip.transform.scale_y, strip.transform.offset_x = 8.0, 4.0, 30
    stage.use_fake_server("--size", "64x64")
    (tmp_path / "net.pkl").write_bytes(b"other")
    by_choosing(tmp_path / "net.pkl")
    assert (strip.transform.scale_x, strip.transform.scale_y, strip.transform.offset_x) == (2.0, 1.0, 30)


def test_a_canvas_is_fitted_too(stage: Stage) -> None:
    stage.scene.render.resolution_x, stage.scene.render.resolution_y = 1920, 1080
    stage.use_fake_server("--facts", '{"canvas_step": 8}')
    strip = stage.add_strip(3)
    assert bpy.ops.lantern.set_canvas(columns=5, rows=1) == {"FINISHED"}
    width, height = settings_of(strip).picture_size()
    assert width > height
    assert strip.transform.scale_x == pytest.approx(min(1920 / width, 1080 / height))
