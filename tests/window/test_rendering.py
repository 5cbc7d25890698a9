"""Renders of a scene whose frames are not made yet, by click."""

from __future__ import annotations

from pathlib import Path

import cv2
from story import Story

PREPARING = "addon('drawing.composite').preparing is not None"
RENDERING = "bpy.app.is_job_running('RENDER') or addon('session.session').session.state.name == 'RENDERING'"


def strip_of_which_nothing_is_made(story: Story, *options: object) -> None:
    """A strip of 96 frames; four of them are in the scene's range, and the playhead is elsewhere."""
    story.use_fake_server()
    story.keyed_strip({1: 1}, length=96)
    story.operate("lantern.set_up_drawing()")
    story.use_fake_server(*options)
    story.blender.run(
        "addon('preferences').preferences().make_automatically = False\n"
        "scene = bpy.context.scene\n"
        "scene.frame_start, scene.frame_end = 11, 14\n"
        "scene.render.resolution_percentage = 25\n"
        "scene.frame_set(96)"
    )
    story.operate("lantern.randomise(seed=9)")  # keys frame 96, so that all frames are others
    story.blender.until("not changes_waiting()")
    story.forget_orders()


def test_one_click_makes_the_frames_of_the_range_and_renders(story: Story) -> None:
    strip_of_which_nothing_is_made(story, "--slow", 0.5)
    blender = story.blender
    story.person.press("lantern.render_composite")
    film = story.folder / "one_click.mp4"
    film.unlink(missing_ok=True)
    story.person.choose_file(film)
    blender.until(PREPARING)
    story.picture("composite_waits", after=0.3)
    blender.until(f"__import__('os').path.exists({str(film)!r}) and not ({RENDERING})", 600.0)
    story.picture("composite_rendered")
    assert cv2.VideoCapture(str(film)).get(cv2.CAP_PROP_FRAME_COUNT) == 4
    names = story.shown()
    ordered = story.ordered()
    assert set(ordered[:4]) == set(names[10:14])
    assert blender.look("addon('session.session').session.renders.notice") == ""
    assert sum(name.startswith("c_") for name in names) < 90  # what the render does not show was not waited for


def test_esc_stops_the_wait_and_the_frames(story: Story) -> None:
    strip_of_which_nothing_is_made(story, "--slow", 5)
    story.person.press("lantern.render_composite")
    film = story.folder / "stopped.mp4"
    story.person.choose_file(film)
    story.blender.until(PREPARING)
    story.person.over("SEQUENCE_EDITOR")
    story.person.keys("Escape")
    story.blender.until(f"not ({PREPARING})")
    assert story.blender.look("addon('session.session').session.halted").startswith("Stopped.")
    assert not film.exists() and not story.blender.look(RENDERING)


def test_a_render_of_placeholders_is_called_one(story: Story, tmp_path: Path) -> None:
    strip_of_which_nothing_is_made(story, "--slow", 5)
    story.blender.run(
        "scene = bpy.context.scene\n"
        "scene.render.image_settings.media_type = 'IMAGE'\n"
        f"scene.render.filepath = {str(tmp_path / 'frame_####')!r}\n"
        "with context_of('SEQUENCE_EDITOR'):\n"
        "    bpy.ops.render.render('INVOKE_DEFAULT', animation=True)"
    )
    notice = story.blender.until("addon('session.session').session.renders.notice", 600.0)
    assert "shows placeholders: frame" in notice
    story.blender.until(f"not ({RENDERING})", 600.0)
    notice = story.blender.look("addon('session.session').session.renders.notice")
    assert notice.startswith("The last render shows placeholders: frames 11-14 of strip 'Latent' were not made.")
    story.picture("placeholders_rendered")
