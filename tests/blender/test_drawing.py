from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest

from latent_lantern.latent_addon.scene.drawing import (
    INKS,
    PIXEL,
    Drawing,
    camera_of,
    drawing_factor,
    enter_draw_mode,
    pencil_of,
    set_up_drawing,
    show_background,
)
from latent_lantern.latent_addon.scene.fitting import fit_strip
from pictures import fill_box, image_strip, noise_picture, read_picture, write_picture


def render_camera(scene: bpy.types.Scene, folder: Path) -> np.ndarray:
    scene.render.filepath = str(folder / "camera.png")
    bpy.ops.render.render(write_still=True)
    return read_picture(folder / "camera.png")


def counts() -> tuple[int, ...]:
    collections = (bpy.data.objects, bpy.data.cameras, bpy.data.materials, bpy.data.images, bpy.data.scenes)
    return tuple(len(collection) for collection in collections)


@pytest.fixture
def drawing() -> Drawing:
    return set_up_drawing(bpy.context.scene, 32, 24, factor=4)


@pytest.mark.parametrize(("width", "height"), [(32, 24), (24, 32), (16, 16)])
@pytest.mark.parametrize("factor", [1, 5])
def test_a_filled_box_lands_on_its_picture_pixels(tmp_path: Path, width: int, height: int, factor: int) -> None:
    scene = bpy.context.scene
    drawing = set_up_drawing(scene, width, height, factor=factor)
    left, top, right, bottom = 3, 5, 11, 9
    fill_box(drawing, (left, top, right, bottom), scene.frame_start)

    alpha = render_camera(scene, tmp_path)[:, :, 3]

    assert alpha.shape == (height * factor, width * factor)
    rows, columns = np.nonzero(alpha > 127)
    found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    wanted = np.array((left, top, right, bottom)) * factor
    assert np.abs(np.array(found) - wanted).max() <= 1
    inside = alpha[top * factor + 1 : bottom * factor - 1, left * factor + 1 : right * factor - 1]
    assert inside.min() > 235


def test_inks_keep_their_colours(tmp_path: Path, drawing: Drawing) -> None:
    for ink in INKS:
        if ink.fill:
            fill_box(drawing, (2, 2, 30, 22), 1, ink.name)
            middle = render_camera(bpy.context.scene, tmp_path)[48, 64]
            assert np.abs(middle - np.array([*(round(255 * c) for c in ink.colour), 255])).max() <= 1, ink.name


def test_the_start_up_scene_is_not_in_the_picture(tmp_path: Path, drawing: Drawing) -> None:
    assert "Cube" in bpy.context.scene.objects
    assert not render_camera(bpy.context.scene, tmp_path).any()


def test_setting_up_again_repairs_without_doubling_or_touching_strokes(drawing: Drawing) -> None:
    scene = bpy.context.scene
    fill_box(drawing, (1, 1, 9, 9), 7)
    drawing.camera.name, drawing.pencil.name = "Kamera", "Tusche"
    bpy.data.materials["Ink White"].name = "Kreide"
    drawing.pencil.data.layers["Ink"].frames.new(12)
    before = counts()

    drawing.camera.location.x += 3
    drawing.camera.data.ortho_scale *= 2
    drawing.camera.data.background_images.clear()
    drawing.pencil.data.layers.remove(drawing.pencil.data.layers["Ink"])
    scene.camera = bpy.data.objects["Camera"]
    scene.view_settings.view_transform = "AgX"
    again = set_up_drawing(scene, 32, 24, factor=4)

    assert again == drawing
    assert counts() == (*before[:3], before[3] + 1, before[4])  # the picture that was removed from the camera, again
    assert set_up_drawing(scene, 32, 24, factor=4) == drawing
    assert counts() == (*before[:3], before[3] + 1, before[4])
    assert scene.camera == again.camera and again.camera.location.x == 0
    assert again.camera.data.ortho_scale == pytest.approx(1.28)
    assert len(again.camera.data.background_images) == 1
    assert scene.view_settings.view_transform == "Standard"
    assert [layer.name for layer in again.pencil.data.layers] == ["Colour", "Ink"]
    assert len(again.pencil.data.materials) == len(INKS)
    frames = {frame.frame_number: len(frame.drawing.strokes) for frame in again.pencil.data.layers["Colour"].frames}
    assert frames == {1: 0, 7: 1}


def test_a_picture_of_another_size_is_framed_anew(drawing: Drawing) -> None:
    scene = bpy.context.scene
    again = set_up_drawing(scene, 64, 64)
    assert (again.camera, again.pencil, again.factor) == (drawing.camera, drawing.pencil, 16)
    assert (scene.render.resolution_x, scene.render.resolution_y) == (1024, 1024)
    assert again.camera.data.ortho_scale == pytest.approx(10.24)


def test_drawings_fit_pictures_of_another_generator(tmp_path: Path) -> None:
    scene = bpy.context.scene
    fill_box(set_up_drawing(scene, 16, 16, factor=8), (4, 4, 12, 12), 1)
    set_up_drawing(scene, 32, 32, factor=4)
    alpha = render_camera(scene, tmp_path)[:, :, 3]
    assert alpha[34:94, 34:94].min() == 255 and alpha[:30].max() == 0 and alpha[98:].max() == 0


def test_each_scene_has_its_own(drawing: Drawing) -> None:
    other = bpy.data.scenes.new("Other")
    assert camera_of(other) is None and pencil_of(other) is None
    second = set_up_drawing(other, 32, 24)
    assert second.camera != drawing.camera and second.pencil != drawing.pencil
    assert list(second.pencil.data.materials) == list(drawing.pencil.data.materials)


@pytest.mark.parametrize(("size", "factor"), [((128, 128), 8), ((512, 512), 2), ((1024, 1024), 1), ((576, 256), 4)])
def test_the_composite_is_fine_enough_for_a_line(size: tuple[int, int], factor: int) -> None:
    assert drawing_factor(*size) == factor


def test_the_composite_has_even_sides() -> None:
    assert all((side * drawing_factor(side, 1025)) % 2 == 0 for side in (1025, 1026, 1027))


def test_strips_fill_the_frame(tmp_path: Path) -> None:
    scene = bpy.context.scene
    strip = image_strip(scene, [write_picture(tmp_path / "a.png", noise_picture(1, 32, 24))], 1)
    set_up_drawing(scene, 32, 24, [strip], factor=4)
    assert (strip.transform.scale_x, strip.transform.scale_y) == (4, 4)
    fit_strip(strip, 64, 24)
    assert (strip.transform.scale_x, strip.transform.scale_y) == (2, 2)


def test_the_background_follows_the_file_that_is_shown(tmp_path: Path, drawing: Drawing) -> None:
    scene = bpy.context.scene
    first = write_picture(tmp_path / "a.png", noise_picture(1, 32, 24))
    second = write_picture(tmp_path / "b.png", noise_picture(2, 32, 24))
    (background,) = drawing.camera.data.background_images
    assert not background.show_background_image

    show_background(scene, first)
    assert background.show_background_image and tuple(background.image.size) == (32, 24)
    assert np.allclose(background.image.pixels[:3], noise_picture(1, 32, 24)[-1, 0] / 255)
    show_background(scene, str(second))
    assert np.allclose(background.image.pixels[:3], noise_picture(2, 32, 24)[-1, 0] / 255)

    show_background(scene, tmp_path / "gone.png")
    assert not background.show_background_image
    show_background(scene, None)
    assert not background.show_background_image
    write_picture(second, noise_picture(3, 32, 24))
    show_background(scene, second)
    assert background.show_background_image
    assert np.allclose(background.image.pixels[:3], noise_picture(3, 32, 24)[-1, 0] / 255)


def test_an_unchanged_background_is_not_read_again(tmp_path: Path, drawing: Drawing) -> None:
    scene = bpy.context.scene
    path = write_picture(tmp_path / "a.png", noise_picture(1, 32, 24))
    show_background(scene, path)
    image = drawing.camera.data.background_images[0].image
    assert len(image.pixels) and image.has_data
    show_background(scene, path)
    assert image.has_data


def test_the_background_is_relative_to_the_file(tmp_path: Path, drawing: Drawing) -> None:
    write_picture(tmp_path / "a.png", noise_picture(1, 32, 24))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    show_background(bpy.context.scene, tmp_path / "a.png")
    background = drawing.camera.data.background_images[0]
    assert background.show_background_image and background.image.filepath == "//a.png"
    show_background(bpy.context.scene, "//a.png")
    assert background.show_background_image


def test_a_scene_without_a_drawing_has_no_background_to_show(tmp_path: Path) -> None:
    show_background(bpy.context.scene, tmp_path / "a.png")
    assert not bpy.data.cameras["Camera"].background_images


def test_draw_mode_waits_for_a_window(drawing: Drawing) -> None:
    enter_draw_mode(bpy.context, drawing)
    assert drawing.pencil.mode == "OBJECT"


def test_places_are_measured_from_the_upper_left_corner(drawing: Drawing) -> None:
    corners = drawing.place(np.array([(0, 0), (32, 24), (16, 12)]))
    pixel = 4 * PIXEL
    assert np.allclose(corners, [(-16 * pixel, 0, 12 * pixel), (16 * pixel, 0, -12 * pixel), (0, 0, 0)])
